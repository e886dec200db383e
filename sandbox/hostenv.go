package sandbox

import (
	"crypto/sha1"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// HostKind is a kind of machine that the workload may run on.
type HostKind string

// The kinds of hosts, as the environment tells them apart.
const (
	HostVM             HostKind = "vm"
	HostAppService     HostKind = "app service" // also Functions and Container Apps
	HostAppService2017 HostKind = "app service of 2017"
	HostArc            HostKind = "arc"
	HostAKS            HostKind = "aks"
	HostAzureML        HostKind = "azure ml"
	HostCloudShell     HostKind = "cloud shell"
	HostServiceFabric  HostKind = "service fabric" // needs Listen
	HostPipelines      HostKind = "pipelines"      // a job of Azure Pipelines
	HostEC2            HostKind = "ec2"            // a virtual machine in AWS
	HostContainer      HostKind = "container"      // ECS, or EKS with Pod Identity
)

// HostKinds lists them.
func HostKinds() []HostKind {
	return []HostKind{
		HostVM, HostAppService, HostAppService2017, HostArc, HostAKS, HostAzureML, HostCloudShell, HostServiceFabric, HostPipelines, HostEC2, HostContainer,
	}
}

// HostEnv returns the NAME=value pairs that a program finds on such a host. They
// hold secrets, as there. Before [Sandbox.Listen] the addresses are those that
// [Sandbox.RoundTripper] answers to. For AKS a service account's token is written
// to dir; the other kinds need none.
func (s *Sandbox) HostEnv(kind HostKind, dir string) ([]string, error) {
	base := s.URL(AppService)
	if base == "" {
		base = "http://" + appServiceHost
	}
	switch kind {
	case HostVM:
		return s.vmEnv(), nil
	case HostAppService:
		return []string{"IDENTITY_ENDPOINT=" + base + appServicePath, "IDENTITY_HEADER=" + s.header}, nil
	case HostAppService2017:
		return []string{"MSI_ENDPOINT=" + base + appServicePath, "MSI_SECRET=" + s.header, "WEBSITE_SITE_NAME=sandbox"}, nil
	case HostAzureML:
		env := []string{"MSI_ENDPOINT=" + base + azureMLPath, "MSI_SECRET=" + s.header}
		if m := s.assigned(); m != nil {
			env = append(env, "DEFAULT_IDENTITY_CLIENT_ID="+m.ClientID)
		}
		return env, nil
	case HostCloudShell:
		return []string{"MSI_ENDPOINT=" + base + cloudShellPath}, nil
	case HostArc:
		return s.arcEnv()
	case HostServiceFabric:
		return s.fabricEnv()
	case HostAKS:
		return s.clusterEnv(dir)
	case HostPipelines:
		return s.jobEnv()
	case HostEC2, HostContainer:
		return s.awsEnv(kind)
	}
	return nil, fmt.Errorf("sandbox: no kind of host is called %q", string(kind))
}

func (s *Sandbox) vmEnv() []string {
	if address := s.URL(IMDS); address != "" {
		return []string{"AZURE_POD_IDENTITY_AUTHORITY_HOST=" + address}
	}
	return nil
}

// assigned is the first user-assigned identity.
func (s *Sandbox) assigned() *ManagedIdentity {
	for _, t := range s.index.ordered {
		for i := range t.Identities {
			if m := &t.Identities[i]; !m.SystemAssigned {
				return m
			}
		}
	}
	return nil
}

func (s *Sandbox) arcEnv() ([]string, error) {
	if s.arc.dir == "" {
		return nil, errors.New("sandbox: Options.ArcTokenDir is empty: no agent of Azure Arc here")
	}
	base := s.URL(Arc)
	if base == "" {
		base = "http://" + arcHost
	}
	return []string{"IDENTITY_ENDPOINT=" + base + "/metadata/identity/oauth2/token", "IMDS_ENDPOINT=" + base}, nil
}

func (s *Sandbox) fabricEnv() ([]string, error) {
	base, err := url.Parse(s.TLSURL(AppService))
	if err != nil || base.Host == "" {
		return nil, errors.New("sandbox: Service Fabric speaks https only: listen first")
	}
	leaf, err := s.network.ca.certificateFor(&tls.ClientHelloInfo{ServerName: base.Hostname()})
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	sum := sha1.Sum(leaf.Certificate[0])
	return []string{
		"IDENTITY_ENDPOINT=" + base.String() + serviceFabricPath, "IDENTITY_HEADER=" + s.header,
		"IDENTITY_SERVER_THUMBPRINT=" + strings.ToUpper(hex.EncodeToString(sum[:])),
	}, nil
}

// clusterEnv is what the webhook of Microsoft Entra Workload ID gives a pod, for
// the first federated credential of a service account whose issuer the sandbox plays.
func (s *Sandbox) clusterEnv(dir string) ([]string, error) {
	for _, t := range s.index.ordered {
		for i := range t.Apps {
			app := &t.Apps[i]
			for _, credential := range app.FederatedCredentials {
				issuer := s.index.issuers[credential.Issuer]
				if issuer == nil || issuer.JWKS != "" || !strings.HasPrefix(credential.Subject, "system:serviceaccount:") {
					continue
				}
				file := filepath.Join(dir, "azure-identity-token")
				authority := s.TLSURL(Entra)
				if authority == "" {
					authority = "https://login.microsoftonline.com"
				}
				return []string{
					"AZURE_TENANT_ID=" + t.ID, "AZURE_CLIENT_ID=" + app.ClientID,
					"AZURE_FEDERATED_TOKEN_FILE=" + file, "AZURE_AUTHORITY_HOST=" + authority + "/",
				}, s.ProjectToken(file, credential, time.Hour)
			}
		}
	}
	return nil, errors.New("sandbox: no application has a federated credential for an issuer that is played here")
}

// jobEnv is what the agent gives the job of the world's first pipeline.
func (s *Sandbox) jobEnv() ([]string, error) {
	if len(s.index.pipelines) == 0 {
		return nil, errors.New("sandbox: no organization has a pipeline")
	}
	j := s.index.pipelines[0]
	base := orText(s.URL(Pipelines), "https://dev.azure.com") + "/" + j.organization.Name
	return []string{
		"SYSTEM_OIDCREQUESTURI=" + base + "/" + j.Project + "/_apis/distributedtask/hubs/build/plans/" + randomGUID() + "/jobs/" + randomGUID() + "/oidctoken",
		"SYSTEM_ACCESSTOKEN=" + j.AccessToken, "SYSTEM_COLLECTIONURI=" + base + "/", "TF_BUILD=True",
	}, nil
}

// awsEnv is empty for an instance before Listen: its address is known to everybody.
func (s *Sandbox) awsEnv(kind HostKind) ([]string, error) {
	switch {
	case s.index.host.RoleARN == "":
		return nil, errors.New("sandbox: the host is not in AWS")
	case kind == HostContainer:
		return []string{
			"AWS_CONTAINER_CREDENTIALS_FULL_URI=" + orText(s.URL(Container), "http://169.254.170.2") + "/v2/credentials/" + hostSessionName,
			"AWS_CONTAINER_AUTHORIZATION_TOKEN=" + s.index.host.ContainerToken,
		}, nil
	case s.URL(EC2) == "":
		return nil, nil
	}
	return []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + s.URL(EC2) + "/"}, nil // old clients join it to a path without a slash
}

