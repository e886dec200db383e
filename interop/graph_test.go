package interop_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/sandbox"
)

// azureCLI is Debian's Azure CLI. It is large, so only make test-all installs it; where
// it is, it is used.
func azureCLI(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("/usr/bin/az"); err != nil && os.Getenv("INTEROP_SLOW") == "" {
		t.Skip("make test-all installs it")
	}
	return installed(t, "Debian's Azure CLI", "/usr/bin/az")
}

// asApplication is a shell script in which az is signed in as an application.
func asApplication(clientID, secret, script string) string {
	return fmt.Sprintf("set -e\naz login --service-principal --username %s --password '%s' --tenant %s --allow-no-subscriptions --output none\n%s",
		clientID, secret, sandbox.DemoTenantID, script)
}

// TestTheAzureCLISetsUpAnApplication at the true names of Graph and Resource Manager, as
// their documentation has it, and takes it away again.
func TestTheAzureCLISetsUpAnApplication(t *testing.T) {
	azureCLI(t)
	const script = `
id=$(az ad app create --display-name aws --query appId --output tsv)
az ad app update --id $id --identifier-uris api://$id
az ad app update --id $id --app-roles '[{"allowedMemberTypes":["Application"],"displayName":"AssumeRole","description":"May assume a role","isEnabled":true,"value":"AssumeRole"}]'
resource=$(az ad sp create --id $id --query id --output tsv)
az ad sp update --id $id --set appRoleAssignmentRequired=true
az account get-access-token --resource api://$id --output none 2>&1 | grep --only-matching AADSTS501051
rm ~/.azure/msal_http_cache.bin # MSAL repeats a refusal for a minute
role=$(az ad app show --id $id --query 'appRoles[0].id' --output tsv)
az rest --output none --method post --uri https://graph.microsoft.com/v1.0/servicePrincipals/` + sandbox.DemoAdminObjectID + `/appRoleAssignments \
	--body "{\"principalId\":\"` + sandbox.DemoAdminObjectID + `\",\"resourceId\":\"$resource\",\"appRoleId\":\"$role\"}"
az account get-access-token --resource api://$id --query accessToken --output tsv
az ad app federated-credential create --id $id --output none --parameters '{"name":"main","issuer":"https://token.actions.githubusercontent.com","subject":"repo:a/b","audiences":["api://AzureADTokenExchange"]}'
az ad app federated-credential list --id $id --query '[].subject' --output tsv
az identity create --resource-group demo --name made --location westeurope --query name --output tsv
az identity federated-credential create --identity-name made --resource-group demo --name main --issuer https://example.com --subject s --audiences api://AzureADTokenExchange --query subject --output tsv
az identity list --query 'length(@)' --output tsv
az identity delete --resource-group demo --name made
az ad app delete --id $id
az ad app show --id $id 2>&1 | grep --only-matching 'does not exist' | head -1
`
	got := isolated(t, "vm", "bash", "-c", asApplication(sandbox.DemoAdminClientID, sandbox.DemoAdminAppSecret, script)).wantSuccess(t)
	lines := strings.Fields(strings.ReplaceAll(got.stdout, "does not exist", "gone"))
	if len(lines) != 7 {
		t.Fatalf("%s\n%s", got.stdout, got.stderr)
	}
	token := lines[1]
	lines[1] = "TOKEN"
	if text := strings.Join(lines, " "); text != "AADSTS501051 TOKEN repo:a/b made s 2 gone" {
		t.Errorf("got %q", text)
	}
	claims := claimsIn(t, token)
	if fmt.Sprint(claims["roles"]) != "[AssumeRole]" || !strings.HasPrefix(fmt.Sprint(claims["aud"]), "api://") {
		t.Errorf("claims: %v", claims)
	}
}

func claimsIn(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no token", token)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestTheAzureCLIIsRefusedWithoutTheRight is the twin: another application of the tenant.
func TestTheAzureCLIIsRefusedWithoutTheRight(t *testing.T) {
	azureCLI(t)
	const script = `
az ad app create --display-name aws 2>&1 | grep --only-matching 'Insufficient privileges' | head -1
az identity create --resource-group demo --name made --location westeurope 2>&1 | grep --only-matching 'AuthorizationFailed' | head -1
`
	got := isolated(t, "vm", "bash", "-c", asApplication(sandbox.DemoAppClientID, sandbox.DemoAppSecret, script)).wantSuccess(t)
	if want := "Insufficient privileges\nAuthorizationFailed\n"; got.stdout != want {
		t.Errorf("got %q, want %q: %s", got.stdout, want, got.stderr)
	}
}
