package azurelogsingestionexporter

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyless-id/keyless"
)

func TestEveryAnswerHasAVerdict(t *testing.T) {
	for _, row := range []struct {
		status        int
		code, message string
		want          verdict
		hint          string
	}{
		{200, "", "", accepted, ""},
		{202, "", "", accepted, ""},
		{204, "", "", accepted, ""},
		{307, "", "", heldRule, ""},
		{400, "ContentDeserializationError", "x", malformed, ""},
		{400, "Other", "The JSON is Malformed.", malformed, ""},
		{400, "RecordsTimeRangeIsMoreThan30Minutes", "x", tooWide, ""},
		{400, "InvalidStream", "x", heldStream, "stream"},
		{400, "InvalidApiVersion", "x", heldStream, "api version"},
		{400, "ReadyBody_ClientConnectionAbort", "x", retry, ""},
		{400, "", "", heldStream, "stream"},
		{401, "InvalidAuthenticationToken", "x", heldRule, "audience"},
		{403, "OperationFailed", "x", heldRule, "30 minutes"},
		{404, "NotFound", "x", heldRule, "immutable id"},
		{408, "", "", retry, ""},
		{413, "ContentLengthLimitExceeded", "x", tooLarge, ""},
		{415, "", "", heldRule, ""},
		{429, "TooManyRequests", "x", throttled, ""},
		{500, "", "", retry, ""},
		{503, "", "", retry, ""},
	} {
		a := &answer{status: row.status, code: row.code, message: row.message}
		if got := a.judge(); got != row.want {
			t.Errorf("%d %s: got %d, want %d", row.status, row.code, got, row.want)
		}
		err := a.explain(destination{ruleOne, tableX})
		var e *keyless.Error
		if !errors.As(err, &e) || !e.Temporary || e.Hop != keyless.HopDelivery || !strings.Contains(err.Error(), row.hint) || (row.hint == "") != (e.Hint == "") {
			t.Errorf("%d: %v", row.status, err)
		}
	}
	if got := (&answer{err: io.EOF}).judge(); got != retry {
		t.Errorf("no answer: got %d", got)
	}
}

func TestAnAnswerIsReadWithCare(t *testing.T) {
	read := func(status int, body string) *answer {
		return readAnswer(&http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))})
	}
	a := read(400, `{"error":{"code":"A\nB","message":"`+strings.Repeat("x", 5000)+`"}}`)
	if a.code != "A B" || len(a.message) != 1000 {
		t.Errorf("%q, %d bytes", a.code, len(a.message))
	}
	for _, body := range []string{"", "<html>", `[]`, `{"error":"x"}`, strings.Repeat("{", 1<<20)} {
		if a := read(502, body); a.name() != "502" || a.err != nil {
			t.Errorf("%.20s: %+v", body, a)
		}
	}
}

func TestACeilingIsFoundAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &ceiling{max: serviceRequestBytes}
		limit := 300_000
		refused := 0
		try := func() {
			if size := c.get(); size > limit {
				c.refuse(size)
				c.accept(size / 2 * min(1, limit*2/size)) // half of it, if that fits
				refused++
			} else {
				c.accept(size)
			}
		}
		for range 30 {
			try()
		}
		if got := c.get(); got > limit || got < limit*9/10 || refused > 10 {
			t.Errorf("got %d of %d after %d refusals", got, limit, refused)
		}
		limit = serviceRequestBytes
		for range 20 * probeRequests {
			time.Sleep(30 * time.Second)
			try()
		}
		if got := c.get(); got != serviceRequestBytes {
			t.Errorf("got %d after the limit was gone", got)
		}
		limit = 50_000 // lower than what was accepted before
		for range 30 {
			try()
		}
		if got := c.get(); got > limit {
			t.Errorf("got %d of %d", got, limit)
		}
	})
}

func TestAGateLetsSoManyThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{max: 4}
		most, now := 0, 0
		var mu sync.Mutex
		for range 20 {
			go func() {
				if open, err := g.enter(t.Context()); err != nil || !open {
					t.Errorf("%v, %v", open, err)
				}
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				now--
				mu.Unlock()
				g.leave()
			}()
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if most != 4 {
			t.Errorf("%d at once", most)
		}
		g.narrow()
		if g.places() != 2 {
			t.Errorf("%d places after one refusal", g.places())
		}
		for range 100 {
			g.widen()
		}
		if g.places() != 4 {
			t.Errorf("%d places in the end", g.places())
		}
		g.close(time.Minute)
		if open, err := g.enter(t.Context()); open || err != nil {
			t.Errorf("closed: %v, %v", open, err)
		}
		time.Sleep(time.Minute)
		if open, err := g.enter(t.Context()); !open || err != nil {
			t.Errorf("open again: %v, %v", open, err)
		}
	})
}
