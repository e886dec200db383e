package azuremonitorprometheusexporter

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/collector/internal/reply"
)

// kind is what becomes of a request.
type kind int

const (
	taken    kind = iota
	retried       // the same again, later
	tooLarge      // in smaller parts
	refused       // without what the receiver finds fault with
)

// The reasons for which samples are dropped.
const (
	reasonOutOfOrder = "out_of_order"
	reasonDuplicate  = "duplicate"
	reasonTooOld     = "too_old"
	reasonTooLarge   = "too_large"
	reasonRefused    = "refused"
)

// verdict is what a receiver's answer means.
type verdict struct {
	kind   kind
	reason string // of tooLarge and refused
	err    error  // nil: taken
	hint   string // of what a person must see to
}

const (
	maxAnswer  = 4 << 10 // bytes that are read of it
	maxMessage = 300     // bytes that are told of it
	// longest is how long a receiver is left alone at most, whatever it asks for.
	longest = 10 * time.Minute
)

// judge reads an answer. What a new token, another role or a correction at the receiver can
// mend is tried again for ever: a role of Azure takes up to half an hour to be in force.
func judge(answer *http.Response, now time.Time) verdict {
	if answer.StatusCode/100 == 2 {
		_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer) // so that the connection can be used again
		return verdict{kind: taken}
	}
	message := messageOf(answer.Body)
	err := fmt.Errorf("remote write: %d %s: %s", answer.StatusCode, http.StatusText(answer.StatusCode), message)
	switch status := answer.StatusCode; status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return verdict{kind: refused, reason: reasonOf(message), err: err}
	case http.StatusRequestEntityTooLarge:
		return verdict{kind: tooLarge, reason: reasonTooLarge, err: err}
	default:
		return verdict{kind: retried, err: throttled(err, min(reply.RetryAfter(answer.Header, now), longest)), hint: hintFor(status)}
	}
}

// hintFor says what to look at; nothing for what passes by itself.
func hintFor(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "is auth set, and is the identity's scope https://monitor.azure.com/.default? For Amazon mode must be sigv4, with the workspace's region"
	case status == http.StatusForbidden:
		return "the identity needs the role Monitoring Metrics Publisher on the data collection rule, which takes up to 30 minutes to be in force; at Amazon aps:RemoteWrite"
	case status == http.StatusNotFound:
		return "is dcr the immutable id of the workspace's rule, and endpoint that of its data collection endpoint, or the address of the workspace at Amazon?"
	case status == http.StatusUnsupportedMediaType:
		return "the receiver does not take remote write 1.0"
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		return ""
	}
	return "is the address the one of remote write?"
}

// hintOf is what keyless says of an identity that cannot be had, or that must not go there.
func hintOf(err error) string {
	var e *keyless.Error
	if !errors.As(err, &e) || e.Temporary {
		return ""
	}
	return e.Hint
}

// reasonOf classifies the words of Prometheus ("out of order sample", "duplicate sample for
// timestamp", "out of bounds") and of Mimir, which Amazon has ("err-mimir-sample-out-of-order",
// "err-mimir-sample-duplicate-timestamp", "err-mimir-sample-timestamp-too-old"); those of
// Azure Monitor are unverified.
func reasonOf(message string) string {
	text := strings.ReplaceAll(strings.ToLower(message), "-", " ")
	for _, known := range []struct{ words, reason string }{
		{"out of order", reasonOutOfOrder},
		{"duplicate", reasonDuplicate},
		{"too old", reasonTooOld},
		{"out of bounds", reasonTooOld},
		{"too far in the past", reasonTooOld},
	} {
		if strings.Contains(text, known.words) {
			return known.reason
		}
	}
	return reasonRefused
}

// messageOf is the beginning of what a receiver says, on one line: Azure's error, Amazon's
// message, or the text that Prometheus and Mimir send.
func messageOf(body io.Reader) string {
	data, _ := io.ReadAll(io.LimitReader(body, maxAnswer)) // what has come will do
	var known struct {
		Message string
		Error   struct{ Code, Message string }
	}
	text := string(data)
	if json.Unmarshal(data, &known) == nil {
		switch {
		case known.Error.Code != "":
			text = known.Error.Code + ": " + known.Error.Message
		case known.Message != "":
			text = known.Message
		}
	}
	return reply.Printable(strings.TrimSpace(text), maxMessage)
}
