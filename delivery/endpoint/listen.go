package endpoint

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
)

// metadataAddresses are the addresses outside of loopback at which AWS's SDKs look for
// credentials: of an instance, of a task in ECS, and of EKS's agent.
var metadataAddresses = []netip.Addr{ //nolint:gochecknoglobals // a table
	netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("169.254.170.2"), netip.MustParseAddr("169.254.170.23"),
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd00:ec2::23"),
}

// Address reads where a server is to listen: an address of loopback, or one at which
// AWS's SDKs look, with a port. There is no way to say all addresses: a credential
// endpoint that the network can reach is a hole.
func Address(text string) (netip.AddrPort, error) {
	address, err := netip.ParseAddrPort(text)
	if err != nil {
		return address, fmt.Errorf("want an address and a port, for example 127.0.0.1:9911, not %q", text)
	}
	if ip := address.Addr(); !ip.IsLoopback() && !slices.Contains(metadataAddresses, ip) {
		return address, fmt.Errorf("%s can be reached from the network; want 127.0.0.1, [::1], or one of the metadata addresses 169.254.169.254, 169.254.170.2, 169.254.170.23", ip)
	}
	return address, nil
}

// Listen opens an address. Packets to and from one outside of loopback do not pass a
// router, as with EC2's hop limit of 1.
func Listen(ctx context.Context, address netip.AddrPort) (net.Listener, error) {
	var config net.ListenConfig
	if !address.Addr().IsLoopback() {
		config.Control = func(_, _ string, raw syscall.RawConn) error { return oneHop(raw, address.Addr().Is6()) }
	}
	return config.Listen(ctx, "tcp", address.String())
}

// Hosts are the names of a server at address, as a client's Host header has them.
func Hosts(address netip.AddrPort) []string {
	port := strconv.Itoa(int(address.Port()))
	names := []string{address.Addr().String()}
	if address.Addr().IsLoopback() {
		names = append(names, "localhost")
	}
	var all []string
	for _, name := range names {
		all = append(all, net.JoinHostPort(name, port))
		if address.Port() == 80 {
			all = append(all, bracketed(name))
		}
	}
	return all
}

// bracketed is an address as it stands in a Host header without a port.
func bracketed(name string) string {
	if ip, err := netip.ParseAddr(name); err == nil && ip.Is6() {
		return "[" + name + "]"
	}
	return name
}
