package delivery_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery"
)

func TestTheEnvironmentHasTheseCredentialsAndNoOthers(t *testing.T) {
	outer := []string{
		"PATH=/bin", "AWS_PROFILE=other", "AWS_ACCESS_KEY_ID=OLD", "AWS_SESSION_TOKEN=old", "AWS_WEB_IDENTITY_TOKEN_FILE=/t", "AWS_ROLE_ARN=r",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/x", "AWS_SECURITY_TOKEN=s", "AWS_EC2_METADATA_DISABLED=true", "AWS_REGION=eu-west-1",
	}
	c := keyless.Credentials{
		AccessKeyID: "A", SecretAccessKey: keyless.NewSecret("S"), SessionToken: keyless.NewSecret("T"), AccountID: "111122223333",
		Expiry: time.Date(2026, 11, 21, 10, 0, 0, 5, time.FixedZone("", 3600)),
	}
	got, err := delivery.Environ(outer, c)
	want := []string{
		"PATH=/bin", "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=A", "AWS_SECRET_ACCESS_KEY=S", "AWS_SESSION_TOKEN=T",
		"AWS_CREDENTIAL_EXPIRATION=2026-11-21T09:00:00Z", "AWS_ACCOUNT_ID=111122223333",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if len(outer) != 10 || outer[1] != "AWS_PROFILE=other" {
		t.Errorf("the caller's environment is %q", outer)
	}
	if _, err := delivery.Environ(outer, keyless.Credentials{}); err == nil {
		t.Error("an environment without credentials")
	}
	if got := delivery.Region(want, "us-east-1"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := delivery.Region([]string{"A=b"}, "us-east-1"); !slices.Equal(got, []string{"A=b", "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1"}) {
		t.Errorf("%q", got)
	}
}

func TestAConfigurationLosesItsCredentialsOnly(t *testing.T) {
	const config = `# of mine
[default]
region = eu-west-1
aws_access_key_id = AKIA
AWS_Secret_Access_Key=hunter2
credential_process = /usr/bin/other
s3 =
  max_concurrent_requests = 20
sso_session = corp

[profile role]
role_arn = arn:aws:iam::111122223333:role/x
source_profile = default
output = json
[services local]
sts =
  endpoint_url = http://127.0.0.1:1
`
	const want = `# of mine
[default]
region = eu-west-1
s3 =
  max_concurrent_requests = 20

[profile role]
output = json
[services local]
sts =
  endpoint_url = http://127.0.0.1:1
`
	if got := delivery.WithoutCredentials(config); got != want {
		t.Errorf("%s", got)
	}
	if got := delivery.WithoutCredentials("[default]\nsso_session =\n  hunter2 = 1\nregion = a"); got != "[default]\nregion = a" {
		t.Errorf("%s", got)
	}
}

func FuzzWithoutCredentials(f *testing.F) {
	f.Add("[default]\naws_secret_access_key = x\n  y = z\nregion = a\n")
	f.Add("aws_secret_access_key\t= x\r\n[")
	f.Fuzz(func(t *testing.T, config string) {
		for line := range strings.Lines(delivery.WithoutCredentials(config)) {
			name, _, found := strings.Cut(line, "=")
			if found && strings.TrimSpace(strings.ToLower(name)) == "aws_secret_access_key" && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
				t.Errorf("%q is left", line)
			}
		}
	})
}
