package daemon

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery"
	"github.com/keyless-id/keyless/delivery/endpoint"
)

// SocketName is the name of the socket in the daemon's folder.
const SocketName = "keyless.sock"

// tokenPath is where the clients of a profile find the token to show.
func tokenPath(dir, profile string) string { return filepath.Join(dir, "tokens", profile) }

// folders makes the folder, and the one for tokens.
func (p *plan) folders() error {
	if p.dir == "" {
		return nil
	}
	for _, dir := range []string{p.dir, filepath.Join(p.dir, "tokens")} {
		if err := makeFolder(dir, p.group); err != nil {
			return err
		}
	}
	return nil
}

// writeTokens writes those that are not there yet. The socket is this daemon's by now, so
// that they are no other's.
func (d *Daemon) writeTokens(p *plan) error {
	for _, name := range p.doors {
		if pass := d.passes[name]; pass.due(0) {
			if err := pass.renew(); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeFolder makes a folder that only this user, and the group, can look into.
func makeFolder(dir string, group int) error {
	mode := fs.FileMode(0o700)
	if group != 0 {
		mode = 0o750
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return failed(dir, err)
	}
	if err := (delivery.File{Path: filepath.Join(dir, "x")}).Check(); err != nil {
		return err
	}
	if group != 0 {
		if err := os.Chown(dir, -1, group); err != nil {
			return failed(dir, err)
		}
	}
	if err := os.Chmod(dir, mode); err != nil {
		return failed(dir, err)
	}
	return nil
}

func failed(path string, err error) error {
	return &keyless.Error{Hop: keyless.HopDelivery, Op: "serve", Message: path, Err: err}
}

// listen opens an address, or takes over the listener that systemd has opened.
func (d *Daemon) listen(ctx context.Context, key string, p *plan) (net.Listener, error) {
	at := slices.IndexFunc(d.Inherited, func(l net.Listener) bool { return l.Addr().String() == key })
	if at >= 0 {
		listener := d.Inherited[at]
		d.Inherited = slices.Delete(slices.Clone(d.Inherited), at, at+1)
		return listener, nil
	}
	if filepath.IsAbs(key) {
		return listenUnix(ctx, key, p.group)
	}
	if strings.HasPrefix(key, ":") { // every address; the handler tells who is not from here
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", key)
		if err != nil {
			return nil, failed(key, err)
		}
		return listener, nil
	}
	address, err := netip.ParseAddrPort(key)
	if err != nil {
		return nil, err
	}
	listener, err := endpoint.Listen(ctx, address)
	if err != nil {
		return nil, failed(key, err)
	}
	return listener, nil
}

// listenUnix takes the place of a socket that a daemon left behind, if it was this
// user's and nobody answers there.
func listenUnix(ctx context.Context, path string, group int) (net.Listener, error) {
	if err := leftBehind(ctx, path); err != nil {
		return nil, failed(path, err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, failed(path, err)
	}
	mode := fs.FileMode(0o600)
	if group != 0 {
		mode, err = 0o660, os.Chown(path, -1, group)
	}
	if err = errors.Join(err, os.Chmod(path, mode)); err != nil {
		return nil, failed(path, errors.Join(err, listener.Close()))
	}
	return listener, nil
}

func leftBehind(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("it is not a socket")
	}
	if !delivery.Ours(info) {
		return errors.New("it belongs to another user")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if connection, err := new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
		_ = connection.Close()
		return errors.New("another daemon answers there")
	}
	return os.Remove(path)
}
