package authproxy_test

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/authproxy"
)

func seconds(t *testing.T, r reply) int {
	t.Helper()
	n, err := strconv.Atoi(r.header.Get("Retry-After"))
	if err != nil {
		t.Errorf("Retry-After: %v", err)
	}
	return n
}

func TestWhatAnAgentWouldDropIsHeldBackUnlessPassed(t *testing.T) {
	const said = `{"error":{"code":"X","message":"why, eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln"}}`
	for status := 200; status < 600; status++ {
		said := said
		if status == http.StatusNoContent || status == http.StatusNotModified {
			said = ""
		}
		for _, pass := range [][]int{nil, {401, 403, 408, 429}} {
			p, route := offline(t, func(*http.Request) (*http.Response, error) { return answerOf(status, said, "X-Theirs", "1"), nil })
			route.Pass = pass
			got := ask(t, p, "/write")
			held := pass == nil && slices.Contains([]int{401, 403, 408, 429}, status)
			switch {
			case held && (got.status != 503 || !got.own() || seconds(t, got) < 5 || seconds(t, got) > 30 || got.header.Get("X-Theirs") != ""):
				t.Errorf("%d: %+v", status, got)
			case held && (!strings.Contains(got.body, strconv.Itoa(status)) || !strings.Contains(got.body, "why, [redacted]")):
				t.Errorf("%d: %q does not say why", status, got.body)
			case !held && (got.status != status || got.own() || got.body != said || got.header.Get("X-Theirs") != "1" || got.header.Get("Retry-After") != ""):
				t.Errorf("%d, passing %v: %+v", status, pass, got)
			}
		}
	}
}

func TestTheUpstreamSaysHowLongToWait(t *testing.T) {
	const date = "Sat, 21 Nov 2026 10:00:00 GMT"
	for asked, want := range map[string][2]int{
		"7": {7, 7}, "299": {299, 299}, "301": {300, 300}, "999999999": {300, 300}, "99999999999999999999": {10, 30},
		"Sat, 21 Nov 2026 10:00:40 GMT": {40, 40}, "Sat, 21 Nov 2026 12:00:00 GMT": {300, 300},
		"Sat, 21 Nov 2026 09:00:00 GMT": {10, 30}, "": {10, 30}, "0": {10, 30}, "-1": {10, 30}, "soon": {10, 30},
	} {
		p, _ := offline(t, func(*http.Request) (*http.Response, error) {
			return answerOf(http.StatusTooManyRequests, "", "Retry-After", asked, "Date", date), nil
		})
		if got := seconds(t, ask(t, p, "/write")); got < want[0] || got > want[1] {
			t.Errorf("%q: %d, want %v", asked, got, want)
		}
	}
	p, _ := offline(t, func(*http.Request) (*http.Response, error) {
		return answerOf(http.StatusServiceUnavailable, "", "Retry-After", "86400"), nil
	})
	if got := ask(t, p, "/write"); got.own() || got.header.Get("Retry-After") != "86400" {
		t.Errorf("a 503 of the upstream's own: %+v", got)
	}
}

func TestNotAllAreToldToComeBackAtOnce(t *testing.T) {
	p, _ := offline(t, func(*http.Request) (*http.Response, error) { return nil, errors.New("down") })
	different := map[int]bool{}
	for range 50 {
		different[seconds(t, ask(t, p, "/write"))] = true
	}
	if len(different) < 5 {
		t.Errorf("waits: %v", different)
	}
}

// step is a moment, what the upstream says then, and what the client gets.
type step struct {
	at         time.Duration
	says, gets int
}

func TestAForbiddenIsHeldBackWhileARoleMayPropagate(t *testing.T) {
	const m = time.Minute
	for name, c := range map[string]struct {
		forbiddenFor time.Duration
		pass         []int
		steps        []step
	}{
		"a row from the start":        {0, nil, []step{{0, 403, 503}, {m, 403, 503}, {35*m - 1, 403, 503}, {35 * m, 403, 403}, {100 * m, 403, 403}}},
		"the row starts late":         {0, nil, []step{{0, 200, 200}, {60 * m, 403, 503}, {94 * m, 403, 503}, {95 * m, 403, 403}}},
		"a success ends the row":      {0, nil, []step{{0, 403, 503}, {34 * m, 204, 204}, {36 * m, 403, 503}, {70 * m, 403, 503}, {71 * m, 403, 403}, {72 * m, 200, 200}, {73 * m, 403, 503}}},
		"other failures do not":       {0, nil, []step{{0, 403, 503}, {10 * m, 401, 503}, {11 * m, 429, 503}, {12 * m, 500, 500}, {13 * m, 404, 404}, {14 * m, 302, 302}, {35 * m, 403, 403}}},
		"another time":                {2 * m, nil, []step{{0, 403, 503}, {2*m - 1, 403, 503}, {2 * m, 403, 403}}},
		"switched off":                {0, []int{403}, []step{{0, 403, 403}, {m, 401, 503}}},
		"401, 408 and 429 do not end": {0, nil, []step{{0, 401, 503}, {1000 * m, 401, 503}, {1000 * m, 408, 503}, {1000 * m, 429, 503}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				says := 0
				p, route := offline(t, func(*http.Request) (*http.Response, error) { return answerOf(says, ""), nil })
				route.ForbiddenFor, route.Pass = c.forbiddenFor, c.pass
				began := time.Now()
				for _, s := range c.steps {
					wait(t, time.Until(began.Add(s.at)))
					says = s.says
					if got := ask(t, p, "/write"); got.status != s.gets {
						t.Errorf("after %s the upstream says %d: %d, want %d", s.at, s.says, got.status, s.gets)
					}
				}
			})
		})
	}
}

