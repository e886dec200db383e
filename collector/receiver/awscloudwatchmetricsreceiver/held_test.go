package awscloudwatchmetricsreceiver

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/keyless-id/keyless/sandbox"
)

// witness is a pipeline that takes a copy of the disk while it gets something, as it is for
// one who is killed then.
type witness struct {
	consumertest.Consumer
	host  *host
	given [][]byte
	disks []*host
}

func newWitness(h *host) *witness { return &witness{Consumer: consumertest.NewNop(), host: h} }

func (w *witness) ConsumeMetrics(_ context.Context, data pmetric.Metrics) error {
	text, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(data)
	w.given, w.disks = append(w.given, text), append(w.disks, copyOf(w.host))
	return err
}

// killed reads a region, of which a part is late, and is killed in the middle of the first
// poll; an hour later it starts again.
func killed(t *testing.T, change func(*host)) (before, after []byte) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 2, tardy()))
		midday(t)
		c := configOf(func(c *Config) { c.Lookback, c.EC2.Profile = 3*time.Hour, profileMinimal }) // no status checks, which come first
		first := newWitness(newHost())
		r := start(t, far.RoundTripper(), first.host, c, first)
		synctest.Wait()
		r.stop(t)
		disk := first.disks[0]
		change(disk)
		time.Sleep(time.Hour)
		second := newWitness(disk)
		r = start(t, far.RoundTripper(), disk, c, second)
		synctest.Wait()
		r.stop(t)
		before, after = first.given[0], second.given[0]
		if key := "v1/" + sandbox.DemoAccountID + "/eu-west-1/held"; disk.disk[key] != nil {
			t.Error("it is held for ever")
		}
	})
	return before, after
}

func TestWhatWasOnItsWayComesAgainAsItWas(t *testing.T) {
	before, after := killed(t, func(*host) {})
	if !bytes.Equal(before, after) {
		t.Errorf("got %d bytes, want the same %d", len(after), len(before))
	}
}

// Without what is held the points come in other company. Nothing is lost if it is damaged.
func TestWhatIsNotHeldComesInOtherCompany(t *testing.T) {
	for name, change := range map[string]func(*host){
		"gone":    func(h *host) { h.forget(func([]byte) []byte { return nil }) },
		"damaged": func(h *host) { h.forget(func(b []byte) []byte { return append(b[:len(b)-1:len(b)-1], b[len(b)-1]+1) }) },
	} {
		if before, after := killed(t, change); bytes.Equal(before, after) {
			t.Errorf("%s: it is the same", name)
		}
	}
}

// forget changes what is held.
func (h *host) forget(change func([]byte) []byte) {
	for key, value := range h.disk {
		if strings.HasSuffix(key, "/held") {
			h.disk[key] = change(value)
		}
	}
}

func TestWhatIsRefusedIsNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 2, sandbox.Delivery{}))
		midday(t)
		h, to := newHost(), newSink()
		to.refuse = errFull
		r := start(t, far.RoundTripper(), h, configOf(), to)
		synctest.Wait()
		r.stop(t)
		for key := range h.disk {
			if strings.HasSuffix(key, "/held") {
				t.Errorf("%s is held", key)
			}
		}
	})
}

// A pipeline that is still full after a restart gets what was held with the next poll.
func TestWhatIsHeldWaitsForThePipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 2, tardy()))
		began, c, first := midday(t), configOf(func(c *Config) { c.Lookback = 3 * time.Hour }), newWitness(newHost())
		r := start(t, far.RoundTripper(), first.host, c, first)
		synctest.Wait()
		r.stop(t)
		to := newSink()
		to.refuse = errFull
		r = start(t, far.RoundTripper(), first.disks[0], c, to)
		time.Sleep(time.Hour)
		to.mu.Lock()
		to.refuse = nil
		to.mu.Unlock()
		time.Sleep(4 * time.Hour)
		r.stop(t)
		to.wantOnce(t, far, c, began, time.Now().Add(-c.Lookback))
	})
}

// An instance that is gone when the receiver starts again is in no one's way.
func TestWhatIsHeldOfAnInstanceThatIsGoneIsLetGo(t *testing.T) {
	before, after := killed(t, func(h *host) {
		h.forget(func(body []byte) []byte {
			held, err := decodeHeld(body)
			must(t, err)
			return encodeHeld(append([]heldPoints{{key: 1, points: []point{{At: 60, Value: 1}}}}, held...))
		})
	})
	if !bytes.Equal(before, after) {
		t.Errorf("got %d bytes, want the same %d", len(after), len(before))
	}
}

func FuzzHeld(f *testing.F) {
	f.Add(encodeHeld([]heldPoints{{1 << 40, []point{{60, 1.5}, {120, -2}}}, {7, []point{{1 << 31, 0}}}}))
	f.Add(encodeHeld(nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		held, err := decodeHeld(body)
		if err != nil {
			return
		}
		again, err := decodeHeld(encodeHeld(held))
		if err != nil || len(again) != len(held) {
			t.Errorf("%x became %v, %v", body, again, err)
		}
	})
}
