package iam_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/iam"
)

// far plays IAM in the process: it remembers each form and answers in turn; the last
// answer stands.
type far struct {
	answers []answer
	forms   []url.Values
	headers []http.Header
	urls    []string
}

type answer struct {
	status int
	body   string
}

func (f *far) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, err
	}
	f.forms, f.headers, f.urls = append(f.forms, form), append(f.headers, r.Header), append(f.urls, r.URL.String())
	a := f.answers[min(len(f.forms), len(f.answers))-1]
	return &http.Response{StatusCode: a.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

func says(bodies ...string) *far {
	f := &far{}
	for _, body := range bodies {
		f.answers = append(f.answers, answer{http.StatusOK, body})
	}
	return f
}

func refuses(status int, code string) *far {
	return &far{answers: []answer{{status, fault(code)}}}
}

func fault(code string) string {
	return fmt.Sprintf(`<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>%s</Code><Message>said with canary-secret</Message></Error><RequestId>r</RequestId></ErrorResponse>`, code)
}

func client(f *far) iam.Client {
	return iam.Client{Credentials: login(), HTTPClient: &http.Client{Transport: f}}
}

func login() keyless.CredentialsProvider {
	return keyless.CredentialsProviderFunc(func(context.Context) (keyless.Credentials, error) {
		return keyless.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: keyless.NewSecret("canary-secret"), SessionToken: keyless.NewSecret("canary-session")}, nil
	})
}

// getRole is the example of the API reference, shortened.
const getRole = `<GetRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">
  <GetRoleResult><Role>
    <Path>/application_abc/</Path>
    <Arn>arn:aws:iam::123456789012:role/application_abc/app</Arn>
    <RoleName>app</RoleName>
    <AssumeRolePolicyDocument>%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Sid%22%3A%22a+b%22%7D%5D%7D</AssumeRolePolicyDocument>
    <MaxSessionDuration>7200</MaxSessionDuration>
    <PermissionsBoundary><PermissionsBoundaryType>Policy</PermissionsBoundaryType><PermissionsBoundaryArn>arn:aws:iam::123456789012:policy/fence</PermissionsBoundaryArn></PermissionsBoundary>
    <Tags><member><Key>keyless:setup</Key><Value>vm</Value></member></Tags>
  </Role></GetRoleResult>
</GetRoleResponse>`

