package delivery_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keyless-id/keyless/delivery"
)

// Item 18 of the threat model.
func TestAFileHasExactlyTheSecretAndItsOwnersMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	defer syscall.Umask(syscall.Umask(0))
	for _, secret := range []string{"hunter2", "hunter3, which is longer", "h"} {
		if err := (delivery.File{Path: path}).Write([]byte(secret)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != secret {
			t.Errorf("%q, %v", got, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	if names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestAGroupMayReadWhatIsSharedWithIt(t *testing.T) {
	group := os.Getgid()
	if group == 0 {
		group = 12345 // root may give a file to any group, and to root's there is no need
	}
	path := filepath.Join(t.TempDir(), "token")
	if err := (delivery.File{Path: path, Group: group}).Write([]byte("hunter2")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 || int(info.Sys().(*syscall.Stat_t).Gid) != group {
		t.Errorf("%v, %v", info, err)
	}
}

// A killed process leaves its temporary file behind, or an attacker puts a link there.
func TestTheTemporaryFileIsNeverFollowed(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, ".token.keyless")); err != nil {
		t.Fatal(err)
	}
	if err := (delivery.File{Path: filepath.Join(dir, "token")}).Write([]byte("hunter2")); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(victim); string(got) != "mine" {
		t.Errorf("the victim has %q", got)
	}
}

func TestPlacesThatOthersCanChangeAreRefused(t *testing.T) {
	dir := t.TempDir()
	folderFor := func(name string, mode os.FileMode) string {
		folder := filepath.Join(dir, name)
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(folder, mode); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(folder, "token")
	}
	link := folderFor("link", 0o700)
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	folder := folderFor("folder", 0o700)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		folderFor("closed", 0o700):               "",
		folderFor("readable", 0o755):             "",
		folderFor("group", 0o770):                "can be written to by others",
		folderFor("everybody", 0o777):            "can be written to by others",
		folderFor("sticky", 0o777|os.ModeSticky): "can be written to by others",
		link:                                     "symbolic link",
		folder:                                   "not a regular file",
		filepath.Join(dir, "none", "token"):      "no such file",
	} {
		err := (delivery.File{Path: path}).Write([]byte("hunter2"))
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "elsewhere")); err == nil {
		t.Error("the link was followed")
	}
}

func TestForeignFilesStay(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := (delivery.File{Path: path}).Write([]byte("hunter2")); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Error(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "theirs" {
		t.Errorf("%q", got)
	}
}
