package doctor

import (
	"slices"
	"strconv"
	"strings"

	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/internal/oauth"
)

// Explanation is what a code means, and what to do.
type Explanation struct {
	Code  string `json:"code"`
	Means string `json:"means"`
}

// Explain returns what a code means: one of a [Finding], of Entra (AADSTS…) or of AWS STS;
// false: it is not known here. The case of its letters does not matter.
func Explain(code string) (Explanation, bool) {
	if hint := entraHint(code); hint != "" {
		return Explanation{strings.ToUpper(strings.TrimSpace(code)), hint}, true
	}
	all := Codes()
	i := slices.IndexFunc(all, func(e Explanation) bool { return strings.EqualFold(e.Code, strings.TrimSpace(code)) })
	if i < 0 {
		return Explanation{}, false
	}
	return all[i], true
}

// entraHint also takes a code without the letters, as it stands in error_codes.
func entraHint(code string) string {
	number, err := strconv.Atoi(strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(code)), "AADSTS"))
	if err != nil {
		return ""
	}
	return oauth.Hint(number)
}

// Codes lists the codes that can be explained: those of findings, those of AWS STS, and
// those of Entra.
func Codes() []Explanation {
	all := findingCodes()
	for _, code := range awssts.Codes() {
		all = append(all, Explanation{code, awssts.Explain(code)})
	}
	for _, number := range oauth.Known() {
		all = append(all, Explanation{"AADSTS" + strconv.Itoa(number), oauth.Hint(number)})
	}
	return all
}

// findingCodes are those of findings, in the order of the hops.
func findingCodes() []Explanation {
	return slices.Concat(configurationCodes(), sourceCodes(), tokenCodes(), trustCodes(), sessionCodes(), deliveryCodes())
}

func configurationCodes() []Explanation {
	return []Explanation{
		{"no-configuration", "there is no configuration file, and no flags say what to do"},
		{"configuration", "the configuration is wrong; the message says where and what"},
		{"plain-secret", "a secret stands in the configuration file itself; put it into a file of its own, or into the environment"},
		{"job-token-missing", "the task of Azure Pipelines does not have the job's access token; map $(System.AccessToken) into its env"},
		{"connection-name", "a service connection is named where its id (a GUID) is needed; Azure DevOps answers a name with the pipeline's own token"},
		{"not-a-job", "SYSTEM_OIDCREQUESTURI is not set: this is no job of Azure Pipelines"},
	}
}

func sourceCodes() []Explanation {
	return []Explanation{
		{"proxy-takes-metadata", "HTTP_PROXY also takes what is meant for 169.254.169.254; programs other than keyless will fail, or hand their tokens to the proxy"},
		{"clock-ahead", "this machine's clock is ahead; set it"},
		{"clock-behind", "this machine's clock is behind; set it"},
		{"source-refused", "the source gave no token; the message says why"},
		{"metadata-proxied", "a proxy or service mesh answers in the place of the host's identity endpoint; take its address out"},
		{"himds-group", "the user is not in the group himds, whose members may read the files of Azure Arc's agent"},
		{"arc-key-elsewhere", "the file of Azure Arc's agent is not on this side; mount its folder into the container"},
		{"arc-agent-absent", "the agent of Azure Arc does not answer; is the machine connected, and does himdsd run?"},
		{"file-missing", "a file that the source needs is not there"},
		{"file-unreadable", "a file that the source needs may not be read by this user"},
		{"half-environment", "one variable of the host's identity is set, and the other is not: something drops it"},
		{"other-host", "the host is of another kind than the profile is for; choose its source"},
		{"no-host", "nothing here gives a program an identity"},
		{"metadata-absent", "no instance metadata service answers: this is no Azure VM, or a firewall is in the way"},
		{"identity-unknown", "the host has no identity with this client, object or resource id"},
		{"identity-missing", "the host has no managed identity; switch it on"},
		{"identity-ambiguous", "the host has several identities; name one"},
		{"job-token-refused", "Azure DevOps does not accept the job's access token: it is another job's, or the job is over"},
		{"connection-subject", "the token of the service connection has another subject than the profile expects"},
		{"connection-unreferenced", "the stage does not name the service connection in a task; one that never runs is enough"},
		{"connection-unknown", "there is no such service connection in the pipeline's project"},
		{"connection-not-permitted", "the pipeline may not use the service connection; permit it in the connection's security settings"},
		{"issuer-retires", "vstoken.dev.azure.com is retired on 2027-07-01; convert the service connection to Entra's issuer"},
		{"issuer-retired", "vstoken.dev.azure.com has been retired; convert the service connection to Entra's issuer"},
		{"ec2-hop-limit", "the answer to PUT of EC2's metadata service may pass one hop only, and a container is the second; raise the hop limit to 2"},
		{"aws-credentials-missing", "the host offers no AWS credentials; give it a role"},
		{"outbound-disabled", "the AWS account does not issue tokens; switch outbound web identity federation on"},
		{"outbound-not-allowed", "the AWS role may not ask for a token; allow it sts:GetWebIdentityToken"},
		{"unreachable", "the far side cannot be reached; is the address right, and is a firewall in the way?"},
		{"certificate-untrusted", "the far side's certificate is not trusted; for a private CA set ca_file"},
		{"intercepted", "a proxy or captive portal answers in the place of the far side"},
		{"busy", "the far side is busy or out of order; try again later"},
	}
}

