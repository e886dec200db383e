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

	// An application that may administrate the tenant, and the subscription of the host.
	DemoAdminClientID  = "decaf000-0000-4000-8000-000000000033"
	DemoAdminObjectID  = "decaf000-0000-4000-8000-000000000034"
	DemoAdminAppSecret = "demo~not-a-secret~admin~0123456789abcdef"

	// A cluster's issuer and the service account that the application trusts.
	DemoClusterIssuer  = "https://westeurope.oic.prod-aks.azure.com/" + DemoTenantID + "/c0de5000-0000-4000-8000-000000000051/"
	DemoServiceAccount = "system:serviceaccount:demo:keyless"
	DemoPodAudience    = "sts.amazonaws.com" // of the tokens that AWS takes from the cluster itself

	// An organization of Azure DevOps, its project and pipeline, what the job proves
	// itself with, and its two service connections: the first is Entra's, the other of
	// the kind that is retired.
	DemoOrganizationID  = "de00b5c0-0000-4000-8000-000000000061"
	DemoOrganization    = "demo"
	DemoJobToken        = "demo-job-is-not-a-secret"
	DemoConnectionID    = "c0de0000-0000-4000-8000-000000000071"
	DemoOldConnectionID = "c0de0000-0000-4000-8000-000000000072"

	// The issuer of the AWS account, and for a host in AWS what its container endpoint
	// wants: Host.ContainerToken.
	DemoOutboundIssuer = "https://c0ffee00-0000-4000-8000-000000000081.tokens.sts.global.api.aws"
	DemoContainerToken = "demo-container-is-not-a-secret"

	DemoAccountID  = "111122223333"
	DemoIssuer     = "https://sts.windows.net/" + DemoTenantID + "/"
	DemoV2Issuer   = "https://login.microsoftonline.com/" + DemoTenantID + "/v2.0"
	DemoRoleARN    = "arn:aws:iam::" + DemoAccountID + ":role/keyless-demo"         // trusts the three identities, by v1 token
	DemoVMRoleARN  = "arn:aws:iam::" + DemoAccountID + ":role/keyless-demo-vm"      // trusts the virtual machine only
	DemoOtherARN   = "arn:aws:iam::" + DemoAccountID + ":role/keyless-demo-other"   // trusts someone else
	DemoChainedARN = "arn:aws:iam::" + DemoAccountID + ":role/keyless-demo-chained" // trusts the first two roles
	DemoV2RoleARN  = "arn:aws:iam::" + DemoAccountID + ":role/keyless-demo-v2"      // trusts the three identities, by v2 token
	DemoJobRoleARN = "arn:aws:iam::" + DemoAccountID + ":role/keyless-demo-job"     // trusts both service connections
	DemoHostARN    = "arn:aws:iam::" + DemoAccountID + ":role/keyless-demo-host"    // for a host in AWS: Host.RoleARN
	DemoPodRoleARN = "arn:aws:iam::" + DemoAccountID + ":role/keyless-demo-pod"     // trusts the service account by the cluster's own token
	DemoBucket     = "keyless-demo"

	// A user of the account who may administrate it, with a key that is no secret.
	DemoAdminKeyID  = "AKIADEMO000000000001"
	DemoAdminSecret = "demo-admin-is-not-a-secret-0123456789abc"
	DemoAdminARN    = "arn:aws:iam::" + DemoAccountID + ":user/admin"

	// The data collection rule that the virtual machine and the application may write
	// logs to, that of an Azure Monitor workspace, and a workspace of AWS for DemoRoleARN.
	DemoRuleID        = "dcr-de00c0de000040008000000000000091"
	DemoStream        = "Custom-Demo_CL"
	DemoMetricsRuleID = "dcr-de00c0de000040008000000000000092"
	DemoWorkspaceID   = "ws-de00c0de-0000-4000-8000-000000000093"

	// Who may write to Elasticsearch. The key is ID:KEY, of which clients send the base64.
	DemoSearchUser     = "demo"
	DemoSearchPassword = "demo-search-is-not-a-secret"
	DemoSearchAPIKey   = "demo:demo-key-is-not-a-secret"

	// A subject that exists nowhere: the one that DemoOtherARN trusts.
	DemoOtherObjectID = "0badf00d-0000-4000-8000-000000000042"
)

// Demo returns the world of `keyless demo`: a virtual machine and an
// application in Azure, and an AWS account that lets them in.
func Demo() World {
	return World{
		Host:          Host{Name: "vm-demo", Location: "westeurope", SubscriptionID: "00000000-0000-0000-0000-000000000001", ResourceGroup: "demo"},
		Tenants:       []Tenant{demoTenant()},
		Accounts:      []Account{demoAccount()},
		Issuers:       []Issuer{{URL: DemoClusterIssuer}},
		Organizations: []Organization{demoOrganization()},
		Search:        SearchEngine{Users: map[string]string{DemoSearchUser: DemoSearchPassword}, APIKeys: []string{DemoSearchAPIKey}},
	}
}

