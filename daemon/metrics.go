package daemon

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/keyless-id/keyless/authproxy"
)

// meters count what the daemon does. Names of profiles are labels, and nothing that a
// client sends is.
type meters struct {
	set     *metrics.Set
	version string
	sent    sync.Map // counters of proxies, by what they count
}

// sending is what one set of a proxy's counters counts.
type sending struct {
	route            string
	status, upstream int
}

// sent are the counters of one kind of outcome.
type sent struct {
	requests, bytes *metrics.Counter
	took            *metrics.Histogram
}

// proxied counts what a proxy has sent on.
func (m *meters) proxied(o authproxy.Outcome) {
	key := sending{o.Route, o.Status, o.Upstream}
	found, ok := m.sent.Load(key)
	if !ok {
		labels := fmt.Sprintf("route=%q,code=\"%d\",upstream=\"%d\"", o.Route, o.Status, o.Upstream)
		found, _ = m.sent.LoadOrStore(key, &sent{
			m.set.GetOrCreateCounter("keyless_proxy_requests_total{" + labels + "}"),
			m.set.GetOrCreateCounter(fmt.Sprintf("keyless_proxy_sent_bytes_total{route=%q}", o.Route)),
			m.set.GetOrCreateHistogram(fmt.Sprintf("keyless_proxy_duration_seconds{route=%q}", o.Route)),
		})
	}
	counters := found.(*sent)
	counters.requests.Inc()
	counters.bytes.Add(int(o.Sent))
	counters.took.Update(o.Took.Seconds())
}

func newMeters(version string) *meters { return &meters{set: metrics.NewSet(), version: version} }

// counted counts the answers of a handler by their codes.
func (m *meters) counted(endpoint string, next http.Handler) http.Handler {
	var counters sync.Map // by code: looking one up by name costs more than the answer
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		noted := noting{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(&noted, r)
		counter, ok := counters.Load(noted.code)
		if !ok {
			counter, _ = counters.LoadOrStore(noted.code, m.set.GetOrCreateCounter(
				fmt.Sprintf("keyless_requests_total{endpoint=%q,code=\"%d\"}", endpoint, noted.code)))
		}
		counter.(*metrics.Counter).Inc()
	})
}

// noting remembers the code of an answer.
type noting struct {
	http.ResponseWriter
	code int
}

func (n *noting) WriteHeader(code int) {
	n.code = code
	n.ResponseWriter.WriteHeader(code)
}

// of writes what is counted, and how the profiles of a generation are.
func (m *meters) of(g *generation) func(io.Writer) {
	return func(w io.Writer) {
		m.set.WritePrometheus(w)
		metrics.WriteGaugeUint64(w, "keyless_build_info{version="+strconv.Quote(m.version)+"}", 1)
		for _, name := range g.plan.order {
			g.keepers[name].measure(w)
		}
	}
}

func (k *keeper) measure(w io.Writer) {
	for _, what := range []kind{kindCredentials, kindToken, kindAssertion} {
		t := k.tried[what].tally()
		if t.good+t.bad == 0 {
			continue
		}
		labels := fmt.Sprintf("profile=%q,kind=%q", k.name, what)
		metrics.WriteCounterUint64(w, "keyless_refreshes_total{"+labels+`,outcome="ok"}`, uint64(t.good))    //nolint:gosec // a count
		metrics.WriteCounterUint64(w, "keyless_refreshes_total{"+labels+`,outcome="failed"}`, uint64(t.bad)) //nolint:gosec // a count
		metrics.WriteGaugeFloat64(w, "keyless_expiry_seconds{"+labels+"}", max(0, time.Until(t.expiry).Seconds()))
	}
	ready := uint64(1)
	if k.ready() != nil {
		ready = 0
	}
	metrics.WriteGaugeUint64(w, fmt.Sprintf("keyless_ready{profile=%q}", k.name), ready)
}
