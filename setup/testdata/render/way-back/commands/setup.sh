#!/bin/sh
# agent: aws role, written by keyless setup render.
# It needs az and aws, signed in. It can be run again.
set -eu

# The account issues tokens, and the role may ask for those that are for Entra.
role_arn=$(aws iam get-role --role-name 'ec2' --query Role.Arn --output text)
aws iam enable-outbound-web-identity-federation >/dev/null 2>&1 || true # it may be on already
issuer=$(aws iam get-outbound-web-identity-federation-info --query IssuerIdentifier --output text)
aws iam put-role-policy --role-name 'ec2' --policy-name 'keyless-agent' \
	--policy-document '{"Version":"2012-10-17","Statement":[{"Sid":"TokensForEntra","Effect":"Allow","Action":"sts:GetWebIdentityToken","Resource":"*","Condition":{"ForAllValues:StringEquals":{"sts:IdentityTokenAudience":"api://AzureADTokenExchange"},"Null":{"sts:IdentityTokenAudience":"false"},"StringEquals":{"sts:SigningAlgorithm":"RS256"}}}]}'

# Who the role becomes.
app=$(az ad app list --filter "tags/any(t:t eq 'keyless:setup=agent')" --query '[0].appId' --output tsv)
if [ -z "$app" ]; then
	app=$(az rest --method POST --url 'https://graph.microsoft.com/v1.0/applications' --query appId --output tsv \
		--body '{"displayName":"keyless-agent","signInAudience":"AzureADMyOrg","tags":["keyless:setup=agent"]}')
	until az ad app show --id "$app" --output none 2>/dev/null; do sleep 3; done # Entra takes a while to know it
fi
az ad sp show --id "$app" --output none 2>/dev/null || az ad sp create --id "$app" --output none
if ! az ad app federated-credential show --id "$app" --federated-credential-id 'keyless-agent' --output none 2>/dev/null; then
	az ad app federated-credential create --id "$app" --output none \
		--parameters "{\"name\":\"keyless-agent\",\"issuer\":\"${issuer}\",\"subject\":\"${role_arn}\",\"audiences\":[\"api://AzureADTokenExchange\"]}"
fi
