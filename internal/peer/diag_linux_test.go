package peer

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
)

// connected returns a client's and a server's address of one connection.
func connected(t *testing.T, address string) (client, server netip.AddrPort) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip(err) // no IPv6 here
	}
	t.Cleanup(func() { _ = listener.Close() })
	connection, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return netip.MustParseAddrPort(connection.LocalAddr().String()), netip.MustParseAddrPort(connection.RemoteAddr().String())
}

// The two ways to ask the kernel must agree.
func TestBothWaysNameTheOwner(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		client, server := connected(t, address)
		if uid, err := owner(client, server); err != nil || uid != os.Getuid() {
			t.Errorf("%s: asked: %d, %v", address, uid, err)
		}
		if uid, err := ownerByTable(client, server); err != nil || uid != os.Getuid() {
			t.Errorf("%s: looked up: %d, %v", address, uid, err)
		}
		nobody := netip.AddrPortFrom(client.Addr(), server.Port())
		if uid, err := owner(nobody, client); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: nobody's: %d, %v", address, uid, err)
		}
		if uid, err := ownerByTable(nobody, client); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: nobody's: %d, %v", address, uid, err)
		}
	}
}

func TestAnAnswerThatSaysNothingNamesNobody(t *testing.T) {
	good := make([]byte, headerSize+answerSize)
	binary.NativeEndian.PutUint16(good[4:], byFamily)
	binary.NativeEndian.PutUint32(good[headerSize+uidOffset:], 4242)
	binary.NativeEndian.PutUint32(good[headerSize+inodeOffset:], 1)
	if uid, err := readOwner(good); err != nil || uid != 4242 {
		t.Fatalf("%d, %v", uid, err)
	}
	closed := append([]byte(nil), good...)
	binary.NativeEndian.PutUint32(closed[headerSize+inodeOffset:], 0)
	refused := append([]byte(nil), good...)
	binary.NativeEndian.PutUint16(refused[4:], 2) // NLMSG_ERROR
	for name, answer := range map[string][]byte{"nothing": nil, "short": good[:headerSize+answerSize-1], "of a closed socket": closed, "refused": refused} {
		if uid, err := readOwner(answer); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %d, %v", name, uid, err)
		}
	}
}
