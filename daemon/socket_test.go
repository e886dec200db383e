package daemon_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/daemon"
)

// Item 26: what a daemon left behind is taken over, and nothing else.
func TestOnlyASocketThatNobodyAnswersIsTakenOver(t *testing.T) {
	for name, c := range map[string]struct {
		leave func(t *testing.T, path string)
		want  string
	}{
		"left behind": {func(t *testing.T, path string) { leaveSocket(t, path) }, ""},
		"a file": {func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "it is not a socket"},
		"another user's": {func(t *testing.T, path string) {
			leaveSocket(t, path)
			if os.Getuid() != 0 {
				t.Skip("only root can give a socket away")
			}
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}, "it belongs to another user"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if err := os.Mkdir(filepath.Join(w.dir, "run"), 0o700); err != nil {
				t.Fatal(err)
			}
			c.leave(t, filepath.Join(w.dir, "run", daemon.SocketName))
			w.write(t, "serve: { listen: none, directory: DIR/run, profiles: [ vm ] }")
			if c.want == "" {
				w.start(t)
				return
			}
			w.startWithoutWaiting(t)
			if err := <-w.gone(t); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// leaveSocket leaves a socket as a process does that was killed.
func leaveSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
}

// Item 10: that a user can reach the socket, and has the token, is not enough; and root's
// programs are others' too.
func TestOnlyTheUsersThatAreNamedAreAnswered(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user; see delivery/endpoint's TestTheGuardKnowsWhoseProgramsMayAsk")
	}
	for users, want := range map[string]string{"[]": "403", "[ 65533 ]": "403", "[ 65534 ]": "200"} {
		w := newWorld(t)
		for dir := w.dir; dir != os.TempDir() && len(dir) > 1; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil { // t.TempDir is the user's own
				t.Fatal(err)
			}
		}
		w.write(t, "serve: { listen: LISTEN, directory: DIR/run, profiles: [ vm ], group: 65534, users: "+users+" }")
		w.start(t)
		for name, arguments := range map[string]string{
			"socket": "--unix-socket " + filepath.Join(w.dir, "run", daemon.SocketName) + " http://keyless/v1/process/vm",
			"TCP":    `-H "Authorization: $(cat ` + filepath.Join(w.dir, "run/tokens/vm") + `)" http://` + w.listen + "/v1/credentials/vm",
		} {
			out, err := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", "curl -m 20 -s -o /dev/null -w '%{http_code}' "+arguments).CombinedOutput()
			if err != nil || string(out) != want {
				t.Errorf("users %s, %s: %s, %v, want %s", users, name, out, err, want)
			}
		}
		record := map[string]string{"403": `"msg":"refused","why":"the request comes from another user"`, "200": `"msg":"issued","profile":"vm"`}[want]
		if text := w.audit.String(); strings.Count(text, record) != 2 || strings.Count(text, fmt.Sprintf(`"uid":%d`, 65534)) != 2 {
			t.Errorf("users %s: %s", users, text)
		}
	}
}

func TestOthersCannotEvenReachTheSocket(t *testing.T) {
	w := newWorld(t)
	w.write(t, "serve: { listen: LISTEN, directory: DIR/run, profiles: [ vm ] }")
	w.start(t)
	for path, want := range map[string]os.FileMode{"run": 0o700, "run/tokens": 0o700, "run/tokens/vm": 0o600, "run/keyless.sock": 0o600} {
		if info, err := os.Stat(filepath.Join(w.dir, path)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}

func TestAFolderThatOthersCanChangeIsRefused(t *testing.T) {
	w := newWorld(t)
	if err := os.Mkdir(filepath.Join(w.dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(w.dir, "run"), 0o777); err != nil {
		t.Fatal(err)
	}
	w.write(t, "serve: { listen: LISTEN, directory: DIR/run, profiles: [ vm ] }")
	w.startWithoutWaiting(t)
	if err := <-w.gone(t); err == nil || !strings.Contains(err.Error(), "can be written to by others") {
		t.Error(err)
	}
}
