package azurelogsingestionexporter

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/keyless-id/keyless/collector/exporter/azurelogsingestionexporter/internal/metadata"
	"github.com/keyless-id/keyless/sandbox"
)

// far is a sandbox, and what is between it and the exporter.
type far struct {
	*sandbox.Sandbox
	component.StartFunc
	component.ShutdownFunc

	mu      sync.Mutex
	sent    []sentRequest
	between func(r *http.Request, size int) *http.Response // nil: nothing
}

type sentRequest struct {
	at      time.Time
	path    string
	size    int
	id      string
	refused bool
}

func newFar(t *testing.T, change func(w *sandbox.World)) *far {
	t.Helper()
	w := sandbox.Demo()
	change(&w)
	s, err := sandbox.New(w, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &far{Sandbox: s}
}

func demoWorld(*sandbox.World) {}

// RoundTripper is part of extensionauth.HTTPClient.
func (f *far) RoundTripper(http.RoundTripper) (http.RoundTripper, error) { return f, nil }

// GetExtensions is part of component.Host.
func (f *far) GetExtensions() map[component.ID]component.Component {
	return map[component.ID]component.Component{component.MustNewID("keyless"): f}
}

// RoundTrip is part of http.RoundTripper.
func (f *far) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	request := sentRequest{time.Now(), r.URL.Path, len(body), r.Header.Get("X-Ms-Client-Request-Id"), false}
	response, err := f.answer(r, body)
	request.refused = err != nil || response.StatusCode >= 300
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, request)
	return response, err
}

func (f *far) answer(r *http.Request, body []byte) (*http.Response, error) {
	if f.between != nil {
		if response := f.between(r, len(body)); response != nil {
			return response, nil
		}
	}
	onward := r.Clone(r.Context())
	onward.Body = io.NopCloser(strings.NewReader(string(body)))
	onward.Header.Set("Authorization", "Bearer "+f.token())
	return f.Sandbox.RoundTripper().RoundTrip(onward)
}

func (f *far) token() string {
	r, err := http.NewRequest(http.MethodGet, "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource="+url.QueryEscape("https://monitor.azure.com"), nil)
	if err != nil {
		panic(err)
	}
	r.Header.Set("Metadata", "true")
	response, err := f.Sandbox.RoundTripper().RoundTrip(r)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&token); err != nil {
		panic(err)
	}
	return token.AccessToken
}

func (f *far) requests() []sentRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sent)
}

func toSandbox(c *Config) {
	c.DCR, c.Stream = sandbox.DemoRuleID, sandbox.DemoStream
	c.Body.Column = "Message"
	c.ClientConfig.Auth = configoptional.Some(configauth.Config{AuthenticatorID: component.MustNewID("keyless")})
}

// started is an exporter as the collector makes it.
func started(t *testing.T, host component.Host, change ...func(c *Config)) exporter.Logs {
	t.Helper()
	config := testConfig(append([]func(c *Config){toSandbox}, change...)...)
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	set := exportertest.NewNopSettings(metadata.Type)
	set.ID = component.NewID(metadata.Type) // what is stored is found by it
	e, err := NewFactory().CreateLogs(context.Background(), set, config)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(context.Background(), host); err != nil {
		t.Fatal(err)
	}
	once := &stoppable{Logs: e}
	t.Cleanup(func() { _ = once.Shutdown(context.Background()) })
	return once
}

// stoppable can be shut down more than once.
type stoppable struct {
	exporter.Logs
	once sync.Once
}

// Shutdown is part of component.Component.
func (s *stoppable) Shutdown(ctx context.Context) (err error) {
	s.once.Do(func() { err = s.Logs.Shutdown(ctx) })
	return err
}

// lines are records with the body "line N" and N in the column Count.
func lines(first, n int) plog.Logs {
	return records(n, func(i int, r plog.LogRecord) {
		r.SetTimestamp(timestamp(time.Now()))
		r.Body().SetStr(fmt.Sprintf("line %d", first+i))
		r.Attributes().PutInt("Count", int64(first+i))
	})
}

