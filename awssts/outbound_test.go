package awssts_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/entra"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/internal/sourcetest"
	"github.com/keyless-id/keyless/sandbox"
)

const outboundIssuer = "https://01234567-89ab-4000-8000-000000000000.tokens.sts.global.api.aws"

func outboundAnswer() string {
	token := jwt(map[string]any{"iss": outboundIssuer, "sub": roleARN, "aud": "api://AzureADTokenExchange"})
	return fmt.Sprintf(`<GetWebIdentityTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetWebIdentityTokenResult><WebIdentityToken>%s</WebIdentityToken><Expiration>%s</Expiration></GetWebIdentityTokenResult></GetWebIdentityTokenResponse>`,
		token.Value.Reveal(), time.Now().Add(5*time.Minute).UTC().Format(time.RFC3339))
}

func given(c keyless.Credentials) keyless.CredentialsProvider {
	return keyless.CredentialsProviderFunc(func(context.Context) (keyless.Credentials, error) { return c, nil })
}

func TestGetWebIdentityTokenKeepsTheContract(t *testing.T) {
	from := given(keyless.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: keyless.NewSecret("hunter2/x"), SessionToken: keyless.NewSecret("hunter3+y")})
	sourcetest.Run(t, sourcetest.Contract{
		New: func(far sourcetest.Far) keyless.TokenSource {
			return awssts.GetWebIdentityToken{Credentials: from, Region: "eu-west-1", Endpoint: far.Address, Client: far.Client}
		},
		Secrets: []string{"hunter2", "hunter3", "eyJ"},
		Answer: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/xml")
			fmt.Fprint(w, outboundAnswer())
		}),
	})
}

