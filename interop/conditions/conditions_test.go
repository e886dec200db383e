package conditions

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/minio/pkg/v3/policy/condition"

	"github.com/keyless-id/keyless/trust"
)

// block is the Condition element of a statement: operator, key, values.
type block map[string]map[string][]string

// request holds the condition keys by their full names.
type request map[string][]string

// ours is the verdict of package trust on a policy with the block alone.
func ours(t *testing.T, conditions block, r request) bool {
	t.Helper()
	document := fmt.Sprintf(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/x"}, "Action": "sts:AssumeRoleWithWebIdentity", "Condition": %s}}`, asJSON(t, conditions))
	policy, err := trust.Parse([]byte(document))
	if err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	return policy.Evaluate(trust.Request{
		Action: trust.AssumeRoleWithWebIdentity, Principal: trust.Principal{Type: trust.Federated, ID: "arn:aws:iam::123456789012:oidc-provider/x"}, Context: r,
	}).Allowed
}

// theirs is MinIO's, which knows keys by their names without the service.
func theirs(t *testing.T, conditions block, r request) bool {
	t.Helper()
	var functions condition.Functions
	if err := json.Unmarshal(asJSON(t, conditions), &functions); err != nil {
		t.Fatalf("%v: %v", conditions, err)
	}
	values := map[string][]string{}
	for key, all := range r {
		_, name, _ := strings.Cut(key, ":")
		values[name] = all
	}
	return functions.Evaluate(values)
}

func asJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// family is a kind of values, with the operators for them that both engines know.
type family struct {
	operators []string
	keys      []string // that MinIO admits in any policy
	wanted    []string // in policies
	got       []string // in requests
	many      bool     // the policy may list several values, and the request may have some
	always    bool     // the key is always there: without it the engines differ, see below
}

var families = []family{
	{
		operators: []string{"StringEquals", "StringNotEquals", "ForAllValues:StringEquals", "ForAnyValue:StringEquals"}, keys: []string{"jwt:sub", "jwt:aud", "jwt:groups"}, many: true,
		wanted: []string{"a", "A", "ab", "a*", "", "api://x", "${jwt:upn}", "${jwt:upn}b"}, got: []string{"a", "A", "ab", "a*", "", "api://x", "b"},
	},
	{
		operators: []string{"StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "ForAllValues:StringEqualsIgnoreCase", "ForAnyValue:StringEqualsIgnoreCase"}, keys: []string{"jwt:sub", "jwt:groups"}, many: true,
		wanted: []string{"a", "A", "aB", "", "b*", "${jwt:upn}"}, got: []string{"a", "A", "Ab", "AB", "", "b", "B*"},
	},
	{
		operators: []string{"StringLike", "StringNotLike", "ForAllValues:StringLike", "ForAnyValue:StringLike"}, keys: []string{"jwt:sub", "jwt:aud", "jwt:groups"}, many: true,
		wanted: []string{"*", "?", "a*", "*b", "a?b", "**a", "*a*b*", "a", "", "sc://o/*/c", "${jwt:upn}*"}, got: []string{"", "a", "b", "ab", "aab", "axb", "abab", "sc://o/p/c", "sc://o/p/q/c", "A"},
	},
	{
		operators: []string{"BinaryEquals", "ForAllValues:BinaryEquals", "ForAnyValue:BinaryEquals"}, keys: []string{"jwt:sub"}, many: true,
		wanted: []string{"YQ==", "YWI=", "AA=="}, got: []string{"a", "ab", "\x00", "YQ=="},
	},
	{
		operators: []string{"NumericEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals", "NumericGreaterThanIfExists"}, keys: []string{"sts:DurationSeconds"},
		wanted: []string{"-1", "0", "900", "3600", "43200"}, got: []string{"-1", "0", "899", "900", "901", "3600", "x"},
	},
	{
		operators: []string{"NumericNotEquals"}, keys: []string{"sts:DurationSeconds"}, always: true,
		wanted: []string{"0", "900", "3600"}, got: []string{"0", "900", "901"},
	},
	{
		operators: []string{"DateEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"}, keys: []string{"aws:CurrentTime"},
		wanted: []string{"2027-07-01T00:00:00Z", "2027-07-01T02:00:00+02:00", "2026-01-01T00:00:00Z"}, got: []string{"2027-07-01T00:00:00Z", "2027-06-30T23:59:59Z", "2027-07-01T01:00:00+01:00", "x"},
	},
	{
		operators: []string{"DateNotEquals"}, keys: []string{"aws:CurrentTime"}, always: true,
		wanted: []string{"2027-07-01T00:00:00Z", "2026-01-01T00:00:00Z"}, got: []string{"2027-07-01T00:00:00Z", "2027-06-30T23:59:59Z", "2027-07-01T01:00:00+01:00"},
	},
	{
		operators: []string{"IpAddress", "NotIpAddress"}, keys: []string{"aws:SourceIp"},
		wanted: []string{"203.0.113.0/24", "203.0.113.7/32", "10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0"}, got: []string{"203.0.113.7", "203.0.114.1", "10.255.0.1", "2001:db8::1", "2001:db9::1", "::ffff:10.0.0.1", "x"},
	},
	{operators: []string{"Bool"}, keys: []string{"aws:SecureTransport"}, wanted: []string{"true", "false"}, got: []string{"true", "false", "x"}},
	{operators: []string{"Null"}, keys: []string{"jwt:sub", "jwt:groups"}, wanted: []string{"true", "false"}, got: []string{"", "a"}, many: true},
}

// generator makes blocks of up to three conditions, and requests for them.
type generator struct{ *rand.Rand }

func (g generator) one(from []string) string { return from[g.IntN(len(from))] }

func (g generator) some(from []string, most int) []string {
	values := make([]string, 0, most)
	for range 1 + g.IntN(most) {
		values = append(values, g.one(from))
	}
	slices.Sort(values)
	return slices.Compact(values) // MinIO refuses what is listed twice
}

// add puts one condition into the block, and maybe what it asks for into the request.
func (g generator) add(conditions block, r request) (operator string) {
	f := families[g.IntN(len(families))]
	operator, key := g.one(f.operators), g.one(f.keys)
	most := 1
	if f.many {
		most = 3
	}
	wanted := most
	if operator == "Null" {
		wanted = 1
	}
	if conditions[operator] == nil {
		conditions[operator] = map[string][]string{}
	}
	conditions[operator][key] = g.some(f.wanted, wanted)
	if f.always || g.IntN(4) > 0 {
		r[key] = g.some(f.got, most)
	}
	return operator
}

// clash: two families of one key would have the request hold what is no value of one of them.
func clash(conditions block) bool {
	kind := map[string]string{}
	for operator, keys := range conditions {
		for key := range keys {
			of := familyOf(operator)
			if kind[key] != "" && kind[key] != of {
				return true
			}
			kind[key] = of
		}
	}
	return false
}

func familyOf(operator string) string {
	for i, f := range families {
		for _, name := range f.operators {
			if name == operator {
				return fmt.Sprint(i)
			}
		}
	}
	return ""
}

func TestBothEnginesJudgeAlike(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 2))}
	verdicts := map[string]*[2]int{}
	for range 200_000 {
		conditions, r := block{}, request{}
		if g.IntN(3) > 0 {
			r["jwt:upn"] = []string{g.one([]string{"a", "ab"})}
		} else {
			r["jwt:upn"] = []string{"b"}
		}
		var operators []string
		for range 1 + g.IntN(3) {
			operators = append(operators, g.add(conditions, r))
		}
		if clash(conditions) {
			continue
		}
		allowed := ours(t, conditions, r)
		if want := theirs(t, conditions, r); allowed != want {
			t.Fatalf("%s\nfor %s: trust says %t, the other engine %t", asJSON(t, conditions), asJSON(t, r), allowed, want)
		}
		for _, operator := range operators {
			count(verdicts, operator, allowed)
		}
	}
	for _, f := range families {
		for _, operator := range f.operators {
			if v := verdicts[operator]; v == nil || v[0] < 100 || v[1] < 100 {
				t.Errorf("%s: %v refused and allowed: the comparison says little", operator, v)
			}
		}
	}
}