func demoRules() []DCR {
	publishers := []Publisher{{ObjectID: DemoVMObjectID}, {ObjectID: DemoAppObjectID}}
	columns := map[string]string{"TimeGenerated": "datetime", "Message": "string", "Level": "string", "Count": "long", "Seconds": "real", "Ok": "boolean", "Details": "dynamic"}
	return []DCR{
		{ImmutableID: DemoRuleID, Streams: map[string]LogStream{
			DemoStream: {Columns: columns}, "Microsoft-OTLP-Logs": {}, "Microsoft-OTLP-Traces": {},
			"Microsoft-Syslog": {Columns: syslogColumns()}, "Microsoft-CommonSecurityLog": {Columns: securityColumns()},
		}, Publishers: publishers},
		{ImmutableID: DemoMetricsRuleID, Streams: map[string]LogStream{MetricsStream: {}, "microsoft-otelmetrics": {}}, Publishers: publishers},
	}
}

// syslogColumns are those of the table Syslog that a sender fills ("Syslog", Azure Monitor
// Logs reference).
func syslogColumns() map[string]string {
	return map[string]string{
		"TimeGenerated": "datetime", "EventTime": "datetime", "Computer": "string", "Facility": "string", "HostName": "string", "HostIP": "string",
		"ProcessID": "int", "ProcessName": "string", "SeverityLevel": "string", "SourceSystem": "string", "SyslogMessage": "string",
	}
}

// securityColumns are the first of those of the table CommonSecurityLog.
func securityColumns() map[string]string {
	columns := map[string]string{"TimeGenerated": "datetime", "SourcePort": "int", "DestinationPort": "int"}
	for _, name := range []string{
		"DeviceVendor", "DeviceProduct", "DeviceVersion", "DeviceEventClassID", "Activity", "LogSeverity", "AdditionalExtensions", "Computer",
		"DeviceAction", "SourceIP", "DestinationIP", "SourceUserName", "DestinationUserName", "Protocol", "Message", "RequestURL",
	} {
		columns[name] = "string"
	}
	return columns
}

func demoOrganization() Organization {
	return Organization{ID: DemoOrganizationID, Name: DemoOrganization, Pipelines: []Pipeline{{
		Project: "demo", Name: "deploy", AccessToken: DemoJobToken,
		Connections: []ServiceConnection{
			{ID: DemoConnectionID, Name: "aws", TenantID: DemoTenantID},
			{ID: DemoOldConnectionID, Name: "aws-old"},
		},
	}}}
}

// The subjects of the two service connections.
func demoConnection() string {
	return connectionSubject(DemoTenantID, DemoOrganizationID, DemoConnectionID)
}

const demoOldConnection = "sc://" + DemoOrganization + "/demo/aws-old"

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
		FederatedCredentials: []FIC{
			{Issuer: DemoClusterIssuer, Subject: DemoServiceAccount, Audience: ExchangeAudience},
			{Issuer: DemoOutboundIssuer, Subject: DemoHostARN, Audience: ExchangeAudience},
			{Issuer: DemoV2Issuer, Subject: demoConnection(), Audience: ExchangeAudience},
			{Issuer: vstokenIssuer + DemoOrganizationID, Subject: demoOldConnection, Audience: ExchangeAudience},
		},
	}
	admin := App{Name: "admin", ClientID: DemoAdminClientID, ObjectID: DemoAdminObjectID, Secrets: []AppSecret{{Value: DemoAdminAppSecret}}}
	return Tenant{
		ID:             DemoTenantID,
		Apps:           []App{api, apiV2, app, admin},
		Administrators: []string{DemoAdminObjectID},
		Rules:          demoRules(),
		Identities: []ManagedIdentity{
			{Name: "vm-demo", ClientID: DemoVMClientID, ObjectID: DemoVMObjectID, ResourceID: DemoVMResourceID, SystemAssigned: true},
			{Name: "id-demo", ClientID: DemoAssignedClientID, ObjectID: DemoAssignedObjectID, ResourceID: DemoAssignedResourceID, FederatedCredentials: []FIC{
				{Issuer: DemoOutboundIssuer, Subject: DemoHostARN, Audience: ExchangeAudience},
			}},
		},
	}
}

