package trust_test

import (
	"maps"
	"os"
	"testing"

	"github.com/keyless-id/keyless/trust"
)

func load(t *testing.T, name string) *trust.Policy {
	t.Helper()
	document, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(document))
}

// Each case is a token that a policy of the corpus lets in; every twin changes
// one claim and must be refused.
func TestCorpusOfWebIdentities(t *testing.T) {
	const entra = "11111111-2222-3333-4444-555555555555"
	for _, c := range []struct {
		file, issuer string
		claims       trust.Claims
		twins        trust.Claims
	}{
		{
			"entra-v1", "https://sts.windows.net/" + entra + "/",
			trust.Claims{"aud": "api://aws-federation", "sub": "99999999-8888-7777-6666-555555555555", "appid": "x"},
			trust.Claims{"aud": "api://aws-federation/", "sub": "someone", "azp": "an azp takes the place of aud"},
		},
		{
			"entra-v2", "https://login.microsoftonline.com/" + entra + "/v2.0",
			trust.Claims{"aud": "api-app-id", "azp": "caller-app-id", "sub": "vm-2"},
			trust.Claims{"aud": "other-api", "azp": "other-caller", "sub": "vm-3"},
		},
		{
			"github", "https://token.actions.githubusercontent.com",
			trust.Claims{"aud": []any{"sts.amazonaws.com"}, "sub": "repo:octo-org/octo-repo:ref:refs/heads/a/b"},
			trust.Claims{"aud": "sts.amazonaws.com.cn", "sub": "repo:octo-org/octo-repo2:ref:refs/heads/a"},
		},
		{
			"pipelines-vstoken", "https://vstoken.dev.azure.com/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
			trust.Claims{"aud": "api://AzureADTokenExchange", "sub": "sc://contoso/shop/aws-deploy"},
			trust.Claims{"aud": "fb60f99c-7a34-4190-8149-302f77469936", "sub": "sc://contoso/shop/AWS-deploy"},
		},
		{
			"pipelines-entra", "https://login.microsoftonline.com/" + entra + "/v2.0",
			trust.Claims{
				"aud": "fb60f99c-7a34-4190-8149-302f77469936", "azp": "499b84ac-1321-427f-aa17-267ca6975798",
				"sub": "/eid1/c/pub/t/EREREQAAAAAAAAAAAAAAAA/a/rISbSSETf0KqFyZ8ppdXmA/sc/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee/ffffffff-0000-1111-2222-333333333333",
			},
			trust.Claims{"aud": "x", "azp": "y", "sub": "sc://contoso/shop/aws-deploy"},
		},
		{
			"eks-irsa", "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE",
			trust.Claims{"aud": []string{"sts.amazonaws.com"}, "sub": "system:serviceaccount:default:my-service-account"},
			trust.Claims{"aud": "kubernetes", "sub": "system:serviceaccount:kube-system:my-service-account"},
		},
	} {
		t.Run(c.file, func(t *testing.T) {
			policy, provider := load(t, c.file), trust.ProviderARN("", "111122223333", c.issuer)
			if d := policy.Evaluate(trust.WebIdentityRequest(provider, c.claims, "s", role)); !d.Allowed {
				t.Fatal(d.FirstFailure())
			}
			for claim, value := range c.twins {
				changed := maps.Clone(c.claims)
				changed[claim] = value
				if policy.Evaluate(trust.WebIdentityRequest(provider, changed, "s", role)).Allowed {
					t.Errorf("%s = %v is let in", claim, value)
				}
			}
			other := trust.ProviderARN("", "999999999999", c.issuer)
			if policy.Evaluate(trust.WebIdentityRequest(other, c.claims, "s", role)).Allowed {
				t.Error("the provider of another account is let in")
			}
		})
	}
}

func TestCorpusOfCognito(t *testing.T) {
	policy := load(t, "cognito")
	request := trust.WebIdentityRequest("cognito-identity.amazonaws.com", trust.Claims{
		"aud": "us-east-1:12345678-abcd-abcd-abcd-123456790ab", "amr": []any{"authenticated", "login.example.com"}, "sub": "x",
	}, "s", role)
	if d := policy.Evaluate(request); !d.Allowed {
		t.Fatal(d.FirstFailure())
	}
	request.Context["cognito-identity.amazonaws.com:amr"] = []string{"unauthenticated"}
	if policy.Evaluate(request).Allowed {
		t.Error("unauthenticated is let in")
	}
}

