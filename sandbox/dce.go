package sandbox

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// maxLogs is the limit of the Logs Ingestion API on what a body decompresses to; that of
// the wire is maxRequest.
const maxLogs = 50 << 20

// serveDCE is the Logs Ingestion API of a data collection endpoint ("Logs Ingestion
// API in Azure Monitor").
func (s *Sandbox) serveDCE(w http.ResponseWriter, r *http.Request) {
	if signal := otlpOf(DCE, r); signal != nil {
		s.serveOTLP(w, r, signal)
		return
	}
	event := Event{Hop: DCE, Op: "ingest", Details: map[string]string{}}
	refusal := s.ingest(r, event.Details)
	s.conclude(w, monitorDialect(), event, http.StatusNoContent, refusal)
}

func (s *Sandbox) ingest(r *http.Request, details map[string]string) *telemetryError {
	g := logsGate()
	rule, name, refusal := g.pass(s, r, details)
	if refusal != nil {
		return refusal
	}
	stream, found := rule.Streams[name]
	if !found || name == MetricsStream {
		return rule.unknownStream(name)
	}
	body, refusal := readLogs(r)
	if refusal != nil {
		return refusal
	}
	if refusal := g.admit(rule, len(body), s.now(DCE)); refusal != nil {
		return refusal
	}
	b, refusal := stream.read(body, s.now(DCE))
	if refusal != nil {
		return refusal
	}
	details["rows"] = strconv.Itoa(b.count)
	s.rows.add(name, b)
	return nil
}

// readLogs unpacks a body, and stops where the limit is.
func readLogs(r *http.Request) ([]byte, *telemetryError) {
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(kind), "application/json") {
		return nil, refuse(http.StatusUnsupportedMediaType, "", "The content type must be application/json.") // unverified
	}
	body, refusal := readWire(r)
	if refusal != nil {
		return nil, refusal
	}
	switch strings.ToLower(r.Header.Get("Content-Encoding")) {
	case "":
		return body, nil
	case "gzip":
		return unzip(body)
	}
	return nil, refuse(http.StatusUnsupportedMediaType, "", "The only content encoding is gzip.") // unverified
}

func unzip(packed []byte) ([]byte, *telemetryError) {
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, notRows("The body is not gzip.")
	}
	body, err := io.ReadAll(io.LimitReader(reader, maxLogs+1))
	switch {
	case len(body) > maxLogs: // the status is unverified
		return nil, refuse(http.StatusRequestEntityTooLarge, "PayloadSizeLimitExceeded", "Maximum allowed uncompressed size: %d bytes.", maxLogs)
	case err != nil:
		return nil, notRows("The body is not gzip.")
	}
	return body, nil
}

func notRows(message string) *telemetryError {
	return refuse(http.StatusBadRequest, "ContentDeserializationError", "%s", message)
}
