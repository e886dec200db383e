package sandbox

import (
	"encoding/json"
	"time"

	"github.com/keyless-id/keyless/trust"
)

// The names of the world that [Demo] returns.
const (
	DemoTenantID = "3f2c8a10-0000-4000-8000-000000000001"

	// The API that tokens for AWS are issued for, with v1 tokens.
	DemoAPIClientID = "a3d5c0de-0000-4000-8000-0000000000a1"
	DemoAPIObjectID = "a3d5c0de-0000-4000-8000-0000000000a2"
	DemoAudience    = "api://" + DemoAPIClientID

	// The same with v2 tokens.
	DemoV2APIClientID = "a3d5c0de-0000-4000-8000-0000000000b1"
	DemoV2APIObjectID = "a3d5c0de-0000-4000-8000-0000000000b2"
	DemoV2Audience    = "api://" + DemoV2APIClientID

	// The virtual machine's own identity, and one that a user assigned to it.
	DemoVMClientID         = "c0ffee00-0000-4000-8000-000000000011"
	DemoVMObjectID         = "c0ffee00-0000-4000-8000-000000000012"
	DemoVMResourceID       = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/demo/providers/Microsoft.Compute/virtualMachines/vm-demo"
	DemoAssignedClientID   = "c0ffee00-0000-4000-8000-000000000021"
	DemoAssignedObjectID   = "c0ffee00-0000-4000-8000-000000000022"
	DemoAssignedResourceID = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/demo/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-demo"

	// An application registration with a secret, which is no secret.
	DemoAppClientID = "decaf000-0000-4000-8000-000000000031"
	DemoAppObjectID = "decaf000-0000-4000-8000-000000000032"
	DemoAppSecret   = "demo~not-a-secret~0123456789abcdefghijk"

	// A cluster's issuer and the service account that the application trusts.
	DemoClusterIssuer  = "https://westeurope.oic.prod-aks.azure.com/" + DemoTenantID + "/c0de5000-0000-4000-8000-000000000051/"
	DemoServiceAccount = "system:serviceaccount:demo:keyless"

	DemoAccountID  = "111122223333"
	DemoIssuer     = "https://sts.windows.net/" + DemoTenantID + "/"
	DemoV2Issuer   = "https://login.microsoftonline.com/" + DemoTenantID + "/v2.0"
	DemoRoleARN    = "arn:aws:iam::" + DemoAccountID + ":role/keyless-demo"         // trusts the three identities, by v1 token
	DemoVMRoleARN  = "arn:aws:iam::" + DemoAccountID + ":role/keyless-demo-vm"      // trusts the virtual machine only
	DemoOtherARN   = "arn:aws:iam::" + DemoAccountID + ":role/keyless-demo-other"   // trusts someone else
	DemoChainedARN = "arn:aws:iam::" + DemoAccountID + ":role/keyless-demo-chained" // trusts the first two roles
	DemoV2RoleARN  = "arn:aws:iam::" + DemoAccountID + ":role/keyless-demo-v2"      // trusts the three identities, by v2 token
	DemoBucket     = "keyless-demo"

	// A subject that exists nowhere: the one that DemoOtherARN trusts.
	DemoOtherObjectID = "0badf00d-0000-4000-8000-000000000042"
)

// Demo returns the world of `keyless demo`: a virtual machine and an
// application in Azure, and an AWS account that lets them in.
func Demo() World {
	return World{
		Host:     Host{Name: "vm-demo", Location: "westeurope", SubscriptionID: "00000000-0000-0000-0000-000000000001", ResourceGroup: "demo"},
		Tenants:  []Tenant{demoTenant()},
		Accounts: []Account{demoAccount()},
		Issuers:  []Issuer{{URL: DemoClusterIssuer}},
	}
}

