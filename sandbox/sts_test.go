package sandbox_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
	"github.com/keyless-id/keyless/trust"
)

const noKey = "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements"

func wantSTSError(t *testing.T, a answer, status int, code, message string) {
	t.Helper()
	e := decode[stsError](t, a)
	if a.status != status || e.Code != code || e.ID == "" || message != "" && e.Message != message {
		t.Errorf("got %d %s, want %d %s %q", a.status, a.body, status, code, message)
	}
}

func demoClaims(t *testing.T, c *cloud, change ...any) map[string]any {
	t.Helper()
	claims, err := c.Claims(sandbox.DemoVMObjectID, sandbox.DemoAudience)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(change); i += 2 {
		claims[change[i].(string)] = change[i+1]
	}
	return claims
}

func TestSTSRefusesEveryTokenThatIsNotRight(t *testing.T) {
	clock := time.Now() // stands still, so that a second more or less decides
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{Now: func() time.Time { return clock }}))
	now := clock.Unix()
	const notJWT = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
	for name, row := range map[string]struct {
		change  []any
		how     sandbox.Minting
		code    string
		message string
	}{
		"wrong audience":       {[]any{"aud", "api://other"}, sandbox.Minting{}, "InvalidIdentityToken", "Incorrect token audience"},
		"audience with slash":  {[]any{"aud", sandbox.DemoAudience + "/"}, sandbox.Minting{}, "InvalidIdentityToken", "Incorrect token audience"},
		"azp instead of aud":   {[]any{"azp", sandbox.DemoVMClientID}, sandbox.Minting{}, "InvalidIdentityToken", "Incorrect token audience"},
		"issuer without slash": {[]any{"iss", strings.TrimSuffix(sandbox.DemoIssuer, "/")}, sandbox.Minting{}, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for " + strings.TrimSuffix(sandbox.DemoIssuer, "/")},
		"http issuer":          {[]any{"iss", "http://sts.windows.net/" + sandbox.DemoTenantID + "/"}, sandbox.Minting{}, "InvalidIdentityToken", ""},
		"no issuer":            {[]any{"iss", nil}, sandbox.Minting{}, "InvalidIdentityToken", ""},
		"no subject":           {[]any{"sub", nil}, sandbox.Minting{}, "InvalidIdentityToken", ""},
		"expired":              {[]any{"exp", now - 1}, sandbox.Minting{}, "ExpiredTokenException", ""},
		"a second too early":   {[]any{"nbf", now + 301}, sandbox.Minting{}, "InvalidIdentityToken", ""},
		"of the future":        {[]any{"iat", now + 301}, sandbox.Minting{}, "InvalidIdentityToken", ""},
		"fraction in a time":   {[]any{"exp", float64(now) + 100.5}, sandbox.Minting{}, "InvalidIdentityToken", ""},
		"time as text":         {[]any{"exp", fmt.Sprint(now + 100)}, sandbox.Minting{}, "InvalidIdentityToken", ""},
		"bad signature":        {nil, sandbox.Minting{Flaw: sandbox.BadSignature}, "InvalidIdentityToken", ""},
		"unknown key":          {nil, sandbox.Minting{Flaw: sandbox.UnknownKey}, "InvalidIdentityToken", noKey},
		"no key id":            {nil, sandbox.Minting{Flaw: sandbox.NoKeyID}, "InvalidIdentityToken", noKey},
		"foreign key":          {nil, sandbox.Minting{Flaw: sandbox.ForeignKey}, "InvalidIdentityToken", ""},
		"unsigned":             {nil, sandbox.Minting{Flaw: sandbox.Unsigned}, "InvalidIdentityToken", notJWT},
		"symmetric":            {nil, sandbox.Minting{Flaw: sandbox.SymmetricAbuse}, "InvalidIdentityToken", notJWT},
		"PS256":                {nil, sandbox.Minting{Algorithm: "PS256"}, "InvalidIdentityToken", notJWT},
	} {
		t.Run(name, func(t *testing.T) {
			token := c.mint(t, demoClaims(t, c, row.change...), row.how)
			wantSTSError(t, c.post(t, c.sts, webForm(sandbox.DemoVMRoleARN, token)), 400, row.code, row.message)
		})
	}
	wantSTSError(t, c.post(t, c.sts, webForm(sandbox.DemoVMRoleARN, "not.a.token")), 400, "InvalidIdentityToken", notJWT)
	c.assume(t, sandbox.DemoVMRoleARN, c.mint(t, demoClaims(t, c), sandbox.Minting{}))
	c.assume(t, sandbox.DemoVMRoleARN, c.mint(t, demoClaims(t, c, "nbf", now+300, "iat", now+300, "exp", now+301), sandbox.Minting{}))
}

