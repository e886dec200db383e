#!/usr/bin/env bash
# The way that people write down for this today: a token from the metadata service
# by curl, the exchange by the AWS CLI, and jq in between. AWS is the CLI to use.
set -euo pipefail
token=$(curl -s -H Metadata:true \
	"$AZURE_POD_IDENTITY_AUTHORITY_HOST/metadata/identity/oauth2/token?api-version=2018-02-01&resource=$1" |
	jq -r .access_token)
"$AWS" sts assume-role-with-web-identity --endpoint-url "$AWS_ENDPOINT_URL_STS" \
	--role-arn "$2" --role-session-name bench --web-identity-token "$token" --output json |
	jq '.Credentials | {Version: 1, AccessKeyId, SecretAccessKey, SessionToken, Expiration}'
