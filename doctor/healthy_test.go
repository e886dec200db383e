package doctor_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyless-id/keyless/doctor"
	"github.com/keyless-id/keyless/sandbox"
)

// healthy are set-ups in which nothing is wrong.
func healthy() map[string]func(*testing.T) *setup {
	fromFile := func(base func(*testing.T) *setup) func(*testing.T) *setup {
		return func(t *testing.T) *setup {
			s := base(t)
			s.policy = true
			return s
		}
	}
	changed := func(base func(*testing.T) *setup, change func(*testing.T, *setup)) func(*testing.T) *setup {
		return func(t *testing.T) *setup {
			s := base(t)
			change(t, s)
			return s
		}
	}
	return map[string]func(*testing.T) *setup{
		"vm": vm, "vm, policy from a file": fromFile(vm),
		"vm, version 2": vmV2, "vm, version 2, policy from a file": fromFile(vmV2),
		"application": app, "application, policy from a file": fromFile(app),
		"application, version 2": appV2,
		"certificate":            certified,
		"app service":            webapp, "app service, policy from a file": fromFile(webapp),
		"arc": arc, "arc, policy from a file": fromFile(arc),
		"pod": pod, "pod, policy from a file": fromFile(pod),
		"job, Entra's issuer": job, "job, Entra's issuer, policy from a file": fromFile(job),
		"job, older issuer": oldJob,
		"container in AWS":  agent, "container in AWS, policy from a file": fromFile(agent),
		"instance in AWS": changed(agent, func(_ *testing.T, s *setup) { s.host = sandbox.HostEC2 }),
		"chain":           chained,
		"logs":            logs, "metrics": metrics, "metrics in AWS": amp,
		"logs, all stored":    changed(logs, func(_ *testing.T, s *setup) { s.workspace, s.around = elsewhere, workspace(http.StatusOK, noErrors) }),
		"assigned identity":   changed(vm, func(_ *testing.T, s *setup) { s.source("managed_identity")["client_id"] = sandbox.DemoAssignedClientID }),
		"any host":            changed(vm, func(_ *testing.T, s *setup) { s.config["source"] = one("auto") }),
		"azure ml":            changed(webapp, func(_ *testing.T, s *setup) { s.config["source"] = one("azure_ml"); s.host = sandbox.HostAzureML }),
		"long session":        changed(vm, func(_ *testing.T, s *setup) { s.aws()["duration"] = "12h" }),
		"another user's keys": changed(vm, func(t *testing.T, s *setup) { s.awsConfig(t); s.env["AWS_PROFILE"] = "default" }),
		"the role reads IAM": changed(vm, func(_ *testing.T, s *setup) {
			s.blind = true
			s.world.Accounts[0].Administrators = []string{sandbox.DemoRoleARN}
		}),
	}
}

func TestHealthySetUpsRaiseNoAlarm(t *testing.T) {
	certificate()
	all := healthy()
	if len(all) < 20 {
		t.Errorf("%d set-ups, want 20", len(all))
	}
	for name, base := range all {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				report := base(t).examine(t)
				for _, f := range report.Findings {
					retires := f.Code == "issuer-retires" && strings.HasPrefix(name, "job, older")
					unread := f.Code == "log-errors-unread" && name == "logs"
					if f.Verdict != doctor.OK && !retires && !unread {
						t.Errorf("alarm: %+v", f)
					}
				}
				if want := name != "logs"; report.Complete != want {
					t.Errorf("complete is %v, want %v", report.Complete, want)
				}
				if len(report.Findings) < 4 {
					t.Errorf("%d findings only: %+v", len(report.Findings), report.Findings)
				}
			})
		})
	}
}

