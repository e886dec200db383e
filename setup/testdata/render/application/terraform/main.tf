# app: app registration, written by keyless setup render.

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
  client_id = "33333333-3333-3333-3333-333333333333"
}

locals {
  app_id  = data.azuread_application.aws.client_id
  subject = data.azuread_service_principal.workload.object_id
}

# The application is there already: this sees to the assignment only.
data "azuread_application" "aws" {
  client_id = "55555555-5555-5555-5555-555555555555"
}

data "azuread_service_principal" "aws" {
  client_id = "55555555-5555-5555-5555-555555555555"
}

resource "azuread_app_role_assignment" "workload" {
  app_role_id         = data.azuread_service_principal.aws.app_role_ids["AssumeRole"]
  principal_object_id = local.subject
  resource_object_id  = data.azuread_service_principal.aws.object_id
}

# One provider per issuer and account: if it is there, terraform import it.
resource "aws_iam_openid_connect_provider" "entra" {
  url            = "https://sts.windows.net/22222222-2222-2222-2222-222222222222/"
  client_id_list = ["api://${local.app_id}"]
  tags           = { "keyless:setup" = "app" }
}

module "trust_policy" {
  source = "./modules/trust-policy"

  statements = [
    {
      sid          = "Entra"
      provider_arn = aws_iam_openid_connect_provider.entra.arn
      conditions = [
        { key = "sts.windows.net/22222222-2222-2222-2222-222222222222/:aud", value = "api://${local.app_id}" },
        { key = "sts.windows.net/22222222-2222-2222-2222-222222222222/:sub", value = local.subject },
      ]
    },
  ]
}

resource "aws_iam_role" "workload" {
  name               = "keyless-app"
  path               = "/"
  assume_role_policy = module.trust_policy.policy
  tags               = { "keyless:setup" = "app" }
}

output "role_arn" {
  value = aws_iam_role.workload.arn
}
