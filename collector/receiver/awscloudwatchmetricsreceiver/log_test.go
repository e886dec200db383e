package awscloudwatchmetricsreceiver

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/sandbox"
)

func TestTheLogSaysOnceWhoReadsWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 2, sandbox.Delivery{}))
		core, logs := observer.New(zap.InfoLevel)
		set := receivertest.NewNopSettings(NewFactory().Type())
		set.Logger = zap.New(core)
		p, err := newPoller(set, configOf(), newSink())
		must(t, err)
		p.client = &http.Client{Transport: far.RoundTripper()}
		must(t, p.Start(t.Context(), newHost()))
		time.Sleep(time.Hour)
		must(t, p.Shutdown(t.Context()))
		told := logs.FilterMessage("a region is read").All()
		if len(told) != 1 {
			t.Fatalf("%d lines", len(told))
		}
		for name, want := range map[string]any{"account": sandbox.DemoAccountID, "region": "eu-west-1", "provider": "keyless", "resources": int64(4), "metrics": int64(2*9 + 2*13)} {
			if got := told[0].ContextMap()[name]; got != want {
				t.Errorf("%s: got %v, want %v", name, got, want)
			}
		}
	})
}

func TestAForbiddenMetricIsNoReasonToStop(t *testing.T) {
	e := &entity{Namespace: "N"}
	b := batch{Series: []series{e.series("a", statSum, time.Minute), e.series("b", statSum, time.Minute)}}
	err := problems(b, []reading{{Status: statusComplete}, {Status: statusForbidden}})
	var known *keyless.Error
	if !errors.As(err, &known) || known.Hint == "" || known.Temporary || isDenied(err) || isInvalid(err) {
		t.Errorf("%#v", err)
	}
	if err := problems(b, []reading{{Status: statusComplete}, {Status: "PartialData"}}); !keyless.IsTemporary(err) || isDenied(err) {
		t.Errorf("%v", err)
	}
	if err := problems(b, []reading{{Status: statusComplete}, {Status: statusComplete}}); err != nil {
		t.Error(err)
	}
}
