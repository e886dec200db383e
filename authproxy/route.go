package authproxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyless-id/keyless/transport"
)

const (
	// defaultTimeout is what remote-write senders wait at most: 30 s is Prometheus's own.
	defaultTimeout = 60 * time.Second
	// defaultMaxBody has room for what the services take: 1 MiB of Logs Ingestion and of
	// Amazon Managed Prometheus, and bulk requests of OpenSearch, which are to be 5 to 15 MiB.
	defaultMaxBody = 16 << 20
	// defaultForbiddenFor is the half hour that a role assignment of Azure may take ("Logs
	// Ingestion API", Microsoft Learn), and some.
	defaultForbiddenFor = 35 * time.Minute
	maxForbiddenFor     = 24 * time.Hour
)

// Route leads from a path to an upstream. Its fields are set before the first request and
// left alone; a Route must not be copied.
type Route struct {
	// Name is what records and metrics call the route.
	Name string
	// Path is the path of requests, exactly; or ending in a slash, what they begin with.
	Path string
	// Methods are those that are passed on; nil: POST.
	Methods []string
	// Upstream is the whole address for an exact Path. For one that ends in a slash what
	// follows it, if anything does, is appended. Parameters of its query are kept, and those of the client's
	// added that it does not set itself, whatever the case.
	Upstream *url.URL
	// Transport adds the credential: a [transport.Bearer] or [transport.SigV4] over [Base].
	// The requests are its own, so that Bearer.InPlace is right. SigV4.MaxBuffer should
	// be MaxBody.
	Transport http.RoundTripper
	// Pass are the statuses that are not turned into 503: of 401, 403, 408 and 429.
	Pass []int
	// ForbiddenFor is how long a 403 is turned into 503, from the first one in a row; zero:
	// 35 minutes. A success ends the row.
	ForbiddenFor time.Duration
	// Timeout is for the whole exchange with the upstream, the client's sending
	// included; zero: 60 s.
	Timeout time.Duration
	// MaxBody is how long a request's body may be, in bytes; zero: 16 MiB.
	MaxBody int64

	once      sync.Once
	target    target
	forbidden atomic.Pointer[time.Time] // when the first 403 of the row came
	health    health
}

// Validate says in plain words what is wrong with the route, of which the Transport need not
// be there yet.
func (r *Route) Validate() error {
	switch {
	case !plain(r.Path) || strings.ContainsAny(r.Path, "?%"):
		return fmt.Errorf("path %q: want one that begins with a slash and has no empty, dotted or encoded parts", r.Path)
	case r.ForbiddenFor < 0 || r.ForbiddenFor > maxForbiddenFor:
		return fmt.Errorf("a 403 can be turned into 503 for up to %s", maxForbiddenFor)
	case r.Timeout < 0 || r.MaxBody < 0:
		return errors.New("the timeout and the longest body cannot be negative")
	}
	return errors.Join(r.checkUpstream(), checkMethods(r.methods()), checkPass(r.Pass))
}

func (r *Route) checkUpstream() error {
	u := r.Upstream
	switch {
	case u == nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "":
		return errors.New("upstream: want https://host[:port][/path][?query] and nothing else")
	case !transport.Encrypted(u):
		return fmt.Errorf("upstream: host %q must be asked over https; plain http is for loopback only", u.Hostname())
	case u.Path != "" && !plain(u.EscapedPath()):
		return errors.New("upstream: the path has empty, dotted or encoded parts")
	case !readable(u.RawQuery):
		return errors.New("upstream: the query cannot be read")
	}
	return nil
}

func checkMethods(methods []string) error {
	for _, method := range methods {
		switch method {
		case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		default:
			return fmt.Errorf("method %q: want GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS", method)
		}
	}
	return nil
}

func checkPass(statuses []int) error {
	for _, status := range statuses {
		if _, ok := patience(status); !ok {
			return fmt.Errorf("pass %d: it is passed anyway; 401, 403, 408 and 429 are turned into 503", status)
		}
	}
	return nil
}

func (r *Route) methods() []string {
	if r.Methods == nil {
		return []string{http.MethodPost}
	}
	return r.Methods
}

func (r *Route) allows(method string) bool {
	if r.Methods == nil {
		return method == http.MethodPost
	}
	return slices.Contains(r.Methods, method)
}

func (r *Route) timeout() time.Duration {
	if r.Timeout == 0 {
		return defaultTimeout
	}
	return r.Timeout
}

func (r *Route) maxBody() int64 {
	if r.MaxBody == 0 {
		return defaultMaxBody
	}
	return r.MaxBody
}

func (r *Route) forbiddenFor() time.Duration {
	if r.ForbiddenFor == 0 {
		return defaultForbiddenFor
	}
	return r.ForbiddenFor
}
