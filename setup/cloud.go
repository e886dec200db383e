package setup

import (
	"fmt"

	"github.com/keyless-id/keyless/entra"
	"github.com/keyless-id/keyless/internal/graph"
)

// Cloud is where a cloud of Azure is ("Microsoft Graph national cloud deployments";
// "Azure environments", Azure CLI). Those but the public one are unverified.
type Cloud struct {
	Authority string
	IssuerV1  string // what the tenant's id follows in version 1 tokens
	Graph     string
	ARM       string
}

// CloudOf returns the cloud of that name; the empty name is the public cloud.
func CloudOf(name string) (Cloud, error) { return cloudOf(name) }

func cloudOf(name string) (Cloud, error) {
	authority, err := entra.AuthorityFor(name)
	if err != nil {
		return Cloud{}, err
	}
	switch authority {
	case entra.DefaultAuthority:
		return Cloud{authority, "https://sts.windows.net/", graph.Endpoint, graph.ARMEndpoint}, nil
	case "https://login.microsoftonline.us":
		return Cloud{authority, "https://sts.windows.net/", "https://graph.microsoft.us", "https://management.usgovcloudapi.net"}, nil
	case "https://login.partner.microsoftonline.cn":
		return Cloud{authority, "https://sts.chinacloudapi.cn/", "https://microsoftgraph.chinacloudapi.cn", "https://management.chinacloudapi.cn"}, nil
	}
	return Cloud{}, fmt.Errorf("cloud %q: where its Graph is, is not known to setup", name)
}