func TestTheTokenIsAskedForAtTheRegionBySignature(t *testing.T) {
	f := &far{answers: []answer{{status: 200, body: outboundAnswer()}}}
	g := awssts.GetWebIdentityToken{Credentials: given(firstCredentials()), Region: "eu-west-1", Duration: time.Hour, Client: f.client()}
	token, err := g.Token(t.Context())
	if err != nil || token.Value.IsZero() {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Action": "GetWebIdentityToken", "Version": "2011-06-15", "Audience.member.1": "api://AzureADTokenExchange", "SigningAlgorithm": "RS256", "DurationSeconds": "3600", "RoleArn": "",
	} {
		if got := f.forms[0].Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if authorization := f.headers[0].Get("Authorization"); f.urls[0] != "https://sts.eu-west-1.amazonaws.com/" ||
		!strings.Contains(authorization, "/eu-west-1/sts/aws4_request") || f.headers[0].Get("X-Amz-Security-Token") != "canary-session-token" {
		t.Errorf("asked %q with %v", f.urls[0], f.headers[0])
	}
	f.urls, g.Region = nil, ""
	if _, err := g.Token(t.Context()); err != nil || f.urls[0] != "https://sts.us-east-1.amazonaws.com/" {
		t.Errorf("asked %q: %v", f.urls, err)
	}
}

func TestMistakesInTheWayBackAreSaidBeforeTheFirstRequest(t *testing.T) {
	for want, change := range map[string]func(*awssts.GetWebIdentityToken){
		"no credentials":  func(g *awssts.GetWebIdentityToken) { g.Credentials = nil },
		"to ask with":     func(g *awssts.GetWebIdentityToken) { g.Credentials = given(keyless.Credentials{AccessKeyID: "AKIA"}) },
		"duration 59s":    func(g *awssts.GetWebIdentityToken) { g.Duration = 59 * time.Second },
		"duration 1h0m1s": func(g *awssts.GetWebIdentityToken) { g.Duration = time.Hour + time.Second },
		"audience":        func(g *awssts.GetWebIdentityToken) { g.Audience = "a b" },
		"global endpoint": func(g *awssts.GetWebIdentityToken) { g.Endpoint = "https://STS.amazonaws.com" },
		"region":          func(g *awssts.GetWebIdentityToken) { g.Region = "nowhere" },
	} {
		f := &far{}
		g := awssts.GetWebIdentityToken{Credentials: given(firstCredentials()), Region: "eu-west-1", Client: f.client()}
		change(&g)
		_, err := g.Token(t.Context())
		var e *keyless.Error
		if !errors.As(err, &e) || e.Hop != keyless.HopSource || len(f.forms) != 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("%d requests: %v, want %q", len(f.forms), err, want)
		}
	}
	broken := errors.New("no metadata service")
	g := awssts.GetWebIdentityToken{Credentials: keyless.CredentialsProviderFunc(func(context.Context) (keyless.Credentials, error) { return keyless.Credentials{}, broken })}
	if _, err := g.Token(t.Context()); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestErrorsOfTheWayBackComeWithAHint(t *testing.T) {
	for code, want := range map[string]string{
		awssts.CodeOutboundDisabled: "enable-outbound-web-identity-federation", awssts.CodeDurationEscalation: "shorter duration", awssts.CodePayloadTooLarge: "tags",
		"AccessDenied": "sts:GetWebIdentityToken", "ExpiredToken": "no longer valid", "SignatureDoesNotMatch": "clock", "InvalidAction": "regional",
		"ValidationError": "limits", "RegionDisabledException": "eu-west-1", "Unheard": "says why",
	} {
		f := says(403, code, "canary-session-token canary-secret-key")
		_, err := awssts.GetWebIdentityToken{Credentials: given(firstCredentials()), Region: "eu-west-1", Client: f.client()}.Token(t.Context())
		var e *keyless.Error
		if !errors.As(err, &e) || e.Hop != keyless.HopSource || e.Code != code || e.Temporary || !strings.Contains(e.Hint, want) || len(f.forms) != 1 {
			t.Errorf("%s: %d requests, %v, hint %q, want %q", code, len(f.forms), err, e.Hint, want)
		}
		if text := fmt.Sprintf("%v %+v", err, e); strings.Contains(text, "canary") {
			t.Errorf("a secret is in %s", text)
		}
	}
}

// backWorld is the demo whose application trusts a role of the account.
func backWorld(t *testing.T, change func(*sandbox.World)) *sandbox.Sandbox {
	t.Helper()
	w := sandbox.Demo()
	w.Accounts[0].OutboundIssuer = outboundIssuer
	w.Tenants[0].Apps[2].FederatedCredentials = []sandbox.FIC{{Issuer: outboundIssuer, Subject: sandbox.DemoRoleARN, Audience: sandbox.ExchangeAudience}}
	change(&w)
	s, err := sandbox.New(w, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// back is the whole way: a role of AWS becomes an application of Entra.
func back(t *testing.T, s *sandbox.Sandbox) entra.Assertion {
	t.Helper()
	client := &http.Client{Transport: s.RoundTripper()}
	session, err := awssts.WebIdentity{RoleARN: sandbox.DemoRoleARN, Region: "eu-west-1", Client: client}.
		Exchange(t.Context(), mint(t, s, sandbox.DemoAudience, nil, sandbox.Minting{}))
	if err != nil {
		t.Fatal(err)
	}
	return entra.Assertion{
		TenantID: sandbox.DemoTenantID, ClientID: sandbox.DemoAppClientID, Scope: entra.Scope(sandbox.DemoAudience),
		Source: awssts.GetWebIdentityToken{Credentials: given(session), Region: "eu-west-1", Client: client}, Client: client,
	}
}

func TestARoleBecomesAnApplication(t *testing.T) {
	s := backWorld(t, func(*sandbox.World) {})
	token, err := back(t, s).Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if claims, err := jwtpeek.Unverified(token.Value.Reveal()); err != nil || claims.Subject != sandbox.DemoAppObjectID {
		t.Errorf("%+v, %v", claims, err)
	}
	if got := s.Requests(sandbox.Entra); got != 1 {
		t.Errorf("%d requests to Entra", got)
	}
}

func TestANewFederatedCredentialIsWaitedForAndAWrongOneIsNot(t *testing.T) {
	s := backWorld(t, func(*sandbox.World) {})
	s.SetFault(sandbox.Entra, sandbox.Fault{Code: "AADSTS70021", Times: 1})
	if _, err := back(t, s).Token(t.Context()); err != nil || s.Requests(sandbox.Entra) != 2 {
		t.Errorf("%d requests: %v", s.Requests(sandbox.Entra), err)
	}
	for code, change := range map[string]func(*sandbox.World){
		"AADSTS700213":              func(w *sandbox.World) { w.Tenants[0].Apps[2].FederatedCredentials[0].Subject = sandbox.DemoVMRoleARN },
		"AADSTS700211":              func(w *sandbox.World) { w.Tenants[0].Apps[2].FederatedCredentials[0].Issuer += "/" },
		"AADSTS700212":              func(w *sandbox.World) { w.Tenants[0].Apps[2].FederatedCredentials[0].Audience = "api://x" },
		awssts.CodeOutboundDisabled: func(w *sandbox.World) { w.Accounts[0].OutboundIssuer = "" },
	} {
		s := backWorld(t, change)
		_, err := back(t, s).Token(t.Context())
		var e *keyless.Error
		if !errors.As(err, &e) || e.Code != code || e.Temporary || e.Hint == "" || s.Requests(sandbox.Entra) > 1 {
			t.Errorf("%s: %d requests: %v", code, s.Requests(sandbox.Entra), err)
		}
	}
}

func TestAForgedTokenOfAWSIsRefused(t *testing.T) {
	s := backWorld(t, func(*sandbox.World) {})
	source := back(t, s)
	for flaw, allowed := range map[sandbox.Flaw]bool{sandbox.Sound: true, sandbox.BadSignature: false, sandbox.ForeignKey: false} {
		source.Source = keyless.TokenSourceFunc(func(context.Context) (keyless.Token, error) {
			token, err := s.Mint(map[string]any{
				"iss": outboundIssuer, "sub": sandbox.DemoRoleARN, "aud": sandbox.ExchangeAudience, "exp": time.Now().Add(time.Minute).Unix(),
			}, sandbox.Minting{Flaw: flaw})
			return keyless.Token{Value: keyless.NewSecret(token)}, err
		})
		if _, err := source.Token(t.Context()); allowed != (err == nil) {
			t.Errorf("%q: %v", flaw, err)
		}
	}
}
