//go:build unix

package azhost

import (
	"io/fs"
	"os"
	"syscall"
	"testing"
)

// ownedBy is a file of a user.
type ownedBy struct {
	fs.FileInfo
	sys any
}

func (o ownedBy) Sys() any { return o.sys }

func TestWhoseFilesAreTheAgents(t *testing.T) {
	const stranger = 4242
	for name, c := range map[string]struct {
		sys  any
		want bool
	}{
		"root":       {&syscall.Stat_t{Uid: 0}, true},
		"this user":  {&syscall.Stat_t{Uid: uint32(os.Geteuid())}, true},
		"a stranger": {&syscall.Stat_t{Uid: stranger}, false},
		"unknown":    {nil, false},
	} {
		if got := agentsOwn(ownedBy{sys: c.sys}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
