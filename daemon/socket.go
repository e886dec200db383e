package daemon

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery"
	"github.com/keyless-id/keyless/delivery/endpoint"
	"github.com/keyless-id/keyless/profile"
)

// Paths of the socket, for the project's own command line. Below each is a profile's
// name; none stands for the only profile that there is.
const (
	processPath = "/v1/process/"
	tokenPrefix = "/v1/token/"
)

// socket answers the command line. Whose program it is the kernel says, so that there is
// no token to show.
func (d *Daemon) socket(g *generation, operations http.Handler) http.Handler {
	issues := map[string]*endpoint.Issue{}
	for _, name := range g.plan.doors {
		issues[name] = d.issue(g.keepers[name])
	}
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case r.Method != http.MethodGet:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case strings.HasPrefix(path, processPath):
			d.process(w, r, g, issues)
		case strings.HasPrefix(path, tokenPrefix):
			d.token(w, r, g)
		default:
			operations.ServeHTTP(w, r)
		}
	})
	return d.metrics.counted("socket", endpoint.Guard{UIDs: g.plan.uids, Audit: d.Audit, Next: inner})
}

func (d *Daemon) process(w http.ResponseWriter, r *http.Request, g *generation, issues map[string]*endpoint.Issue) {
	k, err := g.named(strings.TrimPrefix(r.URL.Path, processPath))
	if err == nil && issues[k.name] == nil {
		err = missing("profile %q is not served with its credentials", k.name)
	}
	if err == nil {
		_, err = k.credentials.Latest()
	}
	if err != nil {
		d.sayWhy(w, r, err)
		return
	}
	issues[k.name].HandOver(w, r, func(c keyless.Credentials) any {
		document, err := delivery.Process(c)
		if err != nil { // the issue has looked at them
			return nil
		}
		return json.RawMessage(document)
	})
}

// tokenAnswer is a token, for the command line.
type tokenAnswer struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

// token asks for the token if it is not kept: unlike credentials a token is asked for by
// people and by scripts, which can wait.
func (d *Daemon) token(w http.ResponseWriter, r *http.Request, g *generation) {
	k, err := g.named(strings.TrimPrefix(r.URL.Path, tokenPrefix))
	if err != nil {
		d.sayWhy(w, r, err)
		return
	}
	token, err := k.token.Token(r.Context())
	if err != nil {
		d.sayWhy(w, r, err)
		return
	}
	d.Audit.LogAttrs(r.Context(), slog.LevelInfo, "issued", slog.String("profile", k.name), endpoint.Caller(r), slog.String("kind", string(kindToken)), slog.Time("expires", token.Expiry))
	writeJSON(w, http.StatusOK, tokenAnswer{token.Value.Reveal(), token.Expiry})
}

// named finds the profile that is meant.
func (g *generation) named(name string) (*keeper, error) {
	switch all := g.plan.order; {
	case g.keepers[name] != nil:
		return g.keepers[name], nil
	case name != "":
		return nil, missing("the daemon serves no profile %q; it serves %s", name, g.summary())
	case g.keepers["default"] != nil:
		return g.keepers["default"], nil
	case len(all) == 1:
		return g.keepers[all[0]], nil
	}
	return nil, missing("which profile? The daemon serves %s", g.summary())
}

func missing(format string, args ...any) error {
	return &keyless.Error{Hop: keyless.HopDelivery, Op: "daemon", Message: fmt.Sprintf(format, args...)}
}

// sayWhy sends an error in the form that keeps all of it.
func (d *Daemon) sayWhy(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusBadRequest
	if keyless.IsTemporary(err) {
		status = http.StatusServiceUnavailable
	}
	d.Audit.LogAttrs(r.Context(), slog.LevelWarn, "not issued", slog.String("path", r.URL.Path), endpoint.Caller(r), slog.String("error", err.Error()), slog.Int("status", status))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(profile.EncodeError(err)) // who has gone needs no answer
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // who has gone needs no answer
}