func demoAccount() Account {
	all := []string{DemoVMObjectID, DemoAssignedObjectID, DemoAppObjectID}
	clients := []string{DemoVMClientID, DemoAssignedClientID, DemoAppClientID}
	return Account{
		ID: DemoAccountID, OutboundIssuer: DemoOutboundIssuer,
		Users:          []AccessKey{{UserName: "admin", AccessKeyID: DemoAdminKeyID, SecretAccessKey: DemoAdminSecret}},
		Administrators: []string{DemoAdminARN},
		Providers: []OIDCProvider{
			{URL: DemoIssuer, ClientIDs: []string{DemoAudience}},
			{URL: DemoV2Issuer, ClientIDs: append([]string{DemoV2APIClientID, devOpsClientID}, clients...)},
			{URL: vstokenIssuer + DemoOrganizationID, ClientIDs: []string{ExchangeAudience}},
			{URL: DemoClusterIssuer, ClientIDs: []string{DemoPodAudience}},
		},
		Roles: []Role{
			{Name: "keyless-demo", TrustPolicy: trustV1(all...), MaxSession: 12 * time.Hour},
			{Name: "keyless-demo-vm", TrustPolicy: trustV1(DemoVMObjectID)},
			{Name: "keyless-demo-other", TrustPolicy: trustV1(DemoOtherObjectID)},
			{Name: "keyless-demo-chained", TrustPolicy: trustRoles(DemoRoleARN, DemoVMRoleARN)},
			{Name: "keyless-demo-v2", TrustPolicy: trustV2(DemoV2APIClientID, clients, all)},
			{Name: "keyless-demo-job", TrustPolicy: trustJob()},
			{Name: "keyless-demo-pod", TrustPolicy: document(pinned(DemoClusterIssuer, DemoPodAudience, DemoServiceAccount))},
			{Name: "keyless-demo-host", TrustPolicy: trustPolicy(trust.Service, []string{"ec2.amazonaws.com"}, trust.AssumeRole)},
		},
		Workspaces: []MetricsWorkspace{{ID: DemoWorkspaceID, Writers: []string{DemoRoleARN}}},
		Alias:      "keyless-demo",
		Regions:    []Region{demoRegion()},
		Buckets: []Bucket{{Name: DemoBucket, Objects: map[string]string{
			"hello.txt":           "Hello from the other cloud.\n",
			"logs/2026/first.log": "no key was stored to write this\n",
			"report.csv":          "day,keys\nmonday,0\ntuesday,0\n",
		}}},
	}
}

// demoRegion has an instance of each kind that has metrics of its own.
func demoRegion() Region {
	return Region{Name: defaultRegion, Delivery: Delivery{Delay: 2 * time.Minute}, Instances: []Instance{
		{Count: 3, Type: "t3.micro", Tags: map[string]string{"Name": "web", "team": "demo"}},
		{Type: "m5d.large", Detailed: true, Tags: map[string]string{"Name": "database", "team": "demo"}},
	}}
}

// trustV1 trusts callers of the API by v1 tokens.
func trustV1(subjects ...string) string {
	return document(pinned(DemoIssuer, DemoAudience, subjects...))
}

// pinned trusts an issuer's tokens with one audience and certain subjects.
func pinned(issuer, audience string, subjects ...string) trust.Statement {
	key := trust.ProviderKey(issuer)
	return statement(trust.Federated, []string{trust.ProviderARN("", DemoAccountID, issuer)}, trust.AssumeRoleWithWebIdentity,
		trust.Condition{Operator: "StringEquals", Key: key + ":aud", Values: []string{audience}},
		trust.Condition{Operator: "StringEquals", Key: key + ":sub", Values: subjects})
}

// trustV2 pins the caller (:aud, which is azp), the API (:oaud) and the subject
// of v2 tokens.
func trustV2(api string, clients, subjects []string) string {
	return document(statementV2(api, clients, subjects))
}

func statementV2(api string, clients, subjects []string) trust.Statement {
	key := trust.ProviderKey(DemoV2Issuer)
	return statement(trust.Federated, []string{trust.ProviderARN("", DemoAccountID, DemoV2Issuer)}, trust.AssumeRoleWithWebIdentity,
		trust.Condition{Operator: "StringEquals", Key: key + ":aud", Values: clients},
		trust.Condition{Operator: "StringEquals", Key: key + ":oaud", Values: []string{api}},
		trust.Condition{Operator: "StringEquals", Key: key + ":sub", Values: subjects})
}

// trustJob pins the two service connections, each by its issuer.
func trustJob() string {
	return document(
		statementV2(ExchangeClientID, []string{devOpsClientID}, []string{demoConnection()}),
		pinned(vstokenIssuer+DemoOrganizationID, ExchangeAudience, demoOldConnection))
}

func trustRoles(arns ...string) string { return trustPolicy(trust.AWS, arns, trust.AssumeRole) }

func trustPolicy(kind string, principals []string, action string, conditions ...trust.Condition) string {
	return document(statement(kind, principals, action, conditions...))
}

func statement(kind string, principals []string, action string, conditions ...trust.Condition) trust.Statement {
	s := trust.Statement{Effect: trust.Allow, Actions: []string{action}, Conditions: conditions}
	for _, id := range principals {
		s.Principals = append(s.Principals, trust.Principal{Type: kind, ID: id})
	}
	return s
}

func document(statements ...trust.Statement) string {
	text, err := json.Marshal(&trust.Policy{Version: trust.Version2012, Statements: statements})
	if err != nil {
		return "" // New refuses it
	}
	return string(text)
}