func TestSTSAcceptsEveryAlgorithmThatItShould(t *testing.T) {
	w := sandbox.Demo()
	w.Issuers = []sandbox.Issuer{{URL: github}}
	w.Accounts[0].Providers = append(w.Accounts[0].Providers, sandbox.OIDCProvider{URL: github, ClientIDs: []string{"sts.amazonaws.com"}})
	w.Accounts[0].Roles = append(w.Accounts[0].Roles, sandbox.Role{Name: "ci", Path: "/deploy/", TrustPolicy: `{"Version":"2012-10-17","Statement":{"Effect":"Allow",
		"Principal":{"Federated":"` + trust.ProviderARN("", sandbox.DemoAccountID, github) + `"},"Action":"sts:AssumeRoleWithWebIdentity",
		"Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"repo:a/*"}}}}`})
	c := inProcess(newSandbox(t, w, sandbox.Options{}))
	const ci = "arn:aws:iam::" + sandbox.DemoAccountID + ":role/deploy/ci"
	for _, algorithm := range []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"} {
		for flaw, status := range map[sandbox.Flaw]int{sandbox.Sound: 200, sandbox.BadSignature: 400} {
			token := c.mint(t, githubClaims("aud", []string{"sts.amazonaws.com"}), sandbox.Minting{Algorithm: algorithm, Flaw: flaw})
			if a := c.post(t, c.sts, webForm(ci, token)); a.status != status {
				t.Errorf("%s %s: %d %s", algorithm, flaw, a.status, a.body)
			}
		}
	}
	a := c.post(t, c.sts, webForm(ci, c.mint(t, githubClaims("aud", "sts.amazonaws.com"), sandbox.Minting{})))
	if r := decode[webResult](t, a); r.Arn != "arn:aws:sts::"+sandbox.DemoAccountID+":assumed-role/ci/test" {
		t.Error(r.Arn)
	}
}

func TestAV2TokenIsJudgedByItsCaller(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	token := c.identityToken(t, sandbox.DemoV2Audience)
	a := c.post(t, c.sts, webForm(sandbox.DemoV2RoleARN, token))
	if r := decode[webResult](t, a); r.Audience != sandbox.DemoVMClientID || r.Subject != sandbox.DemoVMObjectID {
		t.Errorf("%s", a.body)
	}
	claims, err := c.Claims(sandbox.DemoVMObjectID, sandbox.DemoV2Audience)
	if err != nil {
		t.Fatal(err)
	}
	claims["aud"] = "another-api" // passes the provider, for azp is registered, and fails at :oaud
	wantSTSError(t, c.post(t, c.sts, webForm(sandbox.DemoV2RoleARN, c.mint(t, claims, sandbox.Minting{}))), 403, "AccessDenied", "")
	claims["azp"] = "stranger"
	wantSTSError(t, c.post(t, c.sts, webForm(sandbox.DemoV2RoleARN, c.mint(t, claims, sandbox.Minting{}))), 400, "InvalidIdentityToken", "Incorrect token audience")
}

func TestSTSHoldsToItsLimits(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	token := c.identityToken(t, sandbox.DemoAudience)
	for name, row := range map[string]struct {
		change []string
		status int
		code   string
	}{
		"no action":          {[]string{"Action", ""}, 400, "MissingAction"},
		"unknown action":     {[]string{"Action", "Fly"}, 400, "InvalidAction"},
		"wrong version":      {[]string{"Version", "2012-01-01"}, 400, "InvalidAction"},
		"short arn":          {[]string{"RoleArn", "arn:aws"}, 400, "ValidationError"},
		"not a role":         {[]string{"RoleArn", "arn:aws:iam::111122223333:user/keyless"}, 400, "ValidationError"},
		"no session name":    {[]string{"RoleSessionName", ""}, 400, "ValidationError"},
		"long session name":  {[]string{"RoleSessionName", strings.Repeat("a", 65)}, 400, "ValidationError"},
		"space in session":   {[]string{"RoleSessionName", "a b"}, 400, "ValidationError"},
		"short duration":     {[]string{"DurationSeconds", "899"}, 400, "ValidationError"},
		"long duration":      {[]string{"DurationSeconds", "43201"}, 400, "ValidationError"},
		"no number":          {[]string{"DurationSeconds", "1h"}, 400, "MalformedInput"},
		"longer than role's": {[]string{"DurationSeconds", "3601", "RoleArn", sandbox.DemoVMRoleARN}, 400, "ValidationError"},
		"short token":        {[]string{"WebIdentityToken", "abc"}, 400, "ValidationError"},
		"long token":         {[]string{"WebIdentityToken", strings.Repeat("a", 20001)}, 400, "ValidationError"},
		"long policy":        {[]string{"Policy", strings.Repeat("a", 2049)}, 400, "ValidationError"},
		"odd policy":         {[]string{"Policy", "\u2603"}, 400, "ValidationError"},
		"policy not JSON":    {[]string{"Policy", "{"}, 400, "MalformedPolicyDocument"},
		"policies too large": {[]string{"Policy", `{"a":"` + strings.Repeat("a", 2000) + `"}`, "PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/ReadOnlyAccessForEverything"}, 400, "PackedPolicyTooLarge"},
		"unknown role":       {[]string{"RoleArn", "arn:aws:iam::111122223333:role/nobody"}, 403, "AccessDenied"},
		"unknown account":    {[]string{"RoleArn", "arn:aws:iam::999999999999:role/keyless-demo"}, 400, "InvalidIdentityToken"},
	} {
		t.Run(name, func(t *testing.T) {
			a := c.post(t, c.sts, webForm(sandbox.DemoRoleARN, token, row.change...))
			wantSTSError(t, a, row.status, row.code, "")
			if strings.Contains(a.body, token) {
				t.Error("the answer repeats the token")
			}
		})
	}
	for _, change := range [][]string{{"DurationSeconds", "900"}, {"DurationSeconds", "43200"}, {"Policy", `{"Version":"2012-10-17"}`}} {
		if a := c.post(t, c.sts, webForm(sandbox.DemoRoleARN, token, change...)); a.status != 200 {
			t.Errorf("%v: %s", change, a.body)
		}
	}
}

