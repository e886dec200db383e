package sandbox_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

func TestEveryHopFailsInItsOwnWords(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		token := c.secretToken(t)
		keys := c.assume(t, sandbox.DemoRoleARN, token)
		ask := map[sandbox.Hop]func() answer{
			sandbox.Entra: func() answer { return c.post(t, c.tokenURL(), secretForm()) },
			sandbox.IMDS:  func() answer { return c.imdsToken(t, goodQuery, "Metadata", "true") },
			sandbox.STS:   func() answer { return c.post(t, c.sts, webForm(sandbox.DemoRoleARN, token)) },
			sandbox.S3:    func() answer { return c.signedGet(t, c.s3Signer(keys), "/") },
			sandbox.Keys:  func() answer { return c.get(t, c.entra+"/common/discovery/keys") },

			sandbox.DCE:       func() answer { return good(c.logs(t, "[]")) },
			sandbox.Workspace: func() answer { return good(c.writeMonitor(t, packed(""))) },
			sandbox.AMP:       func() answer { return c.writeAMP(t, c.ampSigner(keys), packed("")) },
		}
		for _, row := range []struct {
			hop    sandbox.Hop
			fault  sandbox.Fault
			status int
			text   string
		}{
			{sandbox.Entra, sandbox.Fault{Code: "AADSTS7000222"}, 401, `"invalid_client"`},
			{sandbox.Entra, sandbox.Fault{Status: 503}, 503, `"temporarily_unavailable"`},
			{sandbox.Entra, sandbox.Fault{Status: 429, RetryAfter: 7 * time.Second}, 429, "AADSTS90033"},
			{sandbox.Entra, sandbox.Fault{Code: "AADSTS53003"}, 400, `"invalid_grant"`},
			{sandbox.Entra, sandbox.Fault{Code: "AADSTS123"}, 400, "AADSTS123"},
			{sandbox.Entra, sandbox.Fault{Body: "<html>sign in</html>"}, 200, "<html>"},
			{sandbox.IMDS, sandbox.Fault{Status: 404}, 404, "not_found"},
			{sandbox.IMDS, sandbox.Fault{Status: 410}, 410, "gone"},
			{sandbox.IMDS, sandbox.Fault{Status: 429, RetryAfter: time.Second}, 429, "too_many_requests"},
			{sandbox.IMDS, sandbox.Fault{Status: 500}, 500, "unknown"},
			{sandbox.IMDS, sandbox.Fault{Body: "{", Status: 502}, 502, "{"},
			{sandbox.STS, sandbox.Fault{Code: "ExpiredTokenException"}, 400, "<Code>ExpiredTokenException</Code>"},
			{sandbox.STS, sandbox.Fault{Code: "InvalidIdentityToken"}, 400, "Couldn&#39;t retrieve verification key"},
			{sandbox.STS, sandbox.Fault{Code: "RegionDisabledException"}, 403, "RegionDisabledException"},
			{sandbox.STS, sandbox.Fault{Code: "Throttling"}, 400, "Rate exceeded"},
			{sandbox.STS, sandbox.Fault{Status: 500}, 500, "InternalFailure"},
			{sandbox.S3, sandbox.Fault{Status: 503}, 503, "SlowDown"},
			{sandbox.S3, sandbox.Fault{Code: "AccessDenied"}, 403, "Access Denied"},
			{sandbox.Keys, sandbox.Fault{Status: 500}, 500, "temporarily_unavailable"},
			{sandbox.DCE, sandbox.Fault{Status: 403}, 403, `"OperationFailed"`},
			{sandbox.DCE, sandbox.Fault{Status: 413}, 413, `"ContentLengthLimitExceeded"`},
			{sandbox.DCE, sandbox.Fault{Status: 429, RetryAfter: 1500 * time.Millisecond}, 429, `"TooManyRequests"`},
			{sandbox.Workspace, sandbox.Fault{Status: 401}, 401, `"InvalidAuthenticationToken"`},
			{sandbox.Workspace, sandbox.Fault{Code: "Odd"}, 500, `"Odd"`},
			{sandbox.AMP, sandbox.Fault{Status: 429, RetryAfter: time.Second}, 429, `"message"`},
			{sandbox.AMP, sandbox.Fault{Status: 418}, 418, `"message"`},
		} {
			row.fault.Times = 1
			c.SetFault(row.hop, row.fault)
			a := ask[row.hop]()
			if a.status != row.status || !strings.Contains(a.body, row.text) {
				t.Errorf("%s %+v: %d %s", row.hop, row.fault, a.status, a.body)
			}
			if row.fault.RetryAfter > 0 && a.header.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After", row.hop)
			}
			if a = ask[row.hop](); a.status != 200 {
				t.Errorf("%s is still broken: %d %s", row.hop, a.status, a.body)
			}
		}
	})
}

