package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// DCR is a data collection rule of Azure Monitor. That of an Azure Monitor workspace has
// the stream [MetricsStream].
type DCR struct {
	ImmutableID string               `json:"immutable_id" yaml:"immutable_id"` // dcr- and 32 hexadecimal digits
	Streams     map[string]LogStream `json:"streams" yaml:"streams"`
	Publishers  []Publisher          `json:"publishers,omitempty" yaml:"publishers,omitempty"`

	// What the rule takes in a minute before it answers 429. Zero is the quota of the
	// service: 12,000 requests and 2 GB of logs, 15,000 requests and 50 GB of metrics, as
	// they are decompressed (unverified: or as they come).
	RequestsPerMinute int   `json:"requests_per_minute,omitempty" yaml:"requests_per_minute,omitempty"`
	BytesPerMinute    int64 `json:"bytes_per_minute,omitempty" yaml:"bytes_per_minute,omitempty"`
}

// Publisher is an assignment of the role Monitoring Metrics Publisher on a rule.
type Publisher struct {
	ObjectID string `json:"object_id" yaml:"object_id"`

	// Propagation is how long after the start of the sandbox the role begins to work: up
	// to half an hour, at the real service.
	Propagation time.Duration `json:"propagation,omitempty" yaml:"propagation,omitempty"`
}

// LogStream says what the rows of a stream look like.
type LogStream struct {
	Columns map[string]string `json:"columns,omitempty" yaml:"columns,omitempty"` // name to string, int, long, real, boolean, dynamic or datetime

	// Auxiliary: the stream goes to a table of the Auxiliary plan without a transformation.
	// Such a table takes no rows that are more than 30 minutes apart in one request, and
	// nested JSON in dynamic columns only.
	Auxiliary bool `json:"auxiliary,omitempty" yaml:"auxiliary,omitempty"`
}

// MetricsStream is the stream of remote write in a data collection rule.
const MetricsStream = "Microsoft-PrometheusMetrics"

// rule is a data collection rule at work.
type rule struct {
	*DCR
	tenant *Tenant
	quota  quota
}

func (x *index) addRules(t *Tenant) error {
	for i := range t.Rules {
		r := &rule{DCR: &t.Rules[i], tenant: t}
		err := put(x.rules, strings.ToLower(r.ImmutableID), r)
		if err == nil {
			err = r.check()
		}
		if err != nil {
			return fmt.Errorf("rule %q: %w", r.ImmutableID, err)
		}
	}
	return nil
}

func (r *rule) check() error {
	id, found := strings.CutPrefix(strings.ToLower(r.ImmutableID), "dcr-")
	if !found || len(id) != 32 || !consistsOf(id, func(c rune) bool { return isDigit(c) || c >= 'a' && c <= 'f' }) {
		return errors.New("the immutable id is not dcr- and 32 hexadecimal digits")
	}
	if slices.ContainsFunc(r.Publishers, func(p Publisher) bool { return p.ObjectID == "" }) {
		return errors.New("a publisher has no object id")
	}
	for name, stream := range r.Streams {
		if err := stream.check(name); err != nil {
			return fmt.Errorf("stream %q: %w", name, err)
		}
	}
	return nil
}

// maxColumns is that of a table ("Azure Monitor service limits").
const maxColumns = 500

func (l LogStream) check(name string) error {
	switch {
	case !strings.HasPrefix(name, "Custom-") && !strings.HasPrefix(strings.ToLower(name), "microsoft-"):
		return errors.New("the name begins with neither Custom- nor Microsoft-")
	case len(l.Columns) > maxColumns:
		return fmt.Errorf("more than %d columns", maxColumns)
	}
	for column, kind := range l.Columns {
		if !isColumnName(column) {
			return fmt.Errorf("column %q: not a letter and at most 44 letters, digits and underscores", column)
		}
		if !slices.Contains([]string{"string", "int", "long", "real", "boolean", "dynamic", "datetime"}, kind) {
			return fmt.Errorf("column %q: no type is called %q", column, kind)
		}
	}
	return nil
}

// gate is what both receivers of Azure Monitor ask of a request before they look at its
// body.
type gate struct {
	hop      Hop
	rest     string   // of the path, after the stream
	versions []string // of the API
	requests int      // a minute
	bytes    int64    // a minute
}

func logsGate() gate {
	return gate{DCE, "", []string{"2023-01-01", "2021-11-01-preview"}, 12_000, 2_000_000_000}
}

