package audit

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// read judges files of testdata/files as one account.
func read(t *testing.T, names ...string) Report {
	t.Helper()
	var v Inventory
	for _, name := range names {
		data, err := os.ReadFile("testdata/files/" + name)
		if err == nil {
			err = v.Add(name, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return v.Judge()
}

// said are the findings as file:line rule place.
func said(r Report) []string {
	all := []string{}
	for _, f := range r.Findings {
		all = append(all, strings.TrimSpace(f.Rule+" "+f.Place()))
	}
	return all
}

func TestEveryFormOfFileIsUnderstood(t *testing.T) {
	const account = "arn:aws:iam::111122223333:"
	for _, c := range []struct {
		files    []string
		want     []string
		unjudged int
	}{
		{[]string{"list-roles.json"}, []string{"no-subject " + account + "role/open, statement 1"}, 0},
		{[]string{"get-role.json"}, []string{"no-subject " + account + "role/open, statement 1"}, 0},
		{[]string{"account-details.json"}, []string{"no-subject " + account + "role/encoded, statement 1"}, 0},
		{[]string{"state.json"}, []string{"no-subject aws_iam_role.deploy, statement 1"}, 0},
		{[]string{"plan.json"}, []string{
			"no-subject aws_iam_role.deploy, statement 1",
			`thumbprint aws_iam_openid_connect_provider.github["a"]`,
			"issuer-retiring module.ci.aws_iam_openid_connect_provider.p",
			"thumbprint module.ci.aws_iam_openid_connect_provider.p",
		}, 1},
		{[]string{"get-provider.json"}, []string{"thumbprint token.actions.githubusercontent.com"}, 0},
		{[]string{"list-roles-page1.json"}, []string{}, 1},
		{[]string{"list-roles-page1.json", "list-roles.json"}, []string{"no-subject " + account + "role/open, statement 1"}, 0},
		{[]string{"list-roles.json", "providers.json", "get-provider.json"}, []string{
			"no-subject " + account + "role/open, statement 1",
			"thumbprint " + account + "oidc-provider/token.actions.githubusercontent.com",
			"unused-provider " + account + "oidc-provider/gitlab.com",
			"issuer-retiring " + account + "oidc-provider/vstoken.dev.azure.com/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
			"unused-provider " + account + "oidc-provider/vstoken.dev.azure.com/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
			"issuer-form " + account + "oidc-provider/sts.windows.net/11111111-2222-3333-4444-555555555555",
			"unused-provider " + account + "oidc-provider/sts.windows.net/11111111-2222-3333-4444-555555555555",
		}, 0},
		// A listing that is not whole, or roles that cannot be judged: nobody knows what is unused.
		{[]string{"list-roles-page1.json", "providers.json"}, []string{
			"issuer-retiring " + account + "oidc-provider/vstoken.dev.azure.com/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
			"issuer-form " + account + "oidc-provider/sts.windows.net/11111111-2222-3333-4444-555555555555",
		}, 1},
		{[]string{"providers.json"}, []string{
			"issuer-retiring " + account + "oidc-provider/vstoken.dev.azure.com/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
			"issuer-form " + account + "oidc-provider/sts.windows.net/11111111-2222-3333-4444-555555555555",
		}, 0},
	} {
		r := read(t, c.files...)
		if got := said(r); !slices.Equal(got, c.want) {
			t.Errorf("%v:\n got %q\nwant %q", c.files, got, c.want)
		}
		if len(r.Unjudged) != c.unjudged {
			t.Errorf("%v: %d not judged, want %d: %v", c.files, len(r.Unjudged), c.unjudged, r.Unjudged)
		}
	}
}

// Every finding points at the line where its statement, role or provider begins.
func TestFindingsKnowTheirLine(t *testing.T) {
	r := read(t, "list-roles.json", "providers.json", "plan.json")
	for _, f := range r.Findings {
		data, err := os.ReadFile("testdata/files/" + f.File)
		if err != nil {
			t.Fatal(err)
		}
		line := strings.Split(string(data), "\n")[f.Line-1]
		want := f.Provider
		switch {
		case f.File == "list-roles.json":
			want = "{"
			if before := strings.Join(strings.Split(string(data), "\n")[:f.Line], "\n"); !strings.HasSuffix(strings.Join(strings.Fields(before), ""), `"Statement":[{`) {
				t.Errorf("%s is not the first line of a statement", before[max(0, len(before)-200):])
			}
		case f.Role != "":
			want = f.Role
		}
		if !strings.Contains(line, strings.ReplaceAll(want, `"`, `\"`)) {
			t.Errorf("%s:%d is %q, want %q", f.File, f.Line, line, want)
		}
	}
}

func TestLinesOfStatements(t *testing.T) {
	document := "{\n \"Version\": \"2012-10-17\",\n \"Statement\": [\n  {},\n\n  {}\n ]\n}"
	for statement, want := range map[int]int{0: 0, 1: 3, 2: 5, 3: 0} {
		if got := lineOf([]byte(document), statement); got != want && statement < 3 {
			t.Errorf("statement %d: got %d, want %d", statement, got, want)
		}
	}
	if got := lineOf([]byte("{\n\"Statement\":\n {}}"), 1); got != 2 {
		t.Errorf("a statement without a list: got %d", got)
	}
	if got := lineOf([]byte(`{"a":1}`), 1); got != 0 {
		t.Errorf("no statement: got %d", got)
	}
}

func TestWhatIsNoSuchFileIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		``:                          "ends too early",
		`  `:                        "ends too early",
		`{`:                         "ends too early",
		`{"Roles":[}`:               "not JSON, byte 11",
		`[]`:                        "not what AWS or Terraform prints",
		`{"Roles":"x"}`:             "not what AWS or Terraform prints",
		`{}`:                        "is neither a trust policy",
		`{"a":1}{"Statement":[]}`:   "is neither a trust policy",
		`{"Statement":[]} nonsense`: "not JSON",
	} {
		var v Inventory
		if err := v.Add("f", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// What cannot be judged is said, and the rest is judged.
func TestARoleThatCannotBeReadIsNotPassedOver(t *testing.T) {
	for document, want := range map[string]string{
		`null`:                  "must be an object",
		`{"Statement":[]}`:      "has no Statement",
		`"%7B%zz"`:              "invalid URL escape",
		`{"Version":"2012-10"}`: "neither 2012-10-17 nor",
	} {
		var v Inventory
		if err := v.Add("f", []byte(`{"Roles":[{"RoleName":"r","AssumeRolePolicyDocument":`+document+`},{"RoleName":"none"}]}`)); err != nil {
			t.Fatal(err)
		}
		r := v.Judge()
		texts := []string{}
		for _, u := range r.Unjudged {
			texts = append(texts, u.File+" "+u.Role+" "+u.Why)
		}
		all := strings.Join(texts, "\n")
		if r.Roles != 0 || len(r.Unjudged) != 2 || !strings.Contains(all, want) || !strings.Contains(all, "none the listing has no AssumeRolePolicyDocument") {
			t.Errorf("%s: %d roles, not judged: %s", document, r.Roles, all)
		}
	}
}

// Roles that trust a provider of their account that is not there are reported only when
// all providers are known.
func TestAProviderThatIsNotThere(t *testing.T) {
	roles := `{"Roles":[{"RoleName":"r","Arn":"arn:aws:iam::111122223333:role/r","AssumeRolePolicyDocument":{"Version":"2012-10-17","Statement":{"Effect":"Allow",
		"Principal":{"Federated":"arn:aws:iam::ACCOUNT:oidc-provider/gitlab.com"},"Action":"sts:AssumeRoleWithWebIdentity",
		"Condition":{"StringEquals":{"gitlab.com:sub":"project_path:a/b:ref_type:branch:ref:main"}}}}}]}`
	const none = `{"OpenIDConnectProviderList":[]}`
	const there = `{"OpenIDConnectProviderList":[{"Arn":"arn:aws:iam::111122223333:oidc-provider/gitlab.com"}]}`
	for _, c := range []struct {
		account string
		files   []string
		want    []string
	}{
		{"111122223333", []string{none}, []string{missingProvider}},
		{"111122223333", []string{there}, []string{}},
		{"111122223333", nil, []string{}},
		{"999988887777", []string{none}, []string{}},
	} {
		var v Inventory
		for _, file := range append([]string{strings.Replace(roles, "ACCOUNT", c.account, 1)}, c.files...) {
			if err := v.Add("f", []byte(file)); err != nil {
				t.Fatal(err)
			}
		}
		if got := rulesOf(v.Judge().Findings); !slices.Equal(got, c.want) {
			t.Errorf("%s %v: got %v, want %v", c.account, c.files, got, c.want)
		}
	}
}

// All of a live account is known.
func TestALiveAccountHasNoMoreThanWasListed(t *testing.T) {
	role := Role{Name: "arn:aws:iam::111122223333:role/r", Document: []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
		"Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/gitlab.com"},"Action":"sts:AssumeRoleWithWebIdentity",
		"Condition":{"StringEquals":{"gitlab.com:sub":"project_path:a/b:ref_type:branch:ref:main"}}}}`)}
	there := Provider{Name: "arn:aws:iam::111122223333:oidc-provider/gitlab.com", Issuer: "gitlab.com"}
	for _, c := range []struct {
		roles     []Role
		providers []Provider
		want      []string
	}{
		{[]Role{role}, []Provider{there}, []string{}},
		{[]Role{role}, nil, []string{missingProvider}},
		{nil, []Provider{there}, []string{unusedProvider}},
	} {
		var v Inventory
		v.AddAccount(c.roles, c.providers)
		if got := rulesOf(v.Judge().Findings); !slices.Equal(got, c.want) {
			t.Errorf("%d roles, %d providers: got %v, want %v", len(c.roles), len(c.providers), got, c.want)
		}
	}
}

func TestSeveralDocumentsInAFile(t *testing.T) {
	one, err := os.ReadFile("testdata/files/list-roles-page1.json")
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile("testdata/files/list-roles.json")
	if err != nil {
		t.Fatal(err)
	}
	var v Inventory
	if err := v.Add("pages", append(one, two...)); err != nil {
		t.Fatal(err)
	}
	if r := v.Judge(); r.Roles != 3 || len(r.Findings) != 1 || len(r.Unjudged) != 0 || r.Findings[0].Line < strings.Count(string(one), "\n") {
		t.Errorf("%d roles, %v, %v", r.Roles, said(r), r.Unjudged)
	}
}

func TestAddressesWithoutKeys(t *testing.T) {
	for address, want := range map[string]string{
		`a.b`: `a.b`, `a.b[0]`: `a.b`, `module.m["x.y"].a.b["]"]`: `module.m.a.b`, `a.b["\"]["]`: `a.b`,
	} {
		if got := withoutKeys(address); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}

func TestTheReportAsJSON(t *testing.T) {
	r := read(t, "get-role.json")
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Findings []map[string]any
	}
	if err := json.Unmarshal(text, &got); err != nil || len(got.Findings) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	f := got.Findings[0]
	for name, want := range map[string]any{
		"rule": "no-subject", "severity": "critical", "role": "arn:aws:iam::111122223333:role/open", "statement": 1.0, "file": "get-role.json", "fix": r.Findings[0].Fix(),
	} {
		if !reflect.DeepEqual(f[name], want) {
			t.Errorf("%s: got %v, want %v", name, f[name], want)
		}
	}
	if r := read(t, "list-roles-page1.json"); r.Findings == nil || r.Worst() != 0 {
		t.Error("no findings are an empty list")
	}
}

func TestSeveritiesAreOrderedWords(t *testing.T) {
	last := Severity(0)
	for _, word := range []string{"low", "medium", "high", "critical"} {
		var s Severity
		if err := s.UnmarshalText([]byte(word)); err != nil || s.String() != word || s <= last {
			t.Errorf("%s: %v %v", word, s, err)
		}
		last = s
	}
	var s Severity
	if err := s.UnmarshalText([]byte("Low")); err == nil {
		t.Error("another spelling is taken")
	}
}
