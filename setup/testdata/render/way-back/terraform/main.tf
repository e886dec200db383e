# agent: aws role, written by keyless setup render.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.26"
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

data "aws_iam_role" "workload" {
  name = "ec2"
}

# One for the account: if it is there, terraform import it.
resource "aws_iam_outbound_web_identity_federation" "this" {}

resource "aws_iam_role_policy" "tokens" {
  name   = "keyless-agent"
  role   = data.aws_iam_role.workload.name
  policy = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"TokensForEntra\",\"Effect\":\"Allow\",\"Action\":\"sts:GetWebIdentityToken\",\"Resource\":\"*\",\"Condition\":{\"ForAllValues:StringEquals\":{\"sts:IdentityTokenAudience\":\"api://AzureADTokenExchange\"},\"Null\":{\"sts:IdentityTokenAudience\":\"false\"},\"StringEquals\":{\"sts:SigningAlgorithm\":\"RS256\"}}}]}"
}

resource "azuread_application" "workload" {
  display_name     = "keyless-agent"
  sign_in_audience = "AzureADMyOrg"
  tags             = ["keyless:setup=agent"]
}

resource "azuread_service_principal" "workload" {
  client_id = azuread_application.workload.client_id
}

resource "azuread_application_federated_identity_credential" "aws" {
  application_id = azuread_application.workload.id
  display_name   = "keyless-agent"
  issuer         = aws_iam_outbound_web_identity_federation.this.issuer_identifier
  subject        = data.aws_iam_role.workload.arn
  audiences      = ["api://AzureADTokenExchange"]
}

output "client_id" {
  value = azuread_application.workload.client_id
}
