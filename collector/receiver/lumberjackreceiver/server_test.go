package lumberjackreceiver

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	lumber "github.com/elastic/go-lumber/client/v2"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/keyless-id/keyless/collector/receiver/lumberjackreceiver/internal/metadata"
)

// pipeline counts events by their text; answer, if set, says what becomes of the nth batch.
type pipeline struct {
	mu      sync.Mutex
	events  map[string]int
	batches int
	answer  func(n int) error
}

func (p *pipeline) consumer(t *testing.T) consumer.Logs {
	t.Helper()
	logs, err := consumer.NewLogs(p.consume)
	must(t, err)
	return logs
}

func (p *pipeline) consume(ctx context.Context, logs plog.Logs) error {
	p.mu.Lock()
	n := p.batches
	p.batches++
	answer := p.answer
	p.mu.Unlock()
	if answer != nil {
		if err := answer(n); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.events == nil {
		p.events = make(map[string]int)
	}
	for _, record := range logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
		p.events[record.Body().Str()]++
	}
	return ctx.Err()
}

func (p *pipeline) seen() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.events)
}

// station is a receiver that listens, with its log and its counters.
type station struct {
	*server
	log       *observer.ObservedLogs
	telemetry *componenttest.Telemetry
}

func start(t *testing.T, next *pipeline, change func(c *Config)) *station {
	t.Helper()
	config := createDefaultConfig().(*Config)
	config.Endpoint = "127.0.0.1:0"
	config.RetryDelay = 0
	if change != nil {
		change(config)
	}
	telemetry := componenttest.NewTelemetry()
	core, log := observer.New(zap.WarnLevel)
	set := receivertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = telemetry.NewTelemetrySettings()
	set.Logger = zap.New(core)
	logs, err := NewFactory().CreateLogs(t.Context(), set, config, next.consumer(t))
	must(t, err)
	must(t, logs.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := logs.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		must(t, telemetry.Shutdown(ctx))
	})
	return &station{logs.(*server), log, telemetry}
}

// counter is the sum of a counter, over all its attributes.
func (s *station) counter(t *testing.T, name string) int64 {
	t.Helper()
	metric, err := s.telemetry.GetMetric("otelcol_receiver_lumberjack_" + name)
	if err != nil {
		return 0
	}
	var sum int64
	for _, point := range sumPoints(t, metric) {
		sum += point
	}
	return sum
}

// eventually waits for what happens after a sender has its answer.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func dial(t *testing.T, s *station, options ...lumber.Option) *lumber.SyncClient {
	t.Helper()
	client, err := lumber.SyncDial(s.address(), append([]lumber.Option{lumber.Timeout(10 * time.Second)}, options...)...)
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// window is n events, numbered from first.
func window(first, n int) []any {
	events := make([]any, n)
	for i := range events {
		events[i] = map[string]int{"n": first + i}
	}
	return events
}

func exactlyOnce(t *testing.T, seen map[string]int, n int) {
	t.Helper()
	for i := range n {
		if text := fmt.Sprintf(`{"n":%d}`, i); seen[text] != 1 {
			t.Fatalf("event %s arrived %d times; %d are there", text, seen[text], len(seen))
		}
	}
	if len(seen) != n {
		t.Fatalf("got %d events, want %d", len(seen), n)
	}
}

func TestEveryEventArrivesOnce(t *testing.T) {
	for level := range 10 {
		t.Run(fmt.Sprintf("compression %d", level), func(t *testing.T) {
			var p pipeline
			s := start(t, &p, nil)
			client := dial(t, s, lumber.CompressionLevel(level))
			for i := range 10 {
				n, err := client.Send(window(i*100, 100))
				if n != 100 || err != nil {
					t.Fatalf("window %d: %d acknowledged, %v", i, n, err)
				}
			}
			exactlyOnce(t, p.seen(), 1000)
			eventually(t, "the tenth window is counted", func() bool { return s.counter(t, "windows_acknowledged") == 10 })
			frames := int64(10 + 1000)
			if level > 0 {
				frames += 10
			}
			if got := s.counter(t, "frames"); got != frames || s.counter(t, "connections") != 1 || s.counter(t, "bytes") != 8890 {
				t.Errorf("%d frames, want %d; %d connections, %d bytes", got, frames, s.counter(t, "connections"), s.counter(t, "bytes"))
			}
		})
	}
}

