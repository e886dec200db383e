package endpoint

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// Item 7: on an address outside of loopback what a server sends does not pass a router.
// The address is one of the machine's own; without any there is nothing to look at.
func TestAcceptedConnectionsHaveOneHop(t *testing.T) {
	for _, address := range []netip.Addr{netip.MustParseAddr("127.0.0.1"), ownAddress(t)} {
		if !address.IsValid() {
			t.Log("this machine has no address outside of loopback")
			continue
		}
		listener, err := Listen(t.Context(), netip.AddrPortFrom(address, 0))
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if ttl := ttlOf(t, accepted.(*net.TCPConn)); (ttl == 1) != !address.IsLoopback() {
			t.Errorf("%s: TTL %d", address, ttl)
		}
		_, _, _ = client.Close(), accepted.Close(), listener.Close()
	}
}

func ttlOf(t *testing.T, connection *net.TCPConn) (ttl int) {
	t.Helper()
	raw, err := connection.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if control := raw.Control(func(fd uintptr) { ttl, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL) }); control != nil || err != nil {
		t.Fatal(control, err)
	}
	return ttl
}

func ownAddress(t *testing.T) netip.Addr {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() {
			return prefix.Addr()
		}
	}
	return netip.Addr{}
}
