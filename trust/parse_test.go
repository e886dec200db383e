package trust_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/trust"
)

func statement(more string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"},{"Sid":"Two","Effect":"Allow"` + more + `}]}`
}

func TestErrorsSayWhereAndWhat(t *testing.T) {
	const rest = `,"Principal":"*","Action":"sts:AssumeRole"`
	for _, row := range []struct{ document, want string }{
		{``, `the JSON ends too early`},
		{`{"Version":"2012-10-17"`, `the JSON ends too early`},
		{`{"Version" "2012-10-17"}`, `not JSON, byte 11`},
		{`[]`, `must be an object, not an array`},
		{`{} {}`, `something follows the end`},
		{`{"Version":"2012-10-17"}`, `has no Statement`},
		{`{"Version":"2013-10-17","Statement":[]}`, `Version: "2013-10-17" is neither 2012-10-17 nor 2008-10-17`},
		{`{"Version":2012,"Statement":[]}`, `Version: must be a string, not a number`},
		{`{"Statements":[]}`, `unknown element "Statements", nearest known: Statement`},
		{`{"Version":"2012-10-17","Version":"2012-10-17"}`, `"Version" appears twice`},
		{`{"Statement":"x"}`, `statement 1: must be an object, not a string`},
		{statement(``), `statement 2 (Two): has no Principal`},
		{statement(`,"Principal":"*"`), `statement 2 (Two): has no Action`},
		{statement(rest + `,"NotAction":"sts:*"`), `has both Action and NotAction`},
		{statement(rest + `,"NotPrincipal":"*"`), `has both Principal and NotPrincipal`},
		{statement(rest + `,"Resource":"*"`), `statement 2 (Two): Resource does not belong in a trust policy`},
		{statement(rest + `,"effect":"Deny"`), `unknown element "effect", nearest known: Effect`},
		{statement(`,"Principal":"me","Action":"sts:AssumeRole"`), `Principal: must be "*" or an object, not "me"`},
		{statement(`,"Principal":{"Federation":"x"},"Action":"sts:AssumeRole"`), `Principal: unknown element "Federation", nearest known: Federated`},
		{statement(`,"Principal":{"AWS":1},"Action":"sts:AssumeRole"`), `Principal: AWS: must be a string or an array of strings, not a number`},
		{statement(`,"Principal":"*","Action":"AssumeRole"`), `Action: "AssumeRole" has no service prefix`},
		{statement(rest + `,"Condition":[]`), `Condition: must be an object, not an array`},
		{statement(rest + `,"Condition":{"StringEqualz":{"a":"b"}}`), `statement 2 (Two): condition StringEqualz: unknown operator, nearest known: StringEquals`},
		{statement(rest + `,"Condition":{"NullIfExists":{"a":"true"}}`), `condition NullIfExists: unknown operator`},
		{statement(rest + `,"Condition":{"ForSomeValue:StringLike":{"a":"b"}}`), `nearest known: ForAnyValue:StringLike`},
		{statement(rest + `,"Condition":{"StringEquals":"x"}`), `Condition: StringEquals: must be an object of keys and values`},
		{statement(rest + `,"Condition":{"StringEquals":{"a":{}}}`), `Condition: StringEquals a: must be a string, number or boolean`},
		{statement(rest + `,"Condition":{"StringEquals":{"a":null}}`), `not a null`},
		{statement(rest + `,"Condition":{"StringEquals":{"a":"b","a":"c"}}`), `"a" appears twice`},
		{statement(rest + `,"Condition":{"StringEquals":{"":"b"}}`), `the key is empty`},
		{statement(rest + `,"Condition":{"NumericEquals":{"a":"ten"}}`), `condition NumericEquals a: "ten" is not a number`},
		{statement(rest + `,"Condition":{"NumericEquals":{"a":"1e999999999"}}`), `is not a number`},
		{statement(rest + `,"Condition":{"DateEquals":{"a":"soon"}}`), `"soon" is neither an ISO 8601 date nor epoch seconds`},
		{statement(rest + `,"Condition":{"Bool":{"a":"yes"}}`), `"yes" is neither true nor false`},
		{statement(rest + `,"Condition":{"IpAddress":{"a":"10.0.0.0/33"}}`), `neither an IP address nor a range`},
		{statement(rest + `,"Condition":{"BinaryEquals":{"a":"%"}}`), `"%" is not base64`},
		{`{"Statement":[{"Sid":"A","Effect":"Maybe","Principal":"*","Action":"*"}]}`, `Effect: must be Allow or Deny, not "Maybe"`},
		{`{"Statement":[{"Principal":"*","Action":"*"}]}`, `statement 1: has no Effect`},
		{`{"Statement":[{"Sid":"A","Effect":"Deny","Principal":"*","Action":"*"},{"Sid":"A","Effect":"Deny","Principal":"*","Action":"*"}]}`, `another statement has the same Sid`},
		{strings.Repeat(`[`, 50000), `nested too deeply`},
		{`{"Statement":` + strings.Repeat(`[`, 50) + strings.Repeat(`]`, 50) + `}`, `nested too deeply`},
		{strings.Repeat(` `, trust.MaxDocument) + `{}`, `longer than`},
	} {
		policy, err := trust.Parse([]byte(row.document))
		if err == nil {
			t.Errorf("%.80s: accepted as %+v", row.document, policy)
			continue
		}
		text := err.Error()
		if !strings.HasPrefix(text, "trust policy: ") || !strings.Contains(text, row.want) || strings.ContainsAny(text, "\n\r") {
			t.Errorf("%.80s\n got %s\nwant %s", row.document, text, row.want)
		}
	}
}

