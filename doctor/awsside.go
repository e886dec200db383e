package doctor

import (
	"fmt"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awshost"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/entra"
)

// awsTrouble knows what workloads in AWS lack on their way to Entra.
func (e *evidence) awsTrouble(failed *keyless.Error, f *Finding) bool {
	if e.Profile.Source.AWS == nil {
		return false
	}
	switch {
	case failed.Code == awshost.CodeNothing && e.metadataEC2:
		f.Code, f.Summary = "ec2-hop-limit", "the instance's metadata service is there, but its session tokens do not come back"
		f.Evidence = append(f.Evidence, "GET is answered, PUT is not: the answer to PUT may pass one hop only, and a container is the second")
		f.Fix = "let it pass two hops, or give the container a role of its own\naws ec2 modify-instance-metadata-options --instance-id INSTANCE --http-put-response-hop-limit 2 --http-tokens required"
	case failed.Code == awshost.CodeNothing:
		f.Code, f.Summary = "aws-credentials-missing", "this host offers no AWS credentials"
		f.Fix = lines(hinted(failed), "aws ec2 associate-iam-instance-profile --instance-id INSTANCE --iam-instance-profile Name=PROFILE")
	case failed.Code == awssts.CodeOutboundDisabled:
		f.Code, f.Summary = "outbound-disabled", "the AWS account does not issue tokens for its roles"
		f.Fix = "switch it on, once for the account\naws iam enable-outbound-web-identity-federation"
	case failed.Op == "GetWebIdentityToken" && failed.Code == "AccessDenied":
		f.Code, f.Summary = "outbound-not-allowed", "the role may not ask for a token"
		f.Fix = lines(hinted(failed), e.outboundCommand())
	default:
		return false
	}
	return true
}

func (e *evidence) outboundCommand() string {
	audience := entra.ExchangeAudience(strings.TrimSuffix(e.Getenv("AZURE_AUTHORITY_HOST"), "/"))
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:GetWebIdentityToken","Resource":"*",`+
		`"Condition":{"ForAllValues:StringEquals":{"sts:IdentityTokenAudience":%q},"StringEquals":{"sts:SigningAlgorithm":"RS256"}}}}`, audience)
	return "aws iam put-role-policy --role-name ROLE --policy-name keyless-identity --policy-document " + quoted(policy)
}
