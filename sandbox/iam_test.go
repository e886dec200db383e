package sandbox_test

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
	"github.com/keyless-id/keyless/trust"
)

var adminKeys = awsKeys{AccessKeyID: sandbox.DemoAdminKeyID, SecretAccessKey: sandbox.DemoAdminSecret}

// administrate sends an action with name and value pairs, signed by somebody.
func (c *cloud) administrate(t *testing.T, s signer, action string, parameters ...string) answer {
	t.Helper()
	form := url.Values{"Action": {action}, "Version": {"2010-05-08"}}
	for i := 0; i < len(parameters); i += 2 {
		form.Set(parameters[i], parameters[i+1])
	}
	body := form.Encode()
	r, err := http.NewRequest(http.MethodPost, c.iam+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	s.sign(r, body)
	return c.do(t, r)
}

func iamSigner(keys awsKeys) signer { return signer{keys, "iam", "us-east-1", time.Now()} }

// manage is administrate for the administrator, who succeeds.
func (c *cloud) manage(t *testing.T, action string, parameters ...string) answer {
	t.Helper()
	a := c.administrate(t, iamSigner(adminKeys), action, parameters...)
	if a.status != http.StatusOK {
		t.Fatalf("%s: %d %s", action, a.status, a.body)
	}
	return a
}

func (c *cloud) wantIAMError(t *testing.T, status int, code, action string, parameters ...string) {
	t.Helper()
	wantSTSError(t, c.administrate(t, iamSigner(adminKeys), action, parameters...), status, code, "")
}

const (
	githubARN  = "arn:aws:iam::" + sandbox.DemoAccountID + ":oidc-provider/token.actions.githubusercontent.com"
	madeARN    = "arn:aws:iam::" + sandbox.DemoAccountID + ":role/teams/made"
	madeTrust  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"` + githubARN + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com"}}}}`
	readPolicy = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}`
	readOnly   = "arn:aws:iam::aws:policy/ReadOnlyAccess"
)

// githubCloud has an issuer that no account trusts yet.
func githubCloud(t *testing.T, o sandbox.Options) *cloud {
	t.Helper()
	w := sandbox.Demo()
	w.Issuers = append(w.Issuers, sandbox.Issuer{URL: github})
	return inProcess(newSandbox(t, w, o))
}

// federation makes the provider and the role.
func (c *cloud) federation(t *testing.T) {
	t.Helper()
	c.manage(t, "CreateOpenIDConnectProvider", "Url", github, "ClientIDList.member.1", "sts.amazonaws.com")
	c.manage(t, "CreateRole", "RoleName", "made", "Path", "/teams/", "AssumeRolePolicyDocument", madeTrust)
}

func (c *cloud) githubToken(t *testing.T) string {
	t.Helper()
	return c.mint(t, githubClaims("aud", "sts.amazonaws.com"), sandbox.Minting{})
}

func TestWhatIAMMakesIsInForceInSTS(t *testing.T) {
	c := githubCloud(t, sandbox.Options{})
	token := c.githubToken(t)
	try := func() answer { return c.post(t, c.sts, webForm(madeARN, token)) }
	wantSTSError(t, try(), 400, "InvalidIdentityToken", "")
	c.federation(t)
	c.assume(t, madeARN, token)

	c.manage(t, "RemoveClientIDFromOpenIDConnectProvider", "OpenIDConnectProviderArn", githubARN, "ClientID", "sts.amazonaws.com")
	wantSTSError(t, try(), 400, "InvalidIdentityToken", "Incorrect token audience")
	c.manage(t, "AddClientIDToOpenIDConnectProvider", "OpenIDConnectProviderArn", githubARN, "ClientID", "sts.amazonaws.com")
	c.manage(t, "UpdateAssumeRolePolicy", "RoleName", "made", "PolicyDocument", strings.Replace(madeTrust, `"sts.amazonaws.com"}`, `"other"}`, 1))
	wantSTSError(t, try(), 403, "AccessDenied", "")
	c.manage(t, "UpdateAssumeRolePolicy", "RoleName", "made", "PolicyDocument", madeTrust)
	c.assume(t, madeARN, token)
	c.manage(t, "DeleteRole", "RoleName", "made")
	wantSTSError(t, try(), 403, "AccessDenied", "")
	c.manage(t, "DeleteOpenIDConnectProvider", "OpenIDConnectProviderArn", githubARN)
	wantSTSError(t, try(), 400, "InvalidIdentityToken", "")
}