func TestWhatIAMAdmitsIsAdmitted(t *testing.T) {
	for name, document := range map[string]string{
		"one statement, no version": `{"Statement":{"Effect":"Allow","Principal":{"AWS":["111122223333","arn:aws:iam::1:root"]},"Action":["sts:AssumeRole","sts:TagSession"]}}`,
		"booleans and numbers":      statement(`,"Principal":"*","Action":"sts:*","Condition":{"Bool":{"a":true},"NumericLessThan":{"b":[1,2.5]}}`),
		"not principal, not action": statement(`,"NotPrincipal":{"Service":"ec2.amazonaws.com"},"NotAction":"sts:Get*"`),
		"canonical user and id":     `{"Id":"x","Version":"2008-10-17","Statement":[{"Effect":"Deny","Principal":{"CanonicalUser":"abc"},"Action":"*"}]}`,
		"empty lists":               statement(`,"Principal":{},"Action":[],"Condition":{"StringEquals":{"a":[]}}`),
	} {
		if _, err := trust.Parse([]byte(document)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAMarshalledPolicyIsTheSamePolicy(t *testing.T) {
	for _, file := range corpus(t) {
		document, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		checkRoundTrip(t, parse(t, string(document)))
	}
}

func TestAPolicyMayBePartOfAnotherDocument(t *testing.T) {
	var role struct{ AssumeRolePolicyDocument trust.Policy }
	if err := json.Unmarshal([]byte(`{"AssumeRolePolicyDocument":`+pinned+`}`), &role); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(role)
	if err != nil || !strings.Contains(string(text), `"Effect":"Allow","Principal":{"Federated":`) {
		t.Errorf("%v %s", err, text)
	}
	if err := json.Unmarshal([]byte(`{"AssumeRolePolicyDocument":{"Statement":1}}`), &role); err == nil {
		t.Error("accepted")
	}
}

func checkRoundTrip(t *testing.T, policy *trust.Policy) {
	t.Helper()
	once, err := json.Marshal(policy)
	if err != nil {
		t.Fatal(err)
	}
	again, err := trust.Parse(once)
	if err != nil {
		t.Fatalf("%v in %s", err, once)
	}
	twice, err := json.Marshal(again)
	if err != nil || string(once) != string(twice) {
		t.Fatalf("%v\nonce  %s\ntwice %s", err, once, twice)
	}
}

func corpus(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d policies in testdata, %v", len(files), err)
	}
	return files
}
