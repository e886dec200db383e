package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// documentLedger is what Elasticsearch has let in, and the templates that say how.
type documentLedger struct {
	mu         sync.Mutex
	templates  map[string]indexTemplate
	components map[string]templateBody
	indices    map[string]*searchIndex
	fault      ItemFault
	seen       int // actions since the fault was set
}

// indexTemplate is the body of PUT /_index_template/NAME ("Create or update an index
// template").
type indexTemplate struct {
	Patterns   []string        `json:"index_patterns"`
	Priority   int             `json:"priority"`
	DataStream json.RawMessage `json:"data_stream"`
	ComposedOf []string        `json:"composed_of"`
	templateBody
}

// templateBody is that of a component template.
type templateBody struct {
	Template struct {
		Settings map[string]any `json:"settings"`
		Mappings struct {
			Properties map[string]any               `json:"properties"`
			Dynamic    []map[string]dynamicTemplate `json:"dynamic_templates"`
		} `json:"mappings"`
	} `json:"template"`
}

// dynamicTemplate is for fields that are not named.
type dynamicTemplate struct {
	PathMatch any            `json:"path_match"` // a text, or several
	Mapping   map[string]any `json:"mapping"`
}

// searchIndex is an index, or a data stream, whose backing indices differ in the ids they
// know only.
type searchIndex struct {
	name       string
	stream     bool
	generation int
	ids        map[string]bool // of the newest backing index
	series     *timeSeries     // nil: none
	documents  []Document
}

// timeSeries is what makes a data stream one of time series ("Time series data stream").
type timeSeries struct {
	dimensions []string // dotted; what begins with one and a dot is one, too
	back       time.Duration
	ahead      time.Duration
	seen       map[string]bool
}

// Document is what was written.
type Document struct {
	Index  string         `json:"_index"` // the backing index in a data stream
	ID     string         `json:"_id,omitempty"`
	Source map[string]any `json:"_source"`
}

// define takes templates and policies. Of policies only that they are JSON is looked at.
func (s *Sandbox) define(r *http.Request, at []string) (any, *telemetryError) {
	body, refusal := readElastic(r)
	if refusal != nil {
		return nil, refusal
	}
	var t indexTemplate
	if err := json.Unmarshal(body, &t); err != nil {
		return nil, refuse(http.StatusBadRequest, "x_content_parse_exception", "%s", printable(err.Error()))
	}
	l := &s.documents
	l.mu.Lock()
	defer l.mu.Unlock()
	switch kind, name := at[0], at[len(at)-1]; {
	case kind == "_index_template":
		for _, part := range t.ComposedOf {
			if _, found := l.components[part]; !found {
				return nil, refuse(http.StatusBadRequest, "invalid_index_template_exception", "index template [%s] specifies component templates [%s] that do not exist", name, part)
			}
		}
		l.templates[name] = t
	case kind == "_component_template":
		l.components[name] = t.templateBody
	case kind != "_ilm" || len(at) != 3:
		return nil, refuse(http.StatusBadRequest, "", "no handler found for uri [%s] and method [PUT]", printable(r.URL.Path))
	}
	return map[string]any{"acknowledged": true}, nil
}

// begin makes room.
func (l *documentLedger) begin() {
	l.templates, l.components, l.indices = map[string]indexTemplate{}, map[string]templateBody{}, map[string]*searchIndex{}
}

// rollover begins a new backing index: the ids of the old one are no conflicts any more.
func (l *documentLedger) rollover(name string) (any, *telemetryError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.indices[name]
	if x == nil || !x.stream {
		return nil, refuse(http.StatusNotFound, "", "no such data stream [%s]", printable(name))
	}
	old := x.backing()
	x.generation, x.ids = x.generation+1, map[string]bool{}
	return map[string]any{"acknowledged": true, "rolled_over": true, "old_index": old, "new_index": x.backing()}, nil
}

func (x *searchIndex) backing() string {
	if !x.stream {
		return x.name
	}
	return fmt.Sprintf(".ds-%s-%06d", x.name, x.generation)
}

func (l *documentLedger) write(a action, now time.Time) itemOutcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o, met := l.take(a); met {
		return o
	}
	x := l.indices[a.index]
	if x == nil {
		x = l.create(a.index)
		l.indices[a.index] = x
	}
	return x.write(a, now)
}

// create makes what the template with the highest priority says. Elasticsearch comes with
// templates for data streams ("metrics", "logs", priority 100).
func (l *documentLedger) create(name string) *searchIndex {
	x := &searchIndex{name: name, generation: 1, ids: map[string]bool{}}
	best := indexTemplate{Priority: -1}
	for _, t := range l.templates {
		if t.Priority > best.Priority && slices.ContainsFunc(t.Patterns, func(p string) bool { return matches(p, name) }) {
			best = t
		}
	}
	x.stream = best.DataStream != nil || best.Priority < 100 && (matches("metrics-*-*", name) || matches("logs-*-*", name))
	parts := []templateBody{best.templateBody}
	for _, part := range best.ComposedOf {
		parts = append(parts, l.components[part])
	}
	x.series = seriesOf(parts)
	return x
}

func matches(pattern, name string) bool {
	found, err := path.Match(pattern, name)
	return err == nil && found
}

// seriesOf reads the settings index.mode, index.look_back_time and index.look_ahead_time,
// nested or dotted; nil: no time series. The defaults are 2h and 30m.
func seriesOf(parts []templateBody) *timeSeries {
	settings, dimensions := map[string]any{}, []string(nil)
	for _, part := range parts {
		flatten(settings, "", part.Template.Settings)
		dimensions = appendDimensions(dimensions, "", part.Template.Mappings.Properties)
		for _, named := range part.Template.Mappings.Dynamic {
			dimensions = appendDynamic(dimensions, named)
		}
	}
	setting := func(name string) string {
		text, _ := settings["index."+name].(string)
		if text == "" {
			text, _ = settings[name].(string)
		}
		return text
	}
	if setting("mode") != "time_series" {
		return nil
	}
	return &timeSeries{dimensions, span(setting("look_back_time"), 2*time.Hour), span(setting("look_ahead_time"), 30*time.Minute), map[string]bool{}}
}