func TestASenderMayBeWindowsAhead(t *testing.T) {
	var p pipeline
	s := start(t, &p, nil)
	client, err := lumber.AsyncDial(s.address(), 4, lumber.Timeout(10*time.Second), lumber.CompressionLevel(3))
	must(t, err)
	var answers sync.WaitGroup
	for i := range 50 {
		answers.Add(1)
		must(t, client.Send(func(seq uint32, err error) {
			defer answers.Done()
			if seq != 20 || err != nil {
				t.Errorf("window %d: %d acknowledged, %v", i, seq, err)
			}
		}, window(i*20, 20)))
	}
	answers.Wait()
	must(t, client.Close())
	exactlyOnce(t, p.seen(), 1000)
}

func TestManySendersShareTheMemory(t *testing.T) {
	var p pipeline
	// Room for four events at a time, eight senders with fifty each.
	s := start(t, &p, func(c *Config) {
		c.MaxEventBytes, c.MaxMemoryBytes, c.MaxBatchBytes = 1024, 4*(eventOverhead+12), 2*(eventOverhead+12)
	})
	var all sync.WaitGroup
	for i := range 8 {
		client := dial(t, s)
		all.Go(func() {
			if n, err := client.Send(window(i*50, 50)); n != 50 || err != nil {
				t.Errorf("sender %d: %d acknowledged, %v", i, n, err)
			}
		})
	}
	all.Wait()
	exactlyOnce(t, p.seen(), 400)
	if p.batches < 8*50/3 {
		t.Errorf("%d batches: more was held than allowed", p.batches)
	}
}

func TestWhatThePipelineCannotTakeIsSentAgain(t *testing.T) {
	p := pipeline{answer: func(n int) error {
		if n == 0 {
			return errors.New("the queue is full")
		}
		return nil
	}}
	s := start(t, &p, nil)
	if n, err := dial(t, s).Send(window(0, 10)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("got %d acknowledged, %v; want none and an end", n, err)
	}
	if seen := p.seen(); len(seen) != 0 {
		t.Fatalf("%v arrived", seen)
	}
	if n, err := dial(t, s).Send(window(0, 10)); n != 10 || err != nil {
		t.Fatalf("got %d acknowledged, %v", n, err)
	}
	exactlyOnce(t, p.seen(), 10)
	s.wantRefusal(t, "pipeline", "the queue is full")
}

// wantRefusal looks for one line in the log and one in the counter.
func (s *station) wantRefusal(t *testing.T, reason, text string) {
	t.Helper()
	eventually(t, "a connection is refused", func() bool { return s.counter(t, "refused") > 0 })
	eventually(t, "the log says so", func() bool { return s.log.Len() > 0 })
	lines := s.log.All()
	fields := lines[0].ContextMap()
	if len(lines) != 1 || fields["reason"] != reason || !strings.Contains(fmt.Sprint(fields["error"]), text) {
		t.Errorf("got %v, want one line with %s, %s", lines, reason, text)
	}
}

func TestPartsOfAWindowAreAcknowledged(t *testing.T) {
	p := pipeline{answer: func(n int) error {
		if n == 2 {
			return errors.New("the queue is full")
		}
		return nil
	}}
	s := start(t, &p, func(c *Config) { c.MaxBatchBytes = 3 * (eventOverhead + 8) })
	// Not with go-lumber's client: after an error it forgets what was acknowledged.
	sender, err := net.Dial("tcp", s.address())
	must(t, err)
	defer sender.Close()
	text := windowFrame(10)
	for i := range 10 {
		text += eventFrame(uint32(i)+1, fmt.Sprintf(`{"n":%d}`, i))
	}
	_, err = io.WriteString(sender, text)
	must(t, err)
	if replies, _ := io.ReadAll(sender); string(replies) != "2A"+number(3)+"2A"+number(6) {
		t.Fatalf("got %q, want 3 and 6 acknowledged and an end", replies)
	}
	exactlyOnce(t, p.seen(), 6)
	if n, err := dial(t, s).Send(window(6, 4)); n != 4 || err != nil {
		t.Fatalf("got %d acknowledged, %v", n, err)
	}
	exactlyOnce(t, p.seen(), 10)
}