func count(verdicts map[string]*[2]int, operator string, allowed bool) {
	if verdicts[operator] == nil {
		verdicts[operator] = &[2]int{}
	}
	if allowed {
		verdicts[operator][1]++
	} else {
		verdicts[operator][0]++
	}
}

// Where the engines differ, the IAM User Guide says what trust does. A row fails when
// either engine changes its mind.
func TestWhereTheEnginesDiffer(t *testing.T) {
	for _, test := range []struct {
		why        string
		conditions block
		r          request
		allowed    bool // by trust
	}{
		{
			`"Condition operators": with a negated operator and without the key the condition holds`,
			block{"NumericNotEquals": {"sts:DurationSeconds": {"900"}}},
			request{},
			true,
		},
		{
			"the same for dates",
			block{"DateNotEquals": {"aws:CurrentTime": {"2027-07-01T00:00:00Z"}}},
			request{},
			true,
		},
		{
			`"Set operators": ForAllValues holds if the request has no such key`,
			block{"ForAllValues:StringNotEquals": {"jwt:groups": {"a"}}},
			request{},
			true,
		},
		{
			"ForAllValues with a negated operator wants each value to be another, and not just one",
			block{"ForAllValues:StringNotEquals": {"jwt:groups": {"a"}}},
			request{"jwt:groups": {"a", "b"}},
			false,
		},
		{
			"ForAnyValue with a negated operator is content with one other value",
			block{"ForAnyValue:StringNotLike": {"jwt:groups": {"a"}}},
			request{"jwt:groups": {"a", "b"}},
			true,
		},
		{
			"ForAnyValue does not hold if the request has no such key",
			block{"ForAnyValue:StringNotEquals": {"jwt:groups": {"a"}}},
			request{},
			false,
		},
		{
			"? stands for a character, and not for a byte",
			block{"StringLike": {"jwt:sub": {"m?ller"}}},
			request{"jwt:sub": {"müller"}},
			true,
		},
		{
			`"Policy variables": what a variable stands for has no wildcards`,
			block{"StringLike": {"jwt:sub": {"${jwt:upn}"}}},
			request{"jwt:sub": {"abc"}, "jwt:upn": {"a*"}},
			false,
		},
	} {
		if got := ours(t, test.conditions, test.r); got != test.allowed {
			t.Errorf("%s: trust says %t", test.why, got)
		}
		if theirs(t, test.conditions, test.r) == test.allowed {
			t.Errorf("%s: the other engine agrees by now", test.why)
		}
	}
}
