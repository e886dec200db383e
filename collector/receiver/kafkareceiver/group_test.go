package kafkareceiver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/keyless-id/keyless/collector/internal/kafkaclient"
	"github.com/keyless-id/keyless/collector/receiver/kafkareceiver/internal/metadata"
)

const topic = "lines"

// broker is a fake of Kafka's, with one who writes to it and asks it.
type broker struct {
	*kfake.Cluster
	writer *kgo.Client
}

func startBroker(t *testing.T, partitions int32, options ...kfake.Opt) *broker {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(partitions, topic, "dead")}, options...)...)
	must(t, err)
	t.Cleanup(cluster.Close)
	return &broker{Cluster: cluster}
}

// write adds lines from first to the last of n, one after another over the partitions.
func (b *broker) write(t *testing.T, first, n int) {
	t.Helper()
	var records []*kgo.Record
	for i := first; i < first+n; i++ {
		records = append(records, kgo.StringRecord(line(i)))
	}
	b.produce(t, records...)
}

func line(i int) string { return fmt.Sprintf("line %d", i) }

func (b *broker) produce(t *testing.T, records ...*kgo.Record) {
	t.Helper()
	if b.writer == nil {
		var err error
		b.writer, err = kgo.NewClient(kgo.SeedBrokers(b.ListenAddrs()...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
		must(t, err)
		t.Cleanup(b.writer.Close)
	}
	must(t, b.writer.ProduceSync(t.Context(), records...).FirstErr())
}

// committed is how many records the group has behind it, over all partitions.
func (b *broker) committed(t *testing.T) (sum int64) {
	t.Helper()
	offsets, err := kadm.NewClient(b.writer).FetchOffsets(t.Context(), "otel-collector")
	if errors.Is(err, kerr.GroupIDNotFound) { // nobody has joined yet
		return 0
	}
	must(t, err)
	offsets.Each(func(o kadm.OffsetResponse) { sum += o.At })
	return sum
}

// pipeline counts bodies; answer, if set, says what becomes of a batch.
type pipeline struct {
	mu     sync.Mutex
	bodies map[string]int
	answer func(bodies []string) error
}

func (p *pipeline) consume(_ context.Context, logs plog.Logs) error {
	var bodies []string
	for _, resource := range logs.ResourceLogs().All() {
		bodies = append(bodies, resource.ScopeLogs().At(0).LogRecords().At(0).Body().AsString())
	}
	if p.answer != nil {
		if err := p.answer(bodies); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bodies == nil {
		p.bodies = make(map[string]int)
	}
	for _, body := range bodies {
		p.bodies[body]++
	}
	return nil
}

func (p *pipeline) seen() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.bodies)
}

// member is a receiver in the group, with its log and its counters.
type member struct {
	receiver.Logs
	log       *observer.ObservedLogs
	telemetry *componenttest.Telemetry
}

func (b *broker) join(t *testing.T, p *pipeline, change func(c *Config)) *member {
	t.Helper()
	config := createDefaultConfig().(*Config)
	config.Brokers = b.ListenAddrs()
	config.Logs = Topics{[]string{topic}, EncodingText}
	config.ErrorBackOff = BackOff{time.Millisecond, 10 * time.Millisecond}
	config.MaxFetchWait = 10 * time.Millisecond
	if change != nil {
		change(config)
	}
	must(t, config.Validate())
	m, err := create(t, config, p)
	must(t, err)
	must(t, m.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { m.leave(t) })
	return m
}

func create(t *testing.T, config *Config, p *pipeline) (*member, error) {
	t.Helper()
	next, err := consumer.NewLogs(p.consume)
	must(t, err)
	telemetry := componenttest.NewTelemetry()
	core, log := observer.New(zap.WarnLevel)
	set := receivertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = telemetry.NewTelemetrySettings()
	set.Logger = zap.New(core)
	logs, err := NewFactory().CreateLogs(t.Context(), set, config, next)
	return &member{logs, log, telemetry}, err
}

func (m *member) errors() *observer.ObservedLogs { return m.log.FilterLevelExact(zap.ErrorLevel) }

func (m *member) leave(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	must(t, m.Shutdown(ctx))
}

// counter is the value of a counter, over all its attributes or with one of them.
func (m *member) counter(name, outcome string) (sum int64) {
	metric, err := m.telemetry.GetMetric("otelcol_receiver_kafka_" + name)
	if err != nil {
		return 0
	}
	for _, point := range metric.Data.(metricdata.Sum[int64]).DataPoints {
		if value, _ := point.Attributes.Value("outcome"); outcome == "" || value.AsString() == outcome {
			sum += point.Value
		}
	}
	return sum
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (b *broker) wantCommitted(t *testing.T, want int64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d are committed", want), func() bool { return b.committed(t) == want })
}

func exactlyOnce(t *testing.T, seen map[string]int, n int) {
	t.Helper()
	for i := range n {
		if seen[line(i)] != 1 {
			t.Fatalf("%s arrived %d times, of %d", line(i), seen[line(i)], len(seen))
		}
	}
	if len(seen) != n {
		t.Fatalf("got %d lines, want %d", len(seen), n)
	}
}

func TestEveryRecordArrivesOnceAndIsCommitted(t *testing.T) {
	b := startBroker(t, 3)
	b.write(t, 0, 5000) // before there is anybody
	var p pipeline
	m := b.join(t, &p, nil)
	eventually(t, "the first arrive", func() bool { return len(p.seen()) == 5000 })
	b.write(t, 5000, 1000)
	b.wantCommitted(t, 6000)
	exactlyOnce(t, p.seen(), 6000)
	if got := m.counter("records", "delivered"); got != 6000 {
		t.Errorf("counted %d", got)
	}
}

func TestLatestIsOnlyWhatComes(t *testing.T) {
	b := startBroker(t, 1)
	b.write(t, 100, 10)
	var p pipeline
	b.join(t, &p, func(c *Config) { c.InitialOffset = "latest" })
	// The member has begun when it sees one of these, whichever.
	for i := 0; len(p.seen()) == 0; i++ {
		b.write(t, 200+i, 1)
	}
	for body := range p.seen() {
		if strings.HasPrefix(body, "line 1") {
			t.Errorf("%s was written before", body)
		}
	}
}

func TestNothingIsCommittedBeforeItIsDelivered(t *testing.T) {
	b := startBroker(t, 1)
	var full sync.Map
	full.Store("full", true)
	tries := make(chan struct{}, 1000)
	p := pipeline{answer: func([]string) error {
		select {
		case tries <- struct{}{}:
		default:
		}
		if _, is := full.Load("full"); is {
			return errors.New("the queue is full")
		}
		return nil
	}}
	b.write(t, 0, 10)
	m := b.join(t, &p, nil)
	for range 3 {
		<-tries
	}
	if got := b.committed(t); got > 0 || len(p.seen()) > 0 {
		t.Fatalf("%d are committed, %d delivered", got, len(p.seen()))
	}
	full.Delete("full")
	b.wantCommitted(t, 10)
	exactlyOnce(t, p.seen(), 10)
	if m.counter("retries", "") < 2 {
		t.Error("no retries are counted")
	}
}

func TestWhatAMemberCouldNotDeliverComesToTheNext(t *testing.T) {
	b := startBroker(t, 2)
	b.write(t, 0, 100)
	tried := make(chan struct{}, 1000)
	first := b.join(t, &pipeline{answer: func([]string) error {
		tried <- struct{}{}
		return errors.New("the queue is full")
	}}, func(c *Config) { c.ErrorBackOff = BackOff{time.Hour, time.Hour} })
	<-tried
	first.leave(t) // does not wait for the hour
	var p pipeline
	b.join(t, &p, nil)
	b.wantCommitted(t, 100)
	exactlyOnce(t, p.seen(), 100)
}

func TestPartitionsGoFromMemberToMemberWithoutLoss(t *testing.T) {
	b := startBroker(t, 6)
	const n = 3000
	var one, two pipeline
	first := b.join(t, &one, nil)
	b.write(t, 0, n/3)
	second := b.join(t, &two, nil)
	next := n / 3
	for ; len(two.seen()) == 0; next += 10 { // until the second has partitions
		b.write(t, next, 10)
	}
	b.write(t, next, 100)
	next += 100
	first.leave(t)
	b.write(t, next, 100)
	next += 100
	b.wantCommitted(t, int64(next))
	both := one.seen()
	for body, times := range two.seen() {
		both[body] += times
	}
	// What one member has delivered it commits before it gives the partition away.
	exactlyOnce(t, both, next)
	if first.counter("commit_failures", "")+second.counter("commit_failures", "") != 0 {
		t.Error("commits failed")
	}
}

func TestARecordThatIsRefusedForGood(t *testing.T) {
	refuse := func(bodies []string) error {
		for _, body := range bodies {
			if body == line(42) {
				return consumererror.NewPermanent(errors.New("no such column"))
			}
		}
		return nil
	}
	without := func(n int) map[string]int {
		all := make(map[string]int)
		for i := range n {
			all[line(i)] = 1
		}
		delete(all, line(42))
		return all
	}
	t.Run("stops its partition, and not what is before it", func(t *testing.T) {
		b := startBroker(t, 1)
		b.write(t, 0, 100)
		p := pipeline{answer: refuse}
		m := b.join(t, &p, nil)
		eventually(t, "the partition halts", func() bool { return m.counter("partitions_halted", "") == 1 })
		b.wantCommitted(t, 42)
		exactlyOnce(t, p.seen(), 42)
		lines := m.log.FilterMessageSnippet("waits at a record").All()
		if len(lines) != 1 || !strings.Contains(fmt.Sprint(lines[0].ContextMap()["error"]), "offset 42") {
			t.Errorf("got %v", m.log.All())
		}
		m.leave(t)
		var healed pipeline
		b.join(t, &healed, nil)
		b.wantCommitted(t, 100)
		if got := healed.seen(); got[line(42)] != 1 || len(got) != 58 {
			t.Errorf("after a new start %d lines came, %d times the one", len(got), got[line(42)])
		}
	})
	t.Run("goes to the dead letters", func(t *testing.T) {
		b := startBroker(t, 1)
		b.write(t, 0, 100)
		p := pipeline{answer: refuse}
		m := b.join(t, &p, func(c *Config) { c.OnPermanentError, c.DeadLetterTopic = RefusalDeadLetter, "dead" })
		b.wantCommitted(t, 100)
		if got := p.seen(); !maps.Equal(got, without(100)) || m.counter("records", "dead_letter") != 1 {
			t.Errorf("%d lines, %d dead letters", len(got), m.counter("records", "dead_letter"))
		}
		letters, err := kgo.NewClient(kgo.SeedBrokers(b.ListenAddrs()...), kgo.ConsumeTopics("dead"))
		must(t, err)
		defer letters.Close()
		letter := letters.PollRecords(t.Context(), 1).Records()[0]
		if string(letter.Value) != line(42) || string(letter.Headers[0].Value) != "lines/0/42" {
			t.Errorf("got %s, %v", letter.Value, letter.Headers)
		}
	})
	t.Run("is skipped where that was asked for, and said", func(t *testing.T) {
		b := startBroker(t, 1)
		b.write(t, 0, 100)
		p := pipeline{answer: refuse}
		m := b.join(t, &p, func(c *Config) { c.OnPermanentError = RefusalSkip })
		b.wantCommitted(t, 100)
		if got := p.seen(); !maps.Equal(got, without(100)) || m.counter("records", "skipped") != 1 || m.errors().Len() != 1 {
			t.Errorf("%d lines, %d skipped, log %v", len(got), m.counter("records", "skipped"), m.log.All())
		}
	})
}

func TestARecordThatNobodyCanDecodeIsNotQuoted(t *testing.T) {
	b := startBroker(t, 1)
	b.produce(t, kgo.StringRecord(`{"n":1}`), kgo.StringRecord(`{"secret":`), kgo.StringRecord(`{"n":2}`))
	var p pipeline
	m := b.join(t, &p, func(c *Config) { c.OnPermanentError, c.Logs.Encoding = RefusalSkip, EncodingJSON })
	b.wantCommitted(t, 3)
	if got := p.seen(); len(got) != 2 || got[`{"n":1}`] != 1 || got[`{"n":2}`] != 1 {
		t.Errorf("got %v", got)
	}
	text := fmt.Sprint(m.log.All(), m.errors().All()[0].ContextMap())
	if strings.Contains(text, "secret") || !strings.Contains(text, "is not encoded as json") {
		t.Errorf("the log says %s", text)
	}
}

func TestAPasswordOpensABroker(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		for password, want := range map[string]bool{"right-1": true, "wrong-1": false} {
			t.Run(mechanism+" "+password, func(t *testing.T) {
				b := startBroker(t, 1, kfake.EnableSASL(), kfake.Superuser(mechanism, "gateway", "right-1"), kfake.Superuser("PLAIN", "writer", "w"))
				b.writeAs(t, "writer", "w", 10)
				var p pipeline
				m := b.join(t, &p, func(c *Config) {
					c.TLS = configoptional.Some(configtls.ClientConfig{Insecure: true})
					c.Auth.SASL = configoptional.Some(kafkaclient.SASL{Mechanism: mechanism, Username: "gateway", Password: configopaque.String(password)})
				})
				if want {
					eventually(t, "the lines arrive", func() bool { return len(p.seen()) == 10 })
					return
				}
				eventually(t, "the log says so", func() bool { return m.log.Len() > 0 })
				if got := p.seen(); len(got) != 0 {
					t.Errorf("%d lines arrived", len(got))
				}
				if text := fmt.Sprint(m.log.All()); strings.Contains(text, password) {
					t.Errorf("the password is in the log: %s", text)
				}
			})
		}
	}
}

func TestABrokerIsSpokenToOverTLS(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	b := startBroker(t, 1, kfake.TLS(&tls.Config{Certificates: server.TLS.Certificates}))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	var err error
	b.writer, err = kgo.NewClient(kgo.SeedBrokers(b.ListenAddrs()...), kgo.DefaultProduceTopic(topic), kgo.DialTLSConfig(&tls.Config{RootCAs: pool}))
	must(t, err)
	defer b.writer.Close()
	b.write(t, 0, 10)
	var trusting, wary pipeline
	b.join(t, &trusting, func(c *Config) {
		c.TLS = configoptional.Some(configtls.ClientConfig{Config: configtls.Config{CAPem: configopaque.String(ca)}})
	})
	eventually(t, "the lines arrive", func() bool { return len(trusting.seen()) == 10 })
	m := b.join(t, &wary, func(c *Config) {
		c.GroupID = "others"
		c.TLS = configoptional.Some(configtls.ClientConfig{})
	})
	eventually(t, "the log says so", func() bool { return strings.Contains(fmt.Sprint(m.log.All()), "cannot connect") })
	if got := wary.seen(); len(got) != 0 {
		t.Errorf("%d lines arrived from a broker that nobody vouches for", len(got))
	}
}

func TestAMemberLeavesWithoutABroker(t *testing.T) {
	b := startBroker(t, 1)
	b.write(t, 0, 10)
	var p pipeline
	m := b.join(t, &p, nil)
	b.wantCommitted(t, 10)
	b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	must(t, m.Shutdown(ctx))
}

func TestWhatTheClientCannotBeMadeOfFailsTheStart(t *testing.T) {
	id := component.MustNewID("keyless")
	for want, change := range map[string]func(c *Config){
		"absent.pem": func(c *Config) {
			c.TLS = configoptional.Some(configtls.ClientConfig{Config: configtls.Config{CAFile: "absent.pem"}})
		},
		"extension keyless is not among": func(c *Config) {
			c.Auth.SASL = configoptional.Some(kafkaclient.SASL{Mechanism: "OAUTHBEARER", OAuthBearerTokenSource: &id})
		},
	} {
		config := createDefaultConfig().(*Config)
		change(config)
		m, err := create(t, config, &pipeline{})
		must(t, err)
		wantError(t, m.Start(t.Context(), componenttest.NewNopHost()), want)
		must(t, m.Shutdown(t.Context()))
	}
}

// writeAs writes with a password.
func (b *broker) writeAs(t *testing.T, user, password string, n int) {
	t.Helper()
	var err error
	b.writer, err = kgo.NewClient(kgo.SeedBrokers(b.ListenAddrs()...), kgo.DefaultProduceTopic(topic),
		kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism()))
	must(t, err)
	t.Cleanup(b.writer.Close)
	b.write(t, 0, n)
}
