package endpoint

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// Issue is one set of credentials that an endpoint hands out.
type Issue struct {
	// Latest returns the credentials that there are, without asking anybody for new
	// ones: that of a [keyless.CachedProvider] that is kept.
	Latest func() (keyless.Credentials, error)
	// Name is the profile's, for the record.
	Name string
	// Role is the ARN of the role, for the record.
	Role string
	// Audit gets one record for each issuance and refusal, without secrets.
	Audit *slog.Logger

	written atomic.Pointer[writing]
}

// writing is a document that has been written out.
type writing struct {
	of   keyless.Credentials
	body []byte
}

// current returns the credentials if they are whole and have not expired.
func (i *Issue) current() (keyless.Credentials, error) {
	c, err := i.Latest()
	switch {
	case err != nil:
		return keyless.Credentials{}, err
	case c.AccessKeyID == "" || c.SecretAccessKey.IsZero() || c.SessionToken.IsZero() || !c.Expiry.After(time.Now()):
		return keyless.Credentials{}, &keyless.Error{Hop: keyless.HopDelivery, Op: "endpoint", Err: errors.New("the credentials are incomplete or have expired")}
	}
	return c, nil
}

// HandOver answers with the credentials as the JSON of what document makes of them, or
// with the reason why there are none.
func (i *Issue) HandOver(w http.ResponseWriter, r *http.Request, document func(keyless.Credentials) any) {
	c, err := i.current()
	if err != nil {
		i.SayWhyNot(w, r, err)
		return
	}
	body, err := i.write(c, document)
	if err != nil {
		i.SayWhyNot(w, r, err)
		return
	}
	i.Audit.LogAttrs(r.Context(), slog.LevelInfo, "issued", i.profile(), Caller(r), slog.String("role", i.Role), Record(c))
	write(w, http.StatusOK, body)
}

// write spells the document once for all who ask for the same credentials.
func (i *Issue) write(c keyless.Credentials, document func(keyless.Credentials) any) ([]byte, error) {
	if last := i.written.Load(); last != nil && last.of == c {
		return last.body, nil
	}
	body, err := json.Marshal(document(c))
	if err == nil {
		i.written.Store(&writing{c, body})
	}
	return body, err
}

// profile is left out of the record if it is not known yet.
func (i *Issue) profile() slog.Attr {
	if i.Name == "" {
		return slog.Attr{}
	}
	return slog.String("profile", i.Name)
}

// SayWhyNot answers so that SDKs try again when that can help, and do not when it
// cannot: some repeat a 5xx for ten seconds.
func (i *Issue) SayWhyNot(w http.ResponseWriter, r *http.Request, err error) {
	status, code := http.StatusBadRequest, "CredentialsRefused"
	if keyless.IsTemporary(err) {
		status, code = http.StatusServiceUnavailable, "CredentialsUnavailable"
	}
	i.Audit.LogAttrs(r.Context(), slog.LevelWarn, "not issued", i.profile(), Caller(r), slog.String("error", err.Error()), slog.Int("status", status))
	writeError(w, status, code, explanation(err))
}

// explanation is what went wrong and what to do: most SDKs show it to a person.
func explanation(err error) string {
	var e *keyless.Error
	if errors.As(err, &e) && e.Hint != "" {
		return err.Error() + " (hint: " + e.Hint + ")"
	}
	return err.Error()
}

// Record is what of credentials may stand in a record: enough to find them in CloudTrail
// by, and nothing to use them with.
func Record(c keyless.Credentials) slog.Attr {
	record := []any{slog.String("key_tail", tail(c.AccessKeyID)), slog.Time("expires", c.Expiry), slog.String("account", c.AccountID)}
	if r := c.Receipt; r != nil {
		record = append(record, slog.String("request_id", r.RequestID), slog.String("session", r.Session),
			slog.String("issuer", r.Issuer), slog.String("audience", r.Audience), slog.String("subject", r.Subject))
	}
	return slog.Group("credentials", record...)
}

// tail is enough of a key id to find it in CloudTrail by.
func tail(id string) string { return id[max(0, len(id)-4):] }

// stamp is a time as all SDKs read it: UTC, with a Z, without a fraction.
func stamp(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// writeError spells an error as all SDKs read it.
func writeError(w http.ResponseWriter, status int, code, message string) {
	body, err := json.Marshal(struct{ Code, Message string }{code, message})
	if err != nil { // of two texts: cannot be
		body = []byte("{}")
	}
	write(w, status, body)
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json") // to the letter: Go's SDK compares it
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // who has gone needs no answer
}

// notAllowed answers a request with another method than the one that there is.
func notAllowed(w http.ResponseWriter, method string) {
	w.Header().Set("Allow", method)
	w.WriteHeader(http.StatusMethodNotAllowed)
}
