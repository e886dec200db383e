package doctor_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/profile"
	"github.com/keyless-id/keyless/sandbox"
)

func TestAnExaminationAsksForOneTokenAndOneSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := vm(t)
		s.idle = true
		s.examine(t)
		// STS fetches the keys as well; IAM is asked as the session and as the login.
		for hop, want := range map[sandbox.Hop]int{sandbox.IMDS: 1, sandbox.Keys: 4, sandbox.IAM: 4} {
			if got := s.played.Requests(hop); got != want {
				t.Errorf("%s has seen %d requests, want %d", hop, got, want)
			}
		}
		// The exchange, and twice who somebody is: the session, and the login that reads IAM.
		if got := s.played.Requests(sandbox.STS); got != 3 {
			t.Errorf("sts has seen %d requests, want 3", got)
		}
	})
}

// far makes each request take as long as the way to another continent.
func far(next http.RoundTripper) http.RoundTripper {
	return tripper(func(r *http.Request) (*http.Response, error) {
		time.Sleep(100 * time.Millisecond)
		return next.RoundTrip(r)
	})
}

func TestAnExaminationTakesAtMostThreeTimesTheExchange(t *testing.T) {
	for name, base := range map[string]func(*testing.T) *setup{"vm": vm, "application": app, "version 2": vmV2, "job": job, "container in AWS": agent, "chain": chained, "metrics in AWS": amp} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := base(t)
				s.around, s.idle = far, true
				s.world.Accounts[0].Administrators = append(s.world.Accounts[0].Administrators, sandbox.DemoRoleARN, sandbox.DemoV2RoleARN, sandbox.DemoJobRoleARN)
				started := time.Now()
				report := s.examine(t)
				examined := time.Since(started)
				started = time.Now()
				s.exchange(t)
				cold := time.Since(started)
				t.Logf("%s for an exchange of %s", examined, cold)
				if examined > 3*cold {
					t.Errorf("the examination took %s, the exchange %s: %s", examined, cold, shown(report))
				}
			})
		})
	}
}

// exchange is what a cold credential process does.
func (s *setup) exchange(t *testing.T) {
	t.Helper()
	getenv := s.environment(t, s.played)
	config, err := profile.Parse("keyless.yaml", s.yaml(t))
	if err != nil {
		t.Fatal(err)
	}
	selected, err := config.Select("p", nil, getenv)
	if err != nil {
		t.Fatal(err)
	}
	selected.Far.Around = s.transport(s.played)
	built, err := selected.Build(getenv)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyless.Federate(built.Source, built.Exchanger).Credentials(t.Context()); err != nil {
		t.Fatal(err)
	}
}
