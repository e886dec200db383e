package doctor

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/profile"
	"github.com/keyless-id/keyless/trust"
)

const tenant = "3f2c8a10-0000-4000-8000-000000000001"

func TestHowProvidersDiffer(t *testing.T) {
	const want = "sts.windows.net/" + tenant + "/"
	for have, how := range map[string]string{
		want:                        "",
		"sts.windows.net/" + tenant: differsSlash,
		strings.ToUpper(want):       differsCase,
		"login.microsoftonline.com/" + tenant + "/v2.0": differsVersion,
		"login.microsoftonline.us/" + tenant + "/v2.0":  differsVersion,
		"sts.windows.net/other/":                        differsTenant,
		"login.microsoftonline.com/other/v2.0":          differsTenant,
		"token.actions.githubusercontent.com":           differsIssuer,
		"vstoken.dev.azure.com/" + tenant:               differsIssuer,
		"":                                              differsIssuer,
	} {
		if got := difference(want, have); got != how {
			t.Errorf("%q: %q, want %q", have, got, how)
		}
	}
}

func TestTheNearestProviderIsMeant(t *testing.T) {
	const want = "sts.windows.net/" + tenant + "/"
	names := []string{"token.actions.githubusercontent.com", "sts.windows.net/other/", "sts.windows.net/" + tenant}
	if name, how := nearest(want, names); name != names[2] || how != differsSlash {
		t.Errorf("%q, %q", name, how)
	}
	if name, how := nearest(want, nil); name != "" || how != "" {
		t.Errorf("of none: %q, %q", name, how)
	}
	if name, how := nearest(want, []string{want}); name != "" || how != "" {
		t.Errorf("the right one differs: %q, %q", name, how)
	}
}

