package peer

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

// The first lines are as the kernel prints them on a little-endian machine.
const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 11111 1 0 100 0 0 10 0
   1: 0100007F:9C40 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  4242        0 22222 1 0 20 4 30 10 -1
   2: 0100007F:9C41 0100007F:1F90 06 00000000:00000000 03:00001770 00000000     0        0 0 3 0
   3: 0000000000000000FFFF00000100007F:9C42 0000000000000000FFFF00000100007F:1F90 01 00000000:00000000 00:00000000 00000000  4343 0 33333 1 0 20 4 30 10 -1
   4: short
`

func TestTheKernelsTableNamesTheOwner(t *testing.T) {
	if same("0100007F:1F90", netip.MustParseAddrPort("1.0.0.127:8080")) {
		t.Fatal("the fixture is of a little-endian machine") // none of the others is built for
	}
	path := filepath.Join(t.TempDir(), "tcp")
	if err := os.WriteFile(path, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	server := netip.MustParseAddrPort("127.0.0.1:8080")
	for client, want := range map[string]int{
		"127.0.0.1:40000": 4242,
		"127.0.0.1:40002": 4343, // of a socket that speaks both versions
		"127.0.0.1:40001": -1,   // gone, and said to be root's
		"127.0.0.1:40009": -1,   // never there
		"127.0.0.2:40000": -1,   // another address
	} {
		uid, found, err := lookUp(path, netip.MustParseAddrPort(client), server)
		if err != nil || found != (want >= 0) || found && uid != want {
			t.Errorf("%s: uid %d, found %v, %v, want %d", client, uid, found, err, want)
		}
	}
	if _, found, err := lookUp(path+"6", server, server); found || err != nil {
		t.Errorf("a table that is not there: %v", err)
	}
}
