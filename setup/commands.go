package setup

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/keyless-id/keyless/internal/graph"
	"github.com/keyless-id/keyless/trust"
)

// script writes a program for a POSIX shell.
type script struct{ strings.Builder }

func (s *script) line(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

// sh quotes a text for the shell, with variables in the place of marks.
func sh(text string) string {
	if !strings.Contains(text, "\x01") {
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	return `"` + shMarks(strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(text)) + `"`
}

// shMarks puts variables in the place of marks.
func shMarks(text string) string {
	return filled(text, map[string]string{markApp: "${app}", markSubject: "${subject}", markClient: "${client}", markIssuer: "${issuer}", markRole: "${role_arn}"})
}

func shAll(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = sh(text)
	}
	return strings.Join(quoted, " ")
}

func (t target) commands() ([]File, error) {
	var s script
	s.line("#!/bin/sh\n# %s: %s, written by keyless setup render.\n# It needs az and aws, signed in. It can be run again.\nset -eu\n", t.Name, t.Kind)
	if t.Kind == FromAWS {
		t.shWayBack(&s)
	} else {
		s.line("account=$(aws sts get-caller-identity --query Account --output text)")
		s.line("partition=$(aws sts get-caller-identity --query Arn --output text | cut -d : -f 2)\n")
		if t.throughEntra() {
			t.shWorkload(&s)
			t.shApplication(&s)
		}
		t.shProviders(&s)
		t.shRole(&s)
	}
	t.shPod(&s)
	return []File{{Name: "setup.sh", Data: tidy(s.String()), Mode: 0o755}}, nil
}

// shWorkload sets subject, the object id, and client, the client id.
func (t target) shWorkload(s *script) {
	s.line("# Who the workload is: its object id is the subject of its tokens, not its client id.")
	switch {
	case graph.IsUserAssigned(t.Identity):
		s.line("subject=$(az identity show --ids %s --query principalId --output tsv)", sh(t.Identity))
	case graph.CheckResourceID(t.Identity) == nil:
		s.line("subject=$(az resource show --ids %s --query identity.principalId --output tsv)", sh(t.Identity))
	default:
		s.line("subject=$(az ad sp show --id %s --query id --output tsv)", sh(t.Identity))
	}
	if t.version() == 2 {
		s.line("client=$(az ad sp show --id \"$subject\" --query appId --output tsv)")
	}
	s.line("")
}

func (t target) graphURL(path string) string { return t.cloud().Graph + "/v1.0" + path }

func (t target) shApplication(s *script) {
	s.line("# The application that stands for AWS. Nobody signs in with it, and it has no secret.")
	if t.AppID != "" {
		s.line("app=%s # it is there, with an app role, an App ID URI and its own version of tokens", sh(t.AppID))
	} else {
		t.shNewApplication(s)
		s.line("az ad app update --id \"$app\" --identifier-uris %s", sh(t.audience()))
	}
	s.line("az ad sp show --id \"$app\" --output none 2>/dev/null || az ad sp create --id \"$app\" --output none\n")
	s.line("# Whoever is not assigned gets no token for AWS; the workload is.")
	s.line("az ad sp update --id \"$app\" --set appRoleAssignmentRequired=true")
	s.line("resource=$(az ad sp show --id \"$app\" --query id --output tsv)")
	s.line("role=$(az ad sp show --id \"$app\" --query \"appRoles[?value=='%s'].id | [0]\" --output tsv)", t.appRole().Value)
	url := t.graphURL("/servicePrincipals/") + "${resource}/appRoleAssignedTo"
	s.line("assigned=$(az rest --method GET --url \"%s\" --query \"value[?principalId=='${subject}'].id | [0]\" --output tsv)", url)
	s.line("if [ -z \"$assigned\" ]; then")
	s.line("\taz rest --method POST --url \"%s\" --output none \\\n\t\t--body \"{\\\"principalId\\\":\\\"${subject}\\\",\\\"resourceId\\\":\\\"${resource}\\\",\\\"appRoleId\\\":\\\"${role}\\\"}\"", url)
	s.line("fi\n")
}

// shNewApplication finds the application by its tag, or creates it.
func (t target) shNewApplication(s *script) {
	body := object{"displayName": t.title(), "signInAudience": signInAudience, "tags": []string{t.entraTag()}}
	if t.throughEntra() {
		body["api"], body["appRoles"] = object{"requestedAccessTokenVersion": t.version()}, []graph.AppRole{t.appRole()}
	}
	document, _ := json.Marshal(body) // of texts
	s.line("app=$(az ad app list --filter \"tags/any(t:t eq '%s')\" --query '[0].appId' --output tsv)", t.entraTag())
	s.line("if [ -z \"$app\" ]; then")
	s.line("\tapp=$(az rest --method POST --url %s --query appId --output tsv \\\n\t\t--body %s)", sh(t.graphURL("/applications")), sh(string(document)))
	s.line("\tuntil az ad app show --id \"$app\" --output none 2>/dev/null; do sleep 3; done # Entra takes a while to know it\nfi")
}

func (t target) shProviders(s *script) {
	for _, l := range t.links() {
		variable := "provider_" + tfName(l)
		s.line("# The issuer, to the letter. AWS needs no thumbprint for it.")
		s.line("%s=\"arn:${partition}:iam::${account}:oidc-provider/%s\"", variable, trust.ProviderKey(l.issuer))
		s.line("if aws iam get-open-id-connect-provider --open-id-connect-provider-arn \"$%s\" >/dev/null 2>&1; then", variable)
		for _, id := range l.clientIDs {
			s.line("\taws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn \"$%s\" --client-id %s", variable, sh(id))
		}
		thumbprints := ""
		if len(t.Thumbprints) > 0 {
			thumbprints = " --thumbprint-list " + shAll(t.Thumbprints)
		}
		s.line("else\n\taws iam create-open-id-connect-provider --url %s --client-id-list %s%s \\\n\t\t--tags Key=%s,Value=%s\nfi\n", sh(l.issuer), shAll(l.clientIDs), thumbprints, TagKey, t.Name)
	}
}

func (t target) shRole(s *script) {
	s.line("# The role: one audience, one subject.\npolicy=$(cat <<POLICY\n%s\nPOLICY\n)", t.shPolicy())
	s.line("if aws iam get-role --role-name %s >/dev/null 2>&1; then", sh(t.roleName()))
	s.line("\techo 'The role is there. To let it trust the workload, and nobody that it trusts now:' >&2")
	s.line("\techo \"aws iam update-assume-role-policy --role-name %s --policy-document '$policy'\" >&2\nelse", t.roleName())
	s.line("\taws iam create-role --role-name %s --path %s --assume-role-policy-document \"$policy\" \\", sh(t.roleName()), sh(t.rolePath()))
	if t.MaxSession != 0 {
		s.line("\t\t--max-session-duration %s \\", strconv.Itoa(int(t.MaxSession.Seconds())))
	}
	if t.PermissionsBoundary != "" {
		s.line("\t\t--permissions-boundary %s \\", sh(t.PermissionsBoundary))
	}
	s.line("\t\t--tags Key=%s,Value=%s\nfi", TagKey, t.Name)
	t.shAttach(s)
}

func (t target) shAttach(s *script) {
	for _, arn := range t.Policies {
		s.line("aws iam attach-role-policy --role-name %s --policy-arn %s", sh(t.roleName()), sh(arn))
	}
	s.line("")
}

// shPolicy is the trust policy with the shell's variables, for a here-document.
func (t target) shPolicy() string {
	policy := t.trusts()
	for i, l := range t.links() {
		policy.Statements[i].Principals[0].ID = "${provider_" + tfName(l) + "}"
	}
	document, _ := policy.MarshalJSON() // of texts only
	return shMarks(strings.NewReplacer(`\u0001`, "\x01").Replace(string(document)))
}

func (t target) shWayBack(s *script) {
	s.line("# The account issues tokens, and the role may ask for those that are for Entra.")
	s.line("role_arn=$(aws iam get-role --role-name %s --query Role.Arn --output text)", sh(t.roleName()))
	s.line("aws iam enable-outbound-web-identity-federation >/dev/null 2>&1 || true # it may be on already")
	s.line("issuer=$(aws iam get-outbound-web-identity-federation-info --query IssuerIdentifier --output text)")
	s.line("aws iam put-role-policy --role-name %s --policy-name %s \\\n\t--policy-document %s", sh(t.roleName()), sh(t.title()), sh(string(t.outboundJSON())))
	t.shAttach(s)
	s.line("# Who the role becomes.")
	if t.Principal.ResourceID != "" {
		t.shIdentityCredential(s)
		return
	}
	if t.Identity != "" {
		s.line("app=%s", sh(t.Identity))
	} else {
		t.shNewApplication(s)
		s.line("az ad sp show --id \"$app\" --output none 2>/dev/null || az ad sp create --id \"$app\" --output none")
	}
	t.shAppCredential(s, `"$app"`)
}

// shPod is the federated credential for a service account.
func (t target) shPod(s *script) {
	switch {
	case t.Pod == Pod{}:
	case t.Principal.ResourceID != "":
		t.shIdentityCredential(s)
	default:
		t.shAppCredential(s, sh(t.Identity))
	}
}

func (t target) shIdentityCredential(s *script) {
	c := t.federated()[0]
	group, name := identityName(t.Identity)
	s.line("az identity federated-credential create --resource-group %s --identity-name %s --name %s \\", sh(group), sh(name), sh(c.Name))
	s.line("\t--issuer %s --subject %s --audiences %s --output none", sh(c.Issuer), sh(c.Subject), shAll(c.Audiences))
}

func (t target) shAppCredential(s *script, app string) {
	c := t.federated()[0]
	document, _ := json.Marshal(c) // of texts
	s.line("if ! az ad app federated-credential show --id %s --federated-credential-id %s --output none 2>/dev/null; then", app, sh(c.Name))
	s.line("\taz ad app federated-credential create --id %s --output none \\\n\t\t--parameters %s\nfi", app, sh(strings.ReplaceAll(string(document), `\u0001`, "\x01")))
}

// identityName takes the resource group and the name from the id of a user-assigned identity.
func identityName(resourceID string) (group, name string) {
	segments := strings.Split(resourceID, "/")
	return segments[4], segments[len(segments)-1]
}
