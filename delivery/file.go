package delivery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/atomicfile"
)

// File is a file with a secret that is replaced whole, for programs that read it anew:
// AWS_WEB_IDENTITY_TOKEN_FILE, AZURE_FEDERATED_TOKEN_FILE and their like.
type File struct {
	Path string
	// Group is the number of a group whose members may read the file too; 0: none.
	Group int
}

// Write replaces the file by one with exactly these bytes: several SDKs take a line end
// for a part of the token. What stands in its place must be this user's own file, and
// nobody else may be able to put another there.
func (f File) Write(data []byte) error {
	if err := f.Check(); err != nil {
		return err
	}
	prepare := func(file *os.File) error { return share(file, f.Group) }
	return f.fail(atomicfile.Replacement{Path: f.Path, Temporary: f.temporary(), Data: data, Prepare: prepare}.Write())
}

// Remove removes the file, if it is there.
func (f File) Remove() error { return f.fail(atomicfile.Missing(os.Remove(f.Path))) }

func (f File) temporary() string {
	return filepath.Join(filepath.Dir(f.Path), "."+filepath.Base(f.Path)+".keyless")
}

// Check refuses places where another user could read or change what is written.
func (f File) Check() error { return f.fail(f.check()) }

func (f File) check() error {
	folder, err := os.Stat(filepath.Dir(f.Path))
	if err != nil {
		return err
	}
	if why := openFolder(folder); why != "" {
		return folderError(why)
	}
	info, err := os.Lstat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return errors.New("it is a symbolic link: name the file that it leads to")
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	case !Ours(info):
		return errors.New("it belongs to another user")
	}
	return nil
}

func (f File) fail(err error) error {
	if err == nil {
		return nil
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = fmt.Errorf("%s: %w", path.Op, path.Err)
	}
	e := &keyless.Error{Hop: keyless.HopDelivery, Op: "file", Message: f.Path, Err: err}
	var open folderError
	if errors.As(err, &open) {
		e.Hint = "take a folder that only its owner may write to, this user's or root's: mkdir -m 700"
	}
	return e
}

// folderError says why others could put something else into a folder.
type folderError string

func (e folderError) Error() string { return "its folder " + string(e) }

// share lets a group read what is otherwise the owner's alone.
func share(file *os.File, group int) error {
	if group == 0 {
		return nil
	}
	return errors.Join(file.Chown(-1, group), file.Chmod(0o640))
}
