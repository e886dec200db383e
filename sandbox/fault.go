package sandbox

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Fault makes a far side misbehave. Fields combine: a Delay comes first, then
// Reset, or Body, or an error made of Status and Code, or Truncate; with only a
// Delay the request is served late.
type Fault struct {
	Delay      time.Duration // ends early when the client leaves
	Reset      bool          // the connection is reset without an answer
	Status     int           // the HTTP status of the error, or of Body
	Code       string        // AADSTS… on Entra, an AWS error code on STS, IAM and S3
	Body       string        // sent as it is, with 200 unless Status says otherwise
	RetryAfter time.Duration // the Retry-After header, in whole seconds
	Truncate   bool          // the real answer, cut off in the middle of the body; one without a body is lost by a reset
	Times      int           // how many requests meet the fault; 0: all until cleared
	For        time.Duration // how long it lasts from SetFault on; 0: until cleared
	Region     string        // only requests for this region, on CloudWatch, EC2API and Tagging; empty: all
}

// SetFault breaks a far side; it replaces an earlier fault of the same hop and
// region.
func (s *Sandbox) SetFault(h Hop, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.hop(h.in(f.Region))
	state.fault, state.faultEnd = &f, s.options.Now().Add(f.For)
}

// ClearFaults mends all far sides.
func (s *Sandbox) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, state := range s.hops {
		state.fault = nil
	}
}

// takeFault returns a copy of the fault and counts its Times down.
func (h *hopState) takeFault(now time.Time) *Fault {
	if h.fault == nil || h.fault.For > 0 && !now.Before(h.faultEnd) {
		return nil
	}
	fault := *h.fault
	switch h.fault.Times {
	case 0:
	case 1:
		h.fault = nil
	default:
		h.fault.Times--
	}
	return &fault
}

func (s *Sandbox) play(f *Fault, h Hop, serve http.HandlerFunc, w http.ResponseWriter, r *http.Request) {
	s.record(Event{Hop: h, Op: "fault", Outcome: f.String()})
	if !wait(r, f.Delay) {
		panic(http.ErrAbortHandler) // nobody is there to be answered
	}
	if f.RetryAfter > 0 {
		setRetryAfter(w.Header(), f.RetryAfter)
	}
	switch {
	case f.Reset:
		reset(w)
	case f.Body != "":
		writeBody(w, orStatus(f.Status, http.StatusOK), "text/html; charset=utf-8", []byte(f.Body))
	case f.Status != 0 || f.Code != "":
		s.writeFault(h, f, w, r)
	case f.Truncate:
		truncate(serve, w, r)
	default:
		serve(w, r)
	}
}

// setRetryAfter writes whole seconds, rounded up.
func setRetryAfter(h http.Header, d time.Duration) {
	h.Set("Retry-After", fmt.Sprint(int((d+time.Second-1)/time.Second)))
}

// String names the fault in the log.
func (f *Fault) String() string {
	switch {
	case f.Reset:
		return "reset"
	case f.Body != "":
		return "garbage"
	case f.Code != "":
		return f.Code
	case f.Status != 0:
		return fmt.Sprint(f.Status)
	case f.Truncate:
		return "truncated"
	}
	return "delayed"
}

// writeFault sends an error in the dialect of the hop.
func (s *Sandbox) writeFault(h Hop, f *Fault, w http.ResponseWriter, r *http.Request) {
	switch h {
	case Entra, Keys:
		s.writeEntraError(w, r, entraFault(f))
	case Pipelines:
		writeTFSError(w, pipelinesFault(f))
	case IMDS, Arc:
		writeIMDSFault(w, f)
	case EC2:
		writeEC2Error(w, orStatus(f.Status, http.StatusInternalServerError))
	case Container:
		writeContainerError(w, orStatus(f.Status, http.StatusInternalServerError), f.Code, "The request was refused.")
	case AppService:
		writeAppServiceFault(w, f)
	case STS:
		writeSTSError(w, stsFault(f))
	case IAM:
		writeIAMError(w, iamFault(f))
	case Graph:
		graphFault(w, f)
	case ARM:
		armFault(w, f)
	case S3:
		writeS3Error(w, r, s3Fault(f))
	case DCE, Workspace:
		monitorDialect().fault(w, f)
	case Elasticsearch:
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		elasticDialect().fault(w, f)
	case AMP:
		ampDialect().fault(w, f)
	case CloudWatch:
		cloudWatchProtocol(r).refuse(w, apiFault(f, cloudWatchThrottled()))
	case EC2API:
		ec2Protocol{}.refuse(w, apiFault(f, ec2Throttled()))
	case Tagging:
		taggingProtocol().refuse(w, apiFault(f, taggingThrottled()))
	}
}

// wait returns false when the client leaves before the time is over.
func wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return r.Context().Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// reset closes a TCP connection so that the client sees a reset and not an
// orderly end. In process there is no connection: RoundTrip makes the error.
func reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		raw := conn
		if t, ok := conn.(*tls.Conn); ok {
			raw = t.NetConn()
		}
		if tcp, ok := raw.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = raw.Close()
		return
	}
	panic(http.ErrAbortHandler)
}

// truncate serves the request and sends the first half of the answer, framed so
// that only a reader of the content can notice. Of an answer that has no content the
// client learns nothing at all, although what it asked for was done.
func truncate(serve http.HandlerFunc, w http.ResponseWriter, r *http.Request) {
	full := newRecorder()
	serve(full, r)
	for name, values := range full.header {
		w.Header()[name] = values
	}
	body := full.body.Bytes()
	if len(body) == 0 {
		reset(w)
		return
	}
	writeBody(w, full.status, full.header.Get("Content-Type"), body[:len(body)/2])
}

func orStatus(status, fallback int) int {
	if status == 0 {
		return fallback
	}
	return status
}

// recorder is the ResponseWriter of answers that stay in the process.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{header: http.Header{}, status: http.StatusOK} }

// Header is part of http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader is part of http.ResponseWriter.
func (r *recorder) WriteHeader(status int) { r.status = status }

// Write is part of http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