func TestSTSGoesOnWithTheOldStateForAWhile(t *testing.T) {
	clock := time.Now()
	c := githubCloud(t, sandbox.Options{Now: func() time.Time { return clock }, Propagation: 10 * time.Second})
	c.federation(t)
	if got := decode[struct {
		Arn string `xml:"GetRoleResult>Role>Arn"`
	}](t, c.manage(t, "GetRole", "RoleName", "made")); got.Arn != madeARN {
		t.Errorf("IAM itself: got %q, want %q at once", got.Arn, madeARN)
	}
	clock = clock.Add(9 * time.Second)
	token := c.githubToken(t)
	wantSTSError(t, c.post(t, c.sts, webForm(madeARN, token)), 400, "InvalidIdentityToken", "")
	clock = clock.Add(time.Second)
	c.assume(t, madeARN, token)
	c.manage(t, "DeleteRole", "RoleName", "made")
	clock = clock.Add(9 * time.Second)
	c.assume(t, madeARN, token)
	clock = clock.Add(time.Second)
	wantSTSError(t, c.post(t, c.sts, webForm(madeARN, token)), 403, "AccessDenied", "")
}

func TestTheWorldThatWasGivenStaysAsItIs(t *testing.T) {
	w := sandbox.Demo()
	w.Accounts[0].Roles[0].Tags = map[string]string{"a": "b"}
	c := inProcess(newSandbox(t, w, sandbox.Options{}))
	want := sandbox.Demo()
	want.Accounts[0].Roles[0].Tags = map[string]string{"a": "b"}
	c.manage(t, "TagRole", "RoleName", "keyless-demo", "Tags.member.1.Key", "team", "Tags.member.1.Value", "blue")
	c.manage(t, "PutRolePolicy", "RoleName", "keyless-demo", "PolicyName", "read", "PolicyDocument", readPolicy)
	c.manage(t, "AttachRolePolicy", "RoleName", "keyless-demo", "PolicyArn", readOnly)
	c.manage(t, "AddClientIDToOpenIDConnectProvider", "OpenIDConnectProviderArn", trust.ProviderARN("", sandbox.DemoAccountID, sandbox.DemoIssuer), "ClientID", "new")
	c.manage(t, "DeleteRole", "RoleName", "keyless-demo-vm")
	if !reflect.DeepEqual(w, want) {
		t.Error("the world changed")
	}
}

