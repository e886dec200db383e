package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	lumber "github.com/elastic/go-lumber/client/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/keyless-id/keyless/sandbox"
)

const (
	linesInAll  = 12000 // that are written to a file
	eventsInAll = 3000  // that come from a Beat
)

// collector is the program to test, which has all of these parts.
func collector(t *testing.T) string {
	t.Helper()
	program := os.Getenv("COLLECTOR_PROGRAM")
	switch {
	case program != "":
	case os.Getenv("CI") != "":
		t.Fatal("COLLECTOR_PROGRAM does not say where the collector is, which make test builds")
	default:
		missing(t, "the collector", "COLLECTOR_PROGRAM does not say where it is")
	}
	parts, err := exec.Command(program, "components").Output()
	must(t, err)
	for _, part := range []string{"file_log", "lumberjack", "kafka", "azure_logs_ingestion", "file_storage", "keyless"} {
		if !strings.Contains(string(parts), "name: "+part+"\n") {
			t.Fatalf("%s is an older one: it has no %s", program, part)
		}
	}
	return program
}

// tiers are an edge, a broker and two gateways before the Logs Ingestion API.
type tiers struct {
	*sandbox.Sandbox
	program string
	dir     string
	env     []string

	broker   *broker
	edge     *process
	gateways [2]*process
	log      string // the file that the edge reads
	beats    string // the address for Beats
	queues   queues
}

// queues are what an edge and a gateway do with what is not taken from them.
type queues struct{ edge, gateway string }

const (
	onDisk   = "{ storage: file_storage, block_on_overflow: true }"
	inMemory = "{ storage: null, block_on_overflow: true }"
	none     = "{ enabled: false }"
)

func startTiers(t *testing.T, queues queues) *tiers {
	t.Helper()
	s := &tiers{program: collector(t), broker: startBroker(t, plaintext), dir: t.TempDir(), beats: freeAddress(t), queues: queues}
	var err error
	s.Sandbox, err = sandbox.New(sandbox.Demo(), sandbox.Options{})
	must(t, err)
	must(t, s.Listen("127.0.0.1:0"))
	t.Cleanup(func() { _ = s.Close() })
	host, err := s.HostEnv(sandbox.HostVM, t.TempDir())
	must(t, err)
	s.env = slices.Concat([]string{"PATH=/usr/bin:/bin", "HOME=" + s.dir}, s.Env(), host)
	s.log = write(t, filepath.Join(s.dir, "app.log"), "")
	s.topic(t)
	s.edge = s.collector(t, "edge", s.edgeConfig())
	for i := range s.gateways {
		s.gateways[i] = s.collector(t, fmt.Sprintf("gateway-%d", i), s.gatewayConfig(i))
	}
	return s
}

// topic makes the one that the edge writes to; nothing in a production makes topics by the way.
func (s *tiers) topic(t *testing.T) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.address))
	must(t, err)
	defer client.Close()
	eventually(t, 60*time.Second, "the broker makes a topic", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := kadm.NewClient(client).CreateTopic(ctx, 6, 1, map[string]*string{"min.insync.replicas": kadm.StringPtr("1")}, "otlp_logs")
		return err == nil
	})
}

func (s *tiers) collector(t *testing.T, name, config string) *process {
	t.Helper()
	path := write(t, filepath.Join(s.dir, name+".yaml"), config)
	return (&process{name: name, program: s.program, args: []string{"--config", path}, env: s.env, dir: s.dir}).supervised(t)
}

func (s *tiers) edgeConfig() string {
	return fmt.Sprintf(`
extensions:
  file_storage: { directory: %[1]s/edge, create_directory: true }
receivers:
  file_log: { include: [ %[2]s ], start_at: beginning, storage: file_storage, poll_interval: 50ms }
  lumberjack: { endpoint: %[3]q, body: message }
exporters:
  kafka:
    brokers: [ %[4]q ]
    timeout: 5s
    producer: { required_acks: all, compression: zstd, allow_auto_topic_creation: false }
    retry_on_failure: { initial_interval: 100ms, max_interval: 1s, max_elapsed_time: 0 }
    sending_queue: %[5]s
service:
  extensions: [ file_storage ]
  telemetry: { metrics: { level: none } }
  pipelines:
    logs: { receivers: [ file_log, lumberjack ], exporters: [ kafka ] }
`, s.dir, s.log, s.beats, s.broker.address, s.queues.edge)
}

func (s *tiers) gatewayConfig(i int) string {
	return fmt.Sprintf(`
extensions:
  file_storage: { directory: %[1]s/gateway-%[2]d, create_directory: true }
  keyless: { source: { managed_identity: {} }, scope: "https://monitor.azure.com/.default", hosts: [ %[3]q ] }
receivers:
  kafka:
    brokers: [ %[4]q ]
    group_id: gateways
    group_instance_id: gateway-%[2]d
    session_timeout: 6s
    error_backoff: { initial_interval: 100ms, max_interval: 1s }
exporters:
  azure_logs_ingestion:
    endpoint: %[5]q
    allow_endpoint: true
    auth: { authenticator: keyless }
    dcr: %[6]s
    stream: %[7]s
    body: { column: Message }
    retry_on_failure: { initial_interval: 100ms, max_interval: 1s, max_elapsed_time: 0 }
    sending_queue: %[8]s
service:
  extensions: [ file_storage, keyless ]
  telemetry: { metrics: { level: none } }
  pipelines:
    logs: { receivers: [ kafka ], exporters: [ azure_logs_ingestion ] }
`, s.dir, i, strings.TrimPrefix(s.URL(sandbox.DCE), "http://"), s.broker.address, s.URL(sandbox.DCE), sandbox.DemoRuleID, sandbox.DemoStream, s.queues.gateway)
}

