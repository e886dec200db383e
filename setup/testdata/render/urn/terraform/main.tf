# vm: managed identity, written by keyless setup render.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.81"
    }
    azuread = {
      source  = "hashicorp/azuread"
      version = ">= 3.0"
    }
  }
}

provider "azuread" {
  tenant_id = "22222222-2222-2222-2222-222222222222"
}

data "azuread_service_principal" "workload" {
  object_id = "44444444-4444-4444-4444-444444444444"
}

locals {
  app_id  = azuread_application.aws.client_id
  subject = data.azuread_service_principal.workload.object_id
}

# Stands for AWS: nobody signs in with it, and it has no secret.
resource "azuread_application" "aws" {
  display_name     = "keyless-vm"
  sign_in_audience = "AzureADMyOrg"
  tags             = ["keyless:setup=vm"]

  api {
    requested_access_token_version = 1
  }

  app_role {
    allowed_member_types = ["Application"]
    description          = "Gets tokens that a role in AWS may trust"
    display_name         = "Assume a role in AWS"
    enabled              = true
    id                   = "38ac2f68-505c-877b-90ed-6db2f1f932e1"
    value                = "AssumeRole"
  }

  lifecycle {
    ignore_changes = [identifier_uris] # azuread_application_identifier_uri has them
  }
}

resource "azuread_application_identifier_uri" "aws" {
  application_id = azuread_application.aws.id
  identifier_uri = "urn://vm-to-aws"
}

# Whoever is not assigned gets no token for AWS.
resource "azuread_service_principal" "aws" {
  client_id                    = azuread_application.aws.client_id
  app_role_assignment_required = true
}

resource "azuread_app_role_assignment" "workload" {
  app_role_id         = "38ac2f68-505c-877b-90ed-6db2f1f932e1"
  principal_object_id = local.subject
  resource_object_id  = azuread_service_principal.aws.object_id
}

# One provider per issuer and account: if it is there, terraform import it.
resource "aws_iam_openid_connect_provider" "entra" {
  url            = "https://sts.windows.net/22222222-2222-2222-2222-222222222222/"
  client_id_list = ["urn://vm-to-aws"]
  tags           = { "keyless:setup" = "vm" }
}

module "trust_policy" {
  source = "./modules/trust-policy"

  statements = [
    {
      sid          = "Entra"
      provider_arn = aws_iam_openid_connect_provider.entra.arn
      conditions = [
        { key = "sts.windows.net/22222222-2222-2222-2222-222222222222/:aud", value = "urn://vm-to-aws" },
        { key = "sts.windows.net/22222222-2222-2222-2222-222222222222/:sub", value = local.subject },
      ]
    },
  ]
}

resource "aws_iam_role" "workload" {
  name               = "keyless-vm"
  path               = "/"
  assume_role_policy = module.trust_policy.policy
  tags               = { "keyless:setup" = "vm" }
}

output "role_arn" {
  value = aws_iam_role.workload.arn
}
