package authproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
	"github.com/keyless-id/keyless/transport"
)

// say answers itself. A wait is in seconds at least, and zero if trying again is of no use.
func (x *exchange) say(status int, wait time.Duration, why string) {
	header := x.w.Header()
	header.Set(markOwn, "1")
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	if wait > 0 {
		header.Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	}
	x.Status = status
	x.w.WriteHeader(status)
	_, _ = io.WriteString(x.w, "keyless: "+why+"\n") // who has gone needs no answer
}

// explain answers a request that got no answer. Ended is why its context was over, if it was.
func (x *exchange) explain(ended, err error) {
	fault := x.body.failed()
	var long *transport.TooLongError
	switch {
	case errors.As(err, &long):
		x.say(http.StatusRequestEntityTooLarge, 0, tooLong(long.Limit))
	case errors.Is(fault, errTooLong):
		x.say(http.StatusRequestEntityTooLarge, 0, tooLong(x.route.maxBody()))
	case fault != nil && !errors.Is(fault, os.ErrDeadlineExceeded):
		x.say(http.StatusBadRequest, 0, "the request's body broke off")
	case errors.Is(ended, context.Canceled):
		x.Status = statusGone
		panic(http.ErrAbortHandler) // nobody is there, and nothing may look like a success
	default:
		x.unanswered(ended, err)
	}
}

// unanswered asks the client to keep its data: whatever is wrong here is not wrong with them.
func (x *exchange) unanswered(ended, err error) {
	why, wait := "the upstream cannot be reached: "+wire.Quote(err.Error()), between(5, 30)
	var own *keyless.Error
	switch {
	case ended != nil:
		why = fmt.Sprintf("no answer of the upstream within %s", x.route.timeout())
	case errors.As(err, &own):
		why = own.Error()
		if own.Hint != "" {
			why += " (hint: " + own.Hint + ")"
		}
		if own.RetryAfter > 0 {
			wait = min(own.RetryAfter, maxWait)
		}
	}
	x.route.health.failed(x.proxy.log(), x.route.Name, 0, why)
	x.say(http.StatusServiceUnavailable, wait, why)
}

func tooLong(limit int64) string {
	return fmt.Sprintf("the body is longer than the %d bytes that the route takes", limit)
}

// between is a wait of so many seconds, spread so that not all come back at once.
func between(low, high int) time.Duration {
	return time.Duration(low)*time.Second + rand.N(time.Duration(high-low)*time.Second+1) //nolint:gosec // jitter is no secret
}

// handBack gives the client the upstream's answer, or what is made of it.
func (x *exchange) handBack(answer *http.Response) {
	switch {
	case transport.Own(answer):
		x.Upstream = http.StatusUnauthorized
		x.w.Header().Set(markOwn, "1")
	case answer.StatusCode == http.StatusSwitchingProtocols:
		x.Upstream = answer.StatusCode
		x.say(http.StatusBadGateway, 0, "the upstream wants to speak another protocol, for which nobody asked")
		return
	default:
		x.Upstream = answer.StatusCode
		if wait, mapped := x.route.judge(answer); mapped {
			x.hold(answer, wait)
			return
		}
		x.route.health.note(x.proxy.log(), x.route.Name, answer.StatusCode)
	}
	x.copy(answer)
}

// hold makes a 503 of an answer on which the client would throw its data away.
func (x *exchange) hold(answer *http.Response, wait time.Duration) {
	why := answered(answer.StatusCode)
	if reason := reason(answer); reason != "" {
		why += ": " + reason
	}
	x.route.health.failed(x.proxy.log(), x.route.Name, answer.StatusCode, why)
	x.say(http.StatusServiceUnavailable, wait, why)
}

// maxReason is how much of a refusal is read for its reason, in bytes, and maxDrain how much
// besides, so that the connection can be used again.
const (
	maxReason = 4 << 10
	maxDrain  = 64 << 10
)

// reason is the beginning of what the upstream said, fit to print; empty if it is
// compressed.
func reason(answer *http.Response) string {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxReason)) // what came is the reason as far as it is known
	_, _ = io.CopyN(io.Discard, answer.Body, maxDrain)
	if answer.Header.Get("Content-Encoding") != "" {
		return ""
	}
	return wire.Quote(string(text))
}

type chunk [32 << 10]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }} //nolint:gochecknoglobals // a pool for the process

// copy hands the answer over as it is. If it breaks off so does the client's connection: a
// part must not look like the whole.
func (x *exchange) copy(answer *http.Response) {
	incoming(x.w.Header(), answer.Header)
	x.Status = answer.StatusCode
	x.w.WriteHeader(answer.StatusCode)
	if answer.ContentLength == 0 || answer.Body == http.NoBody {
		return
	}
	buffer := chunks.Get().(*chunk)
	defer chunks.Put(buffer)
	for {
		n, err := answer.Body.Read(buffer[:])
		if n > 0 && !x.write(buffer[:n], answer.ContentLength < 0) || err != nil && err != io.EOF {
			panic(http.ErrAbortHandler)
		}
		if err == io.EOF {
			return
		}
	}
}

// write gives the client a part of the answer; each part of a stream may be waited for.
func (x *exchange) write(part []byte, stream bool) bool {
	n, err := x.w.Write(part)
	x.Received += int64(n)
	if err == nil && stream {
		err = http.NewResponseController(x.w).Flush()
	}
	return err == nil
}
