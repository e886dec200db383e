package awssts_test

import (
	"strings"
	"testing"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
)

// guarded exchanges and reports whether the token left.
func guarded(t *testing.T, change func(*awssts.WebIdentity), subject keyless.Token) (sent bool, err error) {
	t.Helper()
	f := &far{}
	e := exchange(f)
	change(&e)
	_, err = e.Exchange(t.Context(), subject)
	return len(f.forms) > 0, err
}

func TestTokensForOneselfAreSent(t *testing.T) {
	const uri = "https://contoso.example/aws"
	exchangeAudience := func(w *awssts.WebIdentity) {
		w.Audience, w.AllowTokenExchangeAudience = "api://AzureADTokenExchange", true
	}
	for name, c := range map[string]struct {
		change  func(*awssts.WebIdentity)
		subject keyless.Token
	}{
		"v1":                    {func(*awssts.WebIdentity) {}, v1(audience)},
		"v1, scope as audience": {func(w *awssts.WebIdentity) { w.Audience += "/.default" }, v1(audience)},
		"v1, other App ID URI":  {func(w *awssts.WebIdentity) { w.Audience = uri }, v1(uri)},
		"v1, array":             {func(*awssts.WebIdentity) {}, v1([]string{audience})},
		"v2":                    {func(*awssts.WebIdentity) {}, v2(appID)},
		"v2, upper-case URI": {func(w *awssts.WebIdentity) {
			w.Audience = "api://" + strings.ToUpper("abcdef01-1111-1111-1111-111111111111")
		}, v2("abcdef01-1111-1111-1111-111111111111")},
		"v2, GUID":                 {func(w *awssts.WebIdentity) { w.Audience = appID }, v2(appID)},
		"v2, expected":             {func(w *awssts.WebIdentity) { w.Audience, w.ExpectedAudience = uri, appID }, v2(appID)},
		"nothing configured":       {func(w *awssts.WebIdentity) { w.Audience = "" }, v1("api://whatever")},
		"customer's domain":        {func(w *awssts.WebIdentity) { w.Audience = "https://contoso.onmicrosoft.com/aws" }, v1("https://contoso.onmicrosoft.com/aws")},
		"customer's machine":       {func(w *awssts.WebIdentity) { w.Audience = "https://x.westeurope.cloudapp.azure.com" }, v1("https://x.westeurope.cloudapp.azure.com")},
		"pipelines, old issuer":    {exchangeAudience, jwt(map[string]any{"iss": "https://vstoken.dev.azure.com/o", "sub": "sc://o/p/c", "aud": "api://AzureADTokenExchange"})},
		"pipelines, Entra issuer":  {exchangeAudience, v2("fb60f99c-7a34-4190-8149-302f77469936")},
		"pipelines, no audience":   {func(w *awssts.WebIdentity) { w.Audience, w.AllowTokenExchangeAudience = "", true }, v2("fb60f99c-7a34-4190-8149-302f77469936")},
		"another issuer's subject": {func(w *awssts.WebIdentity) { w.Audience = "sts.amazonaws.com" }, jwt(map[string]any{"iss": "https://issuer.example", "sub": "s", "aud": "sts.amazonaws.com"})},
	} {
		if sent, err := guarded(t, c.change, c.subject); !sent || err != nil {
			t.Errorf("%s: sent %v, %v", name, sent, err)
		}
	}
}

