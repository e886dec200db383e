package awshost_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awshost"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/entra"
	"github.com/keyless-id/keyless/sandbox"
)

const outboundIssuer = "https://01234567-89ab-4000-8000-000000000000.tokens.sts.global.api.aws"

// instance is the demo on a host of AWS, whose role the application trusts.
func instance(t *testing.T, change func(*sandbox.World)) (*sandbox.Sandbox, *http.Client) {
	t.Helper()
	w := sandbox.Demo()
	w.Host.RoleARN, w.Host.ContainerToken = sandbox.DemoRoleARN, "container-token"
	w.Accounts[0].OutboundIssuer = outboundIssuer
	w.Tenants[0].Apps[2].FederatedCredentials = []sandbox.FIC{{Issuer: outboundIssuer, Subject: sandbox.DemoRoleARN, Audience: sandbox.ExchangeAudience}}
	change(&w)
	s, err := sandbox.New(w, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s, &http.Client{Transport: s.RoundTripper()}
}

func identityFile(t *testing.T, s *sandbox.Sandbox) string {
	t.Helper()
	claims, err := s.Claims(sandbox.DemoVMObjectID, sandbox.DemoAudience)
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.Mint(claims, sandbox.Minting{})
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "token", token+"\n")
}

// TestWhateverTheHostOffersBecomesAnApplication is the whole way, from each provider.
func TestWhateverTheHostOffersBecomesAnApplication(t *testing.T) {
	s, client := instance(t, func(*sandbox.World) {})
	pod := variables{"AWS_ROLE_ARN": sandbox.DemoRoleARN, "AWS_WEB_IDENTITY_TOKEN_FILE": identityFile(t, s), "AWS_REGION": "eu-west-1"}
	task := variables{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/x", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container-token"}
	session, err := awshost.Container{RelativeURI: "/v2/credentials/x", Token: keyless.NewSecret("container-token"), Client: client}.Credentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys := variables{"AWS_ACCESS_KEY_ID": session.AccessKeyID, "AWS_SECRET_ACCESS_KEY": session.SecretAccessKey.Reveal(), "AWS_SESSION_TOKEN": session.SessionToken.Reveal()}
	for want, env := range map[string]variables{"environment": keys, "container": task, "web identity": pod, "instance metadata": {}} {
		found, err := awshost.Detect(t.Context(), awshost.Host{Getenv: env.get, Client: client, Cloud: client})
		if err != nil || found.Name != want || found.Why == "" {
			t.Errorf("found %+v, %v, want %q", found, err, want)
			continue
		}
		_, err = entra.Assertion{
			TenantID: sandbox.DemoTenantID, ClientID: sandbox.DemoAppClientID, Scope: entra.Scope(sandbox.DemoAudience), Client: client,
			Source: awssts.GetWebIdentityToken{Credentials: found.Provider, Region: "eu-west-1", Client: client},
		}.Token(t.Context())
		if err != nil {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestWhatTheEnvironmentNamesCountsInOrder(t *testing.T) {
	env := variables{
		"AWS_ACCESS_KEY_ID": "A", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/x",
	}
	for _, step := range []struct{ name, why, remove string }{
		{"environment", "AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"},
		{"container", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"},
		{"container", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"},
		{"web identity", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"},
	} {
		s, client := instance(t, func(*sandbox.World) {})
		found, err := awshost.Detect(t.Context(), awshost.Host{Getenv: env.get, Client: client})
		if err != nil || found.Name != step.name || found.Why != step.why || s.Requests(sandbox.EC2) != 0 {
			t.Errorf("found %+v after %d requests, %v, want %+v", found, s.Requests(sandbox.EC2), err, step)
		}
		delete(env, step.remove)
	}
}

func TestAHalfIsNotPassedOver(t *testing.T) {
	_, client := instance(t, func(*sandbox.World) {})
	env := variables{"AWS_SECRET_ACCESS_KEY": "hunter2"}
	found, err := awshost.Detect(t.Context(), awshost.Host{Getenv: env.get, Client: client})
	if err != nil || found.Name != "environment" {
		t.Fatalf("found %+v, %v", found, err)
	}
	_, err = found.Provider.Credentials(t.Context())
	wantError(t, err, "AWS_ACCESS_KEY_ID")
}

func TestTheMetadataServiceIsUsedIfItIsThere(t *testing.T) {
	t.Setenv("PATH", "")
	for name, c := range map[string]struct {
		env    variables
		change func(*sandbox.World)
		fault  sandbox.Fault
		found  bool
	}{
		"there":          {variables{}, func(*sandbox.World) {}, sandbox.Fault{}, true},
		"in trouble":     {variables{}, func(*sandbox.World) {}, sandbox.Fault{Status: 503}, true},
		"switched off":   {variables{}, func(*sandbox.World) {}, sandbox.Fault{Status: 403}, false},
		"reset":          {variables{}, func(*sandbox.World) {}, sandbox.Fault{Reset: true}, false},
		"not in AWS":     {variables{}, func(w *sandbox.World) { w.Host.RoleARN = "" }, sandbox.Fault{}, false},
		"not to be used": {variables{"AWS_EC2_METADATA_DISABLED": "True"}, func(*sandbox.World) {}, sandbox.Fault{}, false},
	} {
		s, client := instance(t, c.change)
		if c.fault != (sandbox.Fault{}) {
			s.SetFault(sandbox.EC2, c.fault)
		}
		found, err := awshost.Detect(t.Context(), awshost.Host{Getenv: c.env.get, Client: client})
		if c.found != (err == nil && found.Name == "instance metadata") {
			t.Errorf("%s: found %+v, %v", name, found, err)
		}
		if !c.found {
			if e := wantError(t, err, "no AWS credentials"); e.Code != awshost.CodeNothing || e.Hint == "" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestTheCLIIsTheLast(t *testing.T) {
	script := write(t, "aws", "#!/bin/sh\n")
	t.Setenv("PATH", script[:len(script)-len("/aws")])
	env := variables{"AWS_EC2_METADATA_DISABLED": "true", "AWS_PROFILE": "dev"}
	found, err := awshost.Detect(t.Context(), awshost.Host{Getenv: env.get})
	if cli, ok := found.Provider.(awshost.CLI); err != nil || !ok || cli.Profile != "dev" || cli.Path != script || found.Why != script {
		t.Errorf("found %+v, %v", found, err)
	}
	env[awshost.InsideCLI] = "1" // the CLI started us, and would again
	_, err = awshost.Detect(t.Context(), awshost.Host{Getenv: env.get})
	wantError(t, err, "no AWS credentials")
}

type silence struct{}

func (silence) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestNobodyThereShowsInUnderASecond(t *testing.T) {
	t.Setenv("PATH", "")
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		_, err := awshost.Detect(t.Context(), awshost.Host{Getenv: variables{}.get, Client: &http.Client{Transport: silence{}}})
		if took := time.Since(started); took >= time.Second {
			t.Errorf("took %s", took)
		}
		wantError(t, err, "no AWS credentials")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = awshost.Detect(ctx, awshost.Host{Getenv: variables{}.get, Client: &http.Client{Transport: silence{}}})
		wantError(t, err, "canceled")
	})
	_, err := awshost.Detect(t.Context(), awshost.Host{})
	wantError(t, err, "no environment")
}

func TestTheWebIdentityFileIsForItsRoleOnly(t *testing.T) {
	s, client := instance(t, func(*sandbox.World) {})
	w := awshost.WebIdentityFile{RoleARN: sandbox.DemoRoleARN, File: identityFile(t, s), Region: "eu-west-1", Client: client}
	if got, err := w.Credentials(t.Context()); err != nil || got.AccountID != sandbox.DemoAccountID {
		t.Errorf("%+v, %v", got, err)
	}
	w.RoleARN = sandbox.DemoOtherARN
	if got, err := w.Credentials(t.Context()); err == nil {
		t.Errorf("got %+v", got)
	}
	for want, change := range map[string]func(*awshost.WebIdentityFile){
		"no token file": func(w *awshost.WebIdentityFile) { w.File = "" }, "no role ARN": func(w *awshost.WebIdentityFile) { w.RoleARN = "" },
		"no such file": func(w *awshost.WebIdentityFile) { w.File += ".none" },
	} {
		broken := w
		change(&broken)
		_, err := broken.Credentials(t.Context())
		wantError(t, err, want)
	}
}

func TestAFaultOfTheSandboxPasses(t *testing.T) {
	for name, fault := range map[string]sandbox.Fault{"reset": {Reset: true}, "503": {Status: 503}, "cut off": {Truncate: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fault.Times = 1
			s, client := instance(t, func(*sandbox.World) {})
			s.SetFault(sandbox.Container, fault)
			if _, err := (awshost.Container{RelativeURI: "/v2/credentials/x", Token: keyless.NewSecret("container-token"), Client: client}).Credentials(t.Context()); err != nil || s.Requests(sandbox.Container) != 2 {
				t.Errorf("%d requests: %v", s.Requests(sandbox.Container), err)
			}
			if fault.Truncate { // half a session token is one that the service does not know
				return
			}
			s.SetFault(sandbox.EC2, fault)
			if _, err := (awshost.InstanceMetadata{Client: client}).Credentials(t.Context()); err != nil || s.Requests(sandbox.EC2) != 4 {
				t.Errorf("%d requests: %v", s.Requests(sandbox.EC2), err)
			}
		})
	}
}
