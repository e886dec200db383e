package endpoint

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"

	keyless "github.com/keyless-id/keyless"
)

// Path is where the credentials of a server with one profile are, and the folder of
// those of a server with many.
const Path = "/v1/credentials"

// Container is the endpoint of containers: each path has credentials of its own, and a
// token of its own.
type Container map[string]*Door

// Door is one path of a [Container].
type Door struct {
	*Issue
	// Tokens are what Authorization may be; an empty one opens nothing.
	Tokens func() []keyless.Secret
}

// document is what SDKs expect; all members are wanted by one or another of them.
type document struct {
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Token           string
	Expiration      string
	AccountID       string `json:"AccountId,omitempty"`
	RoleARN         string `json:"RoleArn,omitempty"`
}

// HandOver answers with the credentials, or with the reason why there are none.
func (d *Door) HandOver(w http.ResponseWriter, r *http.Request) { d.Issue.HandOver(w, r, d.document) }

func (d *Door) document(c keyless.Credentials) any {
	return document{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey.Reveal(), Token: c.SessionToken.Reveal(),
		Expiration: stamp(c.Expiry), AccountID: c.AccountID, RoleARN: d.Role,
	}
}

func (c Container) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	door := c[r.URL.Path]
	switch {
	case r.Method != http.MethodGet:
		notAllowed(w, http.MethodGet)
	case door == nil || r.URL.RawQuery != "":
		w.WriteHeader(http.StatusNotFound)
	case !door.opensFor(r.Header.Get("Authorization")):
		refused(door.Audit, r, "wrong or no token", http.StatusUnauthorized)
		writeError(w, http.StatusUnauthorized, "AccessDenied", "Access denied.")
	default:
		door.HandOver(w, r)
	}
}

// opensFor compares digests, in constant time: neither the length nor the beginning of
// a token shows in how long it takes.
func (d *Door) opensFor(given string) bool {
	digest := sha256.Sum256([]byte(given))
	open := 0
	for _, token := range d.Tokens() {
		want := sha256.Sum256([]byte(token.Reveal()))
		if !token.IsZero() {
			open |= subtle.ConstantTimeCompare(digest[:], want[:])
		}
	}
	return open == 1
}
