package awssts

import (
	"net/url"
	"slices"
	"strings"
)

// FirstParty reports whether an audience is a service of Microsoft's own, whose tokens
// are never sent to STS: by its application id, or by a host in a domain that Microsoft
// keeps for itself. It ignores case, scheme, port and path: resource servers are not
// strict either.
func FirstParty(audience string) bool {
	audience = strings.ToLower(strings.TrimSpace(audience))
	id := strings.TrimPrefix(strings.TrimPrefix(audience, "spn:"), "api://")
	id, _, _ = strings.Cut(id, "/")
	if slices.Contains(firstPartyIDs(), id) || reserved(id) {
		return true
	}
	host := hostOf(audience)
	if slices.ContainsFunc(customerDomains(), func(domain string) bool { return within(host, domain) }) {
		return false
	}
	return slices.ContainsFunc(firstPartyDomains(), func(domain string) bool { return within(host, domain) })
}

// reserved are the ids of the oldest services, Microsoft Graph and Azure AD Graph
// and Exchange among them. They are no random GUIDs, and nobody else gets one.
func reserved(id string) bool {
	return strings.HasPrefix(id, "000000") &&
		(strings.HasSuffix(id, "-0000-0000-c000-000000000000") || strings.HasSuffix(id, "-0000-0ff1-ce00-000000000000"))
}

func hostOf(audience string) string {
	if !strings.Contains(audience, "://") {
		audience = "https://" + audience
	}
	parsed, err := url.Parse(audience)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(parsed.Hostname(), ".")
}

func within(host, domain string) bool { return host == domain || strings.HasSuffix(host, "."+domain) }

// firstPartyIDs are the application ids of Azure's services, the same in every
// tenant.
func firstPartyIDs() []string {
	return []string{
		"797f4846-ba00-4fd7-ba43-dac1f8f63013", // Azure Resource Manager
		"40a69793-8fe6-4db1-9591-dbc5c57b17d8", // Azure Resource Manager, US Government
		"cfa8b339-82a2-471a-a3c9-0fc0be7a4093", // Key Vault
		"e406a681-f3d4-42a8-90b6-c2b029497af1", // Storage
		"e933bd07-d2ee-4f1d-933c-3752b819567b", // Monitor, control service
		"035f9e1d-4f00-4419-bf50-bf2d87eb4878", // Monitor
		"ca7f3f0b-7d91-482c-8e09-c5d840d0eac5", // Log Analytics
		"022907d3-0f1b-48f7-badc-1ba6abab6d66", // SQL Database
		"123cd850-d9df-40bd-94d5-c9f07b7fa203", // PostgreSQL, MySQL
		"499b84ac-1321-427f-aa17-267ca6975798", // Azure DevOps
		"80369ed6-5f11-4dd9-bef3-692475845e77", // Event Hubs
		"80a10ef9-8168-493d-abf9-3297c4ef6e3c", // Service Bus
		"a232010e-820c-4083-83bb-3ace5fc29d0b", // Cosmos DB
		"6dae42f8-4368-4678-94ff-3960e28e3630", // Kubernetes Service
		"2ff814a6-3304-4ab8-85cb-cd0e6f879c1d", // Databricks
		"ddbf3205-c6bd-46ae-8127-60eb93363864", // Batch
		"e9f49c6b-5ce5-44c8-925d-015017e9f7ad", // Data Lake
		"35ffadb3-7fc1-497e-b61b-381d28e744cc", // App Configuration
		"2746ea77-4702-4b45-80ca-3c97e680e8b7", // Data Explorer
		"4ac7d521-0382-477b-b0f8-7e1d95f85ca2", // Analysis Services
		"1ac05c7e-12d2-4605-bf9d-549d7041c6b3", // Synapse
		"c5393580-f805-4401-95e8-94b7a6ef2fc2", // Office 365 management
	}
}

// firstPartyDomains hold the identifiers of Microsoft's services in all clouds.
// Nobody else can verify one of them, and so have an App ID URI there.
func firstPartyDomains() []string {
	return []string{
		"azure.com", "azure.net", "azure.us", "azure.cn", "azure.eu",
		"windows.net", "windows-ppe.net", "usgovcloudapi.net", "usgovcloudapi.us", "chinacloudapi.cn", "cloudapi.de", "microsoftazure.de",
		"microsoft.com", "microsoft.us", "microsoftonline.com", "microsoftonline.us", "microsoftonline.cn", "microsoftgraph.com",
		"office.com", "office365.com", "office.net", "outlook.com", "sharepoint.com", "live.com",
		"dynamics.com", "powerbi.com", "powerapps.com", "powerplatform.com",
		"visualstudio.com", "loganalytics.io", "applicationinsights.io",
		"azuredatabricks.net", "azuresynapse.net", "azureml.ms", "azurecr.io", "azconfig.io",
	}
}

// customerDomains are inside of those, but hand out names to customers.
func customerDomains() []string {
	return []string{"cloudapp.azure.com", "cloudapp.azure.us", "cloudapp.chinacloudapi.cn"}
}
