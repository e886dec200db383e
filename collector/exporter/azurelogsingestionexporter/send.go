package azurelogsingestionexporter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/collector/internal/reply"
)

// sender speaks the Logs Ingestion API ("Logs Ingestion API in Azure Monitor").
type sender struct {
	client   *http.Client
	endpoint string
	version  string
}

// answer is what the endpoint says to a request.
type answer struct {
	status        int
	code, message string
	retryAfter    time.Duration
	err           error // there was none
}

func (a *answer) accepted() bool { return a.err == nil && a.status >= 200 && a.status < 300 }

// name is the code of the answer, and something like it for the others.
func (a *answer) name() string {
	switch {
	case a.err != nil:
		return "Unreachable"
	case a.code != "":
		return a.code
	}
	return strconv.Itoa(a.status)
}

func (s *sender) address(to destination) string {
	return strings.TrimSuffix(s.endpoint, "/") + "/dataCollectionRules/" + to.dcr + "/streams/" + to.stream + "?api-version=" + url.QueryEscape(s.version)
}

func (s *sender) send(ctx context.Context, to destination, b *body) *answer {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.address(to), bytes.NewReader(b.wire))
	if err != nil {
		return &answer{err: err}
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Encoding", "gzip")
	r.Header.Set("X-Ms-Client-Request-Id", b.requestID())
	response, err := s.client.Do(r)
	if err != nil {
		return &answer{err: err}
	}
	defer response.Body.Close()
	return readAnswer(response)
}

// maxAnswer is more than an error of the service has.
const maxAnswer = 64 << 10

func readAnswer(response *http.Response) *answer {
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	a := &answer{status: response.StatusCode, retryAfter: reply.RetryAfter(response.Header, time.Now())}
	if err != nil && !a.accepted() {
		return &answer{err: err}
	}
	var said struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(text, &said) == nil {
		a.code, a.message = reply.Printable(said.Error.Code, 100), reply.Printable(said.Error.Message, 1000)
	}
	return a
}

// verdict is what follows from an answer.
type verdict int

const (
	accepted  verdict = iota
	retry             // it may be better next time
	throttled         // the rule wants to be left alone
	heldRule          // nothing gets through to the rule until somebody has done something
	heldStream
	tooLarge  // split it
	tooWide   // split it by time
	malformed // split it, and keep the row
)

// judge reads an answer. Of 400 only those are the rows' fault that are known to be; every
// other is one of the configuration, and nothing is lost while it is mended.
func (a *answer) judge() verdict {
	switch {
	case a.accepted():
		return accepted
	case a.err != nil || a.status == http.StatusRequestTimeout || a.status >= 500:
		return retry
	case a.status == http.StatusTooManyRequests:
		return throttled
	case a.status == http.StatusRequestEntityTooLarge:
		return tooLarge
	case a.status == http.StatusBadRequest:
		return a.judgeBadRequest()
	}
	return heldRule
}

func (a *answer) judgeBadRequest() verdict {
	switch {
	case a.code == "RecordsTimeRangeIsMoreThan30Minutes":
		return tooWide
	case a.code == "ContentDeserializationError", strings.Contains(strings.ToLower(a.message), "malformed"):
		return malformed
	case strings.HasPrefix(a.code, "ReadyBody_"), a.code == "TimeoutExpired":
		return retry
	}
	return heldStream
}

// explain makes the one error of an answer: what was said, and what to do about it.
func (a *answer) explain(to destination) error {
	e := &keyless.Error{
		Hop: keyless.HopDelivery, Op: fmt.Sprintf("ingest into %s of %s", to.stream, to.dcr), Code: a.name(),
		Message: a.message, Hint: a.hint(), Temporary: true, RetryAfter: a.retryAfter, Err: a.err,
	}
	if e.Message == "" && a.err == nil {
		e.Message = http.StatusText(a.status)
	}
	if e.Hint == "" {
		return e
	}
	return fmt.Errorf("%w (%s)", e, e.Hint)
}

func (a *answer) hint() string {
	switch {
	case a.err != nil || a.accepted():
		return ""
	case a.status == http.StatusUnauthorized:
		return "look at the audience of the token, which must be that of Azure Monitor in this cloud"
	case a.status == http.StatusForbidden:
		return "give the identity the role Monitoring Metrics Publisher on the data collection rule; it takes up to 30 minutes to work"
	case a.status == http.StatusNotFound:
		return "look at the immutable id of the data collection rule, and at the region of the endpoint"
	case a.judge() == heldStream:
		return "look at the stream and the api version in the configuration; rows are kept until they are right"
	}
	return ""
}