func tokenCodes() []Explanation {
	return []Explanation{
		{"not-a-jwt", "the token is opaque or encrypted, as those for some of Microsoft's services are; register an application that stands for AWS"},
		{"audience-first-party", "the token is for one of Microsoft's own services, and is not sent to AWS; register an application that stands for AWS"},
		{"audience-token-exchange", "the token is for api://AzureADTokenExchange, which is for federated credentials; register an application that stands for AWS"},
		{"audience-mismatch", "the token is for another audience than the profile says"},
		{"expected-aud", "a version 2 token names the application by its client id; set expected_aud"},
		{"token-expired", "the token has expired; set the clock, or look at who keeps the token fresh"},
		{"token-not-yet-valid", "the token is not valid yet; set the clock"},
		{"issuer-unreachable", "AWS could not fetch the keys of the token's issuer; they must be public, on https"},
		{"issuer-key-unknown", "the issuer does not publish the key that signed the token"},
		{"provider-missing", "the account has no IAM OIDC provider for the token's issuer; its URL must be the issuer, character by character"},
		{"provider-slash", "the provider's URL differs from the token's issuer by the slash at its end; the slash is part of the name"},
		{"provider-case", "the provider's URL differs from the token's issuer by upper and lower case"},
		{"provider-other-version", "the provider is for the other version of Entra's tokens: sts.windows.net/TENANT/ is version 1, login.microsoftonline.com/TENANT/v2.0 is version 2"},
		{"provider-other-tenant", "the provider is for another tenant than the token's"},
		{"provider-other-issuer", "the provider is for another issuer than the service connection has, as after it was converted"},
		{"client-id-missing", "the provider does not list the token's audience among its client ids"},
		{"client-id-azp", "the provider does not list the token's azp, which AWS takes for the audience of version 2 tokens"},
	}
}

