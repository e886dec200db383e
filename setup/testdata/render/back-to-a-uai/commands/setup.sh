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
az identity federated-credential create --resource-group 'g' --identity-name 'id' --name 'keyless-agent' \
	--issuer "${issuer}" --subject "${role_arn}" --audiences 'api://AzureADTokenExchange' --output none