func consume(t *testing.T, e exporter.Logs, logs plog.Logs) {
	t.Helper()
	if err := e.ConsumeLogs(context.Background(), logs); err != nil {
		t.Fatal(err)
	}
}

// arrivals counts how often each line has arrived.
func (f *far) arrivals(stream string) map[int64]int {
	counts := map[int64]int{}
	for _, row := range f.Rows(stream) {
		n, _ := row["Count"].(int64)
		counts[n]++
	}
	return counts
}

func (f *far) wantOnce(t *testing.T, n int) {
	t.Helper()
	arrived := f.arrivals(sandbox.DemoStream)
	if len(arrived) != n || f.RowCount(sandbox.DemoStream) != n {
		t.Errorf("%d lines in %d rows, want each of %d once", len(arrived), f.RowCount(sandbox.DemoStream), n)
	}
}

func TestEveryRowArrivesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, demoWorld)
		e := started(t, f)
		for i := range 20 {
			consume(t, e, lines(i*100, 100))
		}
		time.Sleep(5 * time.Second)
		f.wantOnce(t, 2000)
		if n := len(f.requests()); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// Whatever goes wrong, nothing is lost, and nothing comes twice that was not lost on the
// way back.
func TestNothingIsLostThroughFaultsAndNothingComesTwice(t *testing.T) {
	for name, fault := range map[string]sandbox.Fault{
		"400 of the configuration": {Status: 400, Code: "InvalidStream", For: 10 * time.Minute},
		"400 without a code":       {Status: 400, Body: "<html>", For: 10 * time.Minute},
		"401":                      {Status: 401, For: time.Hour},
		"403 while a role spreads": {Status: 403, For: 35 * time.Minute},
		"404":                      {Status: 404, For: time.Hour},
		"408":                      {Status: 408, For: time.Minute},
		"429":                      {Status: 429, RetryAfter: 40 * time.Second, Times: 3},
		"429 that does not say":    {Status: 429, For: 2 * time.Minute},
		"500":                      {Status: 500, For: time.Hour},
		"503 that says":            {Status: 503, RetryAfter: time.Minute, For: 2 * time.Minute},
		"reset":                    {Reset: true, For: time.Minute},
		"late":                     {Delay: 50 * time.Second, For: time.Minute},
		"too late":                 {Delay: 90 * time.Second, For: 3 * time.Minute},
		"a day":                    {Status: 503, For: 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFar(t, demoWorld)
				f.SetFault(sandbox.DCE, fault)
				e := started(t, f)
				for i := range 10 {
					consume(t, e, lines(i*10, 10))
					time.Sleep(3 * time.Second)
				}
				if n := f.RowCount(sandbox.DemoStream); n == 100 && fault.Delay == 0 {
					t.Error("there was no fault")
				}
				time.Sleep(max(fault.For, 2*time.Minute) + 10*time.Minute)
				f.wantOnce(t, 100)
			})
		})
	}
}

func TestWhatWasAcceptedWithoutAnAnswerComesTwiceUnderTheSameID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, func(w *sandbox.World) { demoColumns(w)["RowId"] = "string" })
		f.SetFault(sandbox.DCE, sandbox.Fault{Truncate: true, Times: 1})
		e := started(t, f, func(c *Config) { c.RowIDColumn = "RowId" })
		consume(t, e, lines(0, 50))
		time.Sleep(time.Minute)
		if arrived := f.arrivals(sandbox.DemoStream); len(arrived) != 50 || f.RowCount(sandbox.DemoStream) != 100 {
			t.Fatalf("%d lines in %d rows", len(arrived), f.RowCount(sandbox.DemoStream))
		}
		ids := map[any]int{}
		for _, row := range f.Rows(sandbox.DemoStream) {
			ids[row["RowId"]]++
		}
		if len(ids) != 50 {
			t.Errorf("%d ids", len(ids))
		}
		if sent := f.requests(); len(sent) != 2 || sent[0].id != sent[1].id || len(sent[0].id) != 36 {
			t.Errorf("%+v", sent)
		}
	})
}

