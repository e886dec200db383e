package audit_test

import (
	"fmt"

	"github.com/keyless-id/keyless/audit"
	"github.com/keyless-id/keyless/trust"
)

func ExamplePolicy() {
	policy, err := trust.Parse([]byte(`{
		"Version": "2012-10-17",
		"Statement": {
			"Effect": "Allow",
			"Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/app.terraform.io"},
			"Action": "sts:AssumeRoleWithWebIdentity",
			"Condition": {"StringLike": {"app.terraform.io:sub": "organization:acme*"}}
		}
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, finding := range audit.Policy(policy) {
		fmt.Println(finding.Severity, finding.Rule)
		fmt.Println(finding.Why)
	}
	// Output:
	// critical crosses-tenants
	// "organization:acme*" fits the sub of any organization, such as "organization:acme-somebody-else"
}
