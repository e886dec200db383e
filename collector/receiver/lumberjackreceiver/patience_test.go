package lumberjackreceiver

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	lumber "github.com/elastic/go-lumber/client/v2"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/keyless-id/keyless/collector/receiver/lumberjackreceiver/internal/metadata"
)

// serve is a connection without a network, whose time is the test's.
func serve(t *testing.T, p *pipeline, change func(c *Config)) (sender net.Conn, ended chan struct{}) {
	t.Helper()
	config := createDefaultConfig().(*Config)
	if change != nil {
		change(config)
	}
	set := receivertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = componenttest.NewNopTelemetrySettings()
	s, err := newServer(set, config, p.consumer(t))
	must(t, err)
	sender, receiver := net.Pipe()
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		defer receiver.Close()
		(&connection{server: s, peer: receiver}).serve(t.Context())
	}()
	return sender, ended
}

// acknowledged reads what the receiver says, and how long after begin.
func acknowledged(t *testing.T, from io.Reader, begin time.Time) (uint32, time.Duration) {
	t.Helper()
	var reply [6]byte
	_, err := io.ReadFull(from, reply[:])
	must(t, err)
	if got := string(reply[:2]); got != "2A" {
		t.Fatalf("got a frame %q, want an acknowledgement", got)
	}
	return binary.BigEndian.Uint32(reply[2:]), time.Since(begin)
}

func TestASenderHearsEveryThreeSecondsThatSomebodyIsAtWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		sender, ended := serve(t, &pipeline{answer: func(int) error {
			time.Sleep(10 * time.Second)
			return nil
		}}, nil)
		_, err := io.WriteString(sender, windowFrame(1)+eventFrame(1, "{}"))
		must(t, err)
		for _, want := range []struct {
			seq   uint32
			after time.Duration
		}{{0, 3 * time.Second}, {0, 6 * time.Second}, {0, 9 * time.Second}, {1, 10 * time.Second}} {
			if seq, after := acknowledged(t, sender, begin); seq != want.seq || after != want.after {
				t.Errorf("got %d after %v, want %d after %v", seq, after, want.seq, want.after)
			}
		}
		must(t, sender.Close())
		<-ended
	})
}

func TestGoLumberWaitsAsLongAsItHearsSomething(t *testing.T) {
	for keepalive, want := range map[time.Duration]int{3 * time.Second: 1, 7 * time.Second: 0} {
		synctest.Test(t, func(t *testing.T) {
			sender, ended := serve(t, &pipeline{answer: func(int) error {
				time.Sleep(time.Minute)
				return nil
			}}, func(c *Config) { c.Keepalive = keepalive })
			client, err := lumber.NewSyncClientWithConn(sender, lumber.Timeout(5*time.Second), lumber.CompressionLevel(3))
			must(t, err)
			if n, err := client.Send(window(0, 1)); n != want {
				t.Errorf("a sign of life every %v: %d acknowledged, %v, want %d", keepalive, n, err, want)
			}
			must(t, client.Close())
			<-ended
		})
	}
}

func TestASenderIsHeldOffBeforeItSendsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		sender, ended := serve(t, &pipeline{answer: func(int) error { return errors.New("the queue is full") }},
			func(c *Config) { c.RetryDelay = 4 * time.Second })
		_, err := io.WriteString(sender, windowFrame(1)+eventFrame(1, "{}"))
		must(t, err)
		if seq, after := acknowledged(t, sender, begin); seq != 0 || after != 3*time.Second {
			t.Errorf("got %d after %v", seq, after)
		}
		_, err = sender.Read(make([]byte, 1))
		if after := time.Since(begin); !errors.Is(err, io.EOF) || after != 4*time.Second {
			t.Errorf("got %v after %v, want an end after 4s", err, after)
		}
		<-ended
	})
}

func TestAConnectionEndsWhereNothingComes(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		after time.Duration
	}{
		"between windows":  {"", 5 * time.Minute},
		"within a window":  {windowFrame(2) + eventFrame(1, "{}"), 30 * time.Second},
		"within an event":  {windowFrame(1) + eventFrame(1, "{}")[:11], 30 * time.Second},
		"within a number":  {windowFrame(1)[:3], 30 * time.Second},
		"in a zlib header": {windowFrame(1) + compressedFrame()[:6], 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				sender, ended := serve(t, &pipeline{}, nil)
				_, err := io.WriteString(sender, c.text)
				must(t, err)
				<-ended
				if got := time.Since(begin); got != c.after {
					t.Errorf("ended after %v, want %v", got, c.after)
				}
			})
		})
	}
}

func TestASenderThatIsGoneEndsWhatIsDoneForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		sender, ended := serve(t, &pipeline{answer: func(int) error {
			time.Sleep(10 * time.Second)
			return nil
		}}, nil)
		_, err := io.WriteString(sender, windowFrame(1)+eventFrame(1, "{}"))
		must(t, err)
		synctest.Wait()
		must(t, sender.Close())
		<-ended
		if got := time.Since(begin); got != 10*time.Second {
			t.Errorf("ended after %v: the pipeline had it until 10s", got)
		}
	})
}
