package azhost

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
)

// maxKey is the most that a challenge's file may hold.
const maxKey = 4096

const keySuffix = ".key"

// keyName takes the file's name out of a challenge, Www-Authenticate: Basic
// realm=/var/opt/azcmagent/tokens/GUID.key. Whoever answers may not choose what
// is read: the file must be right in dir.
func keyName(header http.Header, dir string) (string, error) {
	path, found := realm(header)
	if !found {
		return "", errors.New("the answer names no challenge file: no Www-Authenticate header with Basic realm=")
	}
	name := filepath.Base(path)
	switch {
	case path != filepath.Join(dir, name):
		return "", fmt.Errorf("the challenge names a file outside of %s: %q", dir, wire.Quote(path))
	case !strings.HasSuffix(name, keySuffix) || name == keySuffix || strings.ContainsRune(name, 0):
		return "", fmt.Errorf("the challenge names no %s file: %q", keySuffix, wire.Quote(path))
	}
	return name, nil
}

// realm returns the realm of the first Basic challenge, which the agent does not
// put into quotes.
func realm(header http.Header) (string, bool) {
	for _, value := range header.Values("Www-Authenticate") {
		scheme, rest, _ := strings.Cut(strings.TrimSpace(value), " ")
		name, path, _ := strings.Cut(strings.TrimSpace(rest), "=")
		if !strings.EqualFold(scheme, "Basic") || !strings.EqualFold(strings.TrimSpace(name), "realm") {
			continue
		}
		path = strings.TrimSpace(path)
		if inner, quoted := strings.CutPrefix(path, `"`); quoted {
			path = strings.TrimSuffix(inner, `"`)
		}
		return path, path != ""
	}
	return "", false
}

// readKey reads a file of dir without following links, and looks at what it
// opened and not at what was there before.
func readKey(dir, name string) (keyless.Secret, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return keyless.Secret{}, err
	}
	defer root.Close()
	before, err := root.Lstat(name)
	if err != nil {
		return keyless.Secret{}, err
	}
	if !before.Mode().IsRegular() {
		return keyless.Secret{}, errNotRegular
	}
	file, err := root.OpenFile(name, keyFlags, 0)
	if err != nil {
		return keyless.Secret{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return keyless.Secret{}, err
	case !info.Mode().IsRegular() || !os.SameFile(before, info):
		return keyless.Secret{}, errNotRegular
	case !agentsOwn(info):
		return keyless.Secret{}, errors.New("belongs neither to root, nor to himds, nor to this user")
	}
	return keyOf(file)
}

var errNotRegular = errors.New("is a link or no regular file")

func keyOf(file fs.File) (keyless.Secret, error) {
	content, err := io.ReadAll(io.LimitReader(file, maxKey+1))
	if err != nil {
		return keyless.Secret{}, err
	}
	if len(content) > maxKey {
		return keyless.Secret{}, fmt.Errorf("is larger than %d bytes", maxKey)
	}
	key := keyless.NewSecret(strings.TrimSpace(string(content)))
	return key, checkHeader("the content", key)
}
