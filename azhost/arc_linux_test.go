package azhost_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAFileThatMayNotBeReadIsSaid(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	dir := t.TempDir()
	path := filepath.Join(dir, "0f.key")
	if err := os.WriteFile(path, []byte(hunter2), 0); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // who reads everything, but not as somebody else
		const nobody = 65534
		if _, err := unix.SetfsuidRetUid(nobody); err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = unix.SetfsuidRetUid(0) }()
	}
	f := himds(path, isGood)
	_, err := arc(f, dir).Token(t.Context())
	e := wantErrorOf(t, err, "azure arc", "permission denied", false)
	if !strings.Contains(e.Hint, "group himds") || strings.Contains(err.Error(), "hunter") || len(f.seen) != 1 {
		t.Errorf("%v, hint %q, %d requests", err, e.Hint, len(f.seen))
	}
}
