package isolation

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Room is what the namespaces are furnished with.
type Room struct {
	Addresses []netip.Addr      // of this machine, besides 127.0.0.1
	Files     map[string]string // what is to be seen in the place of a file; those that do not exist stay away
	Folders   []string          // to be made, for nobody else to see
	Scratch   string            // an empty folder of the caller's, needed for Folders
}

// Furnish changes the namespaces that this process is in. It is for one that [Command]
// started.
func (r Room) Furnish() error {
	if err := alone(); err != nil {
		return &Error{Op: "namespaces", Hint: "this is for keyless itself to call", Err: err}
	}
	if err := r.network(); err != nil {
		return refused("network", err, knob)
	}
	if err := r.mounts(); err != nil {
		return refused("mounts", err, knob)
	}
	return nil
}

// alone looks that this is a new network, and not the machine's own, whose files must not
// be covered.
func alone() error {
	devices, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, device := range devices {
		if device.Flags&net.FlagUp != 0 {
			return fmt.Errorf("the network has a device that is up: %s", device.Name)
		}
	}
	return nil
}

// network gives the loopback device its addresses. There is no other device, and so no
// way out.
func (r Room) network() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(socket) }()
	if err := up(socket, "lo"); err != nil {
		return err
	}
	for i, address := range r.Addresses {
		if err := assign(socket, fmt.Sprintf("lo:%d", i+1), address); err != nil {
			return fmt.Errorf("%s: %w", address, err)
		}
	}
	return nil
}

// up is netdevice(7).
func up(socket int, device string) error {
	request, err := unix.NewIfreq(device)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(socket, unix.SIOCGIFFLAGS, request); err != nil {
		return err
	}
	request.SetUint16(request.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
}

func assign(socket int, alias string, address netip.Addr) error {
	request, err := unix.NewIfreq(alias)
	if err != nil {
		return err
	}
	if err := request.SetInet4Addr(address.AsSlice()); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFADDR, request); err != nil {
		return err
	}
	if err := request.SetInet4Addr([]byte{255, 255, 255, 255}); err != nil {
		return err
	}
	return unix.IoctlIfreq(socket, unix.SIOCSIFNETMASK, request)
}

// mounts leaves everybody else's mounts as they are.
func (r Room) mounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	for target, file := range r.Files {
		if _, err := os.Stat(target); err != nil {
			continue
		}
		if err := unix.Mount(file, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
	}
	for _, folder := range r.Folders {
		if err := r.makeFolder(folder); err != nil {
			return fmt.Errorf("%s: %w", folder, err)
		}
	}
	return nil
}

// makeFolder makes what need not be there outside, and must not be there afterwards: in
// a layer over the nearest folder that exists.
func (r Room) makeFolder(folder string) error {
	base := filepath.Dir(folder)
	for !isFolder(base) {
		base = filepath.Dir(base)
	}
	if err := r.overlay(base); err != nil {
		if entries, unreadable := os.ReadDir(base); unreadable != nil || len(entries) > 0 {
			return err // covering it would hide what programs need
		}
		if err := blank(base); err != nil {
			return err
		}
	}
	return os.MkdirAll(folder, 0o755) //nolint:gosec // as open as it is where it really exists
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// overlay puts an empty layer over a folder (overlayfs, which users without privileges
// may mount since Linux 5.11).
func (r Room) overlay(folder string) error {
	layer, err := os.MkdirTemp(r.Scratch, "layer-")
	if err != nil {
		return err
	}
	if err := blank(layer); err != nil {
		return err
	}
	upper, work := filepath.Join(layer, "upper"), filepath.Join(layer, "work")
	for _, part := range []string{upper, work} {
		if err := os.Mkdir(part, 0o755); err != nil { //nolint:gosec // it stands for a folder that everybody may read
			return err
		}
	}
	err = unix.Mount("overlay", folder, "overlay", unix.MS_NOSUID|unix.MS_NODEV, "userxattr,lowerdir="+folder+",upperdir="+upper+",workdir="+work)
	// The layer holds on to its file system, which nobody needs to see.
	return errors.Join(err, unix.Unmount(layer, unix.MNT_DETACH))
}

func blank(folder string) error {
	return unix.Mount("tmpfs", folder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755")
}
