package warm

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keyless-id/keyless/internal/filecache"
	"github.com/keyless-id/keyless/internal/refresh"
)

// remembered is a cache with one answer and the shortcut to it.
type remembered struct {
	args, environ []string
	config        string
}

func remember(t *testing.T, life time.Duration) remembered {
	t.Helper()
	dir := t.TempDir()
	r := remembered{
		args:    []string{Command, "vm"},
		environ: []string{"KEYLESS_CACHE_DIR=" + filepath.Join(dir, "cache"), "SECRET=one", "LANG=C", "AWS_REGION=eu-west-1"},
		config:  filepath.Join(dir, "keyless.yaml"),
	}
	if err := os.WriteFile(r.config, []byte("profiles:"), 0o600); err != nil {
		t.Fatal(err)
	}
	cache, err := filecache.Open(filecache.Dirs(getter(r.environ)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = cache.Get(t.Context(), filecache.Query{Key: "aws-1", Fetch: func(context.Context) (filecache.Answer, error) {
		now := time.Now()
		return filecache.Answer{Times: refresh.Times{Obtained: now, Expiry: now.Add(life)}, Payload: []byte("{}\n")}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := Remember(cache, r.args, r.environ, Shortcut{Key: "aws-1", Config: r.config, Env: []string{"SECRET"}}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r remembered) served(now time.Time) bool {
	payload, ok := lookUp(r.args, r.environ, now)
	return ok && string(payload) == "{}\n"
}

func TestTheSameWordsInTheSameEnvironmentAreServed(t *testing.T) {
	r := remember(t, time.Hour)
	if !r.served(time.Now()) {
		t.Error("not served")
	}
	r.environ = append([]string{"TERM=xterm", "SHLVL=3"}, r.environ...) // does not matter to the answer
	if !r.served(time.Now()) {
		t.Error("not served in another terminal")
	}
}

func TestAnyDoubtFallsThrough(t *testing.T) {
	for name, change := range map[string]func(r *remembered){
		"other profile":    func(r *remembered) { r.args = []string{Command, "app"} },
		"more flags":       func(r *remembered) { r.args = append(r.args, "--region=x") },
		"other region":     func(r *remembered) { r.environ[3] = "AWS_REGION=us-east-1" },
		"new variable":     func(r *remembered) { r.environ = append(r.environ, "AZURE_CLIENT_ID=x") },
		"other job":        func(r *remembered) { r.environ = append(r.environ, "SYSTEM_ACCESSTOKEN=x") },
		"other reference":  func(r *remembered) { r.environ[1] = "SECRET=two" },
		"config changed":   func(r *remembered) { _ = os.WriteFile(r.config, []byte("profiles: {}"), 0o600) },
		"config touched":   func(r *remembered) { _ = os.Chtimes(r.config, time.Time{}, time.Now().Add(time.Second)) },
		"config gone":      func(r *remembered) { _ = os.Remove(r.config) },
		"other cache":      func(r *remembered) { r.environ[0] = "KEYLESS_CACHE_DIR=/nonexistent" },
		"config took over": func(r *remembered) { _ = os.Rename(r.config, r.config+"~"); copyOf(r.config+"~", r.config) },
	} {
		t.Run(name, func(t *testing.T) {
			r := remember(t, time.Hour)
			change(&r)
			if r.served(time.Now()) {
				t.Error("served")
			}
		})
	}
}

// copyOf makes a file of the same size and time that is another file.
func copyOf(from, to string) {
	data, _ := os.ReadFile(from)
	info, _ := os.Stat(from)
	_ = os.WriteFile(to, data, 0o600)
	_ = os.Chtimes(to, info.ModTime(), info.ModTime())
}

func TestDueAnswersAreLeftToMain(t *testing.T) {
	r := remember(t, time.Hour)
	if r.served(time.Now().Add(30 * time.Minute)) {
		t.Error("served although it is due")
	}
	if r.served(time.Now().Add(-time.Hour)) {
		t.Error("served although the clock was set back")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(magic + "\naws-1\n/etc/keyless/keyless.yaml\nA,B\nabc\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if s, ok := parse(text); ok && filepath.Base(s.Key) != s.Key && s.Key != "" {
			t.Errorf("key %q leads elsewhere", s.Key)
		}
	})
}