func trustCodes() []Explanation {
	return []Explanation{
		{"iam-unread", "IAM could not be read: iam:GetRole, iam:GetOpenIDConnectProvider and iam:ListOpenIDConnectProviders are needed, or the policy in a file (--policy)"},
		{"role-missing", "the account has no such role"},
		{"role-path", "the role has a path, which is part of its ARN"},
		{"policy-malformed", "the trust policy is none"},
		{"no-allow", "no statement of the trust policy allows anything"},
		{"explicit-deny", "a Deny of the trust policy is for this token; it wins over every Allow"},
		{"principal-slash", "the provider in the trust policy differs from the token's issuer by the slash at its end"},
		{"principal-case", "the provider in the trust policy differs from the token's issuer by upper and lower case"},
		{"principal-other-version", "the trust policy names the provider of the other version of Entra's tokens"},
		{"principal-other-tenant", "the trust policy names the provider of another tenant"},
		{"principal-other-issuer", "the trust policy names the provider of another issuer"},
		{"principal-other-account", "the trust policy names a provider of another account"},
		{"principal-missing", "the trust policy names no provider of tokens"},
		{"action-not-web-identity", "the trust policy does not allow sts:AssumeRoleWithWebIdentity"},
		{"tag-session", "the token has session tags, and the trust policy does not allow sts:TagSession"},
		{"source-identity", "the token has a source identity, and the trust policy does not allow sts:SetSourceIdentity"},
		{"condition-key-slash", "a condition key lacks the slash at the end of the issuer, or has one too many"},
		{"condition-key-case", "a condition key differs from the issuer by upper and lower case"},
		{"condition-key-other-version", "a condition key is that of the other version of Entra's tokens"},
		{"condition-key-other-tenant", "a condition key is that of another tenant"},
		{"condition-key-other-issuer", "a condition key is that of another issuer"},
		{"claim-not-mapped", "AWS makes no condition key of this claim: aud, oaud, sub, amr and email are all that there are"},
		{"sub-is-client-id", "the trust policy pins the client id; sub is the object id of the service principal"},
		{"sub-case", "the trust policy spells the subject in another case"},
		{"sub-mismatch", "the trust policy pins another subject"},
		{"wildcard-in-equals", "the trust policy has a wildcard under StringEquals; wildcards are for StringLike"},
		{"aud-slash", "the audiences of policy and token differ by a slash at the end"},
		{"aud-wants-azp", "under :aud AWS compares azp of version 2 tokens, the caller; the application stands under :oaud"},
		{"aud-mismatch", "the trust policy pins another audience"},
		{"session-name", "the trust policy asks for another session name"},
		{"idp-roles", "the trust policy wants the token to list the role, which it does not"},
		{"condition-unmet", "a condition of the trust policy does not hold"},
	}
}

func sessionCodes() []Explanation {
	return []Explanation{
		{"refused", "STS refuses, for a reason that another check names"},
		{"refused-unexplained", "STS refuses, and nothing that could be read explains it: a policy of the organization, or a policy that was not read"},
		{"session-too-long", "the profile asks for a longer session than the role allows"},
		{"session-policy", "STS does not take the session policy"},
		{"region-disabled", "STS is not switched on in this region for the account"},
		{"chain-refused", "a chained role was not given"},
		{"chain-role-missing", "a chained role does not exist"},
		{"chain-principal", "a chained role does not trust the one before it"},
		{"chain-external-id", "a chained role asks for an external id that the profile does not say"},
		{"credentials-refused", "AWS does not take the credentials that STS gave"},
		{"caller-differs", "the credentials are not the role's"},
	}
}

func deliveryCodes() []Explanation {
	return []Explanation{
		{"environment-keys", "AWS_ACCESS_KEY_ID in the environment wins over everything else"},
		{"environment-web-identity", "AWS_WEB_IDENTITY_TOKEN_FILE in the environment wins over credential_process"},
		{"static-keys", "static keys of the same section win over its credential_process"},
		{"other-profile", "AWS_PROFILE makes programs use another section"},
		{"not-probed", "the endpoint was not asked, because nobody knows what it takes for an empty request"},
		{"endpoint-unreachable", "the ingestion endpoint cannot be reached"},
		{"ingestion-refused", "the ingestion endpoint refuses; its message says why"},
		{"ingestion-audience", "the ingestion endpoint does not take the token: it is for another audience"},
		{"ingestion-denied", "the role may not write to the workspace"},
		{"publisher-missing", "the identity does not have the role Monitoring Metrics Publisher on the data collection rule, or has it for less than 30 minutes"},
		{"rule-unknown", "there is no such data collection rule behind this endpoint"},
		{"stream-unknown", "the data collection rule has no such stream"},
		{"workspace-unknown", "there is no such workspace in this region"},
		{"rows-dropped", "rows that the ingestion endpoint took were dropped behind it: by the rule's transformation, or because columns do not fit"},
		{"log-errors-unread", "rows that are dropped behind the endpoint are reported in DCRLogErrors only, which was not read"},
	}
}