func demoColumns(w *sandbox.World) map[string]string {
	return w.Tenants[0].Rules[0].Streams[sandbox.DemoStream].Columns
}

// auxiliary is the stream of the demo as one of a table of the Auxiliary plan.
func auxiliary(w *sandbox.World) {
	stream := w.Tenants[0].Rules[0].Streams[sandbox.DemoStream]
	stream.Auxiliary = true
	w.Tenants[0].Rules[0].Streams[sandbox.DemoStream] = stream
}

func TestABadRowIsKeptAndTheOthersArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, auxiliary)
		path := filepath.Join(t.TempDir(), "dead.json")
		e := started(t, f, func(c *Config) { c.DeadLetter.Path = path })
		logs := lines(0, 500)
		all := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
		for _, i := range []int{0, 123, 124, 499} {
			all.At(i).Attributes().PutEmptyMap("Level").PutStr("nested", "in a text column")
		}
		consume(t, e, logs)
		time.Sleep(time.Minute)
		f.wantOnce(t, 496)
		letters := deadLines(t, path)
		if len(letters) != 4 {
			t.Fatalf("%d dead letters", len(letters))
		}
		for i, n := range []float64{0, 123, 124, 499} {
			l := letters[i]
			if l["code"] != "ContentDeserializationError" || l["stream"] != sandbox.DemoStream || l["dcr"] != sandbox.DemoRuleID || l["message"] == "" || l["row"].(map[string]any)["Count"] != n {
				t.Errorf("%v", l)
			}
		}
	})
}

func deadLines(t *testing.T, path string) []map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for line := range strings.Lines(string(text)) {
		var letter map[string]any
		if err := json.Unmarshal([]byte(line), &letter); err != nil {
			t.Fatal(err)
		}
		all = append(all, letter)
	}
	return all
}

func TestIfEveryRowIsRefusedTheyAreHeldAndNotGivenUp(t *testing.T) {
	refuseEveryRow(t, sandbox.Fault{Status: 400, Code: "ContentDeserializationError", For: time.Hour}, manyRefused)
	// Rows that short cannot be too long.
	refuseEveryRow(t, sandbox.Fault{Status: 413, Code: "ContentLengthLimitExceeded", For: time.Hour}, 0)
}

func refuseEveryRow(t *testing.T, fault sandbox.Fault, dead int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, demoWorld)
		f.SetFault(sandbox.DCE, fault)
		path := filepath.Join(t.TempDir(), "dead.json")
		e := started(t, f, func(c *Config) { c.DeadLetter.Path = path })
		consume(t, e, lines(0, 1000))
		time.Sleep(50 * time.Minute)
		if dead > 0 {
			if n := len(deadLines(t, path)); n != dead {
				t.Errorf("%d dead letters", n)
			}
		}
		if n := len(f.requests()); n > 500 {
			t.Errorf("%d requests in vain", n)
		}
		time.Sleep(time.Hour)
		f.wantOnce(t, 1000-dead)
	})
}

func TestIfTheDeadLetterCannotBeWrittenTheRowIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, auxiliary)
		dir := filepath.Join(t.TempDir(), "missing")
		e := started(t, f, func(c *Config) { c.DeadLetter.Path = filepath.Join(dir, "dead.json") })
		logs := lines(0, 2)
		logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes().PutEmptyMap("Level")
		consume(t, e, logs)
		time.Sleep(5 * time.Minute)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		f.wantOnce(t, 1)
		if n := len(deadLines(t, filepath.Join(dir, "dead.json"))); n != 1 {
			t.Errorf("%d dead letters", n)
		}
	})
}

func TestRowsThatAreFarApartAreSentApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, auxiliary)
		e := started(t, f)
		send := func(first int) {
			logs := lines(first, 300)
			for i, record := range logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
				record.SetTimestamp(timestamp(time.Now().Add(-time.Duration(i%5) * 25 * time.Minute)))
			}
			consume(t, e, logs)
			time.Sleep(30 * time.Second)
		}
		send(0)
		f.wantOnce(t, 300)
		before := f.requests()
		send(300)
		f.wantOnce(t, 600)
		for _, r := range f.requests()[len(before):] {
			if r.refused {
				t.Error("it has not learned")
			}
		}
	})
}