// ProjectToken writes a service account's token as a kubelet does, in place of an
// older one at once. Issuer, subject and audience are those of what; the issuer
// must be one of the world's for anybody to believe it.
func (s *Sandbox) ProjectToken(file string, what FIC, life time.Duration) error {
	now := s.options.Now()
	claims := map[string]any{
		"iss": what.Issuer, "sub": what.Subject, "aud": []string{what.Audience}, "jti": randomGUID(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(life).Unix(),
	}
	if namespace, account, ok := serviceAccount(what.Subject); ok {
		claims["kubernetes.io"] = map[string]any{
			"namespace": namespace, "serviceaccount": map[string]any{"name": account, "uid": randomGUID()},
			"pod": map[string]any{"name": account + "-0", "uid": randomGUID()},
		}
	}
	token, err := s.Mint(claims, Minting{})
	if err != nil {
		return err
	}
	next := file + ".next"
	if err := os.WriteFile(next, []byte(token), 0o600); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	if err := os.Rename(next, file); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	return nil
}

// serviceAccount takes the subject of a pod's token apart.
func serviceAccount(subject string) (namespace, name string, ok bool) {
	rest, found := strings.CutPrefix(subject, "system:serviceaccount:")
	namespace, name, ok = strings.Cut(rest, ":")
	return namespace, name, found && ok
}
