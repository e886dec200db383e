package setup

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// hcl writes a file as terraform fmt lays it out.
type hcl struct{ strings.Builder }

// attribute is a name and an expression.
type attribute struct{ name, value string }

func (h *hcl) line(format string, args ...any) { fmt.Fprintf(h, format+"\n", args...) }

// attributes aligns what stands together.
func (h *hcl) attributes(indent string, all []attribute) {
	width := 0
	for _, a := range all {
		width = max(width, len(a.name))
	}
	for _, a := range all {
		h.line("%s%-*s = %s", indent, width, a.name, a.value)
	}
}

// block writes a block of attributes, and what inner writes after them.
func (h *hcl) block(head string, inner func(), all ...attribute) {
	all = slices.DeleteFunc(all, func(a attribute) bool { return a.value == "" })
	if len(all) == 0 && inner == nil {
		h.line("%s {}\n", head)
		return
	}
	h.line("%s {", head)
	h.attributes("  ", all)
	if inner != nil {
		inner()
	}
	h.line("}\n")
}

// inner writes a block in a block.
func (h *hcl) inner(head string, all ...attribute) {
	h.line("\n  %s {", head)
	h.attributes("    ", all)
	h.line("  }")
}

// tf quotes a text, with references in the place of marks; empty stays empty.
func tf(text string) string {
	if text == "" {
		return ""
	}
	quoted, _ := json.Marshal(text) // of a text always works
	escaped := strings.NewReplacer("${", "$${", "%{", "%%{").Replace(string(quoted))
	escaped = filled(escaped, map[string]string{
		`\u0001app\u0001`: "${local.app_id}", `\u0001subject\u0001`: "${local.subject}", `\u0001client\u0001`: "${local.workload_client_id}",
		`\u0001issuer\u0001`: "${aws_iam_outbound_web_identity_federation.this.issuer_identifier}", `\u0001role\u0001`: "${data.aws_iam_role.workload.arn}",
	})
	if alone, ok := strings.CutPrefix(escaped, `"${`); ok && strings.Count(escaped, "${") == 1 && strings.HasSuffix(alone, `}"`) {
		return strings.TrimSuffix(alone, `}"`) // terraform warns of a template that is one reference
	}
	return escaped
}