func TestTokensForOthersAreNotSent(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*awssts.WebIdentity)
		subject keyless.Token
		code    string
	}{
		"another audience":      {func(*awssts.WebIdentity) {}, v1("api://other"), awssts.CodeAudience},
		"a slash more":          {func(*awssts.WebIdentity) {}, v1(audience + "/"), awssts.CodeAudience},
		"another case":          {func(w *awssts.WebIdentity) { w.Audience = "api://App" }, v1("api://app"), awssts.CodeAudience},
		"one among others":      {func(*awssts.WebIdentity) {}, v1([]string{audience, "api://other"}), awssts.CodeAudience},
		"no audience":           {func(*awssts.WebIdentity) {}, v1(nil), awssts.CodeAudience},
		"v2, another GUID":      {func(*awssts.WebIdentity) {}, v2(callerID), awssts.CodeAudience},
		"v2, the URI":           {func(*awssts.WebIdentity) {}, v2(audience), awssts.CodeAudience},
		"v2, URI without GUID":  {func(w *awssts.WebIdentity) { w.Audience = "https://contoso.example/aws" }, v2(appID), awssts.CodeAudience},
		"v1, not the expected":  {func(w *awssts.WebIdentity) { w.ExpectedAudience = appID }, v1(audience), awssts.CodeAudience},
		"token exchange":        {func(w *awssts.WebIdentity) { w.Audience = "" }, v1("api://AzureADTokenExchange"), awssts.CodeFirstParty},
		"token exchange, GUID":  {func(w *awssts.WebIdentity) { w.Audience = "fb60f99c-7a34-4190-8149-302f77469936" }, v2("fb60f99c-7a34-4190-8149-302f77469936"), awssts.CodeFirstParty},
		"token exchange, China": {func(w *awssts.WebIdentity) { w.Audience = "" }, v1("api://AzureADTokenExchangeChina"), awssts.CodeFirstParty},
		"pipelines, expected":   {func(w *awssts.WebIdentity) { w.AllowTokenExchangeAudience = true }, v2("fb60f99c-7a34-4190-8149-302f77469936"), awssts.CodeAudience},
		"not only exchange":     {func(w *awssts.WebIdentity) { w.Audience, w.AllowTokenExchangeAudience = "", true }, v1([]string{"api://AzureADTokenExchange", "https://graph.microsoft.com"}), awssts.CodeFirstParty},
		"no JWT":                {func(*awssts.WebIdentity) {}, keyless.Token{Value: keyless.NewSecret("hunter2")}, awssts.CodeNotJWT},
		"empty":                 {func(*awssts.WebIdentity) {}, keyless.Token{}, awssts.CodeNotJWT},
		"too long":              {func(*awssts.WebIdentity) {}, v1(strings.Repeat("x", 20000)), awssts.CodeNotJWT},
	} {
		sent, err := guarded(t, c.change, c.subject)
		if sent {
			t.Errorf("%s: sent", name)
		}
		if e := wantError(t, err, c.code, false); e.Code != c.code || e.Hint == "" {
			t.Errorf("%s: code %q, hint %q", name, e.Code, e.Hint)
		}
	}
}

func TestTokensForMicrosoftAreNeverSentWhateverIsConfigured(t *testing.T) {
	for _, theirs := range []string{
		"https://management.azure.com/", "https://management.azure.com", "https://MANAGEMENT.azure.com:443/x", "management.azure.com",
		"https://management.core.windows.net/", "https://management.usgovcloudapi.net", "https://management.chinacloudapi.cn/", "https://management.core.chinacloudapi.cn",
		"https://graph.microsoft.com", "https://graph.microsoft.us", "https://microsoftgraph.chinacloudapi.cn", "https://graph.windows.net",
		"https://vault.azure.net", "https://vault.azure.cn", "https://vault.usgovcloudapi.net", "https://x.managedhsm.azure.net", "https://vault.azure.net.",
		"https://storage.azure.com", "https://account.blob.core.windows.net", "https://account.blob.core.usgovcloudapi.net",
		"https://monitor.azure.com", "https://monitor.azure.us", "https://monitor.azure.cn//", "https://api.loganalytics.io", "https://prometheus.monitor.azure.com",
		"https://database.windows.net/", "https://servicebus.azure.net", "https://cognitiveservices.azure.com", "https://app.vssps.visualstudio.com",
		"https://outlook.office365.com", "https://contoso.sharepoint.com", "https://api.spaces.powerbi.com",
		"797f4846-ba00-4fd7-ba43-dac1f8f63013", "spn:797f4846-ba00-4fd7-ba43-dac1f8f63013", "api://797F4846-ba00-4fd7-ba43-dac1f8f63013/x",
		"00000003-0000-0000-c000-000000000000", "00000002-0000-0000-c000-000000000000", "00000003-0000-0ff1-ce00-000000000000",
		"cfa8b339-82a2-471a-a3c9-0fc0be7a4093", "e406a681-f3d4-42a8-90b6-c2b029497af1", "ca7f3f0b-7d91-482c-8e09-c5d840d0eac5", "499b84ac-1321-427f-aa17-267ca6975798",
	} {
		for _, subject := range []keyless.Token{v1(theirs), v2(theirs), v1([]string{audience, theirs})} {
			sent, err := guarded(t, func(w *awssts.WebIdentity) {
				w.Audience, w.ExpectedAudience, w.AllowTokenExchangeAudience = theirs, theirs, true
				w.Endpoint = "https://sts.example"
			}, subject)
			if sent {
				t.Errorf("%s: sent", theirs)
			}
			if e := wantError(t, err, awssts.CodeFirstParty, false); e.Code != awssts.CodeFirstParty {
				t.Errorf("%s: code %q", theirs, e.Code)
			}
		}
	}
}