func metricsGate() gate {
	return gate{Workspace, "api/v1/write", []string{"2023-04-24", "2021-11-01-preview"}, 15_000, 50_000_000_000}
}

// pass returns the rule, and the name of a stream that may not be one of it. In which
// order the service checks is unverified, except that a stranger learns nothing about
// the rules.
func (g gate) pass(s *Sandbox, r *http.Request, details map[string]string) (*rule, string, *telemetryError) {
	id, stream, found := g.readPath(r.URL.Path)
	if !found {
		return nil, "", refuse(http.StatusNotFound, "", "No such path.")
	}
	details["rule"], details["stream"] = printable(id), printable(stream)
	if r.Method != http.MethodPost {
		return nil, "", refuse(http.StatusMethodNotAllowed, "", "The method is not allowed.")
	}
	t, caller, code := s.entraCaller(r, s.now(g.hop), isMonitorAudience)
	if code != "" {
		return nil, "", refuse(http.StatusUnauthorized, code, "The access token is missing, invalid, expired or for another audience.")
	}
	details["caller"] = caller
	if refusal := g.checkVersion(r); refusal != nil {
		return nil, "", refusal
	}
	at := s.index.rules[id]
	if at == nil {
		return nil, "", refuse(http.StatusNotFound, "", "Data collection rule with immutable Id '%s' not found.", printable(id))
	}
	if t.Tenant != at.tenant || !at.lets(caller, s.options.Now().Sub(s.started)) {
		return nil, "", refuse(http.StatusForbidden, "", "The authentication token provided does not have access to ingest data for the data collection rule with immutable Id '%s'.", at.ImmutableID)
	}
	return at, stream, nil
}

// readPath takes /dataCollectionRules/{rule}/streams/{stream} apart, and what comes after.
func (g gate) readPath(path string) (id, stream string, found bool) {
	parts := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 5)
	if len(parts) < 4 || !strings.EqualFold(parts[0], "dataCollectionRules") || !strings.EqualFold(parts[2], "streams") {
		return "", "", false
	}
	return strings.ToLower(parts[1]), parts[3], strings.Join(parts[4:], "/") == g.rest
}

// isMonitorAudience takes both forms: a scope with one slash before .default makes a
// token without, one with two a token with a slash at the end.
func isMonitorAudience(audience string) bool {
	return slices.Contains([]string{"https://monitor.azure.com", "https://monitor.azure.com/"}, audience)
}

func (g gate) checkVersion(r *http.Request) *telemetryError {
	version := r.URL.Query().Get("api-version")
	switch {
	case len(g.versions) == 0:
	case version == "":
		return refuse(http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
	case !slices.Contains(g.versions, version):
		return refuse(http.StatusBadRequest, "InvalidApiVersion", "The api-version '%s' is invalid.", printable(version))
	}
	return nil
}

// lets reports whether somebody has the role, at an age of the sandbox.
func (r *rule) lets(objectID string, age time.Duration) bool {
	return slices.ContainsFunc(r.Publishers, func(p Publisher) bool {
		return strings.EqualFold(p.ObjectID, objectID) && age >= p.Propagation
	})
}

func (r *rule) unknownStream(name string) *telemetryError {
	return refuse(http.StatusBadRequest, "InvalidStream", "The stream %s was not configured for the data collection rule %s.", printable(name), r.ImmutableID)
}

// quota counts what a rule took in the minute that began at start.
type quota struct {
	mu       sync.Mutex
	start    time.Time
	requests int
	bytes    int64
}

// admit counts a request of size bytes, or says when to come again.
func (g gate) admit(r *rule, size int, now time.Time) *telemetryError {
	q := &r.quota
	q.mu.Lock()
	defer q.mu.Unlock()
	if age := now.Sub(q.start); age < 0 || age >= time.Minute {
		q.start, q.requests, q.bytes = now, 0, 0
	}
	requests, bytes := g.requests, g.bytes
	if r.RequestsPerMinute > 0 {
		requests = r.RequestsPerMinute
	}
	if r.BytesPerMinute > 0 {
		bytes = r.BytesPerMinute
	}
	if q.requests+1 > requests || q.bytes+int64(size) > bytes {
		refusal := refuse(http.StatusTooManyRequests, "", "The data collection rule takes %d requests and %d bytes a minute.", requests, bytes)
		refusal.retryAfter = q.start.Add(time.Minute).Sub(now)
		return refusal
	}
	q.requests, q.bytes = q.requests+1, q.bytes+int64(size)
	return nil
}