func TestAnAnswerCutInHalfIsStillFramed(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		whole := c.imdsToken(t, goodQuery, "Metadata", "true")
		c.SetFault(sandbox.IMDS, sandbox.Fault{Truncate: true})
		half := c.imdsToken(t, goodQuery, "Metadata", "true")
		if half.status != 200 || len(half.body) != len(whole.body)/2 || !strings.HasPrefix(whole.body[:20], half.body[:20]) {
			t.Errorf("%d bytes of %d", len(half.body), len(whole.body))
		}
	})
}

func TestAnAnswerWithoutABodyIsLostAfterTheFact(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		token := c.identityToken(t, monitorResource)
		c.SetFault(sandbox.DCE, sandbox.Fault{Truncate: true, Times: 1})
		r, err := http.NewRequest(http.MethodPost, c.dce+logsPath, strings.NewReader("[{}]"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		if err := c.roundTrip(t, r); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
		if n := c.RowCount(sandbox.DemoStream); n != 1 {
			t.Errorf("%d rows", n)
		}
		if a := c.logs(t, "[{}]"); a.status != 204 || c.RowCount(sandbox.DemoStream) != 2 { // as clients do: no service drops duplicates
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestAResetIsAReset(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		c.SetFault(sandbox.IMDS, sandbox.Fault{Reset: true, Times: 2})
		for range 2 {
			r, err := http.NewRequest(http.MethodGet, c.imds+"/metadata/identity/oauth2/token?"+goodQuery, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = c.roundTrip(t, r)
			if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
				t.Errorf("%v", err)
			}
		}
		c.imdsToken(t, goodQuery, "Metadata", "true")
		if n := c.Requests(sandbox.IMDS); n != 3 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestADelayPassesInTheTimeOfTheTestAndEndsWithTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
		c.SetFault(sandbox.IMDS, sandbox.Fault{Delay: time.Hour})
		start := time.Now()
		c.identityToken(t, sandbox.DemoAudience)
		if d := time.Since(start); d != time.Hour {
			t.Errorf("took %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start = time.Now()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.imds+"/metadata/identity/oauth2/token?"+goodQuery, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = c.roundTrip(t, r)
		if d := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || d != time.Minute {
			t.Errorf("%v after %v", err, d)
		}
	})
}

func TestAFaultEndsInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
		c.SetFault(sandbox.DCE, sandbox.Fault{Status: 503, For: time.Minute})
		for range 2 {
			wantMonitorError(t, c.logs(t, "[]"), 503, "ServiceUnavailable")
			time.Sleep(30*time.Second - 1) // the bubble's time
		}
		time.Sleep(2 * time.Nanosecond)
		if a := c.logs(t, "[]"); a.status != 204 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestAWholeStoryFitsIntoABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
		keys := c.session(t)
		time.Sleep(59 * time.Minute) // the bubble's time
		if a := c.signedPost(t, c.stsSigner(keys), whoAmI); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		time.Sleep(2 * time.Minute)
		wantSTSError(t, c.signedPost(t, c.stsSigner(keys), whoAmI), 403, "ExpiredToken", "")
	})
}

func TestASlowIssuerMakesSTSGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
		form := webForm(sandbox.DemoRoleARN, c.identityToken(t, sandbox.DemoAudience))
		c.SetFault(sandbox.Keys, sandbox.Fault{Delay: time.Minute})
		wantSTSError(t, c.post(t, c.sts, form), 400, "IDPCommunicationError", "")
	})
}

func TestEachClockCanBeOff(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	form := webForm(sandbox.DemoRoleARN, c.secretToken(t))
	c.SetSkew(sandbox.STS, 2*time.Hour)
	wantSTSError(t, c.post(t, c.sts, form), 400, "ExpiredTokenException", "")
	c.SetSkew(sandbox.STS, -10*time.Minute+time.Second)
	if a := c.post(t, c.sts, form); a.status != 200 { // Entra backdates by five minutes, STS forgives five more
		t.Errorf("%d %s", a.status, a.body)
	}
	c.SetSkew(sandbox.STS, -11*time.Minute)
	wantSTSError(t, c.post(t, c.sts, form), 400, "InvalidIdentityToken", "")
	c.SetSkew(sandbox.STS, 0)
	c.SetSkew(sandbox.Entra, -2*time.Hour)
	wantSTSError(t, c.post(t, c.sts, webForm(sandbox.DemoRoleARN, c.secretToken(t))), 400, "ExpiredTokenException", "")
}
