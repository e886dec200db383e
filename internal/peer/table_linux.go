package peer

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// ownerByTable looks through all sockets of the machine (/proc/net/tcp, proc(5)), for
// kernels that cannot be asked for one.
func ownerByTable(local, remote netip.AddrPort) (int, error) {
	tables := []string{"/proc/net/tcp", "/proc/net/tcp6"} // a client of IPv6's sockets may speak IPv4
	for _, table := range tables {
		uid, found, err := lookUp(table, local, remote)
		if err != nil || found {
			return uid, err
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
