package sandbox_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

const ampPath = "/workspaces/" + sandbox.DemoWorkspaceID + "/api/v1/remote_write"

func (c *cloud) ampSigner(keys awsKeys) signer { return signer{keys, "aps", "us-east-1", time.Now()} }

func (c *cloud) writeAMP(t *testing.T, s signer, body string, header ...string) answer {
	t.Helper()
	return c.writeAMPTo(t, s, c.amp+ampPath, body, header...)
}

// writeAMPTo signs the body and the headers of remote write; header comes last.
func (c *cloud) writeAMPTo(t *testing.T, s signer, address, body string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, all := range [][]string{snappyV1, header} {
		for i := 0; i < len(all); i += 2 {
			r.Header.Set(all[i], all[i+1])
		}
	}
	s.sign(r, body)
	return c.do(t, r)
}

func wantAMPError(t *testing.T, a answer, status int, code string) {
	t.Helper()
	e := decode[struct{ Message string }](t, a)
	if got := a.header.Get("X-Amzn-Errortype"); a.status != status || got != code || e.Message == "" {
		t.Errorf("got %d %s %s, want %d %s", a.status, got, a.body, status, code)
	}
}

func TestASessionOfTheRoleWritesMetrics(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		if a := c.writeAMP(t, c.ampSigner(c.session(t)), packed(series(1, "up", 1, 1))); a.status != http.StatusOK || a.body != "" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		events := c.Log()
		last := events[len(events)-1]
		if c.Samples("up") != 1 || last.Hop != sandbox.AMP || last.Op != "RemoteWrite" || !strings.Contains(last.Details["caller"], ":assumed-role/keyless-demo/") {
			t.Errorf("%d samples, %+v", c.Samples("up"), last)
		}
	})
}

func TestWhoMayNotWriteToTheWorkspaceIsRefused(t *testing.T) {
	w := sandbox.Demo()
	user := sandbox.AccessKey{UserName: "ci", AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "example"}
	w.Accounts[0].Users = []sandbox.AccessKey{user}
	vendor := sandbox.AccessKey{UserName: "vendor", AccessKeyID: "AKIAVENDOR", SecretAccessKey: "example"}
	w.Accounts = append(w.Accounts, sandbox.Account{ID: "444455556666", Users: []sandbox.AccessKey{vendor}})
	w.Accounts[0].Workspaces[0].Writers = append(w.Accounts[0].Workspaces[0].Writers,
		"arn:aws:iam::"+sandbox.DemoAccountID+":user/ci", "arn:aws:iam::444455556666:user/vendor")
	c := inProcess(newSandbox(t, w, sandbox.Options{}))
	body := packed(series(1, "up", 1, 1))
	if a := c.writeAMP(t, c.ampSigner(awsKeys{AccessKeyID: user.AccessKeyID, SecretAccessKey: user.SecretAccessKey}), body); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	other := c.ampSigner(c.assume(t, sandbox.DemoVMRoleARN, c.identityToken(t, sandbox.DemoAudience)))
	a := c.writeAMP(t, other, body)
	wantAMPError(t, a, 403, "AccessDeniedException")
	if !strings.Contains(a.body, "keyless-demo-vm/") || !strings.Contains(a.body, "aps:RemoteWrite on resource: arn:aws:aps:us-east-1:"+sandbox.DemoAccountID+":workspace/"+sandbox.DemoWorkspaceID) {
		t.Error(a.body)
	}
	wantAMPError(t, c.writeAMP(t, c.ampSigner(awsKeys{AccessKeyID: vendor.AccessKeyID, SecretAccessKey: vendor.SecretAccessKey}), body), 404, "ResourceNotFoundException")
	if n := c.Samples(""); n != 1 {
		t.Errorf("%d samples", n)
	}
}

