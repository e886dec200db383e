package sandbox

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SearchEngine is an Elasticsearch and who may write to it. One that names nobody lets
// nobody in.
type SearchEngine struct {
	Version string            `json:"version,omitempty" yaml:"version,omitempty"`   // 9.2.0 when empty
	Users   map[string]string `json:"users,omitempty" yaml:"users,omitempty"`       // passwords by name
	APIKeys []string          `json:"api_keys,omitempty" yaml:"api_keys,omitempty"` // ID:KEY
}

// elasticDialect words errors as Elasticsearch does ("REST API compatibility", "Common
// options"): a type, a reason, and the status again.
func elasticDialect() dialect {
	return dialect{map[int]string{
		http.StatusBadRequest: "illegal_argument_exception", http.StatusUnauthorized: "security_exception", http.StatusForbidden: "security_exception",
		http.StatusNotFound: "index_not_found_exception", http.StatusMethodNotAllowed: "method_not_allowed", http.StatusRequestEntityTooLarge: "content_too_long_exception",
		http.StatusTooManyRequests: "es_rejected_execution_exception", http.StatusServiceUnavailable: "cluster_block_exception",
	}, writeElasticError}
}

func writeElasticError(w http.ResponseWriter, e *telemetryError) {
	if e.status == http.StatusUnauthorized {
		w.Header().Add("WWW-Authenticate", `Basic realm="security", charset="UTF-8"`)
		w.Header().Add("WWW-Authenticate", "ApiKey")
	}
	reason := map[string]any{"type": e.code, "reason": e.message}
	cause := map[string]any{"type": e.code, "reason": e.message, "root_cause": []any{reason}}
	writeJSON(w, e.status, map[string]any{"error": cause, "status": e.status})
}

// serveElastic is as much of Elasticsearch as those ask for who write to it.
func (s *Sandbox) serveElastic(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Elastic-Product", "Elasticsearch") // the official clients talk to nothing else
	event := Event{Hop: Elasticsearch, Op: r.Method + " " + printable(r.URL.Path), Details: map[string]string{}}
	answer, refusal := s.searched(r, event.Details)
	if refusal == nil {
		event.Outcome = "ok"
		writeJSON(w, http.StatusOK, answer)
		s.record(event)
		return
	}
	s.conclude(w, elasticDialect(), event, http.StatusOK, refusal)
}

func (s *Sandbox) searched(r *http.Request, details map[string]string) (any, *telemetryError) {
	if !s.index.search.admits(r.Header.Get("Authorization")) {
		return nil, refuse(http.StatusUnauthorized, "", "unable to authenticate for REST request [%s]", printable(r.URL.Path))
	}
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch last := path[len(path)-1]; {
	case len(path) <= 2 && last == "_bulk":
		return s.bulk(r, strings.Join(path[:len(path)-1], ""), details)
	case len(path) == 2 && last == "_rollover" && r.Method == http.MethodPost:
		return s.documents.rollover(path[0])
	case len(path) >= 2 && r.Method == http.MethodPut:
		return s.define(r, path)
	case len(path) == 1 && last == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		return map[string]any{"name": "sandbox", "cluster_name": "sandbox", "tagline": "You Know, for Search", "version": map[string]any{
			"number": orText(s.index.search.Version, "9.2.0"), "build_flavor": "default", "minimum_wire_compatibility_version": "8.19.0",
		}}, nil
	}
	return nil, refuse(http.StatusBadRequest, "", "no handler found for uri [%s] and method [%s]", printable(r.URL.Path), printable(r.Method))
}

// admits knows the two schemes that need no token service.
func (e SearchEngine) admits(authorization string) bool {
	scheme, value, _ := strings.Cut(authorization, " ")
	decoded, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return false
	}
	var known []string
	switch strings.ToLower(scheme) {
	case "apikey":
		known = e.APIKeys
	case "basic":
		for name, password := range e.Users {
			known = append(known, name+":"+password)
		}
	}
	return slices.ContainsFunc(known, func(one string) bool {
		return one != "" && subtle.ConstantTimeCompare([]byte(one), decoded) == 1
	})
}

// bulk is POST /_bulk ("Bulk API").
func (s *Sandbox) bulk(r *http.Request, index string, details map[string]string) (any, *telemetryError) {
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		return nil, refuse(http.StatusMethodNotAllowed, "", "only POST and PUT are allowed")
	}
	body, refusal := readElastic(r)
	if refusal != nil {
		return nil, refusal
	}
	actions, refusal := readBulk(body, index)
	if refusal != nil {
		return nil, refusal
	}
	outcomes := make([]itemOutcome, len(actions))
	now := s.now(Elasticsearch)
	for i, a := range actions {
		outcomes[i] = s.documents.write(a, now)
	}
	details["actions"] = strconv.Itoa(len(actions))
	return bulkAnswer(actions, outcomes, r.URL.Query().Get("filter_path")), nil
}