func demoTenant() Tenant {
	callers := []string{DemoVMObjectID, DemoAssignedObjectID, DemoAppObjectID}
	api := App{
		Name: "aws-federation", ClientID: DemoAPIClientID, ObjectID: DemoAPIObjectID, AppIDURI: DemoAudience, TokenVersion: 1,
		AssignmentRequired: true, Roles: []string{"AssumeRole"}, Assigned: callers,
	}
	apiV2 := api
	apiV2.Name, apiV2.ClientID, apiV2.ObjectID = "aws-federation-v2", DemoV2APIClientID, DemoV2APIObjectID
	apiV2.AppIDURI, apiV2.TokenVersion = DemoV2Audience, 2
	app := App{
		Name: "deploy", ClientID: DemoAppClientID, ObjectID: DemoAppObjectID, Secrets: []AppSecret{{Value: DemoAppSecret}},
		FederatedCredentials: []FIC{{Issuer: DemoClusterIssuer, Subject: DemoServiceAccount, Audience: ExchangeAudience}},
	}
	return Tenant{
		ID:   DemoTenantID,
		Apps: []App{api, apiV2, app},
		Identities: []ManagedIdentity{
			{Name: "vm-demo", ClientID: DemoVMClientID, ObjectID: DemoVMObjectID, ResourceID: DemoVMResourceID, SystemAssigned: true},
			{Name: "id-demo", ClientID: DemoAssignedClientID, ObjectID: DemoAssignedObjectID, ResourceID: DemoAssignedResourceID},
		},
	}
}

func demoAccount() Account {
	all := []string{DemoVMObjectID, DemoAssignedObjectID, DemoAppObjectID}
	clients := []string{DemoVMClientID, DemoAssignedClientID, DemoAppClientID}
	return Account{
		ID: DemoAccountID,
		Providers: []OIDCProvider{
			{URL: DemoIssuer, ClientIDs: []string{DemoAudience}},
			{URL: DemoV2Issuer, ClientIDs: append([]string{DemoV2APIClientID}, clients...)},
		},
		Roles: []Role{
			{Name: "keyless-demo", TrustPolicy: trustV1(all...), MaxSession: 12 * time.Hour},
			{Name: "keyless-demo-vm", TrustPolicy: trustV1(DemoVMObjectID)},
			{Name: "keyless-demo-other", TrustPolicy: trustV1(DemoOtherObjectID)},
			{Name: "keyless-demo-chained", TrustPolicy: trustRoles(DemoRoleARN, DemoVMRoleARN)},
			{Name: "keyless-demo-v2", TrustPolicy: trustV2(clients, all)},
		},
		Buckets: []Bucket{{Name: DemoBucket, Objects: map[string]string{
			"hello.txt":           "Hello from the other cloud.\n",
			"logs/2026/first.log": "no key was stored to write this\n",
			"report.csv":          "day,keys\nmonday,0\ntuesday,0\n",
		}}},
	}
}

// trustV1 pins audience and subject of v1 tokens.
func trustV1(subjects ...string) string {
	key := trust.ProviderKey(DemoIssuer)
	return trustPolicy(trust.Federated, []string{trust.ProviderARN("", DemoAccountID, DemoIssuer)}, trust.AssumeRoleWithWebIdentity,
		trust.Condition{Operator: "StringEquals", Key: key + ":aud", Values: []string{DemoAudience}},
		trust.Condition{Operator: "StringEquals", Key: key + ":sub", Values: subjects})
}

// trustV2 pins the caller (:aud, which is azp), the API (:oaud) and the subject
// of v2 tokens.
func trustV2(clients, subjects []string) string {
	key := trust.ProviderKey(DemoV2Issuer)
	return trustPolicy(trust.Federated, []string{trust.ProviderARN("", DemoAccountID, DemoV2Issuer)}, trust.AssumeRoleWithWebIdentity,
		trust.Condition{Operator: "StringEquals", Key: key + ":aud", Values: clients},
		trust.Condition{Operator: "StringEquals", Key: key + ":oaud", Values: []string{DemoV2APIClientID}},
		trust.Condition{Operator: "StringEquals", Key: key + ":sub", Values: subjects})
}

func trustRoles(arns ...string) string { return trustPolicy(trust.AWS, arns, trust.AssumeRole) }

func trustPolicy(kind string, principals []string, action string, conditions ...trust.Condition) string {
	statement := trust.Statement{Effect: trust.Allow, Actions: []string{action}, Conditions: conditions}
	for _, id := range principals {
		statement.Principals = append(statement.Principals, trust.Principal{Type: kind, ID: id})
	}
	document, err := json.Marshal(&trust.Policy{Version: trust.Version2012, Statements: []trust.Statement{statement}})
	if err != nil {
		return "" // New refuses it
	}
	return string(document)
}
