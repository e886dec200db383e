package awssts_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/internal/wire"
	"github.com/keyless-id/keyless/sandbox"
)

func demo(t *testing.T) (*sandbox.Sandbox, awssts.WebIdentity) {
	t.Helper()
	s, err := sandbox.New(sandbox.Demo(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s, awssts.WebIdentity{
		RoleARN: sandbox.DemoRoleARN, Region: "eu-west-1", Audience: sandbox.DemoAudience,
		Client: &http.Client{Transport: s.RoundTripper()},
	}
}

func mint(t *testing.T, s *sandbox.Sandbox, resource string, change map[string]any, how sandbox.Minting) keyless.Token {
	t.Helper()
	claims, err := s.Claims(sandbox.DemoVMObjectID, resource)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range change {
		claims[name] = value
	}
	token, err := s.Mint(claims, how)
	if err != nil {
		t.Fatal(err)
	}
	return keyless.Token{Value: keyless.NewSecret(token)}
}

func TestTheSandboxTradesTokensOfBothVersions(t *testing.T) {
	s, exchange := demo(t)
	exchange.Duration = 2 * time.Hour
	got, err := exchange.Exchange(t.Context(), mint(t, s, sandbox.DemoAudience, nil, sandbox.Minting{}))
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(got.Expiry); got.AccountID != sandbox.DemoAccountID || left < 119*time.Minute || left > 121*time.Minute {
		t.Errorf("account %q, %s left", got.AccountID, left)
	}
	exchange.RoleARN, exchange.Audience, exchange.Duration = sandbox.DemoV2RoleARN, sandbox.DemoV2Audience, 0
	if _, err := exchange.Exchange(t.Context(), mint(t, s, sandbox.DemoV2Audience, nil, sandbox.Minting{})); err != nil {
		t.Error(err)
	}
}

func TestTheSandboxChainsRoles(t *testing.T) {
	s, first := demo(t)
	chained := awssts.AssumeRole{RoleARN: sandbox.DemoChainedARN, Region: "eu-west-1", Client: first.Client}
	subject := mint(t, s, sandbox.DemoAudience, nil, sandbox.Minting{})
	got, err := awssts.Chain(first, chained).Exchange(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(got.Expiry); left > time.Hour {
		t.Errorf("%s left", left)
	}
	chained.RoleARN = sandbox.DemoOtherARN
	_, err = awssts.Chain(first, chained).Exchange(t.Context(), subject)
	if e := wantError(t, err, "AccessDenied", false); e.Op != "AssumeRole" || !strings.Contains(e.Hint, sandbox.DemoOtherARN) {
		t.Errorf("%v, hint %q", err, e.Hint)
	}
}

func TestTheSandboxRefusesAndTheHintHelps(t *testing.T) {
	for name, c := range map[string]struct {
		change     func(*awssts.WebIdentity)
		claims     map[string]any
		how        sandbox.Minting
		code, hint string
	}{
		"role that trusts another": {func(w *awssts.WebIdentity) { w.RoleARN = sandbox.DemoOtherARN }, nil, sandbox.Minting{}, "AccessDenied", sandbox.DemoVMObjectID},
		"account without provider": {func(w *awssts.WebIdentity) { w.RoleARN = "arn:aws:iam::999999999999:role/x" }, nil, sandbox.Minting{}, "InvalidIdentityToken", sandbox.DemoIssuer},
		"audience unknown to IAM":  {func(w *awssts.WebIdentity) { w.Audience = "api://x" }, map[string]any{"aud": "api://x"}, sandbox.Minting{}, "InvalidIdentityToken", "client ids"},
		"expired":                  {func(*awssts.WebIdentity) {}, map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}, sandbox.Minting{}, keyless.CodeExpiredToken, "clock"},
		"forged":                   {func(*awssts.WebIdentity) {}, nil, sandbox.Minting{Flaw: sandbox.BadSignature}, "InvalidIdentityToken", "iss="},
		"session too long":         {func(w *awssts.WebIdentity) { w.RoleARN, w.Duration = sandbox.DemoVMRoleARN, 2*time.Hour }, nil, sandbox.Minting{}, "ValidationError", "maximum session duration"},
	} {
		s, exchange := demo(t)
		c.change(&exchange)
		_, err := exchange.Exchange(t.Context(), mint(t, s, sandbox.DemoAudience, c.claims, c.how))
		if e := wantError(t, err, c.code, false); e.Code != c.code || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%s: code %q, hint %q, want %q", name, e.Code, e.Hint, c.hint)
		}
		if got := s.Requests(sandbox.STS); got != 1 {
			t.Errorf("%s: %d requests", name, got)
		}
	}
}

func TestTheGuardStandsInFrontOfTheSandbox(t *testing.T) {
	s, exchange := demo(t)
	subject := mint(t, s, sandbox.DemoAudience, map[string]any{"aud": "https://management.azure.com/"}, sandbox.Minting{})
	_, err := exchange.Exchange(t.Context(), subject)
	wantError(t, err, awssts.CodeFirstParty, false)
	if got := s.Requests(sandbox.STS); got != 0 {
		t.Errorf("%d requests", got)
	}
}

func TestAFaultOfTheSandboxPasses(t *testing.T) {
	for name, fault := range map[string]sandbox.Fault{
		"reset": {Reset: true}, "cut off": {Truncate: true}, "500": {Status: 500}, "keys": {Code: "InvalidIdentityToken"}, "throttled": {Code: "Throttling"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, exchange := demo(t)
			fault.Times = 1
			s.SetFault(sandbox.STS, fault)
			if _, err := exchange.Exchange(t.Context(), mint(t, s, sandbox.DemoAudience, nil, sandbox.Minting{})); err != nil || s.Requests(sandbox.STS) != 2 {
				t.Errorf("%d requests: %v", s.Requests(sandbox.STS), err)
			}
		})
	}
}

func TestAPrivateCAReachesSTS(t *testing.T) {
	s, exchange := demo(t)
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, s.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	subject := mint(t, s, sandbox.DemoAudience, nil, sandbox.Minting{})
	exchange.Endpoint, exchange.Client = s.TLSURL(sandbox.STS), wire.NewCloud(ca)
	if _, err := exchange.Exchange(t.Context(), subject); err != nil {
		t.Error(err)
	}
	exchange.Client = nil
	_, err := exchange.Exchange(t.Context(), subject)
	if e := wantError(t, err, "certificate", false); !strings.Contains(e.Hint, "private CA") {
		t.Errorf("hint %q", e.Hint)
	}
}