func flatten(into map[string]any, prefix string, from map[string]any) {
	for name, value := range from {
		if below, nested := value.(map[string]any); nested {
			flatten(into, prefix+name+".", below)
			continue
		}
		into[prefix+name] = value
	}
}

func appendDimensions(all []string, prefix string, properties map[string]any) []string {
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		field, _ := properties[name].(map[string]any)
		if field["time_series_dimension"] == true {
			all = append(all, prefix+name)
		}
		below, _ := field["properties"].(map[string]any)
		all = appendDimensions(all, prefix+name+".", below)
	}
	return all
}

// appendDynamic knows patterns that are all below an object.
func appendDynamic(all []string, named map[string]dynamicTemplate) []string {
	for _, t := range named {
		pattern, _ := t.PathMatch.(string)
		if prefix, found := strings.CutSuffix(pattern, ".*"); found && t.Mapping["time_series_dimension"] == true {
			all = append(all, prefix)
		}
	}
	return all
}

// span reads a time unit of Elasticsearch: 7d, 2h, 30m.
func span(text string, otherwise time.Duration) time.Duration {
	if days, found := strings.CutSuffix(text, "d"); found {
		n, err := strconv.Atoi(days)
		if err == nil {
			return time.Duration(n) * 24 * time.Hour
		}
	}
	if d, err := time.ParseDuration(text); err == nil {
		return d
	}
	return otherwise
}

func (x *searchIndex) write(a action, now time.Time) itemOutcome {
	source := map[string]any{}
	if json.Unmarshal(a.source, &source) != nil {
		return x.refuse(a, http.StatusBadRequest, "document_parsing_exception", "failed to parse")
	}
	at, dated := readTimestamp(source)
	switch {
	case x.stream && a.op != "create":
		return x.refuse(a, http.StatusBadRequest, "illegal_argument_exception", "only write ops with an op_type of create are allowed in data streams")
	case x.stream && !dated:
		return x.refuse(a, http.StatusBadRequest, "document_parsing_exception", "data stream timestamp field [@timestamp] is missing")
	case x.series != nil:
		return x.writeSeries(a, source, at, now)
	case x.ids[a.id] && a.op == "create":
		return x.refuse(a, http.StatusConflict, "version_conflict_engine_exception", "["+a.id+"]: version conflict, document already exists (current version [1])")
	}
	if a.id == "" {
		a.id = randomText(15)
	}
	x.ids[a.id] = true
	return x.keep(a, source)
}

// writeSeries tells documents apart by their dimensions and their time, in all backing
// indices. Its window is that of the first index: at creation it is now-look_back_time to
// now+look_ahead_time, and grows with the clock.
func (x *searchIndex) writeSeries(a action, source map[string]any, at, now time.Time) itemOutcome {
	identity, found := x.series.identity(source, at)
	switch {
	case a.id != "":
		return x.refuse(a, http.StatusBadRequest, "illegal_argument_exception", "_id must be unset in a time series data stream") // unverified wording
	case !found:
		return x.refuse(a, http.StatusBadRequest, "illegal_argument_exception", "Error extracting routing: source didn't contain any routing fields")
	case at.Before(now.Add(-x.series.back)) || !at.Before(now.Add(x.series.ahead)):
		return x.refuse(a, http.StatusBadRequest, "timestamp_error", "the document timestamp ["+at.UTC().Format(time.RFC3339)+"] is outside of ranges of currently writable indices")
	case x.series.seen[identity]:
		return x.refuse(a, http.StatusConflict, "version_conflict_engine_exception", "version conflict, document already exists (current version [1])")
	}
	x.series.seen[identity] = true
	return x.keep(a, source)
}

func (t *timeSeries) identity(source map[string]any, at time.Time) (string, bool) {
	flat, identity := map[string]any{}, map[string]any{}
	flatten(flat, "", source)
	for name, value := range flat {
		if slices.ContainsFunc(t.dimensions, func(d string) bool { return name == d || strings.HasPrefix(name, d+".") }) {
			identity[name] = value
		}
	}
	text, _ := json.Marshal(identity) // of JSON
	return strconv.FormatInt(at.UnixMilli(), 10) + string(text), len(identity) > 0
}

func (x *searchIndex) keep(a action, source map[string]any) itemOutcome {
	x.documents = append(x.documents, Document{x.backing(), a.id, source})
	return itemOutcome{status: http.StatusCreated, index: x.backing(), id: a.id}
}

func (x *searchIndex) refuse(a action, status int, code, reason string) itemOutcome {
	return itemOutcome{status, x.backing(), a.id, code, reason}
}

// Documents returns what was written to an index or a data stream of Elasticsearch, in
// order. All of it is kept. The maps must not be changed.
func (s *Sandbox) Documents(name string) []Document {
	s.documents.mu.Lock()
	defer s.documents.mu.Unlock()
	if x := s.documents.indices[name]; x != nil {
		return slices.Clone(x.documents)
	}
	return nil
}

// DocumentCounts counts the documents of an index or a data stream by what identity makes
// of them: what is more than 1 was written twice.
func (s *Sandbox) DocumentCounts(name string, identity func(Document) string) map[string]int {
	counts := map[string]int{}
	for _, d := range s.Documents(name) {
		counts[identity(d)]++
	}
	return counts
}