func TestOnlyAnAdministratorIsObeyed(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	session := c.assume(t, sandbox.DemoRoleARN, c.identityToken(t, sandbox.DemoAudience))
	wrong := adminKeys
	wrong.SecretAccessKey += "x"
	elsewhere := iamSigner(adminKeys)
	elsewhere.region = "eu-west-1"
	for name, row := range map[string]struct {
		signer signer
		code   string
	}{
		"wrong secret key":       {iamSigner(wrong), "SignatureDoesNotMatch"},
		"unknown key":            {iamSigner(awsKeys{AccessKeyID: "AKIANOBODY", SecretAccessKey: "x"}), "InvalidClientTokenId"},
		"a session that may not": {iamSigner(session), "AccessDenied"},
		"another service":        {signer{adminKeys, "sts", "us-east-1", time.Now()}, "SignatureDoesNotMatch"},
		"another region":         {elsewhere, "SignatureDoesNotMatch"},
		"an old signature":       {signer{adminKeys, "iam", "us-east-1", time.Now().Add(-time.Hour)}, "SignatureDoesNotMatch"},
	} {
		t.Run(name, func(t *testing.T) {
			wantSTSError(t, c.administrate(t, row.signer, "DeleteRole", "RoleName", "keyless-demo-vm"), 403, row.code, "")
		})
	}
	wantSTSError(t, c.post(t, c.iam, url.Values{"Action": {"ListRoles"}, "Version": {"2010-05-08"}}), 403, "MissingAuthenticationToken", "")
	c.manage(t, "GetRole", "RoleName", "keyless-demo-vm")

	w := sandbox.Demo()
	w.Accounts[0].Administrators = []string{sandbox.DemoRoleARN}
	c = inProcess(newSandbox(t, w, sandbox.Options{}))
	session = c.assume(t, sandbox.DemoRoleARN, c.identityToken(t, sandbox.DemoAudience))
	if a := c.administrate(t, iamSigner(session), "DeleteRole", "RoleName", "keyless-demo-vm"); a.status != 200 {
		t.Errorf("a session of a role that may: %d %s", a.status, a.body)
	}
	c.wantIAMError(t, 403, "AccessDenied", "ListRoles")
}

