package sandbox

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// forward hands a write as it came to the Prometheus of the options, whose refusal is
// the sandbox's own. One that knows version 1.0 only takes 2.0 for an empty write and
// says nothing about what it has written.
func (s *Sandbox) forward(r *http.Request, body []byte, v2 bool) *telemetryError {
	if s.options.Forward == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), fetchTimeout)
	defer cancel()
	out, err := http.NewRequestWithContext(ctx, http.MethodPost, s.options.Forward, bytes.NewReader(body))
	if err != nil {
		return refuse(http.StatusInternalServerError, "", "The address of Prometheus is no address.")
	}
	for _, name := range []string{"Content-Type", "Content-Encoding", "User-Agent", "X-Prometheus-Remote-Write-Version"} { // and no credentials
		out.Header.Set(name, r.Header.Get(name))
	}
	response, err := s.outside.RoundTrip(out)
	if err != nil {
		return refuse(http.StatusServiceUnavailable, "", "Prometheus cannot be reached.")
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
	switch {
	case response.StatusCode/100 != 2:
		return refuse(response.StatusCode, "", "Prometheus: %s", printable(string(text)))
	case v2 && response.Header.Get("X-Prometheus-Remote-Write-Samples-Written") == "":
		return refuse(http.StatusUnsupportedMediaType, "", "Prometheus takes remote write 1.0 only.")
	}
	return nil
}
