package peer

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Tells says that the system knows.
const Tells = true

// UID returns the user at the other end: of a Unix socket as the kernel noted it when
// the connection was made (SO_PEERCRED, unix(7)), of a TCP connection on loopback the
// owner of the client's socket (/proc/net/tcp, proc(5)).
func UID(connection net.Conn) (int, error) {
	switch c := connection.(type) {
	case *net.UnixConn:
		return unixUID(c)
	case *net.TCPConn:
		return tcpUID(c)
	}
	return 0, fmt.Errorf("%w: %T", ErrUnknown, connection)
}

func unixUID(connection *net.UnixConn) (int, error) {
	raw, err := connection.SyscallConn()
	if err != nil {
		return 0, err
	}
	var who *unix.Ucred
	var refused error
	if err := raw.Control(func(fd uintptr) {
		who, refused = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if refused != nil {
		return 0, refused
	}
	return int(who.Uid), nil
}

// tcpUID looks for the client's socket, which is the one with our addresses the other
// way round.
func tcpUID(connection *net.TCPConn) (int, error) {
	client, err := netip.ParseAddrPort(connection.RemoteAddr().String())
	if err != nil {
		return 0, ErrUnknown
	}
	server, err := netip.ParseAddrPort(connection.LocalAddr().String())
	if err != nil || !client.Addr().IsLoopback() && client.Addr() != server.Addr() {
		return 0, ErrUnknown
	}
	tables := []string{"/proc/net/tcp", "/proc/net/tcp6"} // a client of IPv6's sockets may speak IPv4
	for _, table := range tables {
		uid, found, err := lookUp(table, client, server)
		if err != nil {
			return 0, err
		}
		if found {
			return uid, nil
		}
	}
	return 0, ErrUnknown
}

// lookUp finds the socket whose local address is local, and its peer's remote.
func lookUp(table string, local, remote netip.AddrPort) (uid int, found bool, err error) {
	file, err := os.Open(table)
	if os.IsNotExist(err) {
		return 0, false, nil // a kernel without IPv6
	}
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || !same(fields[1], local) || !same(fields[2], remote) {
			continue
		}
		if fields[9] == "0" {
			return 0, false, nil // without an inode it is nobody's any more, and said to be root's
		}
		uid, err := strconv.Atoi(fields[7])
		return uid, err == nil, err
	}
	return 0, false, lines.Err()
}

// same reports whether text is the address: in hexadecimal, each 32 bits of it in the
// byte order of the machine.
func same(text string, want netip.AddrPort) bool {
	host, port, found := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	number, err2 := strconv.ParseUint(port, 16, 16)
	if !found || err != nil || err2 != nil || uint16(number) != want.Port() || len(raw)%4 != 0 {
		return false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.NativeEndian.Uint32(raw[i:]))
	}
	address, ok := netip.AddrFromSlice(raw)
	return ok && address.Unmap() == want.Addr().Unmap()
}