func readElastic(r *http.Request) ([]byte, *telemetryError) {
	body, refusal := readWire(r)
	if refusal == nil && strings.EqualFold(r.Header.Get("Content-Encoding"), "gzip") {
		return unzip(body)
	}
	return body, refusal
}

// action is a line of a bulk request with its document.
type action struct {
	op, index, id string
	source        []byte
}

// readBulk reads pairs of lines. What cannot be read fails the whole request, before any
// of it is carried out (unverified for all but the first kinds).
func readBulk(body []byte, index string) ([]action, *telemetryError) {
	if len(body) == 0 || body[len(body)-1] != '\n' {
		return nil, refuse(http.StatusBadRequest, "", `The bulk request must be terminated by a newline [\n]`)
	}
	var actions []action
	lines := bytes.Split(body[:len(body)-1], []byte("\n"))
	for n := 0; n < len(lines); n++ {
		if len(bytes.TrimSpace(lines[n])) == 0 {
			continue
		}
		a, ok := readAction(lines[n], index)
		if !ok || n+1 == len(lines) {
			return nil, refuse(http.StatusBadRequest, "", "Malformed action/metadata line [%d], expected create or index with an index and a document", n+1)
		}
		n++
		a.source = lines[n]
		actions = append(actions, a)
	}
	if len(actions) == 0 {
		return nil, refuse(http.StatusBadRequest, "action_request_validation_exception", "Validation Failed: 1: no requests added;")
	}
	return actions, nil
}

func readAction(line []byte, index string) (action, bool) {
	var said map[string]struct {
		Index string `json:"_index"`
		ID    string `json:"_id"`
	}
	if json.Unmarshal(line, &said) != nil || len(said) != 1 {
		return action{}, false
	}
	for op, target := range said {
		a := action{op: op, index: orText(target.Index, index), id: target.ID}
		return a, (op == "create" || op == "index") && a.index != ""
	}
	return action{}, false
}

// itemOutcome is what became of an action.
type itemOutcome struct {
	status    int
	index, id string
	code      string // empty: it was done
	reason    string
}

func bulkAnswer(actions []action, outcomes []itemOutcome, filter string) map[string]any {
	failed := slices.ContainsFunc(outcomes, func(o itemOutcome) bool { return o.code != "" })
	items := make([]map[string]any, len(actions))
	for i, o := range outcomes {
		item := map[string]any{"_index": o.index, "_id": o.id, "status": o.status}
		if o.code != "" {
			item["error"] = map[string]any{"type": o.code, "reason": o.reason, "index": o.index}
		} else {
			item["result"] = "created"
		}
		items[i] = map[string]any{actions[i].op: filtered(item, filter)}
	}
	answer := map[string]any{"errors": failed, "items": items, "took": 1}
	if filter != "" {
		delete(answer, "took")
	}
	return answer
}

// filtered leaves of an item what filter_path names as items.*.FIELD.
func filtered(item map[string]any, filter string) map[string]any {
	if filter == "" || strings.Contains(filter, "items,") || strings.HasSuffix(filter, "items") {
		return item
	}
	kept := map[string]any{}
	for path := range strings.SplitSeq(filter, ",") {
		if field, found := strings.CutPrefix(path, "items.*."); found && item[field] != nil {
			kept[field] = item[field]
		}
	}
	return kept
}

// ItemFault refuses single actions of bulk requests that are otherwise carried out.
type ItemFault struct {
	Status int    // 429, 503, 400, …
	Code   string // the type of the error; what goes with the status when empty
	Every  int    // one action of so many; 0 and 1: all
	Times  int    // how many actions in all; 0: until it is replaced
}

// SetItemFault makes Elasticsearch refuse actions; the zero value ends that.
func (s *Sandbox) SetItemFault(f ItemFault) {
	s.documents.mu.Lock()
	defer s.documents.mu.Unlock()
	s.documents.fault, s.documents.seen = f, 0
}

// take says what an action meets; the caller holds the lock.
func (l *documentLedger) take(a action) (itemOutcome, bool) {
	f := &l.fault
	if f.Status == 0 {
		return itemOutcome{}, false
	}
	l.seen++
	if f.Every > 1 && l.seen%f.Every != 0 {
		return itemOutcome{}, false
	}
	o := itemOutcome{f.Status, a.index, a.id, orText(f.Code, orText(elasticDialect().codes[f.Status], "internal_server_error")), "The action was refused."}
	if f.Times > 0 {
		if f.Times--; f.Times == 0 {
			*f = ItemFault{}
		}
	}
	return o, true
}

// readTimestamp is the @timestamp of a document: a date, or milliseconds since 1970.
func readTimestamp(source map[string]any) (time.Time, bool) {
	switch at := source["@timestamp"].(type) {
	case string:
		t, err := time.Parse(time.RFC3339, at)
		return t, err == nil
	case float64:
		return time.UnixMilli(int64(at)), true
	}
	return time.Time{}, false
}
