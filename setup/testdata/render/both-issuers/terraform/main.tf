# deploy: service connection, written by keyless setup render.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.81"
    }
  }
}

# One provider per issuer and account: if it is there, terraform import it.
resource "aws_iam_openid_connect_provider" "azure_pipelines" {
  url            = "https://login.microsoftonline.com/22222222-2222-2222-2222-222222222222/v2.0"
  client_id_list = ["499b84ac-1321-427f-aa17-267ca6975798"]
  tags           = { "keyless:setup" = "deploy" }
}

# One provider per issuer and account: if it is there, terraform import it.
resource "aws_iam_openid_connect_provider" "azure_pipelines_vstoken" {
  url            = "https://vstoken.dev.azure.com/55555555-5555-5555-5555-555555555555"
  client_id_list = ["api://AzureADTokenExchange"]
  tags           = { "keyless:setup" = "deploy" }
}

module "trust_policy" {
  source = "./modules/trust-policy"

  statements = [
    {
      sid          = "AzurePipelines"
      provider_arn = aws_iam_openid_connect_provider.azure_pipelines.arn
      conditions = [
        { key = "login.microsoftonline.com/22222222-2222-2222-2222-222222222222/v2.0:aud", value = "499b84ac-1321-427f-aa17-267ca6975798" },
        { key = "login.microsoftonline.com/22222222-2222-2222-2222-222222222222/v2.0:oaud", value = "fb60f99c-7a34-4190-8149-302f77469936" },
        { key = "login.microsoftonline.com/22222222-2222-2222-2222-222222222222/v2.0:sub", value = "/eid1/c/pub/t/IiIiIiIiIiIiIiIiIiIiIg/a/rISbSSETf0KqFyZ8ppdXmA/sc/55555555-5555-5555-5555-555555555555/66666666-6666-6666-6666-666666666666" },
      ]
    },
    {
      sid          = "AzurePipelinesVSToken"
      provider_arn = aws_iam_openid_connect_provider.azure_pipelines_vstoken.arn
      conditions = [
        { key = "vstoken.dev.azure.com/55555555-5555-5555-5555-555555555555:aud", value = "api://AzureADTokenExchange" },
        { key = "vstoken.dev.azure.com/55555555-5555-5555-5555-555555555555:sub", value = "sc://org/project/conn" },
      ]
    },
  ]
}

resource "aws_iam_role" "workload" {
  name               = "keyless-deploy"
  path               = "/"
  assume_role_policy = module.trust_policy.policy
  tags               = { "keyless:setup" = "deploy" }
}

output "role_arn" {
  value = aws_iam_role.workload.arn
}
