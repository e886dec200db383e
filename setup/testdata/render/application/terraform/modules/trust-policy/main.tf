# The trust policy of a role for identities of Entra ID, as keyless setup writes it, to
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