func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

func TestRoutesAreForbiddenEachByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := offline(t, func(*http.Request) (*http.Response, error) { return answerOf(http.StatusForbidden, ""), nil })
		p.Routes = append(p.Routes, &authproxy.Route{Path: "/other", Upstream: p.Routes[0].Upstream, Transport: p.Routes[0].Transport})
		ask(t, p, "/write")
		wait(t, 40*time.Minute)
		if first, second := ask(t, p, "/write"), ask(t, p, "/other"); first.status != 403 || second.status != 503 {
			t.Errorf("%d and %d", first.status, second.status)
		}
	})
}

// Whatever is wrong with the identity or the way, the data are not.
func TestDataAreKeptWhileTheUpstreamCannotBeAsked(t *testing.T) {
	for name, c := range map[string]struct {
		err       error
		low, high int
		words     []string
	}{
		"no token yet":  {&keyless.Error{Hop: keyless.HopSource, Op: "token", Message: "nothing has come yet", Temporary: true}, 5, 30, []string{"source: token: nothing has come yet"}},
		"asked to wait": {&keyless.Error{Hop: keyless.HopSource, Op: "token", Temporary: true, RetryAfter: 42 * time.Second}, 42, 42, nil},
		"for very long": {&keyless.Error{Hop: keyless.HopSource, Op: "token", RetryAfter: 24 * time.Hour}, 300, 300, nil},
		"for a moment":  {&keyless.Error{Hop: keyless.HopSource, Op: "token", RetryAfter: time.Millisecond}, 1, 1, nil},
		"misconfigured": {&keyless.Error{Hop: keyless.HopSource, Op: "token", Code: "AADSTS7000215", Hint: "look at the secret"}, 5, 30, []string{"AADSTS7000215", "(hint: look at the secret)"}},
		"unreachable":   {errors.New("dial tcp 192.0.2.1:443: connection refused\n eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln"), 5, 30, []string{"cannot be reached", "connection refused [redacted]"}},
	} {
		p, _ := offline(t, func(*http.Request) (*http.Response, error) { return nil, c.err })
		var outcome authproxy.Outcome
		p.Observe = func(o authproxy.Outcome) { outcome = o }
		got := ask(t, p, "/write")
		if n := seconds(t, got); got.status != 503 || !got.own() || n < c.low || n > c.high || outcome.Status != 503 || outcome.Upstream != 0 {
			t.Errorf("%s: %+v, observed %+v", name, got, outcome)
		}
		for _, word := range c.words {
			if !strings.Contains(got.body, word) {
				t.Errorf("%s: %q does not say %q", name, got.body, word)
			}
		}
	}
}

func TestAnUpstreamThatIsSilentIsNotWaitedForForEver(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{0: time.Minute, 5 * time.Second: 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p, route := offline(t, func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			})
			route.Timeout = timeout
			began := time.Now()
			got := ask(t, p, "/write")
			if took := time.Since(began); got.status != 503 || took != want || !strings.Contains(got.body, want.String()) || seconds(t, got) < 5 {
				t.Errorf("%+v after %s, want %s", got, took, want)
			}
		})
	}
}

// One record when it begins and one when it is over, whatever is in between.
func TestARouteThatFailsIsRecordedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var says int
		var fails error
		p, _ := offline(t, func(*http.Request) (*http.Response, error) { return answerOf(says, "because"), fails })
		out := &records{}
		p.Log = slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		for _, s := range []struct {
			says  int
			fails error
			after time.Duration
			want  []string // new records
		}{
			{200, nil, 0, nil},
			{400, nil, 0, nil},
			{413, nil, 0, nil},
			{401, nil, 0, []string{`level=WARN msg="route fails" route=metrics status=401 why="the upstream answered 401 Unauthorized: because"`}},
			{401, nil, time.Second, nil},
			{200, nil, time.Second, nil}, // one of many
			{429, nil, time.Second, nil},
			{200, nil, 29 * time.Second, nil},
			{200, nil, time.Second, []string{`level=INFO msg="route is well again" route=metrics after=33s failures=3`}},
			{200, nil, time.Hour, nil},
			{404, nil, 0, []string{`level=WARN msg="route fails" route=metrics status=404 why="the upstream answered 404 Not Found"`}},
			{400, nil, time.Hour, nil},
			{200, nil, 0, []string{`level=INFO msg="route is well again" route=metrics after=1h0m0s failures=1`}},
			{0, errors.New("down"), 0, []string{`level=WARN msg="route fails" route=metrics status=0 why="the upstream cannot be reached: down"`}},
			{500, nil, 0, nil},
		} {
			wait(t, s.after)
			before := out.lines()
			says, fails = s.says, s.fails
			ask(t, p, "/write?secret="+canary)
			if got := out.lines()[len(before):]; !slices.Equal(got, s.want) && len(got)+len(s.want) > 0 {
				t.Errorf("%d: %q, want %q", s.says, got, s.want)
			}
		}
		if strings.Contains(strings.Join(out.lines(), ""), canary) {
			t.Error("the query is in the records")
		}
	})
}
