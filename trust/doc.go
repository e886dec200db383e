// Package trust reads IAM trust policies as data and says, condition by condition, whether one lets a caller in.
//
//	policy, err := trust.Parse(document)
//	request := trust.WebIdentityRequest(providerARN, claims, "vm-1", roleARN)
//	decision := policy.Evaluate(request)
//	fmt.Println(decision.Allowed, decision.FirstFailure())
//
// The rules are those of the IAM User Guide: "IAM JSON policy element
// reference", "Condition operators", "Multivalued context keys", "Policy
// variables" and "Available keys for AWS OIDC federation". Where the guide is
// silent the code says "unverified".
package trust