func TestWhatThePipelineRefusesForGood(t *testing.T) {
	refuse := func(int) error { return consumererror.NewPermanent(errors.New("no such column")) }
	t.Run("is acknowledged, counted and said", func(t *testing.T) {
		s := start(t, &pipeline{answer: refuse}, nil)
		if n, err := dial(t, s).Send(window(0, 10)); n != 10 || err != nil {
			t.Fatalf("got %d acknowledged, %v", n, err)
		}
		lines := s.log.FilterMessageSnippet("lost").All()
		if s.counter(t, "dropped") != 10 || len(lines) != 1 || lines[0].ContextMap()["events"] != int64(10) {
			t.Errorf("%d dropped, log %v", s.counter(t, "dropped"), s.log.All())
		}
	})
	t.Run("is sent again where that was asked for", func(t *testing.T) {
		s := start(t, &pipeline{answer: refuse}, func(c *Config) { c.OnPermanentError = RefusalResend })
		if n, err := dial(t, s).Send(window(0, 10)); n != 0 || err == nil {
			t.Fatalf("got %d acknowledged, %v", n, err)
		}
		s.wantRefusal(t, "pipeline", "no such column")
		if s.counter(t, "dropped") != 0 {
			t.Error("something was dropped")
		}
	})
}

func TestAConnectionThatBreaksWithinAWindowLosesNothing(t *testing.T) {
	var p pipeline
	s := start(t, &p, nil)
	text := windowFrame(10)
	for i := range 10 {
		text += eventFrame(uint32(i)+1, fmt.Sprintf(`{"n":%d}`, i))
	}
	for end := 1; end < len(text); end += 7 {
		peer, err := net.Dial("tcp", s.address())
		must(t, err)
		_, err = io.WriteString(peer, text[:end])
		must(t, err)
		must(t, peer.Close())
	}
	eventually(t, "the broken connections end", func() bool { return s.counter(t, "connections") == 0 })
	if seen := p.seen(); len(seen) != 0 {
		t.Fatalf("of windows that were not whole %v arrived", seen)
	}
	if n, err := dial(t, s).Send(window(0, 10)); n != 10 || err != nil {
		t.Fatalf("got %d acknowledged, %v", n, err)
	}
	exactlyOnce(t, p.seen(), 10)
	if s.log.Len() != 0 {
		t.Errorf("senders that go away are no news: %v", s.log.All())
	}
}

func TestNonsenseEndsItsConnectionAndNoOther(t *testing.T) {
	for name, c := range map[string]struct{ text, reason, want string }{
		"HTTP":                     {"GET / HTTP/1.1\r\n\r\n", "protocol", "version 0x47"},
		"an event and no window":   {eventFrame(1, "{}"), "protocol", "outside of a window"},
		"a window within a window": {windowFrame(2) + windowFrame(1), "protocol", "a window within a window"},
		"a window beyond bounds":   {windowFrame(1 << 20), "size", "max_window is 65536"},
		"an event beyond bounds":   {windowFrame(1) + "2J" + number(1) + number(1<<30), "size", "max_event_bytes is 10485760"},
	} {
		t.Run(name, func(t *testing.T) {
			var p pipeline
			s := start(t, &p, nil)
			other := dial(t, s)
			peer, err := net.Dial("tcp", s.address())
			must(t, err)
			defer peer.Close()
			_, err = io.WriteString(peer, c.text)
			must(t, err)
			_, _ = io.Copy(io.Discard, peer) // until the receiver closes
			s.wantRefusal(t, c.reason, c.want)
			if n, err := other.Send(window(0, 10)); n != 10 || err != nil {
				t.Errorf("another sender: %d acknowledged, %v", n, err)
			}
		})
	}
}

func TestOneConnectionTooManyIsClosed(t *testing.T) {
	var p pipeline
	s := start(t, &p, func(c *Config) { c.MaxConnections = 1 })
	first := dial(t, s)
	_, err := first.Send(window(0, 1))
	must(t, err)
	if n, err := dial(t, s).Send(window(1, 1)); n != 0 || err == nil {
		t.Errorf("the second: %d acknowledged, %v", n, err)
	}
	s.wantRefusal(t, "connections", "max_connections")
	_, err = first.Send(window(1, 1))
	must(t, err)
	must(t, first.Close())
	eventually(t, "the first is gone", func() bool { return s.counter(t, "connections") == 0 })
	_, err = dial(t, s).Send(window(2, 1))
	must(t, err)
	exactlyOnce(t, p.seen(), 3)
}

