package trust_test

import (
	"fmt"

	"github.com/keyless-id/keyless/trust"
)

func ExamplePolicy_Evaluate() {
	policy, err := trust.Parse([]byte(`{
		"Version": "2012-10-17",
		"Statement": {
			"Effect": "Allow",
			"Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/sts.windows.net/tenant/"},
			"Action": "sts:AssumeRoleWithWebIdentity",
			"Condition": {"StringEquals": {
				"sts.windows.net/tenant/:aud": "api://aws",
				"sts.windows.net/tenant/:sub": "object-id"
			}}
		}
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	provider := trust.ProviderARN("aws", "111122223333", "https://sts.windows.net/tenant/")
	claims := trust.Claims{"aud": "api://aws", "sub": "client-id"}
	decision := policy.Evaluate(trust.WebIdentityRequest(provider, claims, "vm-1", "arn:aws:iam::111122223333:role/app"))
	fmt.Println(decision.Allowed)
	fmt.Println(decision.FirstFailure())
	// Output:
	// false
	// condition StringEquals sts.windows.net/tenant/:sub: want "object-id", got "client-id"
}
