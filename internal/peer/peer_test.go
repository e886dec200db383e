//go:build linux

package peer_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/internal/peer"
)

// accept returns the server's end of a connection that connect makes.
func accept(t *testing.T, network, address string, connect func(address string)) net.Conn {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		if strings.HasPrefix(address, "[") {
			t.Skip(err) // no IPv6 here
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	connect(listener.Addr().String())
	connection, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

func TestThePeersUserIsKnown(t *testing.T) {
	for name, c := range map[string]struct{ network, address string }{
		"IPv4": {"tcp", "127.0.0.1:0"}, "IPv6": {"tcp", "[::1]:0"}, "Unix": {"unix", filepath.Join(t.TempDir(), "s")},
	} {
		t.Run(name, func(t *testing.T) {
			connection := accept(t, c.network, c.address, func(address string) {
				client, err := net.Dial(c.network, address)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = client.Close() })
			})
			who, err := peer.Of(connection)
			if err != nil || who.UID != os.Getuid() {
				t.Errorf("%+v, %v, want %d", who, err, os.Getuid())
			}
		})
	}
}

// Another user's client is told apart; only root can be one.
func TestAnotherUserIsAnother(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user; see TestTheKernelsTableNamesTheOwner")
	}
	var client *exec.Cmd
	connection := accept(t, "tcp", "127.0.0.1:0", func(address string) {
		host, port, _ := strings.Cut(address, ":")
		client = exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-c", "exec 3<>/dev/tcp/"+host+"/"+port+"; sleep 60")
		if err := client.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Process.Kill(); _ = client.Wait() })
	})
	if who, err := peer.Of(connection); err != nil || who.UID != 65534 {
		t.Errorf("%+v, %v", who, err)
	}
}

func TestWhoHasGoneIsUnknown(t *testing.T) {
	connection := accept(t, "tcp", "127.0.0.1:0", func(address string) {
		client, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = client.(*net.TCPConn).SetLinger(0)
		_ = client.Close()
	})
	if who, err := peer.Of(connection); err == nil && who.UID != os.Getuid() {
		t.Errorf("%+v", who)
	}
	ours, theirs := net.Pipe()
	defer func() { _, _ = ours.Close(), theirs.Close() }()
	if _, err := peer.Of(ours); !errors.Is(err, peer.ErrUnknown) {
		t.Errorf("%v", err)
	}
}
