package peer

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Tells says that the system knows.
const Tells = true

// Of returns who is at the other end: of a Unix socket as the kernel noted it when the
// connection was made (SO_PEERCRED, unix(7)), of a TCP connection within this machine
// the owner of the client's socket (sock_diag(7)).
func Of(connection net.Conn) (Peer, error) {
	switch c := connection.(type) {
	case *net.UnixConn:
		return ofUnix(c)
	case *net.TCPConn:
		return ofTCP(c)
	}
	return Peer{}, fmt.Errorf("%w: %T", ErrUnknown, connection)
}

func ofUnix(connection *net.UnixConn) (Peer, error) {
	raw, err := connection.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var who *unix.Ucred
	var refused error
	if err := raw.Control(func(fd uintptr) {
		who, refused = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return Peer{}, err
	}
	if refused != nil {
		return Peer{}, refused
	}
	exe, _ := os.Readlink("/proc/" + strconv.Itoa(int(who.Pid)) + "/exe") // another user's is not ours to know
	return Peer{UID: int(who.Uid), PID: int(who.Pid), Exe: exe}, nil
}

// ofTCP looks for the client's socket, which is the one with our addresses the other
// way round.
func ofTCP(connection *net.TCPConn) (Peer, error) {
	client, err := netip.ParseAddrPort(connection.RemoteAddr().String())
	if err != nil {
		return Peer{}, ErrUnknown
	}
	server, err := netip.ParseAddrPort(connection.LocalAddr().String())
	if err != nil {
		return Peer{}, ErrUnknown
	}
	client, server = unmap(client), unmap(server)
	if !client.Addr().IsLoopback() && client.Addr() != server.Addr() {
		return Peer{}, ErrUnknown
	}
	uid, err := owner(client, server)
	if err != nil {
		uid, err = ownerByTable(client, server)
	}
	return Peer{UID: uid}, err
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
