package sandbox

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// otlpSignal is one of the signals that Azure Monitor takes by OTLP ("Ingest OTLP data into
// Azure Monitor", preview): the stream and the path after it, and where the name of an item
// is in it. In which letters the streams are written differs between pages of the
// documentation.
type otlpSignal struct {
	hop    Hop
	stream string // in lower case
	path   string
	name   uint64 // the field of an item: of a log record its body, of others the name
}

func otlpSignals() []otlpSignal {
	return []otlpSignal{
		{DCE, "microsoft-otlp-logs", "otlp/v1/logs", 5},
		{DCE, "microsoft-otlp-traces", "otlp/v1/traces", 5},
		{Workspace, "microsoft-otelmetrics", "otlp/v1/metrics", 1},
	}
}

// otlpLedger is what came by OTLP.
type otlpLedger struct {
	mu    sync.Mutex
	items map[string][]string // by stream
}

// maxOTLP is how many items of a stream are kept.
const maxOTLP = 100_000

func (l *otlpLedger) add(stream string, names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.items == nil {
		l.items = map[string][]string{}
	}
	all := append(l.items[stream], names...)
	l.items[stream] = all[max(0, len(all)-maxOTLP):]
}

// OTLP returns what came by OTLP to a stream, in order: the bodies of log records that are
// texts, or the names of spans or metrics. Of more than 100,000 the oldest are no longer
// there.
func (s *Sandbox) OTLP(stream string) []string {
	s.otlp.mu.Lock()
	defer s.otlp.mu.Unlock()
	return slices.Clone(s.otlp.items[strings.ToLower(stream)])
}

// otlpOf is the signal that a request is about; nil: none.
func otlpOf(h Hop, r *http.Request) *otlpSignal {
	for _, signal := range otlpSignals() {
		if signal.hop == h && strings.HasSuffix(r.URL.Path, "/"+signal.path) {
			return &signal
		}
	}
	return nil
}

// serveOTLP takes a request of OTLP over HTTP, in protobuf only (unverified: JSON).
func (s *Sandbox) serveOTLP(w http.ResponseWriter, r *http.Request, signal *otlpSignal) {
	event := Event{Hop: signal.hop, Op: signal.path, Details: map[string]string{}}
	refusal := s.takeOTLP(r, signal, event.Details)
	if refusal == nil {
		w.Header().Set("Content-Type", "application/x-protobuf")
	}
	s.conclude(w, monitorDialect(), event, http.StatusOK, refusal)
}

func (s *Sandbox) takeOTLP(r *http.Request, signal *otlpSignal, details map[string]string) *telemetryError {
	g := gate{hop: signal.hop, rest: signal.path, requests: 12_000, bytes: 2_000_000_000}
	rule, name, refusal := g.pass(s, r, details)
	if refusal != nil {
		return refusal
	}
	if _, found := rule.Streams[name]; !found || strings.ToLower(name) != signal.stream {
		return rule.unknownStream(name)
	}
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/x-protobuf" {
		return refuse(http.StatusUnsupportedMediaType, "", "The content type must be application/x-protobuf.") // unverified
	}
	body, refusal := readWire(r)
	if refusal == nil && r.Header.Get("Content-Encoding") == "gzip" {
		body, refusal = unzip(body)
	}
	if refusal != nil {
		return refusal
	}
	items, err := signal.items(body)
	if err != nil {
		return refuse(http.StatusBadRequest, "", "%s", err.Error())
	}
	details["items"] = strconv.Itoa(len(items))
	s.otlp.add(signal.stream, items)
	return nil
}

// items are the names of what is in a request: resources (field 1), in each its scopes (2),
// in each its items (2) (opentelemetry-proto, collector services).
func (o *otlpSignal) items(message []byte) (names []string, err error) {
	err = each(message, 1, func(resource []byte) error {
		return each(resource, 2, func(scope []byte) error {
			return each(scope, 2, func(item []byte) error {
				name, err := o.nameOf(item)
				names = append(names, name)
				return err
			})
		})
	})
	return names, err
}

func (o *otlpSignal) nameOf(item []byte) (name string, err error) {
	err = each(item, o.name, func(value []byte) error {
		if !strings.HasSuffix(o.path, "logs") {
			name = string(value)
			return nil
		}
		return each(value, 1, func(text []byte) error { // AnyValue.string_value
			name = string(text)
			return nil
		})
	})
	return name, err
}

// each visits the fields with a number that have bytes.
func each(message []byte, number uint64, visit func([]byte) error) error {
	return eachField(message, func(f field) error {
		if f.number != number || f.kind != wireBytes {
			return nil
		}
		return visit(f.data)
	})
}
