package trust_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/trust"
)

// holds evaluates one condition on one key, k; got nil means that the key is
// absent.
func holds(t *testing.T, operator string, want, got []string) bool {
	t.Helper()
	return conditionResult(t, operator, want, map[string][]string{"k": got}).OK
}

func conditionResult(t *testing.T, operator string, want []string, context map[string][]string) trust.ConditionResult {
	t.Helper()
	values, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	policy := parse(t, fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Condition":{%q:{"k":%s}}}}`, operator, values))
	d := policy.Evaluate(trust.Request{Action: "sts:AssumeRole", Context: context})
	result := d.Statements[0].Conditions[0]
	if d.Allowed != result.OK {
		t.Fatalf("%s: the decision is %v and its only condition %v", operator, d.Allowed, result.OK)
	}
	return result
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "|")
}

// Each row: operator, values of the policy, a value that passes, one that does
// not, and what an absent key means.
func TestEveryOperatorPassesRefusesAndKnowsAnAbsentKey(t *testing.T) {
	for _, row := range []struct {
		operator, want, pass, fail string
		absent                     bool
	}{
		{"StringEquals", "a|b", "b", "B", false},
		{"StringEquals", "a*", "a*", "ab", false},
		{"StringNotEquals", "a|b", "c", "b", true},
		{"StringEqualsIgnoreCase", "Abc", "aBC", "abcd", false},
		{"StringNotEqualsIgnoreCase", "Abc", "abcd", "aBC", true},
		{"StringLike", "repo:org/*:ref", "repo:org/x:ref", "repo:org/x:re", false},
		{"StringLike", "a?c", "abc", "ac", false},
		{"StringNotLike", "a*|b*", "c", "bx", true},
		{"NumericEquals", "3600", "3600.0", "3601", false},
		{"NumericNotEquals", "3600", "1", "3600", true},
		{"NumericLessThan", "10", "9.99", "10", false},
		{"NumericLessThanEquals", "10", "10", "10.01", false},
		{"NumericGreaterThan", "-1", "0", "-1", false},
		{"NumericGreaterThanEquals", "9007199254740993", "9007199254740993", "9007199254740992", false},
		{"NumericGreaterThan", "1e3", "1001", "1000", false},
		{"DateEquals", "2026-01-02T03:04:05Z", "2026-01-02T04:04:05+01:00", "2026-01-02T03:04:06Z", false},
		{"DateNotEquals", "2026-01-02", "2026-01-03", "2026-01-02T00:00:00Z", true},
		{"DateLessThan", "2026-01-02", "2026-01-01T23:59:59Z", "2026-01-02", false},
		{"DateLessThanEquals", "2026", "2026-01-01", "2026-01-01T00:00:01Z", false},
		{"DateGreaterThan", "1767225600", "1767225601", "2026-01-01T00:00Z", false},
		{"DateGreaterThanEquals", "2026-02", "2026-02-01", "2026-01-31", false},
		{"Bool", "true", "True", "false", false},
		{"BinaryEquals", "QmluYXJ5", "Binary", "QmluYXJ5", false},
		{"IpAddress", "203.0.113.0/24|2001:db8::/32", "203.0.113.7", "203.0.114.7", false},
		{"IpAddress", "203.0.113.7", "::ffff:203.0.113.7", "203.0.113.8", false},
		{"IpAddress", "2001:db8::/32", "2001:db8::1", "2001:db9::1", false},
		{"NotIpAddress", "203.0.113.0/24", "198.51.100.1", "203.0.113.7", true},
		{"ArnEquals", "arn:aws:sns:*:111122223333:t*", "arn:aws:sns:eu-west-1:111122223333:topic", "arn:aws:sns:eu-west-1:1:111122223333:topic", false},
		{"ArnLike", "arn:aws:iam::*:role/ci", "arn:aws:iam::1:role/ci", "arn:aws:iam::1:role/ci2", false},
		{"ArnLike", "arn:aws:s3:::b/*", "arn:aws:s3:::b/a:b", "b/a", false},
		{"ArnNotEquals", "arn:aws:iam::1:role/ci", "arn:aws:iam::1:role/cd", "arn:aws:iam::1:role/ci", true},
		{"ArnNotLike", "arn:aws:iam::1:*", "arn:aws:iam::2:role/ci", "arn:aws:iam::1:role/ci", true},
		{"Null", "false", "anything", "", false},
		{"StringEqualsIfExists", "a", "a", "b", true},
		{"StringNotEqualsIfExists", "a", "b", "a", true},
		{"NumericLessThanIfExists", "10", "9", "10", true},
		{"BoolIfExists", "true", "true", "false", true},
		{"ArnLikeIfExists", "arn:aws:iam::1:*", "arn:aws:iam::1:role/a", "arn:aws:iam::2:role/a", true},
		{"ForAllValues:StringEquals", "a|b", "a|b|a", "a|c", true},
		{"ForAllValues:StringNotEquals", "a|b", "c|d", "c|a", true},
		{"ForAllValues:StringLike", "a*", "a|ab", "a|b", true},
		{"ForAnyValue:StringEquals", "a|b", "c|b", "c|d", false},
		{"ForAnyValue:StringNotEquals", "a", "a|b", "a", false},
		{"ForAnyValue:StringLike", "x*", "a|xy", "a|b", false},
		{"ForAnyValue:StringEqualsIfExists", "a", "b|a", "b", true},
		{"ForAnyValue:ArnLike", "arn:aws:iam::1:*", "x|arn:aws:iam::1:role/a", "x", false},
	} {
		t.Run(row.operator+" "+row.want, func(t *testing.T) {
			if !holds(t, row.operator, list(row.want), list(row.pass)) {
				t.Errorf("%q does not pass", row.pass)
			}
			if row.fail != "" && holds(t, row.operator, list(row.want), list(row.fail)) {
				t.Errorf("%q passes", row.fail)
			}
			if got := holds(t, row.operator, list(row.want), nil); got != row.absent {
				t.Errorf("absent: %v, want %v", got, row.absent)
			}
		})
	}
}