func TestCorpusOfAccountsAndServices(t *testing.T) {
	external := map[string][]string{"sts:ExternalId": {"12345"}, "aws:MultiFactorAuthPresent": {"true"}}
	for name, c := range map[string]struct {
		file    string
		caller  trust.Principal
		aliases []trust.Principal
		context map[string][]string
		allowed bool
	}{
		"user of the account":   {"cross-account", trust.Principal{Type: trust.AWS, ID: "arn:aws:iam::444455556666:user/a"}, nil, external, true},
		"user of another":       {"cross-account", trust.Principal{Type: trust.AWS, ID: "arn:aws:iam::444455556667:user/a"}, nil, external, false},
		"session of the role":   {"cross-account", trust.Principal{Type: trust.AWS, ID: "arn:aws:sts::777788889999:assumed-role/scanner/x"}, []trust.Principal{{Type: trust.AWS, ID: "arn:aws:iam::777788889999:role/scanner"}}, external, true},
		"session of another":    {"cross-account", trust.Principal{Type: trust.AWS, ID: "arn:aws:sts::777788889999:assumed-role/scan/x"}, []trust.Principal{{Type: trust.AWS, ID: "arn:aws:iam::777788889999:role/scan"}}, external, false},
		"no external id":        {"cross-account", trust.Principal{Type: trust.AWS, ID: "arn:aws:iam::444455556666:user/a"}, nil, nil, false},
		"service":               {"service", trust.Principal{Type: trust.Service, ID: "lambda.amazonaws.com"}, nil, map[string][]string{"aws:SourceArn": {"arn:aws:lambda:eu-west-1:111122223333:function:f"}, "aws:SourceAccount": {"111122223333"}}, true},
		"service of a stranger": {"service", trust.Principal{Type: trust.Service, ID: "lambda.amazonaws.com"}, nil, map[string][]string{"aws:SourceArn": {"arn:aws:lambda:eu-west-1:1:function:f"}, "aws:SourceAccount": {"1"}}, false},
		"another service":       {"service", trust.Principal{Type: trust.Service, ID: "glue.amazonaws.com"}, nil, map[string][]string{"aws:SourceAccount": {"111122223333"}}, false},
		"a type is not another": {"service", trust.Principal{Type: trust.AWS, ID: "lambda.amazonaws.com"}, nil, map[string][]string{"aws:SourceAccount": {"111122223333"}}, false},
	} {
		request := trust.Request{Action: trust.AssumeRole, Principal: c.caller, Aliases: c.aliases, Context: c.context}
		if d := load(t, c.file).Evaluate(request); d.Allowed != c.allowed {
			t.Errorf("%s: %v, %s %s", name, d.Allowed, d.Reason, d.FirstFailure())
		}
	}
}

func TestADenyWinsOverEveryAllow(t *testing.T) {
	policy := load(t, "deny-outside")
	context := map[string][]string{
		"aws:RequestTag/project": {"blue"}, "aws:TagKeys": {"project"}, "aws:PrincipalTag/team": {"blue"},
		"aws:SourceIp": {"203.0.113.9"}, "aws:PrincipalOrgID": {"o-zyxwvutsrq"}, "aws:CurrentTime": {"2026-01-01T00:00:00Z"},
		"aws:MultiFactorAuthAge": {"7200"}, "aws:TokenIssueTime": {"2026-01-01T00:00:00Z"},
	}
	request := trust.Request{Action: trust.AssumeRole, Principal: trust.Principal{Type: trust.AWS, ID: "arn:aws:iam::111122223333:user/a"}, Context: context}
	if d := policy.Evaluate(request); !d.Allowed {
		t.Fatal(d.FirstFailure())
	}
	context["aws:SourceIp"] = []string{"198.51.100.1"}
	d := policy.Evaluate(request)
	if want := "statement 2 (KeepOut) denies sts:AssumeRole"; d.Allowed || d.Reason != want || d.FirstFailure() != want {
		t.Fatalf("%v %q %q", d.Allowed, d.Reason, d.FirstFailure())
	}
}
