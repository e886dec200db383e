package doctor

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/pipelines"
	"github.com/keyless-id/keyless/trust"
)

// jobTrouble knows the refusals of Azure DevOps.
func (e *evidence) jobTrouble(failed *keyless.Error, f *Finding) bool {
	job := e.Profile.Source.AzurePipelines
	if job == nil {
		return false
	}
	id := clean(job.ServiceConnectionID)
	switch {
	case failed.Code == pipelines.CodeSignIn:
		f.Code, f.Summary = "job-token-refused", "Azure DevOps does not accept the job's access token"
	case failed.Code == pipelines.CodeWrongConnection:
		f.Code, f.Summary = "connection-name", "the token does not stand for the service connection"
	case failed.Code == pipelines.CodeWrongSubject:
		f.Code, f.Summary = "connection-subject", "the token has another subject than the profile expects"
	case strings.Contains(strings.ToLower(failed.Message), "no explicit reference"):
		f.Code, f.Summary = "connection-unreferenced", "the stage does not name the service connection"
		f.Fix = "name it in a task that never runs\n- task: AzureCLI@2\n  condition: false\n  inputs:\n    azureSubscription: NAME_OF_THE_CONNECTION  # " + id + "\n    scriptType: bash\n    scriptLocation: inlineScript\n    inlineScript: 'true'"
	case strings.Contains(failed.Code, "ServiceEndpointNotFound"):
		f.Code, f.Summary = "connection-unknown", "there is no such service connection in the project of the pipeline"
		f.Fix = lines(hinted(failed), "az devops service-endpoint list --query '[].[name,id]' --output table", e.setting("source.azure_pipelines.service_connection_id", "ID"))
	case strings.Contains(failed.Hint, "may not use this connection"):
		f.Code, f.Summary = "connection-not-permitted", "the pipeline may not use the service connection"
	default:
		return false
	}
	return true
}

// retirement is about the issuer of Azure Pipelines that has an end.
func (e *evidence) retirement() Finding {
	if e.Profile.Source == nil || e.Profile.Source.AzurePipelines == nil || e.tokenErr != nil || e.buildErr != nil {
		return Finding{}
	}
	f := Finding{Check: "issuer of the job", Hop: keyless.HopSource, Verdict: OK, Summary: "Entra issues the job's tokens, which has no end"}
	id, err := pipelines.Inspect(e.token)
	if err != nil || !id.Retired() {
		return f
	}
	end := pipelines.VSTokenRetired()
	f.Verdict, f.Code, f.Evidence = Warning, "issuer-retires", []string{named("iss", id.Issuer), named("sub", id.Subject)}
	f.Summary = fmt.Sprintf("Azure DevOps retires the issuer of this connection on %s", end.Format(time.DateOnly))
	if !e.Now().Before(end) {
		f.Verdict, f.Code = Failed, "issuer-retired"
		f.Summary = fmt.Sprintf("Azure DevOps has retired the issuer of this connection on %s", end.Format(time.DateOnly))
	}
	f.Fix = e.migration(id)
	return f
}

// migration goes from the older issuer to Entra's without a moment in which neither works
// ("Convert service connections to the Microsoft Entra issuer", Microsoft Learn).
func (e *evidence) migration(id pipelines.Identity) string {
	tenant, subject := cmp.Or(e.Getenv("AZURE_TENANT_ID"), "TENANT_ID"), "the subject that the connection shows when it is converted"
	organization := id.Issuer[strings.LastIndexByte(id.Issuer, '/')+1:]
	if computed, err := pipelines.Subject(tenant, organization, e.Profile.Source.AzurePipelines.ServiceConnectionID); err == nil {
		subject = computed
	}
	issuer := "https://login.microsoftonline.com/" + tenant + "/v2.0"
	key, role := trust.ProviderKey(issuer), splitARN(e.built.STS.RoleARN)
	return lines(
		"let the role trust both issuers, convert the connection, then drop the older one",
		"1. aws iam create-open-id-connect-provider --url "+issuer+" --client-id-list "+pipelines.AppID+" "+pipelines.ExchangeAudienceID,
		"2. add a statement to the role's trust policy: Federated "+trust.ProviderARN(role.partition, cmp.Or(role.account, "ACCOUNT"), issuer)+", StringEquals",
		"   "+key+":aud  "+pipelines.AppID,
		"   "+key+":oaud "+pipelines.ExchangeAudienceID,
		"   "+key+":sub  "+subject,
		"3. Project settings, Service connections, the connection: convert it to the Microsoft Entra issuer",
		"4. keyless doctor in a job; then take the older statement and provider away",
	)
}
