#!/bin/sh
# app: app registration, written by keyless setup render.
# It needs az and aws, signed in. It can be run again.
set -eu

account=$(aws sts get-caller-identity --query Account --output text)
partition=$(aws sts get-caller-identity --query Arn --output text | cut -d : -f 2)

# Who the workload is: its object id is the subject of its tokens, not its client id.
subject=$(az ad sp show --id '33333333-3333-3333-3333-333333333333' --query id --output tsv)

# The application that stands for AWS. Nobody signs in with it, and it has no secret.
app='55555555-5555-5555-5555-555555555555' # it is there, with an app role, an App ID URI and its own version of tokens
az ad sp show --id "$app" --output none 2>/dev/null || az ad sp create --id "$app" --output none

# Whoever is not assigned gets no token for AWS; the workload is.
az ad sp update --id "$app" --set appRoleAssignmentRequired=true
resource=$(az ad sp show --id "$app" --query id --output tsv)
role=$(az ad sp show --id "$app" --query "appRoles[?value=='AssumeRole'].id | [0]" --output tsv)
assigned=$(az rest --method GET --url "https://graph.microsoft.com/v1.0/servicePrincipals/${resource}/appRoleAssignedTo" --query "value[?principalId=='${subject}'].id | [0]" --output tsv)
if [ -z "$assigned" ]; then
	az rest --method POST --url "https://graph.microsoft.com/v1.0/servicePrincipals/${resource}/appRoleAssignedTo" --output none \
		--body "{\"principalId\":\"${subject}\",\"resourceId\":\"${resource}\",\"appRoleId\":\"${role}\"}"
fi

# The issuer, to the letter. AWS needs no thumbprint for it.
provider_entra="arn:${partition}:iam::${account}:oidc-provider/sts.windows.net/22222222-2222-2222-2222-222222222222/"
if aws iam get-open-id-connect-provider --open-id-connect-provider-arn "$provider_entra" >/dev/null 2>&1; then
	aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn "$provider_entra" --client-id "api://${app}"
else
	aws iam create-open-id-connect-provider --url 'https://sts.windows.net/22222222-2222-2222-2222-222222222222/' --client-id-list "api://${app}" \
		--tags Key=keyless:setup,Value=app
fi

# The role: one audience, one subject.
policy=$(cat <<POLICY
{"Version":"2012-10-17","Statement":[{"Sid":"Entra","Effect":"Allow","Principal":{"Federated":"${provider_entra}"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"sts.windows.net/22222222-2222-2222-2222-222222222222/:aud":"api://${app}","sts.windows.net/22222222-2222-2222-2222-222222222222/:sub":"${subject}"}}}]}
POLICY
)
if aws iam get-role --role-name 'keyless-app' >/dev/null 2>&1; then
	echo 'The role is there. To let it trust the workload, and nobody that it trusts now:' >&2
	echo "aws iam update-assume-role-policy --role-name keyless-app --policy-document '$policy'" >&2
else
	aws iam create-role --role-name 'keyless-app' --path '/' --assume-role-policy-document "$policy" \
		--tags Key=keyless:setup,Value=app
fi
