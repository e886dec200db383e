package daemon

import (
	"log/slog"
	"os"
	"sync"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery"
	"github.com/keyless-id/keyless/profile"
)

// outlet is a file that is kept fresh.
type outlet struct {
	kind        kind
	file        delivery.File            // of a token or an assertion
	credentials delivery.CredentialsFile // of credentials
	profile     string
	audit       *slog.Logger

	mu      sync.Mutex
	last    keyless.Secret // what was written
	state   time.Time      // of the file, then
	written time.Time
	err     error
}

func newOutlet(d profile.Delivery, group int, audit *slog.Logger) *outlet {
	o := &outlet{profile: d.Profile, audit: audit}
	switch {
	case d.Token != "":
		o.kind, o.file = kindToken, delivery.File{Path: d.Token, Group: group}
	case d.Assertion != "":
		o.kind, o.file = kindAssertion, delivery.File{Path: d.Assertion, Group: group}
	default:
		o.kind, o.credentials = kindCredentials, delivery.CredentialsFile{Path: d.CredentialsFile, Section: d.SectionName()}
	}
	return o
}

func (o *outlet) path() string {
	if o.kind == kindCredentials {
		return o.credentials.Path
	}
	return o.file.Path
}

// name tells an outlet from the others.
func (o *outlet) name() string { return o.path() + "\n" + o.credentials.Section }

// put writes what is new, and what is new no longer if somebody has changed the file.
func (o *outlet) put(value keyless.Secret, write func() error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil && o.last.Equal(value) && !o.state.IsZero() && modified(o.path()).Equal(o.state) {
		return
	}
	isNew := !o.last.Equal(value)
	if o.err = write(); o.err != nil {
		o.audit.Warn("not issued", slog.String("profile", o.profile), slog.String("file", o.path()), slog.String("error", o.err.Error()))
		return
	}
	o.last, o.state, o.written = value, modified(o.path()), time.Now()
	if isNew {
		o.audit.Info("issued", slog.String("profile", o.profile), slog.String("file", o.path()), slog.String("kind", string(o.kind)))
	}
}

func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func (o *outlet) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// remove takes away what was written.
func (o *outlet) remove() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.last.IsZero():
		return nil
	case o.kind == kindCredentials:
		return o.credentials.Remove()
	}
	return o.file.Remove()
}
