package trust_test

import (
	"testing"

	"github.com/keyless-id/keyless/trust"
)

func TestTheFirstFailureComesFromTheNearestStatement(t *testing.T) {
	const github = `{"Effect":"Allow","Principal":{"Federated":"arn:github"},"Action":"sts:AssumeRoleWithWebIdentity"}`
	entra := func(condition string) string {
		return `{"Sid":"E","Effect":"Allow","Principal":{"Federated":"` + provider + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{` + condition + `}}`
	}
	web := trust.WebIdentityRequest(provider, trust.Claims{"aud": "api://a", "sub": "me"}, "s", role)
	for _, row := range []struct{ statements, want string }{
		{github, `statement 1 is not for this principal`},
		{github + "," + entra(`"StringEquals":{"x:y":["a","b"]}`), `condition StringEquals x:y: want "a" or "b", got nothing`},
		{github + "," + entra(`"StringLike":{"`+key+`:sub":"you*"}`), `condition StringLike ` + key + `:sub: want "you*", got "me"`},
		{entra(`"StringEquals":{"` + key + `:sub":"${aws:PrincipalTag/x}"}`), `condition StringEquals ` + key + `:sub: want "${aws:PrincipalTag/x}", got "me" (variable ${aws:PrincipalTag/x} is not in the request)`},
		{entra(`"StringEquals":{"` + key + `:sub":[]}`), `condition StringEquals ` + key + `:sub: want no value at all, got "me"`},
		{`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}`, `statement 1 is not for this action`},
		{`{"Effect":"Deny","Principal":"*","Action":"sts:*"}`, `statement 1 denies sts:AssumeRoleWithWebIdentity`},
		{`{"Effect":"Deny","Principal":{"AWS":"111122223333"},"Action":"sts:*"}`, `no statement allows sts:AssumeRoleWithWebIdentity`},
	} {
		policy := parse(t, `{"Version":"2012-10-17","Statement":[`+row.statements+`]}`)
		if d := policy.Evaluate(web); d.Allowed || d.FirstFailure() != row.want {
			t.Errorf("%s\n got %s\nwant %s", row.statements, d.FirstFailure(), row.want)
		}
	}
}

func TestResultsShowWhatWasComparedWithWhat(t *testing.T) {
	policy := parse(t, pinned)
	d := policy.Evaluate(trust.WebIdentityRequest(provider, trust.Claims{"aud": "api://app"}, "s", role))
	s := d.Statements[0]
	if !s.PrincipalMatched || !s.ActionMatched || s.Matched || len(s.Conditions) != 2 {
		t.Fatalf("%+v", s)
	}
	aud, sub := s.Conditions[0], s.Conditions[1]
	if !aud.OK || !aud.Present || aud.Got[0] != "api://app" || sub.OK || sub.Present || sub.Reason != "the key is absent" {
		t.Errorf("%+v %+v", aud, sub)
	}
}

func TestNegatedPrincipalsAndActions(t *testing.T) {
	policy := parse(t, `{"Statement":[{"Effect":"Allow","NotPrincipal":{"AWS":"arn:aws:iam::1:user/a"},"NotAction":"sts:Tag*"}]}`)
	for _, row := range []struct {
		id, action string
		allowed    bool
	}{
		{"arn:aws:iam::1:user/b", "sts:AssumeRole", true},
		{"arn:aws:iam::1:user/a", "sts:AssumeRole", false},
		{"arn:aws:iam::1:user/b", "STS:TAGSESSION", false},
	} {
		r := trust.Request{Action: row.action, Principal: trust.Principal{Type: trust.AWS, ID: row.id}}
		if d := policy.Evaluate(r); d.Allowed != row.allowed {
			t.Errorf("%s %s: %v", row.id, row.action, d.Allowed)
		}
	}
}