func TestNullAsksForTheKeyOnly(t *testing.T) {
	for _, row := range []struct {
		want, got string
		ok        bool
	}{{"true", "", true}, {"true", "x", false}, {"false", "", false}, {"false", "x", true}} {
		if got := holds(t, "Null", list(row.want), list(row.got)); got != row.ok {
			t.Errorf("Null %s with %q: %v", row.want, row.got, got)
		}
	}
}

func TestUnreadableRequestValuesNeverPassAndNegatedAlwaysDo(t *testing.T) {
	for operator, ok := range map[string]bool{
		"NumericEquals": false, "NumericNotEquals": true, "NumericLessThan": false, "DateLessThan": false, "DateNotEquals": true,
		"IpAddress": false, "NotIpAddress": true, "BinaryEquals": false, "ArnEquals": false, "ArnNotEquals": true,
	} {
		want := map[byte]string{'N': "1", 'D': "2026", 'I': "10.0.0.0/8", 'B': "QQ==", 'A': "arn:aws:iam::1:role/a"}[operator[0]]
		if operator == "NotIpAddress" {
			want = "10.0.0.0/8"
		}
		if got := holds(t, operator, []string{want}, []string{"not readable"}); got != ok {
			t.Errorf("%s: %v, want %v", operator, got, ok)
		}
	}
}

func TestKeyNamesIgnoreCaseAndValuesDoNot(t *testing.T) {
	if !conditionResult(t, "StringEquals", []string{"a"}, map[string][]string{"K": {"a"}}).OK {
		t.Error("the case of the key matters")
	}
	if conditionResult(t, "StringEquals", []string{"a"}, map[string][]string{"k": {"A"}}).OK {
		t.Error("the case of the value does not matter")
	}
}

func TestPolicyVariables(t *testing.T) {
	context := map[string][]string{"aws:PrincipalTag/team": {"blue*"}, "many": {"a", "b"}}
	for _, row := range []struct {
		operator, want, got string
		ok                  bool
	}{
		{"StringEquals", "${aws:PrincipalTag/team}", "blue*", true},
		{"StringEquals", "x-${aws:principaltag/TEAM}-y", "x-blue*-y", true},
		{"StringLike", "${aws:PrincipalTag/team}/*", "blue*/a", true},
		{"StringLike", "${aws:PrincipalTag/team}/*", "blueish/a", false}, // a value is no pattern
		{"StringLike", "a${*}c", "a*c", true},
		{"StringLike", "a${*}c", "abc", false},
		{"StringEquals", "${?}${$}{x}", "?${x}", true},
		{"StringEquals", "${aws:PrincipalTag/none}", "${aws:PrincipalTag/none}", false},
		{"StringNotEquals", "${aws:PrincipalTag/none}", "x", false}, // cannot be known, so cannot match
		{"StringEquals", "${aws:PrincipalTag/none, 'red'}", "red", true},
		{"StringEquals", "${many}", "a", false},
		{"StringEquals", "${unclosed", "${unclosed", true},
		{"ArnLike", "arn:aws:iam::1:role/${aws:PrincipalTag/team}", "arn:aws:iam::1:role/blue*", true},
	} {
		context["k"] = []string{row.got}
		result := conditionResult(t, row.operator, []string{row.want}, context)
		if result.OK != row.ok {
			t.Errorf("%s %s against %s: %v (%s)", row.operator, row.want, row.got, result.OK, result.Reason)
		}
	}
}

func TestVariablesAreTextInTheOldLanguage(t *testing.T) {
	policy := parse(t, `{"Version":"2008-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Condition":{"StringEquals":{"k":"${x}"}}}}`)
	if !policy.Evaluate(trust.Request{Context: map[string][]string{"k": {"${x}"}}}).Allowed {
		t.Error("a variable was expanded before 2012")
	}
}