func tfList(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = tf(text)
	}
	if len(quoted) == 0 {
		return ""
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func (t target) terraform() ([]File, error) {
	if err := t.needsID(Terraform); err != nil {
		return nil, err
	}
	var h hcl
	h.line("# %s: %s, written by keyless setup render.\n", t.Name, t.Kind)
	t.tfProviders(&h)
	if t.Kind == FromAWS {
		t.tfWayBack(&h)
	} else {
		t.tfWorkload(&h)
		t.tfApplication(&h)
		t.tfProviderAndRole(&h)
	}
	files := []File{{Name: "main.tf", Data: tidy(h.String()), Mode: 0o644}}
	if t.Kind != FromAWS {
		files = append(files, File{Name: "modules/trust-policy/main.tf", Data: []byte(trustModule), Mode: 0o644})
	}
	return files, nil
}

// tidy ends a file with one line end.
func tidy(text string) []byte { return []byte(strings.TrimRight(text, "\n") + "\n") }

func (t target) tfProviders(h *hcl) {
	h.line("terraform {\n  required_version = \">= 1.5\"\n\n  required_providers {")
	h.line("    aws = {\n      source  = \"hashicorp/aws\"\n      version = \">= %s\"\n    }", map[bool]string{false: "5.81", true: "6.26"}[t.Kind == FromAWS])
	if t.Kind != Pipelines {
		h.line("    azuread = {\n      source  = \"hashicorp/azuread\"\n      version = \">= 3.0\"\n    }")
	}
	h.line("  }\n}\n")
	if t.Kind != Pipelines {
		h.block(`provider "azuread"`, nil, attribute{"tenant_id", tf(t.Spec.TenantID)})
	}
}

// tfWorkload finds the workload's service principal, which has both its ids.
func (t target) tfWorkload(h *hcl) {
	if !t.throughEntra() {
		return
	}
	by := map[Kind]string{ManagedIdentity: "object_id", Application: "client_id"}[t.Kind]
	h.block(`data "azuread_service_principal" "workload"`, nil, attribute{by, tf(t.Identity)})
	app := "azuread_application.aws.client_id"
	if t.AppID != "" {
		app = "data.azuread_application.aws.client_id"
	}
	client := ""
	if t.version() == 2 {
		client = "data.azuread_service_principal.workload.client_id"
	}
	h.block("locals", nil,
		attribute{"app_id", app},
		attribute{"subject", "data.azuread_service_principal.workload.object_id"},
		attribute{"workload_client_id", client})
}

func (t target) tfApplication(h *hcl) {
	if !t.throughEntra() {
		return
	}
	if t.AppID != "" {
		h.line("# The application is there already: this sees to the assignment only.")
		h.block(`data "azuread_application" "aws"`, nil, attribute{"client_id", tf(t.AppID)})
		h.block(`data "azuread_service_principal" "aws"`, nil, attribute{"client_id", tf(t.AppID)})
		h.block(`resource "azuread_app_role_assignment" "workload"`, nil,
			attribute{"app_role_id", `data.azuread_service_principal.aws.app_role_ids["` + t.appRole().Value + `"]`},
			attribute{"principal_object_id", "local.subject"},
			attribute{"resource_object_id", "data.azuread_service_principal.aws.object_id"})
		return
	}
	t.tfNewApplication(h)
	h.block(`resource "azuread_application_identifier_uri" "aws"`, nil,
		attribute{"application_id", "azuread_application.aws.id"}, attribute{"identifier_uri", tf(t.audience())})
	h.line("# Whoever is not assigned gets no token for AWS.")
	h.block(`resource "azuread_service_principal" "aws"`, nil,
		attribute{"client_id", "azuread_application.aws.client_id"}, attribute{"app_role_assignment_required", "true"})
	h.block(`resource "azuread_app_role_assignment" "workload"`, nil,
		attribute{"app_role_id", tf(t.appRole().ID)},
		attribute{"principal_object_id", "local.subject"},
		attribute{"resource_object_id", "azuread_service_principal.aws.object_id"})
}

func (t target) tfNewApplication(h *hcl) {
	role := t.appRole()
	h.line("# Stands for AWS: nobody signs in with it, and it has no secret.")
	h.block(`resource "azuread_application" "aws"`, func() {
		h.inner("api", attribute{"requested_access_token_version", strconv.Itoa(t.version())})
		h.inner("app_role",
			attribute{"allowed_member_types", tfList(role.AllowedMemberTypes)}, attribute{"description", tf(role.Description)},
			attribute{"display_name", tf(role.DisplayName)}, attribute{"enabled", "true"}, attribute{"id", tf(role.ID)}, attribute{"value", tf(role.Value)})
		h.line("\n  lifecycle {\n    ignore_changes = [identifier_uris] # azuread_application_identifier_uri has them\n  }")
	}, attribute{"display_name", tf(t.title())}, attribute{"sign_in_audience", tf(signInAudience)}, attribute{"tags", tfList([]string{t.entraTag()})})
}

func (t target) tfProviderAndRole(h *hcl) {
	tags := "{ " + tf(TagKey) + " = " + tf(t.Name) + " }"
	for _, l := range t.links() {
		h.line("# One provider per issuer and account: if it is there, terraform import it.")
		h.block(`resource "aws_iam_openid_connect_provider" "`+tfName(l)+`"`, nil,
			attribute{"url", tf(l.issuer)}, attribute{"client_id_list", tfList(l.clientIDs)}, attribute{"thumbprint_list", tfList(t.Thumbprints)}, attribute{"tags", tags})
	}
	h.line("module \"trust_policy\" {\n  source = \"./modules/trust-policy\"\n\n  statements = [")
	for _, l := range t.links() {
		h.line("    {\n      sid          = %s\n      provider_arn = aws_iam_openid_connect_provider.%s.arn\n      conditions = [", tf(l.sid), tfName(l))
		for _, c := range t.conditions(l) {
			h.line("        { key = %s, value = %s },", tf(c[0]), tf(c[1]))
		}
		h.line("      ]\n    },")
	}
	h.line("  ]\n}\n")
	longest := ""
	if t.MaxSession != 0 {
		longest = strconv.Itoa(int(t.MaxSession.Seconds()))
	}
	h.block(`resource "aws_iam_role" "workload"`, nil,
		attribute{"name", tf(t.roleName())}, attribute{"path", tf(t.rolePath())}, attribute{"assume_role_policy", "module.trust_policy.policy"},
		attribute{"max_session_duration", longest}, attribute{"permissions_boundary", tf(t.PermissionsBoundary)}, attribute{"tags", tags})
	t.tfAttachments(h, "aws_iam_role.workload.name")
	h.block(`output "role_arn"`, nil, attribute{"value", "aws_iam_role.workload.arn"})
}

func (t target) tfAttachments(h *hcl, role string) {
	for i, arn := range t.Policies {
		h.block(fmt.Sprintf(`resource "aws_iam_role_policy_attachment" "workload_%d"`, i+1), nil, attribute{"role", role}, attribute{"policy_arn", tf(arn)})
	}
}

// tfName is a statement's id as Terraform names things.
func tfName(l link) string {
	switch l.sid {
	case "AzurePipelines":
		return "azure_pipelines"
	case "AzurePipelinesVSToken":
		return "azure_pipelines_vstoken"
	}
	return "entra"
}

// conditions are keys and values of the trust policy's statement for a link.
func (t target) conditions(l link) [][2]string {
	for _, s := range t.trusts().Statements {
		if s.Sid != l.sid {
			continue
		}
		pairs := make([][2]string, len(s.Conditions))
		for i, c := range s.Conditions {
			pairs[i] = [2]string{c.Key, c.Values[0]}
		}
		return pairs
	}
	return nil
}

func (t target) tfWayBack(h *hcl) {
	h.block(`data "aws_iam_role" "workload"`, nil, attribute{"name", tf(t.roleName())})
	h.line("# One for the account: if it is there, terraform import it.")
	h.block(`resource "aws_iam_outbound_web_identity_federation" "this"`, nil)
	h.block(`resource "aws_iam_role_policy" "tokens"`, nil,
		attribute{"name", tf(t.title())}, attribute{"role", "data.aws_iam_role.workload.name"}, attribute{"policy", tf(string(t.outboundJSON()))})
	t.tfAttachments(h, "data.aws_iam_role.workload.name")
	app := "azuread_application.workload"
	if t.Identity != "" {
		app = "data." + app
		h.block(`data "azuread_application" "workload"`, nil, attribute{"client_id", tf(t.Identity)})
	} else {
		h.block(`resource "azuread_application" "workload"`, nil,
			attribute{"display_name", tf(t.title())}, attribute{"sign_in_audience", tf(signInAudience)}, attribute{"tags", tfList([]string{t.entraTag()})})
		h.block(`resource "azuread_service_principal" "workload"`, nil, attribute{"client_id", app + ".client_id"})
	}
	credential := t.federated()[0]
	h.block(`resource "azuread_application_federated_identity_credential" "aws"`, nil,
		attribute{"application_id", app + ".id"}, attribute{"display_name", tf(credential.Name)}, attribute{"issuer", tf(credential.Issuer)},
		attribute{"subject", tf(credential.Subject)}, attribute{"audiences", tfList(credential.Audiences)})
	h.block(`output "client_id"`, nil, attribute{"value", app + ".client_id"})
}

// trustModule needs no provider, so that Terraform evaluates it anywhere.
const trustModule = `# The trust policy of a role for identities of Entra ID, as keyless setup writes it, to
# the byte. It needs no provider.

variable "statements" {
  description = "For each issuer: the ARN of its OIDC provider, and what its tokens must say."
  type = list(object({
    sid          = string
    provider_arn = string
    conditions   = list(object({ key = string, value = string }))
  }))

  validation {
    condition = alltrue([for s in var.statements : alltrue([for claim in [":aud", ":sub"] :
      anytrue([for c in s.conditions : endswith(c.key, claim) && c.value != ""])
    ])])
    error_message = "Each statement must pin the audience (:aud) and the subject (:sub)."
  }
}

locals {
  # jsonencode alone would sort the members of the policy by their names.
  statements = [for s in var.statements : join("", [
    "{\"Sid\":", jsonencode(s.sid),
    ",\"Effect\":\"Allow\",\"Principal\":{\"Federated\":", jsonencode(s.provider_arn),
    "},\"Action\":\"sts:AssumeRoleWithWebIdentity\",\"Condition\":{\"StringEquals\":{",
    join(",", [for c in s.conditions : "${jsonencode(c.key)}:${jsonencode(c.value)}"]),
    "}}}",
  ])]
}

output "policy" {
  value = "{\"Version\":\"2012-10-17\",\"Statement\":[${join(",", local.statements)}]}"
}
`