// respond is an answer that no sandbox gives.
func respond(r *http.Request, status int, code string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{}, Request: r,
		Body: io.NopCloser(strings.NewReader(fmt.Sprintf(`{"error":{"code":%q,"message":"No."}}`, code))),
	}
}

func TestALowerLimitIsLearned(t *testing.T) {
	for _, limit := range []int{700_000, 100_000} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFar(t, demoWorld)
				f.between = func(r *http.Request, size int) *http.Response {
					if size > limit {
						return respond(r, 413, "ContentLengthLimitExceeded")
					}
					return nil
				}
				e := started(t, f)
				sent := sendRandom(t, e, 160)
				time.Sleep(time.Minute)
				f.wantOnce(t, sent)
				all := f.requests()
				half, refused, fill := all[len(all)/2:], 0, 0
				for _, r := range half {
					if r.refused {
						refused++
					} else if r.size > limit*8/10 {
						fill++
					}
				}
				if refused > 2+len(half)/20 || fill < len(half)*8/10 {
					t.Errorf("of the last %d requests %d were refused, %d nearly full", len(half), refused, fill)
				}
			})
		})
	}
}

// sendRandom sends so many times 200 KB that do not compress.
func sendRandom(t *testing.T, e exporter.Logs, times int) (rows int) {
	t.Helper()
	random := newRandom()
	for i := range times {
		consume(t, e, records(200, func(n int, r plog.LogRecord) {
			r.SetTimestamp(timestamp(time.Now()))
			r.Body().SetStr(string(printableBytes(random, 1000)))
			r.Attributes().PutInt("Count", int64(i*200+n))
		}))
		time.Sleep(100 * time.Millisecond)
	}
	return times * 200
}

func TestWhatWasDeliveredIsNotSentAgainWithTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, demoWorld)
		n := 0
		f.between = func(r *http.Request, _ int) *http.Response {
			n++
			switch n { // the whole, the first half, the second half twice
			case 1:
				return respond(r, 413, "ContentLengthLimitExceeded")
			case 3, 4:
				return respond(r, 503, "ServiceUnavailable")
			}
			return nil
		}
		e := started(t, f)
		sent := sendRandom(t, e, 1)
		time.Sleep(time.Minute)
		f.wantOnce(t, sent)
		if n != 5 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestALargeBodyThatIsNotFoundIsHalved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, demoWorld)
		f.between = func(r *http.Request, size int) *http.Response {
			if size > 600_000 {
				return respond(r, 404, "NotFound")
			}
			return nil
		}
		e := started(t, f)
		consume(t, e, lines(100_000, 1))
		time.Sleep(10 * time.Second)
		sent := sendRandom(t, e, 100)
		time.Sleep(10 * time.Minute)
		f.wantOnce(t, sent+1)
		all, refused := f.requests(), 0
		for _, r := range all[len(all)/2:] {
			if r.refused {
				refused++
			}
		}
		if refused > 3 {
			t.Errorf("%d of the last %d requests were refused", refused, len(all)/2)
		}
	})
}

func TestARowThatIsLongerThanARequestIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, demoWorld)
		path := filepath.Join(t.TempDir(), "dead.json")
		e := started(t, f, func(c *Config) { c.DeadLetter.Path, c.MaxRequestBytes = path, leastRequestBytes })
		logs := lines(0, 3)
		logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(1).Body().SetStr(string(printableBytes(newRandom(), 10_000)))
		consume(t, e, logs)
		time.Sleep(time.Minute)
		f.wantOnce(t, 2)
		if letters := deadLines(t, path); len(letters) != 1 || letters[0]["code"] != "RowTooLarge" {
			t.Errorf("%v", letters)
		}
	})
}