func TestIAMRefusesInItsOwnWords(t *testing.T) {
	c := githubCloud(t, sandbox.Options{})
	c.federation(t)
	c.manage(t, "AttachRolePolicy", "RoleName", "made", "PolicyArn", readOnly)
	c.manage(t, "CreateRole", "RoleName", "inline", "AssumeRolePolicyDocument", madeTrust)
	c.manage(t, "PutRolePolicy", "RoleName", "inline", "PolicyName", "p", "PolicyDocument", readPolicy)
	broad := strings.Replace(madeTrust, `"sts.amazonaws.com"}`, `["`+strings.Repeat("a", 8192)+`"]}`, 1)
	stranger := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + sandbox.DemoAccountID + `:role/nobody"},"Action":"sts:AssumeRole"}}`
	url255 := "https://example.com/" + strings.Repeat("a", 236)
	for name, row := range map[string]struct {
		status     int
		code       string
		action     string
		parameters []string
	}{
		"a role that exists":        {409, "EntityAlreadyExists", "CreateRole", []string{"RoleName", "MADE", "AssumeRolePolicyDocument", madeTrust}},
		"a role that does not":      {404, "NoSuchEntity", "GetRole", []string{"RoleName", "nobody"}},
		"no name":                   {400, "ValidationError", "CreateRole", []string{"AssumeRolePolicyDocument", madeTrust}},
		"a long name":               {400, "ValidationError", "CreateRole", []string{"RoleName", strings.Repeat("a", 65), "AssumeRolePolicyDocument", madeTrust}},
		"an odd name":               {400, "ValidationError", "CreateRole", []string{"RoleName", "a/b", "AssumeRolePolicyDocument", madeTrust}},
		"an odd path":               {400, "ValidationError", "CreateRole", []string{"RoleName", "a", "Path", "a", "AssumeRolePolicyDocument", madeTrust}},
		"a trust policy of nothing": {400, "ValidationError", "CreateRole", []string{"RoleName", "a"}},
		"a trust policy not JSON":   {400, "MalformedPolicyDocument", "CreateRole", []string{"RoleName", "a", "AssumeRolePolicyDocument", "{"}},
		"a principal of nobody":     {400, "MalformedPolicyDocument", "CreateRole", []string{"RoleName", "a", "AssumeRolePolicyDocument", stranger}},
		"a broken update":           {400, "MalformedPolicyDocument", "UpdateAssumeRolePolicy", []string{"RoleName", "made", "PolicyDocument", `{"Statement":[]}`}},
		"a trust policy too long":   {409, "LimitExceeded", "CreateRole", []string{"RoleName", "a", "AssumeRolePolicyDocument", broad}},
		"a session too long":        {400, "ValidationError", "UpdateRole", []string{"RoleName", "made", "MaxSessionDuration", "43201"}},
		"a session too short":       {400, "ValidationError", "UpdateRole", []string{"RoleName", "made", "MaxSessionDuration", "3599"}},
		"a role with attachments":   {409, "DeleteConflict", "DeleteRole", []string{"RoleName", "made"}},
		"a role with policies":      {409, "DeleteConflict", "DeleteRole", []string{"RoleName", "inline"}},
		"an inline policy not JSON": {400, "MalformedPolicyDocument", "PutRolePolicy", []string{"RoleName", "made", "PolicyName", "p", "PolicyDocument", "["}},
		"inline policies too long":  {409, "LimitExceeded", "PutRolePolicy", []string{"RoleName", "made", "PolicyName", "p", "PolicyDocument", `{"Statement":"` + strings.Repeat("a", 10240) + `"}`}},
		"no such inline policy":     {404, "NoSuchEntity", "GetRolePolicy", []string{"RoleName", "made", "PolicyName", "p"}},
		"nor one to delete":         {404, "NoSuchEntity", "DeleteRolePolicy", []string{"RoleName", "made", "PolicyName", "p"}},
		"attaching what is not":     {404, "NoSuchEntity", "AttachRolePolicy", []string{"RoleName", "made", "PolicyArn", "arn:aws:iam::" + sandbox.DemoAccountID + ":policy/no"}},
		"detaching what is not":     {404, "NoSuchEntity", "DetachRolePolicy", []string{"RoleName", "inline", "PolicyArn", readOnly}},
		"a provider that exists":    {409, "EntityAlreadyExists", "CreateOpenIDConnectProvider", []string{"Url", github}},
		"http":                      {400, "ValidationError", "CreateOpenIDConnectProvider", []string{"Url", "http://example.com"}},
		"a port":                    {400, "InvalidInput", "CreateOpenIDConnectProvider", []string{"Url", "https://example.com:8443"}},
		"a query":                   {400, "InvalidInput", "CreateOpenIDConnectProvider", []string{"Url", "https://example.com/?a=b"}},
		"a URL too long":            {400, "ValidationError", "CreateOpenIDConnectProvider", []string{"Url", url255}},
		"a thumbprint too short":    {400, "ValidationError", "CreateOpenIDConnectProvider", []string{"Url", "https://example.com", "ThumbprintList.member.1", "ab"}},
		"a client id too long":      {400, "ValidationError", "AddClientIDToOpenIDConnectProvider", []string{"OpenIDConnectProviderArn", githubARN, "ClientID", strings.Repeat("a", 256)}},
		"no such provider":          {404, "NoSuchEntity", "GetOpenIDConnectProvider", []string{"OpenIDConnectProviderArn", githubARN + "/"}},
		"not a provider":            {400, "InvalidInput", "GetOpenIDConnectProvider", []string{"OpenIDConnectProviderArn", madeARN}},
		"no such policy":            {404, "NoSuchEntity", "GetPolicy", []string{"PolicyArn", "arn:aws:iam::" + sandbox.DemoAccountID + ":policy/no"}},
		"switched on already":       {409, "FeatureEnabled", "EnableOutboundWebIdentityFederation", nil},
		"an odd marker":             {400, "ValidationError", "ListRoles", []string{"Marker", "?"}},
		"a page of nothing":         {400, "ValidationError", "ListRoles", []string{"MaxItems", "0"}},
		"no action":                 {400, "MissingAction", "", nil},
		"an unknown action":         {400, "InvalidAction", "CreateUser", nil},
		"a tag of AWS's":            {400, "InvalidInput", "TagRole", []string{"RoleName", "made", "Tags.member.1.Key", "aws:x"}},
	} {
		t.Run(name, func(t *testing.T) { c.wantIAMError(t, row.status, row.code, row.action, row.parameters...) })
	}
}