func TestASignatureThatIsNotForTheWorkspaceIsRefused(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		body := packed(series(1, "up", 1, 1))
		sound := c.ampSigner(c.session(t))
		for name, row := range map[string]struct {
			change func(s *signer)
			code   string
		}{
			"secret":       {func(s *signer) { s.keys.SecretAccessKey = "x" }, "InvalidSignatureException"},
			"key":          {func(s *signer) { s.keys.AccessKeyID = "ASIAX" }, "UnrecognizedClientException"},
			"token":        {func(s *signer) { s.keys.SessionToken = "x" }, "UnrecognizedClientException"},
			"no token":     {func(s *signer) { s.keys.SessionToken = "" }, "UnrecognizedClientException"},
			"region":       {func(s *signer) { s.region = "eu-west-1" }, "InvalidSignatureException"},
			"service":      {func(s *signer) { s.service = "sts" }, "InvalidSignatureException"},
			"late clock":   {func(s *signer) { s.at = s.at.Add(-16 * time.Minute) }, "InvalidSignatureException"},
			"early clock":  {func(s *signer) { s.at = s.at.Add(16 * time.Minute) }, "InvalidSignatureException"},
			"almost early": {func(s *signer) { s.at = s.at.Add(14 * time.Minute) }, ""},
			"almost late":  {func(s *signer) { s.at = s.at.Add(-14 * time.Minute) }, ""},
		} {
			t.Run(name, func(t *testing.T) {
				s := sound
				row.change(&s)
				a := c.writeAMP(t, s, body)
				if row.code != "" {
					wantAMPError(t, a, 403, row.code)
				} else if a.status != 200 {
					t.Errorf("%d %s", a.status, a.body)
				}
			})
		}
		wantAMPError(t, c.writeAMP(t, sound, body, "X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), 403, "InvalidSignatureException")
		wantAMPError(t, c.send(t, c.amp+ampPath, body, snappyV1...), 403, "MissingAuthenticationTokenException")
		wantAMPError(t, c.send(t, c.amp+ampPath, body, append([]string{"Authorization", "Bearer x"}, snappyV1...)...), 403, "IncompleteSignatureException")
		if c.Samples("up") != 1 || c.Series("up")[0].Duplicates != 1 {
			t.Errorf("%+v", c.Series("up"))
		}
	})
}

func TestABodyThatWasNotSignedIsRefused(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	signed, other := packed(series(1, "up", 1, 1)), packed(series(1, "up", 1, 2))
	r, err := http.NewRequest(http.MethodPost, c.amp+ampPath, strings.NewReader(other))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(snappyV1); i += 2 {
		r.Header.Set(snappyV1[i], snappyV1[i+1])
	}
	c.ampSigner(c.session(t)).sign(r, signed)
	wantAMPError(t, c.do(t, r), 403, "InvalidSignatureException")
}

func TestASessionThatHasEndedIsExpired(t *testing.T) {
	now := time.Now()
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{Now: func() time.Time { return now }}))
	s := c.ampSigner(c.session(t))
	now = now.Add(59 * time.Minute)
	if s.at = now; c.writeAMP(t, s, packed("")).status != 200 {
		t.Error("refused a minute before its end")
	}
	now = now.Add(time.Minute)
	s.at = now
	wantAMPError(t, c.writeAMP(t, s, packed("")), 403, "ExpiredTokenException")
}

func TestAWorkspaceIsInOneRegion(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	s := c.ampSigner(c.session(t))
	elsewhere := s
	elsewhere.region = "eu-west-1"
	const there = "https://aps-workspaces.eu-west-1.amazonaws.com"
	wantAMPError(t, c.writeAMPTo(t, elsewhere, there+ampPath, packed("")), 404, "ResourceNotFoundException")
	wantAMPError(t, c.writeAMPTo(t, s, there+ampPath, packed("")), 403, "InvalidSignatureException")
	wantAMPError(t, c.writeAMPTo(t, s, c.amp+"/workspaces/ws-0/api/v1/remote_write", packed("")), 404, "ResourceNotFoundException")
	wantAMPError(t, c.writeAMPTo(t, s, c.amp+"/workspaces/"+sandbox.DemoWorkspaceID, packed("")), 404, "UnknownOperationException")
	wantAMPError(t, c.get(t, c.amp+ampPath), 405, "UnknownOperationException")
	wantAMPError(t, c.writeAMP(t, s, strings.Repeat("x", 1<<20+1)), 413, "RequestEntityTooLargeException")
	if a := c.writeAMP(t, s, packed("")); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}
