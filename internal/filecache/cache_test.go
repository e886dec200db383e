//go:build unix

package filecache

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/keyless-id/keyless/internal/refresh"
)

type far struct {
	asked   atomic.Int32
	life    time.Duration
	delay   time.Duration
	err     error
	payload string
}

func (f *far) fetch(ctx context.Context) (Answer, error) {
	f.asked.Add(1)
	select {
	case <-time.After(f.delay):
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
	if f.err != nil {
		return Answer{}, f.err
	}
	now := time.Now()
	return Answer{Times: refresh.Times{Obtained: now, Expiry: now.Add(f.life)}, Payload: []byte(f.payload)}, nil
}

func (f *far) query(warned *[]error) Query {
	return Query{
		Key: "aws-k", Attempt: "a", Fetch: f.fetch,
		Failure: func(err error) []byte { return []byte(err.Error()) },
		Failed:  func(text []byte) error { return errors.New(string(text)) },
		Warn: func(err error) {
			if warned != nil {
				*warned = append(*warned, err)
			}
		},
	}
}

func open(t *testing.T) *Cache {
	t.Helper()
	c, err := Open([]string{filepath.Join(t.TempDir(), "cache")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustGet(t *testing.T, c *Cache, q Query) string {
	t.Helper()
	e, err := c.Get(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return string(e.Payload)
}

// age makes the entry as it will be after d.
func age(t *testing.T, c *Cache, key string, d time.Duration) {
	t.Helper()
	e, err := c.ReadEntry(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []*time.Time{&e.Obtained, &e.Due, &e.Stale, &e.Dead, &e.Expiry} {
		*at = at.Add(-d)
	}
	if err := writeFile(c.path(key+".entry"), c.path("aged"), e.encode()); err != nil {
		t.Fatal(err)
	}
}

func TestSecondCallIsAnsweredFromTheFolder(t *testing.T) {
	c, f := open(t), &far{life: time.Hour, payload: "one"}
	mustGet(t, c, f.query(nil))
	f.payload = "two"
	if got := mustGet(t, c, f.query(nil)); got != "one" || f.asked.Load() != 1 {
		t.Errorf("got %q after %d requests", got, f.asked.Load())
	}
}

func TestManyColdCallersMakeOneRequest(t *testing.T) {
	c, f := open(t), &far{life: time.Hour, payload: "one", delay: 100 * time.Millisecond}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			own := &Cache{dir: c.dir}
			if got := mustGet(t, own, f.query(nil)); got != "one" {
				t.Errorf("got %q", got)
			}
		})
	}
	wg.Wait()
	if n := f.asked.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestFailureIsSharedByThoseWhoWaited(t *testing.T) {
	c, f := open(t), &far{err: errors.New("AADSTS700016"), delay: 100 * time.Millisecond}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := c.Get(t.Context(), f.query(nil)); err == nil || err.Error() != "AADSTS700016" {
				t.Errorf("err = %v", err)
			}
		})
	}
	wg.Wait()
	if n := f.asked.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	fixed := f.query(nil)
	fixed.Attempt = "other secret"
	if _, err := c.Get(t.Context(), fixed); err == nil || f.asked.Load() != 2 {
		t.Errorf("a repaired configuration was not tried at once (%d requests)", f.asked.Load())
	}
}

func TestDueEntryIsKeptThroughAnOutage(t *testing.T) {
	c, f := open(t), &far{life: time.Hour, payload: "one"}
	q := f.query(nil)
	q.Policy = refresh.Policy{MinLeft: 20 * time.Minute, Margin: time.Minute}
	mustGet(t, c, q)
	f.err = errors.New("down")
	age(t, c, q.Key, 50*time.Minute)
	for range 20 {
		if got := mustGet(t, c, q); got != "one" {
			t.Fatalf("got %q", got)
		}
	}
	if n := f.asked.Load(); n != 2 {
		t.Errorf("%d requests, want 2: the failure was not remembered", n)
	}
	age(t, c, q.Key, 10*time.Minute)
	if _, err := c.Get(t.Context(), q); err == nil {
		t.Error("expired answer handed out")
	}
}

func TestDueEntryIsReplacedInTheForeground(t *testing.T) {
	c, f := open(t), &far{life: time.Hour, payload: "one"}
	mustGet(t, c, f.query(nil))
	age(t, c, "aws-k", 30*time.Minute)
	f.payload = "two"
	if got := mustGet(t, c, f.query(nil)); got != "two" {
		t.Errorf("got %q", got)
	}
}

func TestARefusedEntryIsReplacedForAllAndKeptThroughAnOutage(t *testing.T) {
	c, f := open(t), &far{life: time.Hour, payload: "one"}
	mustGet(t, c, f.query(nil))
	refused := f.query(nil)
	refused.Refused = func(payload []byte) bool { return string(payload) == "one" }
	f.err = errors.New("down")
	if _, err := c.Get(t.Context(), refused); err == nil || f.asked.Load() != 2 {
		t.Fatalf("%v after %d requests", err, f.asked.Load())
	}
	if got := mustGet(t, c, f.query(nil)); got != "one" {
		t.Errorf("others got %q", got)
	}
	f.err, f.payload, refused.Attempt = nil, "two", "b"
	for _, q := range []Query{refused, refused, f.query(nil)} {
		if got := mustGet(t, c, q); got != "two" || f.asked.Load() != 3 {
			t.Errorf("got %q after %d requests", got, f.asked.Load())
		}
	}
}

func TestOthersGoOnWithTheOldOneWhileOneAsks(t *testing.T) {
	c, f := open(t), &far{life: time.Hour, payload: "one"}
	mustGet(t, c, f.query(nil))
	age(t, c, "aws-k", 30*time.Minute)
	locked, unlock, err := c.lock("aws-k", 0)
	if !locked || err != nil {
		t.Fatal(locked, err)
	}
	defer unlock()
	if got := mustGet(t, c, f.query(nil)); got != "one" || f.asked.Load() != 1 {
		t.Errorf("got %q after %d requests", got, f.asked.Load())
	}
}

func TestDeadOnArrivalIsAnError(t *testing.T) {
	c, f := open(t), &far{life: -time.Minute, payload: "old"}
	var dead *refresh.DeadOnArrivalError
	if _, err := c.Get(t.Context(), f.query(nil)); !errors.As(err, &dead) {
		t.Errorf("err = %v", err)
	}
}

func TestUnsafeFilesAreRefusedAndReplaced(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "elsewhere")
	valid := Entry{
		Obtained: time.Now(), Due: time.Now().Add(time.Hour), Stale: time.Now().Add(time.Hour),
		Dead: time.Now().Add(time.Hour), Expiry: time.Now().Add(time.Hour), Payload: []byte("planted"),
	}.encode()
	write := func(t *testing.T, path string, data []byte, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, data, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, plant := range map[string]func(t *testing.T, path string){
		"truncated": func(t *testing.T, path string) { write(t, path, valid[:len(valid)/2], 0o600) },
		"empty":     func(t *testing.T, path string) { write(t, path, nil, 0o600) },
		"garbage":   func(t *testing.T, path string) { write(t, path, []byte("\x00\xff{"), 0o600) },
		"flipped": func(t *testing.T, path string) {
			write(t, path, append(valid[:len(valid)-1:len(valid)-1], 'X'), 0o600)
		},
		"open to others": func(t *testing.T, path string) { write(t, path, valid, 0o644) },
		"symlink": func(t *testing.T, path string) {
			write(t, secret, valid, 0o600)
			if err := os.Symlink(secret, path); err != nil {
				t.Fatal(err)
			}
		},
		"fifo": func(t *testing.T, path string) {
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"foreign owner": func(t *testing.T, path string) {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a file away")
			}
			write(t, path, valid, 0o600)
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, f := open(t), &far{life: time.Hour, payload: "ours"}
			plant(t, c.path("aws-k.entry"))
			var warned []error
			if got := mustGet(t, c, f.query(&warned)); got != "ours" {
				t.Errorf("got %q", got)
			}
			if len(warned) == 0 {
				t.Error("no warning")
			}
			if e, err := c.ReadEntry("aws-k"); err != nil || string(e.Payload) != "ours" {
				t.Errorf("not replaced: %q, %v", e.Payload, err)
			}
			if data, err := os.ReadFile(secret); err == nil && !strings.Contains(string(data), "planted") {
				t.Error("the file behind the link was written to")
			}
		})
	}
}