func TestAProviderTakesAHundredClients(t *testing.T) {
	c := githubCloud(t, sandbox.Options{})
	c.federation(t)
	for i := range 99 {
		c.manage(t, "AddClientIDToOpenIDConnectProvider", "OpenIDConnectProviderArn", githubARN, "ClientID", fmt.Sprint(i))
	}
	c.manage(t, "AddClientIDToOpenIDConnectProvider", "OpenIDConnectProviderArn", githubARN, "ClientID", "98")
	c.wantIAMError(t, 409, "LimitExceeded", "AddClientIDToOpenIDConnectProvider", "OpenIDConnectProviderArn", githubARN, "ClientID", "one too many")
}

func TestARoleComesBackAsItWasMade(t *testing.T) {
	c := githubCloud(t, sandbox.Options{})
	c.manage(t, "CreateRole", "RoleName", "made", "Path", "/teams/", "AssumeRolePolicyDocument", madeTrust, "Description", "a <role>",
		"MaxSessionDuration", "7200", "Tags.member.1.Key", "team", "Tags.member.1.Value", "blue")
	type role struct {
		Path               string
		RoleName           string
		RoleID             string `xml:"RoleId"`
		Arn                string
		Document           string `xml:"AssumeRolePolicyDocument"`
		Description        string
		MaxSessionDuration int
		Tags               []struct{ Key, Value string } `xml:"Tags>member"`
	}
	got := decode[struct {
		Role role `xml:"GetRoleResult>Role"`
	}](t, c.manage(t, "GetRole", "RoleName", "made")).Role
	want := role{"/teams/", "made", got.RoleID, madeARN, strings.ReplaceAll(url.QueryEscape(madeTrust), "+", "%20"), "a <role>", 7200, []struct{ Key, Value string }{{"team", "blue"}}}
	if !reflect.DeepEqual(got, want) || !strings.HasPrefix(got.RoleID, "AROA") {
		t.Errorf("got %+v, want %+v", got, want)
	}
	c.manage(t, "DeleteRole", "RoleName", "made")
	c.manage(t, "CreateRole", "RoleName", "made", "AssumeRolePolicyDocument", madeTrust)
	again := decode[struct {
		ID string `xml:"GetRoleResult>Role>RoleId"`
	}](t, c.manage(t, "GetRole", "RoleName", "made"))
	if again.ID == got.RoleID {
		t.Error("a role that is made again has the id of the old one")
	}
}

func TestRolesAreListedInPages(t *testing.T) {
	c := githubCloud(t, sandbox.Options{})
	c.federation(t)
	type list struct {
		Names     []string `xml:"ListRolesResult>Roles>member>RoleName"`
		Truncated bool     `xml:"ListRolesResult>IsTruncated"`
		Marker    string   `xml:"ListRolesResult>Marker"`
	}
	var all []string
	parameters := []string{"MaxItems", "3"}
	for pages := 1; ; pages++ {
		got := decode[list](t, c.manage(t, "ListRoles", parameters...))
		if all = append(all, got.Names...); !got.Truncated {
			if got.Marker != "" || pages != 3 {
				t.Errorf("the last of %d pages has the marker %q", pages, got.Marker)
			}
			break
		}
		parameters = []string{"MaxItems", "3", "Marker", got.Marker}
	}
	if len(all) != 9 || !slices.IsSorted(all) {
		t.Errorf("got %q, want nine names in order", all)
	}
	if got := decode[list](t, c.manage(t, "ListRoles", "PathPrefix", "/teams/")); !slices.Equal(got.Names, []string{"made"}) {
		t.Errorf("below /teams/: %q", got.Names)
	}
	if a := c.manage(t, "ListRoles"); strings.Contains(a.body, "<CreateDate>0001") {
		t.Errorf("roles of the world are of no time: %s", a.body)
	}
	if a := c.manage(t, "ListRoles", "PathPrefix", "/nowhere/"); !strings.Contains(a.body, "<Roles></Roles>") {
		t.Errorf("an empty list is not there: %s", a.body)
	}
}