func TestSTSReadsAQueryToo(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		form := webForm(sandbox.DemoRoleARN, c.identityToken(t, sandbox.DemoAudience), "DurationSeconds", "1800")
		a := c.get(t, c.sts+"/?"+form.Encode())
		expiry, err := time.Parse(time.RFC3339, decode[webResult](t, a).Keys.Expiration)
		if err != nil || time.Until(expiry) > 1801*time.Second || time.Until(expiry) < 1700*time.Second {
			t.Errorf("%v %v", expiry, err)
		}
	})
}

func TestForeignCredentialsInTheHeaderConfuseSTS(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	form := webForm(sandbox.DemoRoleARN, c.identityToken(t, sandbox.DemoAudience))
	a := c.get(t, c.sts+"/?"+form.Encode(), "X-Amz-Security-Token", "left over")
	wantSTSError(t, a, 400, "InvalidIdentityToken", noKey)
}

func TestADisabledRegionIsDisabled(t *testing.T) {
	w := sandbox.Demo()
	w.Accounts[0].DisabledRegions = []string{"af-south-1"}
	c := inProcess(newSandbox(t, w, sandbox.Options{}))
	form := webForm(sandbox.DemoRoleARN, c.identityToken(t, sandbox.DemoAudience))
	wantSTSError(t, c.post(t, "https://sts.af-south-1.amazonaws.com/", form), 403, "RegionDisabledException", "")
	for _, host := range []string{"sts.amazonaws.com", "sts-fips.us-east-1.amazonaws.com", "sts.cn-north-1.amazonaws.com.cn", "sts.us-gov-west-1.amazonaws.com", "sts.eu-west-1.api.aws"} {
		if a := c.post(t, "https://"+host+"/", form); a.status != 200 {
			t.Errorf("%s: %s", host, a.body)
		}
	}
}

func TestTagsNeedTheirOwnPermission(t *testing.T) {
	policy := func(actions string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"` + trust.ProviderARN("", sandbox.DemoAccountID, sandbox.DemoIssuer) + `"},"Action":[` + actions + `]}}`
	}
	w := sandbox.Demo()
	w.Accounts[0].Roles = []sandbox.Role{
		{Name: "plain-role", TrustPolicy: policy(`"sts:AssumeRoleWithWebIdentity"`)},
		{Name: "tagged-role", TrustPolicy: policy(`"sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"`)},
	}
	c := inProcess(newSandbox(t, w, sandbox.Options{}))
	token := c.mint(t, demoClaims(t, c, "https://aws.amazon.com/tags/principal_tags/team", "blue", "https://aws.amazon.com/source_identity", "me"), sandbox.Minting{})
	const prefix = "arn:aws:iam::" + sandbox.DemoAccountID + ":role/"
	wantSTSError(t, c.post(t, c.sts, webForm(prefix+"plain-role", token)), 403, "AccessDenied", "Not authorized to perform sts:TagSession")
	if a := c.post(t, c.sts, webForm(prefix+"tagged-role", token)); a.status != 200 || !strings.Contains(a.body, "<SourceIdentity>me</SourceIdentity>") {
		t.Errorf("%s", a.body)
	}
}

func TestProviderTroubleIsToldApart(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	form := webForm(sandbox.DemoRoleARN, c.identityToken(t, sandbox.DemoAudience))
	for _, row := range []struct {
		fault sandbox.Fault
		code  string
	}{
		{sandbox.Fault{Status: http.StatusServiceUnavailable}, "IDPCommunicationError"},
		{sandbox.Fault{Reset: true}, "IDPCommunicationError"},
		{sandbox.Fault{Status: http.StatusNotFound}, "InvalidIdentityToken"},
		{sandbox.Fault{Body: "<html>"}, "InvalidIdentityToken"},
		{sandbox.Fault{Truncate: true}, "InvalidIdentityToken"},
	} {
		c.SetFault(sandbox.Keys, row.fault)
		wantSTSError(t, c.post(t, c.sts, form), 400, row.code, "")
	}
	c.ClearFaults()
	if a := c.post(t, c.sts, form); a.status != 200 {
		t.Error(a.body)
	}
}
