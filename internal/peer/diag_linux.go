package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Sizes and offsets of linux/inet_diag.h and linux/netlink.h.
const (
	headerSize   = unix.SizeofNlMsghdr
	requestSize  = 56 // struct inet_diag_req_v2
	answerSize   = 72 // struct inet_diag_msg
	idOffset     = 8  // of the addresses, in a request
	uidOffset    = 64 // in an answer
	inodeOffset  = 68
	byFamily     = 20 // SOCK_DIAG_BY_FAMILY
	anyCookie    = 0xffffffff
	answerBuffer = 8 << 10
)

// owner asks the kernel for the user of the socket whose own address is local. One
// socket is asked for: reading /proc/net/tcp would cost more with each connection that
// the machine has.
func owner(local, remote netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	defer func() { _ = unix.Close(fd) }()
	timeout := unix.Timeval{Sec: 1}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return 0, err
	}
	if err := unix.Sendto(fd, question(local, remote), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	answer := make([]byte, answerBuffer)
	for {
		n, _, err := unix.Recvfrom(fd, answer, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return readOwner(answer[:n])
	}
}

func question(local, remote netip.AddrPort) []byte {
	message := make([]byte, headerSize+requestSize)
	native, request := binary.NativeEndian, message[headerSize:]
	native.PutUint32(message[0:], uint32(len(message))) //nolint:gosec // 72
	native.PutUint16(message[4:], byFamily)
	native.PutUint16(message[6:], unix.NLM_F_REQUEST)
	request[0], request[1] = unix.AF_INET, unix.IPPROTO_TCP
	if local.Addr().Is6() {
		request[0] = unix.AF_INET6
	}
	native.PutUint32(request[4:], 0xffffffff) // in whatever state
	id := request[idOffset:]
	binary.BigEndian.PutUint16(id[0:], local.Port())
	binary.BigEndian.PutUint16(id[2:], remote.Port())
	copy(id[4:20], local.Addr().AsSlice())
	copy(id[20:36], remote.Addr().AsSlice())
	native.PutUint32(id[40:], anyCookie)
	native.PutUint32(id[44:], anyCookie)
	return message
}

// readOwner reads the kernel's answer. A socket without an inode is nobody's any more,
// and said to be root's.
func readOwner(answer []byte) (int, error) {
	if len(answer) < headerSize+answerSize || binary.NativeEndian.Uint16(answer[4:]) != byFamily {
		return 0, ErrUnknown
	}
	body := answer[headerSize:]
	if binary.NativeEndian.Uint32(body[inodeOffset:]) == 0 {
		return 0, ErrUnknown
	}
	return int(binary.NativeEndian.Uint32(body[uidOffset:])), nil
}
