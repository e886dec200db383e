package azhost

import (
	"errors"
	"net/http"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
)

// CodeAbsent says that nobody answers where the host's identity endpoint is to be.
const CodeAbsent = "NoMetadataService"

const codeGone = "HTTP 410"

// The service is tried again for so long, counted from the first try, inside the
// caller's context. A longer wait is for the cache in front, which keeps on
// handing out its token meanwhile.
const (
	absentBudget = 400 * time.Millisecond
	goneBudget   = 70 * time.Second // the service says 410 while it is updated, at most so long
	busyBudget   = 20 * time.Second
)

// backoff has more tries than any budget lets happen.
func backoff() wire.Backoff {
	return wire.Backoff{Tries: 20, First: 500 * time.Millisecond, Max: 8 * time.Second}
}

// judge follows "Retry guidance" of "How to use managed identities … to acquire
// an access token": 404, 410, 429 and 5xx are tried again, other 4xx are not.
func judge(err error, elapsed time.Duration) wire.Verdict {
	var e *keyless.Error
	if !errors.As(err, &e) || !e.Temporary {
		return wire.Verdict{}
	}
	budget := busyBudget
	switch e.Code {
	case CodeAbsent:
		budget = absentBudget
	case codeGone:
		budget = goneBudget
	}
	return wire.Verdict{Again: elapsed+e.RetryAfter < budget, After: e.RetryAfter}
}

// imdsRefusal adds what a refusal by IMDS, or by an agent that speaks like it,
// means.
func imdsRefusal(e *keyless.Error, answer *wire.Answer, _ []string) {
	if own := hint(answer.Status, strings.ToLower(e.Code+" "+e.Message)); own != "" && !strings.HasPrefix(e.Code, "AADSTS") {
		e.Hint = own
	}
	switch answer.Status {
	case http.StatusGone:
		e.Code, e.Temporary = codeGone, true
	case http.StatusNotFound:
		e.Temporary = true
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusBadRequest:
		e.Temporary = false
	}
}

// hint is for the answers that people meet. IMDS gives them no codes of their own.
func hint(status int, text string) string {
	switch {
	case strings.Contains(text, "identity not found"):
		return "the machine has no such identity; assign one to it (az vm identity assign), or correct client_id, object_id or resource_id"
	case strings.Contains(text, "multiple user assigned identities"):
		return "the machine has several user-assigned identities and no system-assigned one; choose with client_id, object_id or resource_id"
	case strings.Contains(text, "invalid_resource"):
		return "no application in this tenant has this App ID URI; check the audience, character by character"
	case strings.Contains(text, "metadata header"):
		return "something between here and the service drops the Metadata header; the service must be asked directly"
	case status == http.StatusForbidden && strings.Contains(text, "unreachable"):
		return "this is Docker Desktop's network, which has no instance metadata service; choose another source"
	case status == http.StatusForbidden:
		return "the service refuses this caller; is it asked through a proxy, or does a firewall on the machine guard it?"
	case status == http.StatusTooManyRequests:
		return "the service limits requests for the whole machine; share one token by the cache or the daemon"
	case status == http.StatusNotFound || status == http.StatusGone:
		return "the service is being updated, or the address is not an instance metadata service's"
	}
	return ""
}
