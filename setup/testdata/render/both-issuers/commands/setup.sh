#!/bin/sh
# deploy: service connection, written by keyless setup render.
# It needs az and aws, signed in. It can be run again.
set -eu

account=$(aws sts get-caller-identity --query Account --output text)
partition=$(aws sts get-caller-identity --query Arn --output text | cut -d : -f 2)

# The issuer, to the letter. AWS needs no thumbprint for it.
provider_azure_pipelines="arn:${partition}:iam::${account}:oidc-provider/login.microsoftonline.com/22222222-2222-2222-2222-222222222222/v2.0"
if aws iam get-open-id-connect-provider --open-id-connect-provider-arn "$provider_azure_pipelines" >/dev/null 2>&1; then
	aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn "$provider_azure_pipelines" --client-id '499b84ac-1321-427f-aa17-267ca6975798'
else
	aws iam create-open-id-connect-provider --url 'https://login.microsoftonline.com/22222222-2222-2222-2222-222222222222/v2.0' --client-id-list '499b84ac-1321-427f-aa17-267ca6975798' \
		--tags Key=keyless:setup,Value=deploy
fi

# The issuer, to the letter. AWS needs no thumbprint for it.
provider_azure_pipelines_vstoken="arn:${partition}:iam::${account}:oidc-provider/vstoken.dev.azure.com/55555555-5555-5555-5555-555555555555"
if aws iam get-open-id-connect-provider --open-id-connect-provider-arn "$provider_azure_pipelines_vstoken" >/dev/null 2>&1; then
	aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn "$provider_azure_pipelines_vstoken" --client-id 'api://AzureADTokenExchange'
else
	aws iam create-open-id-connect-provider --url 'https://vstoken.dev.azure.com/55555555-5555-5555-5555-555555555555' --client-id-list 'api://AzureADTokenExchange' \
		--tags Key=keyless:setup,Value=deploy
fi

# The role: one audience, one subject.
policy=$(cat <<POLICY
{"Version":"2012-10-17","Statement":[{"Sid":"AzurePipelines","Effect":"Allow","Principal":{"Federated":"${provider_azure_pipelines}"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"login.microsoftonline.com/22222222-2222-2222-2222-222222222222/v2.0:aud":"499b84ac-1321-427f-aa17-267ca6975798","login.microsoftonline.com/22222222-2222-2222-2222-222222222222/v2.0:oaud":"fb60f99c-7a34-4190-8149-302f77469936","login.microsoftonline.com/22222222-2222-2222-2222-222222222222/v2.0:sub":"/eid1/c/pub/t/IiIiIiIiIiIiIiIiIiIiIg/a/rISbSSETf0KqFyZ8ppdXmA/sc/55555555-5555-5555-5555-555555555555/66666666-6666-6666-6666-666666666666"}}},{"Sid":"AzurePipelinesVSToken","Effect":"Allow","Principal":{"Federated":"${provider_azure_pipelines_vstoken}"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"vstoken.dev.azure.com/55555555-5555-5555-5555-555555555555:aud":"api://AzureADTokenExchange","vstoken.dev.azure.com/55555555-5555-5555-5555-555555555555:sub":"sc://org/project/conn"}}}]}
POLICY
)
if aws iam get-role --role-name 'keyless-deploy' >/dev/null 2>&1; then
	echo 'The role is there. To let it trust the workload, and nobody that it trusts now:' >&2
	echo "aws iam update-assume-role-policy --role-name keyless-deploy --policy-document '$policy'" >&2
else
	aws iam create-role --role-name 'keyless-deploy' --path '/' --assume-role-policy-document "$policy" \
		--tags Key=keyless:setup,Value=deploy
fi
