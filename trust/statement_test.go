package trust_test

import (
	"testing"

	"github.com/keyless-id/keyless/trust"
)

func TestOperatorsAreTakenApart(t *testing.T) {
	for name, want := range map[string]trust.Operator{
		"StringEquals":                           {Base: "StringEquals"},
		"StringLikeIfExists":                     {Base: "StringLike", Wild: true, IfExists: true},
		"ForAnyValue:StringLike":                 {Base: "StringLike", Wild: true, AnyValue: true},
		"ForAllValues:StringNotEqualsIfExists":   {Base: "StringNotEquals", Negated: true, IfExists: true, AllValues: true},
		"ForAllValues:StringEqualsIgnoreCase":    {Base: "StringEqualsIgnoreCase", AllValues: true},
		"ArnNotLike":                             {Base: "ArnNotLike", Wild: true, Negated: true},
		"Null":                                   {Base: "Null"},
		"ForAnyValue:NotIpAddressIfExists":       {Base: "NotIpAddress", Negated: true, IfExists: true, AnyValue: true},
		"NumericGreaterThanEqualsIfExists":       {Base: "NumericGreaterThanEquals", IfExists: true},
		"ForAnyValue:DateNotEquals":              {Base: "DateNotEquals", Negated: true, AnyValue: true},
		"ForAllValues:BinaryEquals":              {Base: "BinaryEquals", AllValues: true},
		"ForAllValues:StringNotEqualsIgnoreCase": {Base: "StringNotEqualsIgnoreCase", Negated: true, AllValues: true},
	} {
		if got, known := trust.ReadOperator(name); !known || got != want {
			t.Errorf("%s: got %+v %v, want %+v", name, got, known, want)
		}
	}
	if _, known := trust.ReadOperator("stringequals"); known {
		t.Error("names of operators have one spelling")
	}
}

// What an operator says of an absent key is what the evaluation does with one.
func TestPassesAbsentIsWhatEvaluateDoes(t *testing.T) {
	for _, set := range []string{"", "ForAllValues:", "ForAnyValue:"} {
		for _, base := range []string{"StringEquals", "StringNotEquals", "StringLike", "ArnNotLike", "NotIpAddress", "Bool", "NumericNotEquals"} {
			for _, suffix := range []string{"", "IfExists"} {
				name := set + base + suffix
				value := map[string]string{"NotIpAddress": "10.0.0.0/8", "Bool": "true", "NumericNotEquals": "1"}[base]
				policy := trust.Policy{Statements: []trust.Statement{{
					Effect: trust.Allow, Actions: []string{"sts:*"}, Principals: []trust.Principal{{Type: trust.Anyone, ID: "*"}},
					Conditions: []trust.Condition{{Operator: name, Key: "k", Values: []string{value}}},
				}}}
				op, _ := trust.ReadOperator(name)
				if got := policy.Evaluate(trust.Request{Action: trust.AssumeRole}).Allowed; got != op.PassesAbsent() {
					t.Errorf("%s: evaluates to %v, said to be %v", name, got, op.PassesAbsent())
				}
			}
		}
	}
}

func TestAStatementSaysWhomAndWhatItIsFor(t *testing.T) {
	s := trust.Statement{Actions: []string{"sts:AssumeRole*"}, Principals: []trust.Principal{{Type: trust.AWS, ID: "111122223333"}}}
	inside := trust.Principal{Type: trust.AWS, ID: "arn:aws:iam::111122223333:user/a"}
	outside := trust.Principal{Type: trust.AWS, ID: "arn:aws:iam::999999999999:user/a"}
	if !s.ForAction("STS:AssumeRoleWithWebIdentity") || s.ForAction(trust.TagSession) {
		t.Error("the action")
	}
	if !s.ForPrincipal(inside) || s.ForPrincipal(outside) {
		t.Error("the principal")
	}
	s.NotPrincipal = true
	if s.ForPrincipal(inside) || !s.ForPrincipal(outside) {
		t.Error("NotPrincipal")
	}
}

func TestProviderNameOfEveryForm(t *testing.T) {
	for _, form := range []string{
		"arn:aws:iam::111122223333:oidc-provider/sts.windows.net/t/", "https://sts.windows.net/t/", "sts.windows.net/t/",
	} {
		if got := trust.ProviderName(form); got != "sts.windows.net/t/" {
			t.Errorf("%s: got %s", form, got)
		}
	}
}