func TestARoleIsReadWithItsPolicyDecoded(t *testing.T) {
	f := says(getRole)
	got, err := client(f).Role(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "app" || got.Path != "/application_abc/" || got.MaxSession != 2*time.Hour || got.Tags["keyless:setup"] != "vm" ||
		got.PermissionsBoundary != "arn:aws:iam::123456789012:policy/fence" {
		t.Errorf("role %+v", got)
	}
	if want := `{"Version":"2012-10-17","Statement":[{"Sid":"a+b"}]}`; string(got.TrustPolicy) != want {
		t.Errorf("policy %s, want %s: a plus stays a plus", got.TrustPolicy, want)
	}
	if !strings.Contains(f.headers[0].Get("Authorization"), "/us-east-1/iam/aws4_request") || f.urls[0] != "https://iam.amazonaws.com/" {
		t.Errorf("asked %s with %v", f.urls[0], f.headers[0])
	}
}

func TestAListingIsReadToItsEnd(t *testing.T) {
	page := func(name, rest string) string {
		return `<ListRolesResponse><ListRolesResult><Roles><member><RoleName>` + name + `</RoleName><Arn>arn:aws:iam::123456789012:role/` + name +
			`</Arn><AssumeRolePolicyDocument>%7B%7D</AssumeRolePolicyDocument></member></Roles>` + rest + `</ListRolesResult></ListRolesResponse>`
	}
	f := says(page("a", "<IsTruncated>true</IsTruncated><Marker>m</Marker>"), page("b", "<IsTruncated>false</IsTruncated>"))
	roles, err := client(f).Roles(t.Context())
	if err != nil || len(roles) != 2 || roles[1].Name != "b" || f.forms[1].Get("Marker") != "m" {
		t.Errorf("%d roles, asked %v: %v", len(roles), f.forms, err)
	}
	f = says(page("a", "<IsTruncated>true</IsTruncated>"))
	if roles, err := client(f).Roles(t.Context()); err == nil {
		t.Errorf("a listing without an end gave %d roles and no error", len(roles))
	}
}

func TestWhatIsSentIsWhatTheAPIReferenceNames(t *testing.T) {
	role := iam.Role{Name: "app", Path: "/p/", TrustPolicy: []byte(`{}`), MaxSession: time.Hour, Tags: map[string]string{"b": "2", "a": ""}}
	for action, call := range map[string]func(context.Context, iam.Client) error{
		"CreateRole RoleName=app Path=/p/ AssumeRolePolicyDocument={} MaxSessionDuration=3600 Tags.member.1.Key=a Tags.member.2.Value=2": func(ctx context.Context, c iam.Client) error {
			_, err := c.CreateRole(ctx, role)
			return err
		},
		"CreateOpenIDConnectProvider Url=https://a ClientIDList.member.1=x ClientIDList.member.2=y ThumbprintList.member.1=": func(ctx context.Context, c iam.Client) error {
			_, err := c.CreateProvider(ctx, iam.Provider{URL: "https://a", ClientIDs: []string{"x", "y"}})
			return err
		},
		"UpdateAssumeRolePolicy RoleName=app PolicyDocument={}": func(ctx context.Context, c iam.Client) error { return c.UpdateTrustPolicy(ctx, "app", []byte("{}")) },
		"AddClientIDToOpenIDConnectProvider OpenIDConnectProviderArn=arn ClientID=x": func(ctx context.Context, c iam.Client) error {
			return c.AddClientID(ctx, "arn", "x")
		},
		"RemoveClientIDFromOpenIDConnectProvider OpenIDConnectProviderArn=arn ClientID=x": func(ctx context.Context, c iam.Client) error {
			return c.RemoveClientID(ctx, "arn", "x")
		},
		"DeleteOpenIDConnectProvider OpenIDConnectProviderArn=arn":    func(ctx context.Context, c iam.Client) error { return c.DeleteProvider(ctx, "arn") },
		"PutRolePolicy RoleName=app PolicyName=out PolicyDocument={}": func(ctx context.Context, c iam.Client) error { return c.PutRolePolicy(ctx, "app", "out", []byte("{}")) },
		"AttachRolePolicy RoleName=app PolicyArn=p":                   func(ctx context.Context, c iam.Client) error { return c.AttachPolicy(ctx, "app", "p") },
		"TagRole RoleName=app Tags.member.1.Key=k": func(ctx context.Context, c iam.Client) error {
			return c.TagRole(ctx, "app", map[string]string{"k": "v"})
		},
		"PutRolePermissionsBoundary RoleName=app PermissionsBoundary=p": func(ctx context.Context, c iam.Client) error { return c.BoundRole(ctx, "app", "p") },
		"UpdateRole MaxSessionDuration=7200":                            func(ctx context.Context, c iam.Client) error { return c.UpdateMaxSession(ctx, "app", 2*time.Hour) },
	} {
		words := strings.Fields(action)
		f := says(`<CreateOpenIDConnectProviderResponse><CreateOpenIDConnectProviderResult><OpenIDConnectProviderArn>arn</OpenIDConnectProviderArn></CreateOpenIDConnectProviderResult></CreateOpenIDConnectProviderResponse>`)
		if words[0] == "CreateRole" {
			f = says(strings.NewReplacer("GetRole", "CreateRole").Replace(getRole))
		}
		if err := call(t.Context(), client(f)); err != nil {
			t.Errorf("%s: %v", action, err)
			continue
		}
		if got := f.forms[0]; got.Get("Action") != words[0] || got.Get("Version") != "2010-05-08" {
			t.Errorf("%s: sent %v", action, got)
		}
		for _, word := range words[1:] {
			name, want, _ := strings.Cut(word, "=")
			if got := f.forms[0].Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", words[0], name, got, want)
			}
		}
	}
}

func TestATagWithoutAValueIsSentAsOne(t *testing.T) {
	f := says("<TagRoleResponse/>")
	if err := client(f).TagRole(t.Context(), "app", map[string]string{"k": ""}); err != nil {
		t.Fatal(err)
	}
	if _, sent := f.forms[0]["Tags.member.1.Value"]; !sent {
		t.Errorf("sent %v: IAM wants a Value, even an empty one", f.forms[0])
	}
}

func TestARefusalHasIAMsCodeAndNoSecrets(t *testing.T) {
	for code, status := range map[string]int{"NoSuchEntity": 404, "EntityAlreadyExists": 409, "AccessDenied": 403, "MalformedPolicyDocument": 400} {
		f := refuses(status, code)
		_, err := client(f).Role(t.Context(), "app")
		var e *keyless.Error
		if !errors.As(err, &e) || !iam.Is(err, code) || e.Hop != iam.Hop || e.Op != "GetRole" || e.Temporary {
			t.Errorf("%s: %+v", code, err)
		}
		if strings.Contains(fmt.Sprintf("%v %+v", err, e), "canary") {
			t.Errorf("a secret is in %v", err)
		}
		if len(f.forms) != 1 {
			t.Errorf("%s was asked %d times, want once", code, len(f.forms))
		}
	}
}

