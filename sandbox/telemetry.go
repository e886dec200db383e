package sandbox

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// telemetryError is a refusal of any of the receivers of logs and metrics.
type telemetryError struct {
	status     int
	code       string // empty: what the dialect calls the status
	message    string
	retryAfter time.Duration
}

func refuse(status int, code, format string, args ...any) *telemetryError {
	return &telemetryError{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// dialect is how a cloud words what the receivers have in common.
type dialect struct {
	codes map[int]string // of errors, by status
	write func(w http.ResponseWriter, e *telemetryError)
}

// monitorDialect is that of Azure Monitor; the codes of 401, 405, 415 and 5xx are
// unverified.
func monitorDialect() dialect {
	return dialect{map[int]string{
		http.StatusBadRequest: "ContentDeserializationError", http.StatusUnauthorized: "InvalidAuthenticationToken", http.StatusForbidden: "OperationFailed",
		http.StatusNotFound: "NotFound", http.StatusMethodNotAllowed: "MethodNotAllowed", http.StatusRequestEntityTooLarge: "ContentLengthLimitExceeded",
		http.StatusUnsupportedMediaType: "UnsupportedMediaType", http.StatusTooManyRequests: "TooManyRequests", http.StatusServiceUnavailable: "ServiceUnavailable",
	}, writeMonitorError}
}

func writeMonitorError(w http.ResponseWriter, e *telemetryError) {
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer authorization_uri="https://login.microsoftonline.com/"`) // unverified
	}
	writeJSON(w, e.status, map[string]any{"error": map[string]string{"code": e.code, "message": e.message}})
}

// ampDialect is that of "Common errors" and of RemoteWrite in the API reference of
// Amazon Managed Service for Prometheus; the codes of 405, 413 and 415 are unverified.
func ampDialect() dialect {
	return dialect{map[int]string{
		http.StatusBadRequest: "ValidationException", http.StatusForbidden: "AccessDeniedException", http.StatusNotFound: "ResourceNotFoundException",
		http.StatusMethodNotAllowed: "UnknownOperationException", http.StatusRequestEntityTooLarge: "RequestEntityTooLargeException",
		http.StatusUnsupportedMediaType: "UnsupportedMediaTypeException", http.StatusTooManyRequests: "ThrottlingException",
		http.StatusServiceUnavailable: "ServiceUnavailableException",
	}, writeAMPError}
}

func writeAMPError(w http.ResponseWriter, e *telemetryError) {
	w.Header().Set("X-Amzn-Errortype", e.code)
	writeJSON(w, e.status, map[string]string{"message": e.message})
}

// refuse sends an error and returns its code.
func (d dialect) refuse(w http.ResponseWriter, e *telemetryError) string {
	named := *e
	named.code = orText(named.code, orText(d.codes[named.status], "InternalServerError"))
	if named.retryAfter > 0 {
		setRetryAfter(w.Header(), named.retryAfter)
	}
	d.write(w, &named)
	return named.code
}

// fault makes an error of what a test asked for.
func (d dialect) fault(w http.ResponseWriter, f *Fault) {
	d.refuse(w, refuse(orStatus(f.Status, http.StatusInternalServerError), f.Code, "The request was refused."))
}

// conclude answers a request with the status of success or a refusal, and logs it.
func (s *Sandbox) conclude(w http.ResponseWriter, d dialect, event Event, status int, refusal *telemetryError) {
	event.Outcome = "ok"
	if refusal != nil {
		event.Outcome = d.refuse(w, refusal)
	} else {
		w.WriteHeader(status)
	}
	s.record(event)
}

// readWire takes what came over the wire; [Sandbox.Handler] sees to the limit, which is
// that of the Logs Ingestion API, and unverified for remote write.
func readWire(r *http.Request) ([]byte, *telemetryError) {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, refuse(http.StatusRequestEntityTooLarge, "",
			"Maximum allowed content length: %d bytes (1 MB). Provided content length: %d bytes.", maxRequest, max(r.ContentLength, maxRequest+1))
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "ReadyBody_ClientConnectionAbort", "The body ended early.")
	}
	return body, nil
}

// telemetryHop says which receiver of Azure Monitor, or Elastic Cloud, a host name belongs to.
func telemetryHop(host string) (Hop, bool) {
	for _, domain := range []string{".ingest.monitor.azure.com", ".ingest.monitor.azure.us", ".ingest.monitor.azure.cn"} {
		name, found := strings.CutSuffix(host, domain)
		switch {
		case found && strings.HasSuffix(name, ".metrics"):
			return Workspace, true
		case found:
			return DCE, true
		}
	}
	if name, found := strings.CutSuffix(host, ".elastic-cloud.com"); found && strings.Contains(name, ".es.") { // DEPLOYMENT.es.REGION.azure.…
		return Elasticsearch, true
	}
	return "", false
}

// ledgerPath begins the paths under which every receiver shows what it has taken. The
// real ones have no such paths.
const ledgerPath = "/sandbox/"

// isLedger reports whether a request wants to know what a receiver has taken. Such a
// request is not counted and meets no fault.
func isLedger(h Hop, r *http.Request) bool {
	return slices.Contains([]Hop{DCE, Workspace, AMP, Elasticsearch}, h) && strings.HasPrefix(r.URL.Path, ledgerPath)
}

// serveLedger answers GET /sandbox/rows/STREAM, GET /sandbox/series/METRIC and GET
// /sandbox/documents/INDEX, all as JSON arrays, to tests in any language.
func (s *Sandbox) serveLedger(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	kind, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, ledgerPath), "/")
	switch kind {
	case "rows":
		writeJSON(w, http.StatusOK, append([]map[string]any{}, s.Rows(name)...))
	case "series":
		writeJSON(w, http.StatusOK, append([]Series{}, s.Series(name)...))
	case "documents":
		writeJSON(w, http.StatusOK, append([]Document{}, s.Documents(name)...))
	default:
		http.NotFound(w, r)
	}
}
