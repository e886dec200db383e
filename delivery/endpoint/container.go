package endpoint

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// Path is where the credentials are.
const Path = "/v1/credentials"

// container is the endpoint behind the guard.
type container struct {
	latest func() (keyless.Credentials, error) // asks nobody
	token  [sha256.Size]byte                   // digest of what Authorization must be
	audit  *slog.Logger
}

// document is what SDKs expect; all members are wanted by one or another of them.
type document struct {
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Token           string
	Expiration      string
	AccountID       string `json:"AccountId,omitempty"`
}

func (c container) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	given := sha256.Sum256([]byte(r.Header.Get("Authorization")))
	switch {
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		w.WriteHeader(http.StatusMethodNotAllowed)
	case r.URL.Path != Path || r.URL.RawQuery != "":
		w.WriteHeader(http.StatusNotFound)
	case subtle.ConstantTimeCompare(given[:], c.token[:]) != 1:
		c.audit.LogAttrs(r.Context(), slog.LevelWarn, "refused", slog.String("why", "wrong or no token"), slog.String("from", r.RemoteAddr), slog.Int("status", http.StatusUnauthorized))
		writeError(w, http.StatusUnauthorized, "AccessDenied", "Access denied.")
	default:
		c.handOver(w, r)
	}
}

func (c container) handOver(w http.ResponseWriter, r *http.Request) {
	credentials, err := c.latest()
	switch {
	case err != nil:
		c.sayWhyNot(w, r, err)
		return
	case credentials.AccessKeyID == "" || credentials.SecretAccessKey.IsZero() || credentials.SessionToken.IsZero() || !credentials.Expiry.After(time.Now()):
		c.sayWhyNot(w, r, &keyless.Error{Hop: keyless.HopDelivery, Op: "endpoint", Err: errors.New("the credentials are incomplete or have expired")})
		return
	}
	body, err := json.Marshal(document{
		AccessKeyID: credentials.AccessKeyID, SecretAccessKey: credentials.SecretAccessKey.Reveal(), Token: credentials.SessionToken.Reveal(),
		Expiration: credentials.Expiry.UTC().Truncate(time.Second).Format(time.RFC3339), AccountID: credentials.AccountID,
	})
	if err != nil {
		c.sayWhyNot(w, r, err)
		return
	}
	c.audit.LogAttrs(r.Context(), slog.LevelInfo, "issued", slog.String("to", r.RemoteAddr), slog.String("key_tail", tail(credentials.AccessKeyID)),
		slog.Time("expires", credentials.Expiry), slog.String("account", credentials.AccountID))
	write(w, http.StatusOK, body)
}

// sayWhyNot answers so that SDKs try again when that can help, and do not when it
// cannot: some repeat a 5xx for ten seconds.
func (c container) sayWhyNot(w http.ResponseWriter, r *http.Request, err error) {
	status, code := http.StatusBadRequest, "CredentialsRefused"
	if keyless.IsTemporary(err) {
		status, code = http.StatusServiceUnavailable, "CredentialsUnavailable"
	}
	c.audit.LogAttrs(r.Context(), slog.LevelWarn, "not issued", slog.String("to", r.RemoteAddr), slog.String("error", err.Error()), slog.Int("status", status))
	writeError(w, status, code, err.Error())
}

// tail is enough of a key id to find it in CloudTrail by.
func tail(id string) string { return id[max(0, len(id)-4):] }

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
