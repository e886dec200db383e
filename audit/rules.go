package audit

// Rule is one thing that the audit looks for. IDs stay what they are.
type Rule struct {
	ID       string   `json:"id"`
	Severity Severity `json:"severity"` // of its findings, unless the issuer makes them worse or better
	Title    string   `json:"title"`
	Why      string   `json:"why"`    // what is wrong with it wherever it is found
	Source   string   `json:"source"` // the page that says so
}

// The pages that rules rest on.
const (
	pageShared     = "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_oidc_secure-by-default.html"
	pageKeys       = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif"
	pagePrincipal  = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html"
	pageNot        = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html"
	pageSets       = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html"
	pageOperators  = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html"
	pageAssume     = "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html"
	pageProvider   = "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html"
	pageThumbprint = "https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateOpenIDConnectProviderThumbprint.html"
	pageCognito    = "https://docs.aws.amazon.com/cognito/latest/developerguide/role-trust-and-permissions.html"
	pageEntra      = "https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference"
	pageRetired    = "https://learn.microsoft.com/azure/devops/release-notes/"
)

// The IDs of the rules.
const (
	anyPrincipal     = "any-principal"
	notPrincipal     = "not-principal"
	noSubject        = "no-subject"
	negatedSubject   = "negated-subject"
	crossesTenants   = "crosses-tenants"
	crossesProjects  = "crosses-projects"
	noAudience       = "no-audience"
	guests           = "guests"
	absentPasses     = "absent-passes"
	firstParty       = "first-party-audience"
	wrongAudienceKey = "wrong-audience-key"
	foreignKey       = "foreign-key"
	unknownKey       = "unknown-key"
	wildcardInEquals = "wildcard-in-equals"
	subjectForm      = "subject-form"
	issuerForm       = "issuer-form"
	issuerRetiring   = "issuer-retiring"
	wrongAction      = "wrong-action"
	broadAction      = "broad-action"
	missingProvider  = "missing-provider"
	unusedProvider   = "unused-provider"
	thumbprint       = "thumbprint"
)

// Rules returns all rules, the worst first.
func Rules() []Rule {
	return append(open(), append(wrong(), needless()...)...)
}

// open are the rules about who gets in.
func open() []Rule {
	return []Rule{
		{
			anyPrincipal, Critical, "Everybody in AWS may assume the role",
			"The principal is a wildcard, and no condition names an organization, an account or a principal.", pagePrincipal,
		},
		{
			notPrincipal, Critical, "Everybody but a few may assume the role",
			"NotPrincipal with Allow lets in everybody in the world who is not on the list.", pageNot,
		},
		{
			noSubject, Critical, "Nothing says whose token it has to be",
			"Every token of the issuer fits. From an issuer that many customers share, that is anybody.", pageShared,
		},
		{
			negatedSubject, Critical, "It only says whose token it must not be",
			"A negated operator lets in every subject that is not on its list.", pageOperators,
		},
		{
			crossesTenants, Critical, "A wildcard reaches other customers of the issuer",
			"* stands for any text, colons and slashes as well, so what comes after it does not limit what is before it.", pageShared,
		},
		{
			crossesProjects, High, "A wildcard reaches every project of the tenant",
			"Whoever can run anything in any repository, workspace, namespace or connection of the tenant has the role.", pageShared,
		},
		{
			noAudience, High, "Nothing says whom the token has to be for",
			"For providers that are built into AWS no list of client ids is checked: a token that somebody gave to any other application fits.", pageKeys,
		},
		{
			guests, High, "Guests of the identity pool may assume the role",
			"Without a condition on amr the pool's unauthenticated identities get the role too, if the pool gives out such identities.", pageCognito,
		},
		{
			absentPasses, High, "The condition holds when the key is not there",
			"ForAllValues and …IfExists are true for a request without the key: a caller who leaves it out, a token without the claim or a misspelled key pass.", pageSets,
		},
		{
			firstParty, High, "The audience is one of Microsoft's own services",
			"Such tokens are sent to that service all day, and whoever sees one there could have the role.", pageEntra,
		},
	}
}

// wrong are the rules about policies that do not say what they seem to say.
func wrong() []Rule {
	return []Rule{
		{
			wrongAudienceKey, Medium, "The audience condition is about another claim",
			"AWS compares :aud with azp, which is the caller, where the token has one, as Entra's version 2 tokens do; what the token is for is in :oaud.", pageKeys,
		},
		{
			foreignKey, Medium, "The condition is about another provider",
			"A request has the keys of the provider that signed its token, and no others.", pageKeys,
		},
		{
			unknownKey, Medium, "AWS makes no such condition key of the token",
			"Only the documented claims become condition keys: aud, oaud, sub, amr and email, and a few more for some issuers.", pageKeys,
		},
		{
			wildcardInEquals, Medium, "The wildcard is none",
			"StringEquals compares with the character *, which no token has there. It must not become StringLike without a look at what it then reaches.", pageOperators,
		},
		{
			subjectForm, Medium, "The issuer makes no such subject",
			"Subjects are compared exactly, upper and lower case too. No token will fit, until somebody loosens the condition in despair.", pageShared,
		},
		{
			issuerForm, Medium, "No token comes from such an issuer",
			"The provider's name is that of the token's iss without https://, to the last slash.", pageProvider,
		},
		{
			issuerRetiring, Medium, "The issuer is about to be retired",
			"Azure DevOps retires the issuer vstoken.dev.azure.com on 2027-07-01. Connections that are converted have another issuer, audience and subject.", pageRetired,
		},
		{
			wrongAction, Medium, "A provider of tokens cannot use this action",
			"Who comes with a token of an OIDC provider calls AssumeRoleWithWebIdentity.", pageAssume,
		},
	}
}

// needless are the rules about what nobody needs.
func needless() []Rule {
	return []Rule{
		{
			broadAction, Low, "The statement allows more actions than one kind of caller has",
			"A wildcard lets in by ways that nobody thought of: AssumeRole, AssumeRoleWithSAML and AssumeRoleWithWebIdentity have different callers.", pagePrincipal,
		},
		{
			missingProvider, Low, "The role trusts a provider that the account does not have",
			"Nobody can use it now; whoever may create providers decides who will.", pageProvider,
		},
		{
			unusedProvider, Low, "No role trusts the provider",
			"It waits for a role whose author trusts it without a look.", pageProvider,
		},
		{
			thumbprint, Low, "The thumbprints are not needed",
			"Since July 2024 AWS checks the issuer's certificate against its own list of authorities, and looks at thumbprints only for a private authority.", pageThumbprint,
		},
	}
}
