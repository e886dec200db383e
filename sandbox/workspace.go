package sandbox

import "net/http"

// serveWorkspace is the remote-write endpoint of an Azure Monitor workspace ("Connect
// self-managed Prometheus to Azure Monitor managed service for Prometheus"). That it
// takes remote write 2.0 is unverified.
func (s *Sandbox) serveWorkspace(w http.ResponseWriter, r *http.Request) {
	if signal := otlpOf(Workspace, r); signal != nil {
		s.serveOTLP(w, r, signal)
		return
	}
	event := Event{Hop: Workspace, Op: "write", Details: map[string]string{}}
	done, refusal := s.writeWorkspace(r, event.Details)
	done.announce(w.Header())
	s.conclude(w, monitorDialect(), event, http.StatusNoContent, refusal) // unverified: 204 or 200
}

func (s *Sandbox) writeWorkspace(r *http.Request, details map[string]string) (written, *telemetryError) {
	g := metricsGate()
	rule, name, refusal := g.pass(s, r, details)
	if refusal != nil {
		return written{}, refusal
	}
	if _, found := rule.Streams[name]; !found || name != MetricsStream {
		return written{}, rule.unknownStream(name)
	}
	body, refusal := readWire(r)
	if refusal != nil {
		return written{}, refusal
	}
	return s.takeWrite(r, body, details, func(size int) *telemetryError { return g.admit(rule, size, s.now(Workspace)) })
}