// twoRules has a second rule, which takes what the first takes.
func twoRules(w *sandbox.World) {
	other := w.Tenants[0].Rules[0]
	other.ImmutableID = ruleTwo
	other.Streams = map[string]sandbox.LogStream{"Custom-Other_CL": other.Streams[sandbox.DemoStream]}
	w.Tenants[0].Rules = append(w.Tenants[0].Rules, other)
}

func routing(c *Config) { c.DCRFrom, c.StreamFrom = "dcr", "stream" }

func toOther(logs plog.Logs) plog.Logs {
	logs.ResourceLogs().At(0).Resource().Attributes().PutStr("dcr", ruleTwo)
	logs.ResourceLogs().At(0).Resource().Attributes().PutStr("stream", "Custom-Other_CL")
	return logs
}

func TestARuleThatIsThrottledDoesNotSlowTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, func(w *sandbox.World) {
			twoRules(w)
			w.Tenants[0].Rules[0].RequestsPerMinute = 1
		})
		e := started(t, f, routing)
		for i := range 100 {
			consume(t, e, lines(i*10, 10))
			consume(t, e, toOther(lines(i*10, 10)))
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(3 * time.Second)
		if n := f.RowCount("Custom-Other_CL"); n != 1000 {
			t.Errorf("%d rows of the other rule have arrived", n)
		}
		if n := f.RowCount(sandbox.DemoStream); n == 1000 {
			t.Error("the rule was not throttled")
		}
		time.Sleep(2 * time.Hour)
		f.wantOnce(t, 1000)
	})
}

// Half an hour is what a role may take. All that time there are rows for both rules.
func TestARuleThatIsHeldForLongDoesNotOccupyTheQueue(t *testing.T) {
	for name, store := range map[string]bool{"in memory": false, "on disk": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFar(t, func(w *sandbox.World) {
					twoRules(w)
					w.Tenants[0].Rules[0].Publishers = []sandbox.Publisher{{ObjectID: sandbox.DemoVMObjectID, Propagation: 30 * time.Minute}}
				})
				var host component.Host = f
				change := []func(c *Config){routing, func(c *Config) { c.QueueConfig.Get().NumConsumers = 16 }}
				if store {
					host, change = newDisk(t, f, t.TempDir()), append(change, stored)
				}
				e := started(t, host, change...)
				for i := range 500 {
					consume(t, e, lines(i, 1))
					consume(t, e, toOther(lines(i, 1)))
					time.Sleep(3 * time.Second)
				}
				time.Sleep(5 * time.Second)
				if n := f.RowCount("Custom-Other_CL"); n != 500 {
					t.Errorf("%d rows of the other rule have arrived", n)
				}
				time.Sleep(30 * time.Minute)
				f.wantOnce(t, 500)
			})
		})
	}
}

func TestWhatIsHeldIsTriedNowAndThen(t *testing.T) {
	for status, code := range map[int]string{400: "InvalidStream", 403: "OperationFailed"} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFar(t, demoWorld)
				f.SetFault(sandbox.DCE, sandbox.Fault{Status: status, Code: code, For: 20 * time.Minute})
				e := started(t, f)
				for i := range 20 {
					consume(t, e, lines(i, 1))
					time.Sleep(3 * time.Second)
				}
				time.Sleep(18 * time.Minute)
				if n := len(f.requests()); n < 20 || n > 80 {
					t.Errorf("%d requests in 19 minutes", n)
				}
				time.Sleep(10 * time.Minute)
				f.wantOnce(t, 20)
			})
		})
	}
}

func TestARuleThatAsksForItIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, demoWorld)
		f.SetFault(sandbox.DCE, sandbox.Fault{Status: 429, RetryAfter: 90 * time.Second, Times: 1})
		e := started(t, f)
		for i := range 60 {
			consume(t, e, lines(i, 1))
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Minute)
		f.wantOnce(t, 60)
		sent := f.requests()
		if d := sent[1].at.Sub(sent[0].at); d < 90*time.Second {
			t.Errorf("the second request came after %v", d)
		}
	})
}

func TestAttributesSayWhereARecordGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, twoRules)
		e := started(t, f, routing)
		logs := toOther(lines(0, 10))
		for i, record := range logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
			if i%2 == 0 { // that of the record comes first; one that is no name is none
				record.Attributes().PutStr("dcr", "../"+ruleTwo)
				record.Attributes().PutStr("stream", sandbox.DemoStream)
			}
		}
		consume(t, e, logs)
		time.Sleep(time.Minute)
		f.wantOnce(t, 5)
		if n := f.RowCount("Custom-Other_CL"); n != 5 {
			t.Errorf("%d rows of the other", n)
		}
	})
}

// onTheWire is the extension for a sandbox that listens: it adds the token, and no more.
type onTheWire struct{ *far }

// RoundTripper is part of extensionauth.HTTPClient.
func (o onTheWire) RoundTripper(base http.RoundTripper) (http.RoundTripper, error) {
	return tokenAdder{base, o.token()}, nil
}

type tokenAdder struct {
	base  http.RoundTripper
	token string
}

// RoundTrip is part of http.RoundTripper.
func (a tokenAdder) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+a.token)
	return a.base.RoundTrip(r)
}

// GetExtensions is part of component.Host.
func (o onTheWire) GetExtensions() map[component.ID]component.Component {
	return map[component.ID]component.Component{component.MustNewID("keyless"): o}
}

func TestRowsArriveOverTheNetwork(t *testing.T) {
	f := newFar(t, demoWorld)
	if err := f.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	e := started(t, onTheWire{f}, func(c *Config) {
		c.ClientConfig.Endpoint, c.AllowEndpoint = f.URL(sandbox.DCE), true
	})
	for i := range 10 {
		consume(t, e, lines(i*1000, 1000))
	}
	if err := e.Shutdown(context.Background()); err != nil { // which sends what is left
		t.Fatal(err)
	}
	f.wantOnce(t, 10_000)
}

func TestAFarSideThatRedirectsGetsNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, demoWorld)
		f.between = func(r *http.Request, _ int) *http.Response {
			response := respond(r, http.StatusTemporaryRedirect, "")
			response.Header.Set("Location", "https://elsewhere.example.org/")
			return response
		}
		e := started(t, f)
		consume(t, e, lines(0, 1))
		time.Sleep(time.Minute)
		for _, r := range f.requests() {
			if r.path == "/" {
				t.Fatal("the redirect was followed")
			}
		}
	})
}

// One fault after the other, in any order, with restarts between: every row arrives, and
// comes twice only if an answer was lost, or a restart fell between two halves.
func TestAnyScheduleOfFaultsLosesNothing(t *testing.T) {
	faults := []sandbox.Fault{
		{Status: 401},
		{Status: 403},
		{Status: 404},
		{Status: 413, Code: "ContentLengthLimitExceeded"},
		{Status: 429, RetryAfter: 7 * time.Second},
		{Status: 400, Code: "InvalidStream"},
		{Status: 500},
		{Status: 503},
		{Reset: true},
		{Delay: 2 * time.Minute},
		{Truncate: true},
		{Body: "<html>", Status: 502},
	}
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 9))
				f := newFar(t, demoWorld)
				host := newDisk(t, f, t.TempDir())
				e := started(t, host, stored)
				const rounds = 30
				for i := range rounds {
					fault := faults[random.IntN(len(faults))]
					fault.Times = 1 + random.IntN(5)
					f.SetFault(sandbox.DCE, fault)
					consume(t, e, lines(i*20, 20))
					time.Sleep(time.Duration(random.IntN(20_000)) * time.Millisecond)
					if random.IntN(6) == 0 {
						shutDown(t, e)
						e = started(t, host, stored)
					}
				}
				f.ClearFaults()
				time.Sleep(20 * time.Minute)
				if n := len(f.arrivals(sandbox.DemoStream)); n != rounds*20 {
					t.Errorf("%d of %d lines arrived", n, rounds*20)
				}
				shutDown(t, e)
			})
		})
	}
}