func TestWhatPassesIsAskedAgain(t *testing.T) {
	for code, status := range map[string]int{"ConcurrentModification": 409, "Throttling": 400, "ServiceFailure": 500} {
		synctest.Test(t, func(t *testing.T) {
			f := &far{answers: []answer{{status, fault(code)}, {http.StatusOK, getRole}}}
			if _, err := client(f).Role(t.Context(), "app"); err != nil || len(f.forms) != 2 {
				t.Errorf("%s: %d requests: %v", code, len(f.forms), err)
			}
			f = refuses(status, code)
			if _, err := client(f).Role(t.Context(), "app"); !keyless.IsTemporary(err) || len(f.forms) != 4 {
				t.Errorf("%s that stays: %d requests: %v", code, len(f.forms), err)
			}
		})
	}
}

func TestAProviderIsReadAndListed(t *testing.T) {
	f := says(`<GetOpenIDConnectProviderResponse><GetOpenIDConnectProviderResult><Url>sts.windows.net/t/</Url><ClientIDList><member>a</member><member>b</member></ClientIDList><ThumbprintList/><Tags><member><Key>k</Key><Value>v</Value></member></Tags></GetOpenIDConnectProviderResult></GetOpenIDConnectProviderResponse>`)
	got, err := client(f).Provider(t.Context(), "arn:p")
	if err != nil || got.ARN != "arn:p" || got.URL != "sts.windows.net/t/" || !slices.Equal(got.ClientIDs, []string{"a", "b"}) || got.Tags["k"] != "v" {
		t.Errorf("provider %+v: %v", got, err)
	}
	f = says(`<ListOpenIDConnectProvidersResponse><ListOpenIDConnectProvidersResult><OpenIDConnectProviderList><member><Arn>arn:p</Arn></member></OpenIDConnectProviderList></ListOpenIDConnectProvidersResult></ListOpenIDConnectProvidersResponse>`)
	if arns, err := client(f).Providers(t.Context()); err != nil || !slices.Equal(arns, []string{"arn:p"}) {
		t.Errorf("providers %v: %v", arns, err)
	}
}

func TestOutboundFederationIsSwitchedOnOnce(t *testing.T) {
	info := `<GetOutboundWebIdentityFederationInfoResponse><GetOutboundWebIdentityFederationInfoResult><IssuerIdentifier>https://i</IssuerIdentifier><JwtVendingEnabled>true</JwtVendingEnabled></GetOutboundWebIdentityFederationInfoResult></GetOutboundWebIdentityFederationInfoResponse>`
	if issuer, err := client(refuses(404, "FeatureDisabled")).OutboundIssuer(t.Context()); err != nil || issuer != "" {
		t.Errorf("switched off: %q, %v", issuer, err)
	}
	f := &far{answers: []answer{{409, fault("FeatureEnabled")}, {200, info}}}
	if issuer, err := client(f).EnableOutbound(t.Context()); err != nil || issuer != "https://i" {
		t.Errorf("switched on already: %q, %v", issuer, err)
	}
	if _, err := client(refuses(403, "AccessDenied")).EnableOutbound(t.Context()); !iam.Is(err, iam.CodeAccessDenied) {
		t.Errorf("refused: %v", err)
	}
}

func TestTheCallerIsKnownByAccountAndPartition(t *testing.T) {
	f := says(`<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws-cn:iam::123456789012:user/a</Arn><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
	got, err := iam.STS{Credentials: login(), Region: "cn-north-1", HTTPClient: &http.Client{Transport: f}}.Caller(t.Context())
	if err != nil || got.Account != "123456789012" || got.Partition != "aws-cn" || f.urls[0] != "https://sts.cn-north-1.amazonaws.com.cn/" {
		t.Errorf("caller %+v at %v: %v", got, f.urls, err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(getRole), 200)
	f.Add([]byte(fault("NoSuchEntity")), 404)
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`), 200)
	f.Add([]byte(`<html>`), 403)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		if status < 200 || status > 499 || status/100 == 3 || status == 429 || status == 408 {
			return // what is asked again would wait
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // no wait of the back-off fits
		defer cancel()
		got, err := client(&far{answers: []answer{{status, string(body)}}}).Role(ctx, "app")
		if err == nil && (status != 200 || got.Name == "" || got.ARN == "" || len(got.TrustPolicy) == 0) {
			t.Errorf("status %d gave %+v", status, got)
		}
		if err != nil && (strings.Contains(err.Error(), "canary-secret") || strings.Contains(err.Error(), "canary-session")) {
			t.Errorf("a secret is in %v", err)
		}
	})
}