func TestWordsForAShellStayOne(t *testing.T) {
	for word, want := range map[string]string{
		"plain-1.2_3/x": "plain-1.2_3/x", "": "''", "a b": "'a b'", "$(rm -rf /)": "'$(rm -rf /)'", "it's": `'it'\''s'`, "a\nb": "'a\nb'", "*": "'*'", ";": "';'",
	} {
		if got := quoted(word); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}

func TestWhoWinsInAWSConfiguration(t *testing.T) {
	s := shadows{sections: map[string]section{}}
	s.parse("# [comment]\n[default]\n  credential_process = \"/opt/keyless\" credential-process p\n[profile other]\ncredential_process=/opt/keyless credential-process q\n"+
		"[profile any]\ncredential_process = keyless credential-process\n[profile foreign]\ncredential_process = vault credential-process p\n; aws_access_key_id = x\naws_access_key_id = x\n[sso-session s]\n", true)
	s.parse("[other]\nAWS_ACCESS_KEY_ID = x\n", false)
	if got := s.ours("p"); !slices.Equal(got, []string{"any", "default"}) {
		t.Errorf("ours: %q", got)
	}
	if !s.sections["other"].sharedKeys || s.sections["other"].configKeys || !s.sections["foreign"].configKeys || s.sections["default"].sharedKeys {
		t.Errorf("%+v", s.sections)
	}
}

func TestAUserWithoutAHomeHasNoFiles(t *testing.T) {
	if s := readShadows(func(string) string { return "" }); s.config != "" || s.keys != "" || len(s.sections) != 0 {
		t.Errorf("%+v", s)
	}
}

func FuzzAWSConfiguration(f *testing.F) {
	f.Add("[default]\naws_access_key_id = hunter2\n", true)
	f.Add("[profile x]\ncredential_process = keyless credential-process p\n", true)
	f.Add("[x\n=\n[]\n[profile ]\na=b", false)
	f.Fuzz(func(t *testing.T, text string, config bool) {
		s := shadows{sections: map[string]section{}}
		s.parse(text, config)
		for _, name := range s.ours("p") {
			if !strings.Contains(text, name) {
				t.Errorf("the section %q is not in %q", name, text)
			}
		}
	})
}

func FuzzTable(f *testing.F) {
	f.Add([]byte(`{"tables":[{"name":"PrimaryResult","columns":[{"name":"Message"},{"name":"Count"}],"rows":[["hunter2 of",12],[null]]}]}`))
	f.Add([]byte(`{"tables":[{"rows":[[1,2]]}]}`))
	f.Add([]byte(`{"error":{"code":"x"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		all, err := tableLines(body, "hunter2")
		if err != nil && len(all) > 0 {
			t.Errorf("%q and %v", all, err)
		}
		for _, line := range all {
			if strings.Contains(line, "hunter2") || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) || len(line) > 1024 {
				t.Errorf("not fit to print: %q", line)
			}
		}
	})
}

// A repair lets in the token that it is for, and nobody else: whoever the policy did not
// let in stays outside where subjects are pinned.
func TestARepairLetsInOneSubject(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	repaired := 0
	for range 20000 {
		policy := &trust.Policy{Version: trust.Version2012, Statements: []trust.Statement{randomStatement(random)}}
		if policy.Validate() != nil {
			continue
		}
		e, stranger := patient("the-subject"), patient("a-stranger")
		after := e.repaired(policy, 0)
		if after == nil {
			continue
		}
		repaired++
		text, err := json.Marshal(after)
		if err == nil {
			_, err = trust.Parse(text)
		}
		if err != nil {
			t.Fatalf("the repair is no policy: %v in %s", err, text)
		}
		if !after.Evaluate(e.request(trust.AssumeRoleWithWebIdentity)).Allowed {
			t.Fatalf("the repair does not let the token in: %s", text)
		}
		if after.Evaluate(stranger.request(trust.AssumeRoleWithWebIdentity)).Allowed && pinned(policy.Statements[0]) {
			before, _ := json.Marshal(policy)
			t.Fatalf("the repair of %s lets strangers in: %s", before, text)
		}
	}
	if repaired < 2000 {
		t.Errorf("%d repairs, which is too few to say anything", repaired)
	}
}

// randomStatement is wrong in some of the ways in which people are.
func randomStatement(r *rand.Rand) trust.Statement {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	issuer := func() string {
		return pick("sts.windows.net/"+tenant+"/", "sts.windows.net/"+tenant+"/", "sts.windows.net/"+tenant, "login.microsoftonline.com/"+tenant+"/v2.0", "sts.windows.net/other/")
	}
	s := trust.Statement{
		Effect: trust.Allow, Actions: []string{pick(trust.AssumeRoleWithWebIdentity, trust.AssumeRole, "sts:*")},
		Principals: []trust.Principal{{Type: trust.Federated, ID: "arn:aws:iam::" + pick("111122223333", "444455556666") + ":oidc-provider/" + issuer()}},
	}
	for _, operator := range []string{"StringEquals", "StringLike"} {
		for _, claim := range []string{"sub", "aud", "oid"} {
			if r.IntN(3) == 0 {
				continue
			}
			c := trust.Condition{Operator: operator, Key: issuer() + ":" + claim}
			for range 1 + r.IntN(2) {
				c.Values = append(c.Values, pick("the-subject", "THE-SUBJECT", "somebody", "the-*", "*", "api://x", "api://x/", "client"))
			}
			s.Conditions = append(s.Conditions, c)
		}
	}
	return s
}

// pinned reports whether a statement names subjects, and not everybody.
func pinned(s trust.Statement) bool {
	return slices.ContainsFunc(s.Conditions, func(c trust.Condition) bool {
		_, claim := claimOf(c.Key)
		return c.Operator == "StringEquals" && claim == "sub"
	})
}

// patient is evidence of a token that STS has seen.
func patient(subject string) *evidence {
	claims := jwtpeek.Claims{
		Issuer: "https://sts.windows.net/" + tenant + "/", Subject: subject, ObjectID: subject, AppID: "client", Audience: []string{"api://x"},
		All: map[string]any{"iss": "https://sts.windows.net/" + tenant + "/", "sub": subject, "aud": "api://x"},
	}
	return &evidence{
		Doctor: Doctor{Profile: &profile.Selected{Profile: profile.Profile{Audience: "api://x"}}},
		built:  &profile.Built{STS: awssts.WebIdentity{RoleARN: "arn:aws:iam::111122223333:role/app", SessionName: "s"}}, claims: claims,
	}
}