// arrived is how often each message is in the ledger of the Logs Ingestion API.
func (s *tiers) arrived() map[string]int {
	times := make(map[string]int)
	for _, row := range s.Rows(sandbox.DemoStream) {
		times[fmt.Sprint(row["Message"])]++
	}
	return times
}

// writeLines adds lines to the file, a thousand a second.
func (s *tiers) writeLines(t *testing.T, written *atomic.Int64) {
	t.Helper()
	file, err := os.OpenFile(s.log, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	defer file.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; n < linesInAll; n += 20 {
		var text strings.Builder
		for i := n; i < n+20; i++ {
			fmt.Fprintf(&text, "line %d\n", i)
		}
		if _, err := file.WriteString(text.String()); err != nil {
			t.Error(err)
			return
		}
		written.Store(int64(n + 20))
		<-tick.C
	}
}

// sendEvents is a Beat with events numbered from first: what is not acknowledged it sends
// again, over another connection.
func (s *tiers) sendEvents(ctx context.Context, first, n int) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := first + n; first < end && ctx.Err() == nil; <-tick.C {
		client, err := lumber.SyncDial(s.beats, lumber.Timeout(10*time.Second), lumber.CompressionLevel(3))
		if err != nil {
			continue
		}
		for err == nil && first < end {
			if _, err = client.Send(events(first, 25)); err == nil {
				first += 25
				<-tick.C
			}
		}
		_ = client.Close()
	}
}

func events(first, n int) []any {
	all := make([]any, n)
	for i := range all {
		all[i] = map[string]string{"message": fmt.Sprintf("event %d", first+i)}
	}
	return all
}

// TestTwoTiersLoseNothingWhateverIsKilled reads the ledger of who gets the rows. Gateways
// without a queue commit what was delivered; the others, what they have stored.
func TestTwoTiersLoseNothingWhateverIsKilled(t *testing.T) {
	for name, queues := range map[string]queues{"gateways with queues": {onDisk, onDisk}, "gateways without": {onDisk, none}} {
		t.Run(name, func(t *testing.T) { loseNothing(t, startTiers(t, queues)) })
	}
}

// loseNothing kills each program once while rows flow.
func loseNothing(t *testing.T, s *tiers) {
	t.Helper()
	var written atomic.Int64
	var senders sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	senders.Go(func() { s.writeLines(t, &written) })
	senders.Go(func() { s.sendEvents(ctx, 0, eventsInAll) })
	for at, victim := range map[int64]*process{2000: s.edge, 5000: s.broker.process, 8000: s.gateways[0]} {
		senders.Go(func() {
			eventually(t, time.Minute, "it is its turn", func() bool { return written.Load() >= at })
			victim.kill()
			victim.start(t)
		})
	}
	eventually(t, time.Minute, "another gateway is updated", func() bool { return written.Load() >= 10000 })
	s.gateways[1].stop()
	s.gateways[1].start(t)
	senders.Wait()

	want := messages()
	eventually(t, 2*time.Minute, "every row is there", func() bool { return len(s.arrived()) >= len(want) })
	twice := 0
	for message, n := range s.arrived() {
		if !want[message] {
			t.Errorf("nobody wrote %q", message)
		}
		delete(want, message)
		twice += n - 1
	}
	t.Logf("%d rows, %d of them more than once", linesInAll+eventsInAll, twice)
	if len(want) > 0 {
		t.Errorf("%d rows are lost", len(want))
	}
	// What was in flight when somebody was killed may come again, and only that.
	if twice > (linesInAll+eventsInAll)/10 {
		t.Errorf("%d rows came more than once", twice)
	}
}

// messages are all that are written.
func messages() map[string]bool {
	all := make(map[string]bool)
	for i := range linesInAll {
		all[fmt.Sprintf("line %d", i)] = true
	}
	for i := range eventsInAll {
		all[fmt.Sprintf("event %d", i)] = true
	}
	return all
}

// TestAnEdgeKeepsWhatItHasAcknowledged kills an edge while there is no broker, and the same
// one with the queue that the stock Collector has.
func TestAnEdgeKeepsWhatItHasAcknowledged(t *testing.T) {
	for name, c := range map[string]struct {
		queue string
		kept  int
	}{"on disk": {onDisk, 100}, "in memory": {inMemory, 0}} {
		t.Run(name, func(t *testing.T) {
			s := startTiers(t, queues{c.queue, onDisk})
			s.broker.kill()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s.sendEvents(ctx, 0, 100) // returns when all are acknowledged
			s.edge.kill()
			s.edge.start(t)
			s.broker.start(t)
			s.sendEvents(ctx, 1000, 25)
			eventually(t, time.Minute, "what was sent later is there", func() bool { return s.arrived()["event 1024"] > 0 })
			// What was sent earlier may come behind it, from another partition.
			kept := func() int { return len(s.arrived()) - 25 }
			if c.kept > 0 {
				eventually(t, time.Minute, "all of it is there", func() bool { return kept() >= c.kept })
			}
			if got := kept(); got != c.kept {
				t.Errorf("%d of 100 events are there, want %d", got, c.kept)
			}
		})
	}
}