func TestPoliciesOfARole(t *testing.T) {
	c := githubCloud(t, sandbox.Options{})
	c.federation(t)
	c.manage(t, "PutRolePolicy", "RoleName", "made", "PolicyName", "read", "PolicyDocument", readPolicy)
	got := decode[struct {
		Document string `xml:"GetRolePolicyResult>PolicyDocument"`
	}](t, c.manage(t, "GetRolePolicy", "RoleName", "made", "PolicyName", "read"))
	if plain, err := url.PathUnescape(got.Document); err != nil || plain != readPolicy || strings.Contains(got.Document, "{") {
		t.Errorf("got %q, want %q with percents", got.Document, readPolicy)
	}
	own := decode[struct {
		Arn string `xml:"CreatePolicyResult>Policy>Arn"`
	}](t, c.manage(t, "CreatePolicy", "PolicyName", "own", "PolicyDocument", readPolicy)).Arn
	for range 2 { // the second time changes nothing
		c.manage(t, "AttachRolePolicy", "RoleName", "made", "PolicyArn", own)
	}
	c.manage(t, "AttachRolePolicy", "RoleName", "made", "PolicyArn", readOnly)
	attached := decode[struct {
		ARNs []string `xml:"ListAttachedRolePoliciesResult>AttachedPolicies>member>PolicyArn"`
	}](t, c.manage(t, "ListAttachedRolePolicies", "RoleName", "made"))
	if want := []string{own, readOnly}; !slices.Equal(attached.ARNs, want) {
		t.Errorf("attached: got %q, want %q", attached.ARNs, want)
	}
	c.wantIAMError(t, 409, "DeleteConflict", "DeletePolicy", "PolicyArn", own)
	if a := c.manage(t, "GetAccountAuthorizationDetails", "Filter.member.1", "Role"); !strings.Contains(a.body, own) || !strings.Contains(a.body, "<PolicyName>read</PolicyName>") {
		t.Errorf("the details of the account lack the policies: %s", a.body)
	}
	c.manage(t, "DetachRolePolicy", "RoleName", "made", "PolicyArn", own)
	c.manage(t, "DetachRolePolicy", "RoleName", "made", "PolicyArn", readOnly)
	c.manage(t, "DeleteRolePolicy", "RoleName", "made", "PolicyName", "read")
	c.manage(t, "DeletePolicy", "PolicyArn", own)
	c.manage(t, "DeleteRole", "RoleName", "made")
}

func TestTagsComeAndGo(t *testing.T) {
	c := githubCloud(t, sandbox.Options{})
	c.federation(t)
	for _, row := range []struct{ kind, name, value string }{{"Role", "RoleName", "made"}, {"OpenIDConnectProvider", "OpenIDConnectProviderArn", githubARN}} {
		c.manage(t, "Tag"+row.kind, row.name, row.value, "Tags.member.1.Key", "a", "Tags.member.1.Value", "1", "Tags.member.2.Key", "b", "Tags.member.2.Value", "2")
		c.manage(t, "Untag"+row.kind, row.name, row.value, "TagKeys.member.1", "a")
		a := c.manage(t, "List"+row.kind+"Tags", row.name, row.value)
		if !strings.Contains(a.body, "<Tags><member><Key>b</Key><Value>2</Value></member></Tags>") {
			t.Errorf("%s: %s", row.kind, a.body)
		}
	}
}