func TestWhatCannotBeReadIsNeverClean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := vm(t)
		s.blind = true
		report := s.examine(t)
		f := find(report, "iam-unread")
		if report.Complete || f.Verdict != doctor.Skipped || !strings.Contains(f.Fix, "iam:GetRole") || !strings.Contains(strings.Join(f.Evidence, "\n"), "AccessDenied") {
			t.Errorf("complete %v, %+v", report.Complete, f)
		}
		if _, failed := report.FirstFailure(); failed {
			t.Error("what cannot be read is not a failure either")
		}
	})
}

func TestAWorkspaceThatCannotBeReadIsNeverClean(t *testing.T) {
	for want, around := range map[string]func(http.RoundTripper) http.RoundTripper{
		"Log Analytics Reader":       workspace(http.StatusForbidden, `{"error":{"code":"InsufficientAccessError","message":"no"}}`),
		"diagnostic-settings create": workspace(http.StatusBadRequest, `{"error":{"code":"BadArgumentError","message":"Failed to resolve table DCRLogErrors"}}`),
		"somebody who has it":        workspace(http.StatusOK, `{"rows":1}`),
	} {
		synctest.Test(t, func(t *testing.T) {
			s := logs(t)
			s.workspace, s.around = elsewhere, around
			report := s.examine(t)
			if f := find(report, "log-errors-unread"); report.Complete || f.Verdict != doctor.Skipped || !strings.Contains(f.Fix, want) {
				t.Errorf("%s: %+v", want, f)
			}
		})
	}
}

func TestAFarSideThatRepeatsTheRequestLeaksNothing(t *testing.T) {
	for name, base := range map[string]func(*testing.T) *setup{"a token": logs, "a signature": amp} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := base(t)
				echoed := false
				s.around = instead(func(r *http.Request) (*http.Response, error) {
					if !strings.HasSuffix(r.URL.Path, sandbox.DemoStream) && !strings.HasSuffix(r.URL.Path, "/remote_write") {
						return nil, nil
					}
					echoed = true
					text, err := json.Marshal(map[string]string{"message": r.Header.Get("X-Amz-Security-Token") + " " + r.Header.Get("Authorization")})
					return says(r, http.StatusForbidden, nil, string(text)), err
				})
				if report := s.examine(t); !echoed || !strings.Contains(shown(report), "[redacted]") { // examine looks for what leaks
					t.Errorf("echoed %v: %s", echoed, shown(report))
				}
			})
		})
	}
}

func TestALoginOfAnotherAccountDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := vm(t)
		other := sandbox.Account{ID: "444455556666", Users: s.world.Accounts[0].Users, Administrators: []string{"arn:aws:iam::444455556666:user/admin"}}
		s.world.Accounts[0].Users, s.world.Accounts[0].Administrators = nil, nil
		s.world.Accounts = append(s.world.Accounts, other)
		report := s.examine(t)
		f := find(report, "iam-unread")
		if !strings.Contains(strings.Join(f.Evidence, "\n"), "account 444455556666") {
			t.Errorf("%+v", report.Findings)
		}
	})
}

func TestTheClockOfRetirementIsTheDoctors(t *testing.T) {
	for day, want := range map[string]doctor.Verdict{"2027-06-30": doctor.Warning, "2027-07-01": doctor.Failed} {
		synctest.Test(t, func(t *testing.T) {
			s := oldJob(t)
			at, err := time.Parse(time.DateOnly, day)
			if err != nil {
				t.Fatal(err)
			}
			s.now = at
			report := s.examine(t)
			i := slices.IndexFunc(report.Findings, func(f doctor.Finding) bool { return strings.HasPrefix(f.Code, "issuer-retire") })
			if i < 0 || report.Findings[i].Verdict != want {
				t.Errorf("%s: %+v", day, report.Findings)
			}
		})
	}
}

// find returns the finding with a code; the zero one if there is none.
func find(report doctor.Report, code string) doctor.Finding {
	i := slices.IndexFunc(report.Findings, func(f doctor.Finding) bool { return f.Code == code })
	if i < 0 {
		return doctor.Finding{}
	}
	return report.Findings[i]
}
