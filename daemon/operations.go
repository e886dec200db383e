package daemon

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// Paths of what is no secret.
const (
	pagePath    = "/"
	statusPath  = "/status.json"
	metricsPath = "/metrics"
	healthPath  = "/healthz"
	readyPath   = "/readyz"
)

//go:embed page.html
var page string

// Status is what a daemon knows of its profiles.
type Status struct {
	Version  string     `json:"version"`
	Started  time.Time  `json:"started"`
	Now      time.Time  `json:"now"`
	Ready    bool       `json:"ready"`
	Profiles []Standing `json:"profiles"`
}

// Standing is what is known of a profile without asking anybody.
type Standing struct {
	Profile string `json:"profile"`
	Role    string `json:"role,omitempty"`
	Ready   bool   `json:"ready"` // there is something to hand out
	// When the credentials and the token came, and how long they are good for.
	Obtained      *time.Time `json:"obtained,omitempty"`
	Credentials   *time.Time `json:"credentials_expire,omitempty"`
	TokenObtained *time.Time `json:"token_obtained,omitempty"`
	Token         *time.Time `json:"token_expires,omitempty"`
	// The last try, if it failed, or what is still awaited.
	FailedAt *time.Time `json:"failed_at,omitempty"`
	Error    string     `json:"error,omitempty"`
	Hint     string     `json:"hint,omitempty"`
	Files    []string   `json:"files,omitempty"`
}

// operations is for whoever looks after the daemon.
func (d *Daemon) operations(g *generation) http.Handler {
	metrics := d.metrics.of(g)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case pagePath:
			servePage(w)
		case statusPath:
			writeJSON(w, http.StatusOK, d.status(g))
		case metricsPath:
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			metrics(w)
		case healthPath:
			writeLine(w, http.StatusOK, "ok")
		case readyPath:
			g.sayReady(w)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
}

func writeLine(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // who has gone needs no answer
}

// sayReady names the profiles that have nothing to hand out.
func (g *generation) sayReady(w http.ResponseWriter) {
	var lines []string
	for _, name := range g.plan.order {
		if err := g.keepers[name].ready(); err != nil {
			lines = append(lines, name+": "+err.Error())
		}
	}
	if len(lines) > 0 {
		writeLine(w, http.StatusServiceUnavailable, strings.Join(lines, "\n"))
		return
	}
	writeLine(w, http.StatusOK, "ok")
}

func (d *Daemon) status(g *generation) Status {
	s := Status{Version: d.Version, Started: d.started, Now: time.Now(), Ready: true, Profiles: []Standing{}}
	for _, name := range g.plan.order {
		standing := g.keepers[name].standing()
		s.Ready = s.Ready && standing.Ready
		s.Profiles = append(s.Profiles, standing)
	}
	return s
}

func (k *keeper) standing() Standing {
	waiting := k.ready()
	s := Standing{Profile: k.name, Role: k.role, Ready: waiting == nil}
	for _, what := range []kind{kindToken, kindCredentials, kindAssertion} {
		t := k.tried[what].tally()
		if t.failure.Err != nil {
			s.FailedAt = &t.failure.At
			s.fail(t.failure.Err)
		}
		if !t.expiry.After(time.Now()) {
			continue
		}
		switch what {
		case kindCredentials:
			s.Credentials, s.Obtained = &t.expiry, &t.obtained
		case kindToken:
			s.Token, s.TokenObtained = &t.expiry, &t.obtained
		}
	}
	for _, o := range k.outlets {
		s.Files = append(s.Files, o.path())
		if err := o.failure(); err != nil {
			s.FailedAt = nil
			s.fail(err)
		}
	}
	if waiting != nil && s.Error == "" {
		s.fail(waiting)
	}
	return s
}

func (s *Standing) fail(err error) {
	s.Error = strings.Join(strings.Fields(err.Error()), " ")
	s.Hint = ""
	var e *keyless.Error
	if errors.As(err, &e) {
		s.Hint = e.Hint
	}
}

// servePage sends the status page, whose one script is the only one that may run.
func servePage(w http.ResponseWriter) {
	_, rest, _ := strings.Cut(page, "<script>")
	script, _, _ := strings.Cut(rest, "</script>")
	digest := sha256.Sum256([]byte(script))
	w.Header().Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'sha256-"+
		base64.StdEncoding.EncodeToString(digest[:])+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(page)) // who has gone needs no answer
}
