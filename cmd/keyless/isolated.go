package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/keyless-id/keyless/internal/isolation"
	"github.com/keyless-id/keyless/sandbox"
)

// insideMark tells the program that it is the one inside, and who started the one
// outside: uid:gid.
const insideMark = "KEYLESS_SANDBOX_INSIDE"

// isolate runs this same command line once more, in namespaces of its own.
func (p *program) isolate(ctx context.Context) error {
	mark := fmt.Sprintf("%s=%d:%d", insideMark, os.Geteuid(), os.Getegid())
	command := isolation.Command(ctx, p.args, append(p.environ[:len(p.environ):len(p.environ)], mark))
	err := p.supervise(command)
	var absent notStarted
	if errors.As(err, &absent) {
		return isolation.Explain(absent.error)
	}
	return childError(err)
}

// asOutside gives a command the user that started the whole.
func (p *program) asOutside(command *exec.Cmd) {
	uid, gid, _ := strings.Cut(p.getenv(insideMark), ":")
	user, err1 := strconv.Atoi(uid)
	group, err2 := strconv.Atoi(gid)
	if err := errors.Join(err1, err2); err == nil {
		isolation.As(command, user, group)
	}
}

// loopback is the address of all names in there.
const loopback = "127.0.0.1"

// trueAddresses are where hosts look for who they are: the metadata services of both
// clouds, and the container endpoints of ECS and EKS.
func trueAddresses() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("169.254.170.2"), netip.MustParseAddr("169.254.170.23")}
}

const (
	arcTokens = "/var/opt/azcmagent/tokens" //nolint:gosec // the name of a folder
	arcAgent  = "/opt/azcmagent/bin/himds"
)

// furnish makes the place that this process is in one that has nothing but the sandbox.
func (g *playground) furnish() error {
	for name, content := range map[string]string{
		"resolv.conf":   "nameserver " + loopback + "\noptions timeout:1 attempts:1\n",
		"hosts":         loopback + " localhost\n",
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
	} {
		if err := os.WriteFile(g.path(name), []byte(content), 0o644); err != nil { //nolint:gosec // for everybody, as outside
			return err
		}
	}
	scratch := g.path("scratch")
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return err
	}
	room := isolation.Room{Addresses: trueAddresses(), Scratch: scratch, Files: map[string]string{
		"/etc/resolv.conf": g.path("resolv.conf"), "/etc/hosts": g.path("hosts"), "/etc/nsswitch.conf": g.path("nsswitch.conf"),
	}}
	for _, bundle := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"} {
		room.Files[bundle] = g.path("ca.pem")
	}
	if g.host == sandbox.HostArc {
		room.Folders = []string{arcTokens, "/opt/azcmagent/bin"}
	}
	if err := room.Furnish(); err != nil || g.host != sandbox.HostArc {
		return err
	}
	return os.WriteFile(arcAgent, nil, 0o755) //nolint:gosec // it stands for a program
}

// serveTrueNames answers where the clouds would.
func (g *playground) serveTrueNames() error {
	if err := g.resolve(); err != nil {
		return err
	}
	at := map[string]bool{ // and whether clients speak TLS there
		loopback + ":80": false, loopback + ":443": true,
		loopback + ":42356": false, // a Container App
	}
	for _, address := range trueAddresses() {
		at[address.String()+":80"] = false
	}
	if g.host == sandbox.HostArc {
		at[loopback+":40342"] = false
	}
	for address, secure := range at {
		listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
		if err != nil {
			return err
		}
		g.Serve(listener, secure)
	}
	return nil
}

// resolve starts the name server. It ends with the process.
func (g *playground) resolve() error {
	resolver := isolation.Resolver{Knows: g.Knows, At: netip.MustParseAddr(loopback)}
	packets, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp", loopback+":53")
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", loopback+":53")
	if err != nil {
		return err
	}
	go func() { _ = resolver.ServePacket(packets) }()
	go func() { _ = resolver.Serve(listener) }()
	return nil
}