func TestAProviderComesBackWithoutItsScheme(t *testing.T) {
	c := githubCloud(t, sandbox.Options{})
	c.federation(t)
	type provider struct {
		URL         string   `xml:"GetOpenIDConnectProviderResult>Url"`
		ClientIDs   []string `xml:"GetOpenIDConnectProviderResult>ClientIDList>member"`
		Thumbprints []string `xml:"GetOpenIDConnectProviderResult>ThumbprintList>member"`
	}
	get := func() provider {
		return decode[provider](t, c.manage(t, "GetOpenIDConnectProvider", "OpenIDConnectProviderArn", githubARN))
	}
	if got := get(); got.URL != "token.actions.githubusercontent.com" || !slices.Equal(got.ClientIDs, []string{"sts.amazonaws.com"}) || len(got.Thumbprints) != 1 || len(got.Thumbprints[0]) != 40 {
		t.Errorf("%+v", got)
	}
	thumbprint := strings.Repeat("0f", 20)
	c.manage(t, "UpdateOpenIDConnectProviderThumbprint", "OpenIDConnectProviderArn", githubARN, "ThumbprintList.member.1", thumbprint)
	if got := get(); !slices.Equal(got.Thumbprints, []string{thumbprint}) {
		t.Errorf("%+v", got)
	}
	if a := c.manage(t, "ListOpenIDConnectProviders"); strings.Count(a.body, "<Arn>") != 5 {
		t.Errorf("%s", a.body)
	}
	c.manage(t, "DeleteOpenIDConnectProvider", "OpenIDConnectProviderArn", githubARN)
	c.manage(t, "DeleteOpenIDConnectProvider", "OpenIDConnectProviderArn", githubARN) // as the reference says
}

func TestOutboundFederationIsSwitchedOffAndOn(t *testing.T) {
	w := sandbox.Demo()
	w.Accounts[0].OutboundIssuer = ""
	c := inProcess(newSandbox(t, w, sandbox.Options{}))
	form := url.Values{"Action": {"GetWebIdentityToken"}, "Version": {"2011-06-15"}, "Audience.member.1": {"a"}, "SigningAlgorithm": {"RS256"}}
	ask := func() answer { return c.signedPost(t, c.stsSigner(adminKeys), form) }
	wantSTSError(t, ask(), 403, "OutboundWebIdentityFederationDisabled", "")
	c.wantIAMError(t, 404, "FeatureDisabled", "GetOutboundWebIdentityFederationInfo")
	made := decode[struct {
		Issuer string `xml:"EnableOutboundWebIdentityFederationResult>IssuerIdentifier"`
	}](t, c.manage(t, "EnableOutboundWebIdentityFederation"))
	info := decode[struct {
		Issuer  string `xml:"GetOutboundWebIdentityFederationInfoResult>IssuerIdentifier"`
		Enabled bool   `xml:"GetOutboundWebIdentityFederationInfoResult>JwtVendingEnabled"`
	}](t, c.manage(t, "GetOutboundWebIdentityFederationInfo"))
	token := decode[struct {
		Token string `xml:"GetWebIdentityTokenResult>WebIdentityToken"`
	}](t, ask()).Token
	if claims := claimsOf(t, token); made.Issuer == "" || info.Issuer != made.Issuer || !info.Enabled || claims["iss"] != made.Issuer {
		t.Errorf("made %q, info %+v, claims %v", made.Issuer, info, claims)
	}
	if a := c.get(t, made.Issuer+"/.well-known/openid-configuration"); a.status != 200 {
		t.Errorf("the issuer does not answer: %d", a.status)
	}
	c.manage(t, "DisableOutboundWebIdentityFederation")
	wantSTSError(t, ask(), 403, "OutboundWebIdentityFederationDisabled", "")
	c.wantIAMError(t, 404, "FeatureDisabled", "DisableOutboundWebIdentityFederation")
}

func TestIAMBreaksOnRequest(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	for code, status := range map[string]int{"ConcurrentModification": 409, "LimitExceeded": 409, "NoSuchEntity": 404, "Throttling": 400, "ServiceFailure": 500} {
		c.SetFault(sandbox.IAM, sandbox.Fault{Code: code, Times: 1})
		c.wantIAMError(t, status, code, "DeleteRole", "RoleName", "keyless-demo-vm")
	}
	c.SetFault(sandbox.IAM, sandbox.Fault{Status: 503})
	c.wantIAMError(t, 503, "ServiceUnavailable", "ListRoles")
	c.ClearFaults()
	c.manage(t, "GetRole", "RoleName", "keyless-demo-vm") // nothing was done
}

