package doctor

import (
	"encoding/json"
	"fmt"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/pipelines"
	"github.com/keyless-id/keyless/profile"
)

// entraRefusal knows Entra's codes, which are the finding's too.
func (e *evidence) entraRefusal(failed *keyless.Error, f *Finding) bool {
	if !strings.HasPrefix(failed.Code, "AADSTS") {
		return false
	}
	f.Code, f.Summary = failed.Code, "Entra refuses: "+clean(failed.Message)
	f.Fix = lines(hinted(failed), e.entraCommand(failed.Code, f))
	return true
}

// entraCommand is what mends a refusal, with the names of this profile.
func (e *evidence) entraCommand(code string, f *Finding) string {
	app := e.application()
	switch code {
	case "AADSTS90002", "AADSTS900023":
		return "az account tenant list\n" + e.setting(e.applicationPath()+"tenant_id", "TENANT_ID")
	case "AADSTS700016", "AADSTS7000229":
		return "az ad app list --display-name NAME --query '[].appId'\n" + e.setting(e.applicationPath()+"client_id", "CLIENT_ID")
	case "AADSTS7000215", "AADSTS7000222":
		return "az ad app credential reset --append --id " + quoted(app.ClientID)
	case "AADSTS700027":
		return "az ad app credential reset --append --id " + quoted(app.ClientID) + " --cert @CERTIFICATE.pem"
	case "AADSTS500011", "AADSTS50001":
		return e.resourceCommand()
	case "AADSTS501051":
		return "az rest --method POST --url https://graph.microsoft.com/v1.0/servicePrincipals/OBJECT_ID/appRoleAssignments " +
			`--body '{"principalId":"OBJECT_ID","resourceId":"OBJECT_ID_OF_THE_API","appRoleId":"APP_ROLE_ID"}'`
	case "AADSTS70021", "AADSTS700211", "AADSTS700212", "AADSTS700213", "AADSTS70025":
		return e.federationCommand(f)
	}
	return ""
}

// resourceCommand looks for the application whose App ID URI was asked for.
func (e *evidence) resourceCommand() string {
	id, found := strings.CutPrefix(e.audience(), "api://")
	if !found {
		id = "CLIENT_ID"
	}
	return "az ad app show --id " + quoted(id) + " --query identifierUris\naz ad sp create --id " + quoted(id) + "\n" + e.setting("audience", "api://CLIENT_ID_OF_THE_API")
}

// federationCommand makes the federated credential that the assertion needs.
func (e *evidence) federationCommand(f *Finding) string {
	if e.assertion.Issuer == "" {
		return ""
	}
	f.Evidence = append(f.Evidence, "the assertion has:", named("iss", e.assertion.Issuer), named("sub", e.assertion.Subject), named("aud", strings.Join(e.assertion.Audience, ", ")))
	credential, err := json.Marshal(map[string]any{
		"name": "keyless", "issuer": e.assertion.Issuer, "subject": e.assertion.Subject, "audiences": []string{pipelines.ExchangeAudience},
	})
	if err != nil {
		return ""
	}
	return fmt.Sprintf("az ad app federated-credential create --id %s --parameters %s", quoted(e.application().ClientID), quoted(string(credential))) +
		"\n# of a user-assigned identity: az identity federated-credential create --identity-name NAME --resource-group GROUP, with the same three"
}

// application is the app registration of the source; the zero value if it has none.
func (e *evidence) application() profile.Application {
	switch source := e.Profile.Source; {
	case source.ClientSecret != nil:
		return source.ClientSecret.Application
	case source.Certificate != nil:
		return source.Certificate.Application
	case source.AssertionFile != nil:
		return source.AssertionFile.Application
	case source.AWS != nil:
		return source.AWS.Application
	}
	return profile.Application{TenantID: e.Getenv("AZURE_TENANT_ID"), ClientID: e.Getenv("AZURE_CLIENT_ID")}
}

// applicationPath is where that stands in the configuration.
func (e *evidence) applicationPath() string {
	switch source := e.Profile.Source; {
	case e.Profile.AzureAD != nil:
		return "azure_ad."
	case source.ClientSecret != nil:
		return "source.client_secret."
	case source.Certificate != nil:
		return "source.certificate."
	case source.AssertionFile != nil:
		return "source.assertion_file."
	case source.AWS != nil:
		return "source.aws."
	}
	return "source."
}

// audience is what the profile asks tokens for.
func (e *evidence) audience() string {
	if e.Profile.Audience != "" {
		return e.Profile.Audience
	}
	return strings.TrimSuffix(e.Profile.Scope, "/.default")
}
