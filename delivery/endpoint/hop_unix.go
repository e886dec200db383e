//go:build unix

package endpoint

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// oneHop makes the first router drop the packets; accepted connections inherit it.
func oneHop(raw syscall.RawConn, v6 bool) error {
	var refused error
	err := raw.Control(func(fd uintptr) {
		if v6 {
			refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 1)
			return
		}
		refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, 1)
	})
	if err != nil {
		return err
	}
	return refused
}
