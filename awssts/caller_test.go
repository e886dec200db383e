package awssts_test

import (
	"testing"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/sandbox"
)

func TestTheCallerIsTheRoleThatWasAssumed(t *testing.T) {
	s, w := demo(t)
	w.SessionName = "who"
	credentials, err := w.Exchange(t.Context(), mint(t, s, sandbox.DemoAudience, nil, sandbox.Minting{}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Caller(t.Context(), credentials)
	want := "arn:aws:sts::" + sandbox.DemoAccountID + ":assumed-role/keyless-demo/who"
	if err != nil || got.ARN != want || got.AccountID != sandbox.DemoAccountID || got.UserID == "" {
		t.Errorf("got %+v, %v, want %s", got, err, want)
	}
	credentials.SecretAccessKey = keyless.NewSecret("another-secret-than-the-right-one")
	_, err = w.Caller(t.Context(), credentials)
	wantError(t, err, "SignatureDoesNotMatch", false)
}

func TestACallerWithoutCredentialsIsNotAsked(t *testing.T) {
	f := &far{}
	_, err := exchange(f).Caller(t.Context(), keyless.Credentials{})
	if wantError(t, err, "no credentials", false); len(f.forms) != 0 {
		t.Error("asked all the same")
	}
	_, err = exchange(&far{}).Caller(t.Context(), keyless.Credentials{AccessKeyID: "ASIA", SecretAccessKey: keyless.NewSecret("hunter2")})
	wantError(t, err, "no XML of the STS API", false)
}