func TestUnsafeFoldersAreRefused(t *testing.T) {
	base := t.TempDir()
	open := filepath.Join(base, "open")
	linked := filepath.Join(base, "linked")
	file := filepath.Join(base, "file")
	for _, err := range []error{os.Mkdir(open, 0o755), os.Chmod(open, 0o755), os.Symlink(t.TempDir(), linked), os.WriteFile(file, nil, 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{open, linked, file} {
		var unsafe *UnsafeError
		if _, err := Open([]string{dir}); !errors.As(err, &unsafe) {
			t.Errorf("%s: err = %v", dir, err)
		}
	}
	if _, err := Open([]string{open, filepath.Join(base, "good")}); err != nil {
		t.Errorf("the next folder was not tried: %v", err)
	}
}

func TestFolderThatCannotBeWrittenWorksAndWarns(t *testing.T) {
	c, f := open(t), &far{life: time.Hour, payload: "ours"}
	if err := os.Remove(c.dir); err != nil { // root may write into any folder that is there
		t.Fatal(err)
	}
	var warned []error
	if got := mustGet(t, c, f.query(&warned)); got != "ours" || len(warned) == 0 {
		t.Errorf("got %q, warnings %v", got, warned)
	}
}

func TestNilCacheAsksEachTime(t *testing.T) {
	var c *Cache
	f := &far{life: time.Hour, payload: "ours"}
	mustGet(t, c, f.query(nil))
	mustGet(t, c, f.query(nil))
	if n := f.asked.Load(); n != 2 {
		t.Errorf("%d requests", n)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	c, f := open(t), &far{life: time.Hour}
	_, unlock, err := c.lock("aws-k", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Get(ctx, f.query(nil)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v", err)
	}
}

// TestKilledWriterLeavesNoHalfFileAndNoLock kills a process that does nothing but
// replace the entry, at twenty moments.
func TestKilledWriterLeavesNoHalfFileAndNoLock(t *testing.T) {
	if dir := os.Getenv("FILECACHE_TEST_WRITER"); dir != "" {
		f := &far{life: -time.Hour, payload: strings.Repeat("x", 1000)}
		for c := (&Cache{dir: dir}); ; {
			q := f.query(nil)
			q.Fetch = func(context.Context) (Answer, error) {
				now := time.Now()
				return Answer{Times: refresh.Times{Obtained: now.Add(-time.Hour), Expiry: now.Add(time.Second)}, Payload: []byte(f.payload)}, nil
			}
			_, _ = c.Get(context.Background(), q)
		}
	}
	c := open(t)
	for i := range 20 {
		writer := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledWriter")
		writer.Env = append(os.Environ(), "FILECACHE_TEST_WRITER="+c.dir)
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		waitForEntry(t, c)
		time.Sleep(time.Duration(i) * time.Millisecond)
		_ = writer.Process.Kill()
		_ = writer.Wait()
		if _, err := c.ReadEntry("aws-k"); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
	f := &far{life: time.Hour, payload: "after"}
	age(t, c, "aws-k", time.Hour)
	began := time.Now()
	if got := mustGet(t, c, f.query(nil)); got != "after" || time.Since(began) > lockWait {
		t.Errorf("got %q after %v", got, time.Since(began))
	}
	left, err := filepath.Glob(c.path("*.tmp*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func waitForEntry(t *testing.T, c *Cache) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if _, err := os.Stat(c.path("aws-k.entry")); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the writer never wrote")
}

func TestSweepRemovesWhatIsOldButNoLock(t *testing.T) {
	c, f := open(t), &far{life: time.Hour, payload: "ours"}
	old := time.Now().Add(-4 * 24 * time.Hour)
	for _, name := range []string{"aws-old.entry", "aws-old.lock", "x.shortcut"} {
		if err := os.WriteFile(c.path(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(c.path(name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	mustGet(t, c, f.query(nil))
	files, _ := filepath.Glob(c.path("*"))
	if got := len(files); got != 3 { // the entry, its lock, the old lock
		t.Errorf("left: %v", files)
	}
}

func TestDirsNeverNameASharedFolder(t *testing.T) {
	for _, dir := range Dirs(func(name string) string {
		return map[string]string{"TMPDIR": "/tmp", "HOME": "/home/a", "XDG_RUNTIME_DIR": "relative", "CACHE_DIRECTORY": "/var/cache/k:/other"}[name]
	}) {
		if dir != "/var/cache/k" && dir != "/home/a/.cache/keyless" {
			t.Errorf("unexpected %q", dir)
		}
	}
}

func TestDirsLeaveOtherUsersFoldersAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder away")
	}
	home := t.TempDir()
	if err := os.Chown(home, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"} {
		if dirs := Dirs(func(asked string) string { return map[string]string{name: home}[asked] }); len(dirs) != 0 {
			t.Errorf("%s of another user: %q", name, dirs)
		}
	}
}

func TestRuntimeFolderIsNotMade(t *testing.T) {
	base := t.TempDir()
	env := map[string]string{"XDG_RUNTIME_DIR": filepath.Join(base, "gone"), "HOME": base}
	dirs := Dirs(func(name string) string { return env[name] })
	if len(dirs) != 1 || dirs[0] != filepath.Join(base, ".cache", "keyless") {
		t.Errorf("got %q", dirs)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Entry{Obtained: time.Unix(1, 0), Due: time.Unix(2, 0), Stale: time.Unix(2, 0), Dead: time.Unix(3, 0), Expiry: time.Unix(3, 0), Payload: []byte("{}")}.encode())
	f.Add([]byte(magic + " 1 2 3 4 5 "))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decode(data)
		if err != nil {
			return
		}
		again, err := decode(e.encode())
		if err != nil || string(again.Payload) != string(e.Payload) || !again.Expiry.Equal(e.Expiry) {
			t.Errorf("%v does not survive: %v", e, err)
		}
	})
}

func TestClearForgetsAnswersAndKeepsLocks(t *testing.T) {
	c := open(t)
	dir := c.Dir()
	for name, content := range map[string]string{
		"a.entry": "corrupt", "a.failure": "x", "b.shortcut": "x", "a.lock": "", "notes.txt": "mine",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.entry"), 0o700); err != nil {
		t.Fatal(err)
	}
	files, err := c.List()
	if err != nil || len(files) != 3 || files[0].Name != "a.entry" || !files[0].Expiry.IsZero() || files[2].Kind != "shortcut" {
		t.Errorf("%+v, %v", files, err)
	}
	if n, err := c.Clear(); err != nil || n != 3 {
		t.Errorf("%d, %v", n, err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 {
		t.Errorf("%v, %v", left, err)
	}
	if files, err := c.List(); err != nil || len(files) != 0 {
		t.Errorf("%+v, %v", files, err)
	}
}