func TestIAMHasATrueNameInEveryPartition(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	for _, host := range []string{"iam.amazonaws.com", "iam.global.api.aws", "iam.us-gov.amazonaws.com", "iam.cn-north-1.amazonaws.com.cn", "iam-fips.amazonaws.com"} {
		c.iam = "https://" + host
		c.manage(t, "ListRoles")
		if !c.Knows(host) {
			t.Errorf("%s is not known", host)
		}
	}
	w := sandbox.Demo()
	w.Accounts = append(w.Accounts, sandbox.Account{
		ID: "444455556666", Partition: "aws-us-gov", Administrators: []string{"arn:aws-us-gov:iam::444455556666:user/gov"},
		Users: []sandbox.AccessKey{{UserName: "gov", AccessKeyID: "AKIAGOV", SecretAccessKey: "gov"}},
	})
	c = inProcess(newSandbox(t, w, sandbox.Options{}))
	for region, status := range map[string]int{"us-gov-west-1": 200, "us-east-1": 403} {
		s := signer{awsKeys{AccessKeyID: "AKIAGOV", SecretAccessKey: "gov"}, "iam", region, time.Now()}
		if a := c.administrate(t, s, "CreateRole", "RoleName", "a", "AssumeRolePolicyDocument", madeTrust); a.status != status {
			t.Errorf("%s: %d %s", region, a.status, a.body)
		}
	}
}

func TestManyAdministratorsAtOnceLoseNothing(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		token := c.identityToken(t, sandbox.DemoAudience)
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				c.manage(t, "CreateRole", "RoleName", fmt.Sprint("made-", i), "AssumeRolePolicyDocument", madeTrust)
				c.manage(t, "TagRole", "RoleName", "keyless-demo", "Tags.member.1.Key", fmt.Sprint(i), "Tags.member.1.Value", "x")
				c.assume(t, sandbox.DemoRoleARN, token)
			})
		}
		all.Wait()
		if a := c.manage(t, "ListRoles"); strings.Count(a.body, "<RoleName>made-") != 16 {
			t.Errorf("%d of 16 roles are left", strings.Count(a.body, "<RoleName>made-"))
		}
		if a := c.manage(t, "ListRoleTags", "RoleName", "keyless-demo"); strings.Count(a.body, "<Key>") != 16 {
			t.Errorf("%d of 16 tags are left", strings.Count(a.body, "<Key>"))
		}
	})
}

// Each account asks for roles of the other while it makes its own.
func TestTwoAccountsThatNameEachOtherDoNotWaitForEver(t *testing.T) {
	const other = "444455556666"
	w := sandbox.Demo()
	w.Accounts = append(w.Accounts, sandbox.Account{
		ID: other, Administrators: []string{"arn:aws:iam::" + other + ":user/admin"},
		Users: []sandbox.AccessKey{{UserName: "admin", AccessKeyID: "AKIAOTHER", SecretAccessKey: "other"}},
	})
	c := inProcess(newSandbox(t, w, sandbox.Options{}))
	otherKeys := awsKeys{AccessKeyID: "AKIAOTHER", SecretAccessKey: "other"}
	naming := func(account string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:role/first"},"Action":"sts:AssumeRole"}}`
	}
	for _, keys := range []awsKeys{adminKeys, otherKeys} {
		c.administrate(t, iamSigner(keys), "CreateRole", "RoleName", "first", "AssumeRolePolicyDocument", madeTrust)
	}
	var all sync.WaitGroup
	for i := range 50 {
		for account, keys := range map[string]awsKeys{other: adminKeys, sandbox.DemoAccountID: otherKeys} {
			all.Go(func() {
				if a := c.administrate(t, iamSigner(keys), "CreateRole", "RoleName", fmt.Sprint("r", i), "AssumeRolePolicyDocument", naming(account)); a.status != 200 {
					t.Errorf("%d %s", a.status, a.body)
				}
			})
		}
	}
	all.Wait()
}