func TestASenderShowsACertificateWhereOneIsAskedFor(t *testing.T) {
	authority := newAuthority(t)
	for name, c := range map[string]struct {
		client *tls.Config
		ok     bool
	}{
		"its own":    {&tls.Config{RootCAs: authority.pool, Certificates: []tls.Certificate{authority.issue(t, "sender")}}, true},
		"none":       {&tls.Config{RootCAs: authority.pool}, false},
		"a stranger": {&tls.Config{RootCAs: authority.pool, Certificates: []tls.Certificate{newAuthority(t).issue(t, "sender")}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var p pipeline
			s := start(t, &p, func(c *Config) { c.TLS = configoptional.Some(authority.server(t)) })
			c.client.ServerName = "receiver"
			n, err := sendTLS(s.address(), c.client)
			if ok := n == 10 && err == nil; ok != c.ok {
				t.Fatalf("got %d acknowledged, %v", n, err)
			}
			if !c.ok {
				s.wantRefusal(t, "tls", "certificate")
			}
		})
	}
}

func sendTLS(address string, config *tls.Config) (int, error) {
	client, err := lumber.SyncDialWith(func(network, address string) (net.Conn, error) {
		return tls.Dial(network, address, config)
	}, address, lumber.CompressionLevel(3), lumber.Timeout(10*time.Second))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	return client.Send(window(0, 10))
}

func TestWithoutTLSASenderWithItIsToldApart(t *testing.T) {
	s := start(t, &pipeline{}, nil)
	_, err := tls.Dial("tcp", s.address(), &tls.Config{ServerName: "receiver", MinVersion: tls.VersionTLS12})
	if err == nil {
		t.Error("a TLS connection without TLS")
	}
	s.wantRefusal(t, "protocol", "the sender speaks TLS")
}

func TestAStopLetsThePipelineFinishWhatItHas(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	p := pipeline{answer: func(int) error {
		close(entered)
		<-leave
		return nil
	}}
	s := start(t, &p, nil)
	idle := dial(t, s)
	busy := dial(t, s)
	type answer struct {
		n   int
		err error
	}
	answers := make(chan answer)
	go func() {
		n, err := busy.Send(window(0, 10))
		answers <- answer{n, err}
	}()
	<-entered
	stopped := make(chan error)
	go func() { stopped <- s.Shutdown(t.Context()) }()
	eventually(t, "the receiver stops", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.stopping
	})
	if _, err := idle.Send(window(10, 1)); err == nil {
		t.Error("a receiver that stops took another window")
	}
	close(leave)
	if got := <-answers; got.n != 10 || got.err != nil {
		t.Errorf("got %d acknowledged, %v", got.n, got.err)
	}
	must(t, <-stopped)
	exactlyOnce(t, p.seen(), 10)
}

func TestAStopDoesNotWaitLongerThanItMay(t *testing.T) {
	full := make(chan struct{})
	logs, err := consumer.NewLogs(func(ctx context.Context, _ plog.Logs) error {
		close(full)
		<-ctx.Done()
		return ctx.Err()
	})
	must(t, err)
	config := createDefaultConfig().(*Config)
	config.Endpoint = "127.0.0.1:0"
	receiver, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), config, logs)
	must(t, err)
	must(t, receiver.Start(t.Context(), componenttest.NewNopHost()))
	client, err := lumber.SyncDial(receiver.(*server).address(), lumber.Timeout(10*time.Second))
	must(t, err)
	defer client.Close()
	sent := make(chan error)
	go func() {
		_, err := client.Send(window(0, 1))
		sent <- err
	}()
	<-full
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := receiver.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	if <-sent == nil {
		t.Error("what nobody stored was acknowledged")
	}
}

// TestTheRecordOfAnEventIsWhatWasSent looks at the whole way of one event.
func TestTheRecordOfAnEventIsWhatWasSent(t *testing.T) {
	var got plog.Logs
	logs, err := consumer.NewLogs(func(_ context.Context, logs plog.Logs) error {
		got = logs
		return nil
	})
	must(t, err)
	config := createDefaultConfig().(*Config)
	config.Endpoint = "127.0.0.1:0"
	config.Body = BodyMap
	receiver, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), config, logs)
	must(t, err)
	must(t, receiver.Start(t.Context(), componenttest.NewNopHost()))
	defer func() { must(t, receiver.Shutdown(t.Context())) }()
	client, err := lumber.SyncDial(receiver.(*server).address(), lumber.Timeout(10*time.Second))
	must(t, err)
	defer client.Close()
	_, err = client.Send([]any{json.RawMessage(beatsEvent)})
	must(t, err)
	resource := got.ResourceLogs().At(0)
	address, _ := resource.Resource().Attributes().Get("client.address")
	if fields := resource.ScopeLogs().At(0).LogRecords().At(0).Body().Map(); address.Str() != "127.0.0.1" || fields.Len() != 9 {
		t.Errorf("got %s, %v", address.Str(), slices.Sorted(maps.Keys(fields.AsRaw())))
	}
}
