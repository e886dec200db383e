package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// playground is a running sandbox with a folder of files that lead programs to it.
type playground struct {
	*sandbox.Sandbox
	dir      string
	host     sandbox.HostKind // empty: a virtual machine
	isolated bool             // in namespaces of its own, at the true names and addresses

	env []string // what programs need to find the sandbox instead of the clouds
}

// newPlayground starts the demo world anywhere on loopback and writes its folder.
func newPlayground(dir string) (*playground, error) {
	g := &playground{dir: dir}
	return g, g.open(anywhere, sandbox.Options{})
}

// open starts the world on addr, or at the true names, and writes the folder, which must
// not exist.
func (g *playground) open(addr string, opts sandbox.Options) error {
	if err := os.Mkdir(g.dir, 0o700); err != nil {
		return err
	}
	key, certificate, err := newCertificate(time.Now().Add(24 * time.Hour))
	if err != nil {
		return err
	}
	if g.host == sandbox.HostArc {
		opts.ArcTokenDir = arcTokens
	}
	if g.Sandbox, err = sandbox.New(g.world(certificate), opts); err != nil {
		return err
	}
	if !g.isolated {
		err = g.Listen(addr)
	}
	if err != nil {
		return err
	}
	if g.env, err = g.variables(); err != nil {
		return err
	}
	if err := g.writeFiles(key); err != nil || !g.isolated {
		return err
	}
	if err := g.furnish(); err != nil {
		return err
	}
	return g.serveTrueNames()
}

func (g *playground) world(certificate []byte) sandbox.World {
	world := sandbox.Demo()
	for i := range world.Tenants[0].Apps {
		if app := &world.Tenants[0].Apps[i]; app.ClientID == sandbox.DemoAppClientID {
			app.Certificates = [][]byte{certificate}
		}
	}
	if g.inAWS() {
		world.Host.RoleARN, world.Host.ContainerToken = sandbox.DemoHostARN, sandbox.DemoContainerToken
	}
	return world
}

func (g *playground) inAWS() bool {
	return g.host == sandbox.HostEC2 || g.host == sandbox.HostContainer
}

// newCertificate makes a certificate for the demo application that is valid until
// end, and PEM of it with its key.
func newCertificate(end time.Time) (file, der []byte, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "keyless-demo"},
		NotBefore: end.Add(-48 * time.Hour), NotAfter: end,
	}
	der, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	file = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...), der, nil
}

func (g *playground) path(name string) string { return filepath.Join(g.dir, name) }

func (g *playground) writeFiles(certificate []byte) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"ca.pem":          string(g.CAPEM()),
		"app.pem":         string(certificate),
		"app-secret":      sandbox.DemoAppSecret,
		"admin-secret":    sandbox.DemoAdminAppSecret,
		"keyless.yaml":    g.config(),
		"aws-config":      g.awsConfig(exe),
		"aws-credentials": adminCredentials(),
		"env":             g.shell(),
	} {
		if err := os.WriteFile(g.path(name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// config is the configuration file for the world.
func (g *playground) config() string {
	app := fmt.Sprintf("tenant_id: %s, client_id: %s", sandbox.DemoTenantID, sandbox.DemoAppClientID)
	aws := func(arn string) string { return fmt.Sprintf("{ role_arn: %q, region: us-east-1 }", arn) }
	var b strings.Builder
	b.WriteString("# The world of the sandbox: one profile for each way to prove who you are.\nprofiles:\n")
	for _, p := range []struct{ name, source, audience, aws string }{
		{"vm", "{ managed_identity: {} }", sandbox.DemoAudience, aws(sandbox.DemoRoleARN)},
		{"vm-assigned", "{ managed_identity: { client_id: " + sandbox.DemoAssignedClientID + " } }", sandbox.DemoAudience, aws(sandbox.DemoRoleARN)},
		{"app", "{ client_secret: { " + app + ", client_secret: \"file:" + g.path("app-secret") + "\" } }", sandbox.DemoAudience, aws(sandbox.DemoRoleARN)},
		{"cert", "{ certificate: { " + app + ", certificate_file: " + g.path("app.pem") + " } }", sandbox.DemoAudience, aws(sandbox.DemoRoleARN)},
		{"v2", "{ managed_identity: {} }", sandbox.DemoV2Audience, aws(sandbox.DemoV2RoleARN)},
		{
			"chained", "{ managed_identity: {} }", sandbox.DemoAudience,
			fmt.Sprintf("{ role_arn: %q, region: us-east-1, chain: [ %q ] }", sandbox.DemoRoleARN, sandbox.DemoChainedARN),
		},
		{"any", "{ auto: {} }", sandbox.DemoAudience, aws(sandbox.DemoRoleARN)},
		{"webapp", "{ app_service: {} }", sandbox.DemoAudience, aws(sandbox.DemoRoleARN)},
		{"server", "{ arc: {} }", sandbox.DemoAudience, aws(sandbox.DemoRoleARN)},
		{"pod", "{ workload_identity: {} }", sandbox.DemoAudience, aws(sandbox.DemoRoleARN)},
		{"job", "{ azure_pipelines: { service_connection_id: " + sandbox.DemoConnectionID + " } }", sandbox.ExchangeAudience, aws(sandbox.DemoJobRoleARN)},
		{"job-old", "{ azure_pipelines: { service_connection_id: " + sandbox.DemoOldConnectionID + " } }", sandbox.ExchangeAudience, aws(sandbox.DemoJobRoleARN)},
		{"agent", "{ aws: { " + app + " } }", sandbox.DemoAudience, aws(sandbox.DemoRoleARN)},
		{"agent-assigned", "{ aws: { tenant_id: " + sandbox.DemoTenantID + ", client_id: " + sandbox.DemoAssignedClientID + " } }", sandbox.DemoAudience, aws(sandbox.DemoRoleARN)},
		{"stranger", "{ managed_identity: {} }", sandbox.DemoAudience, aws(sandbox.DemoOtherARN)},
	} {
		fmt.Fprintf(&b, "  %s:\n    source: %s\n    audience: %s\n    ca_file: %s\n    aws: %s\n", p.name, p.source, p.audience, g.path("ca.pem"), p.aws)
	}
	return b.String()
}

// awsConfig is a configuration of the AWS CLI and SDKs in which nothing but the
// credential process tells who the caller is.
func (g *playground) awsConfig(exe string) string {
	if g.inAWS() {
		return "[default]\nregion = us-east-1\n"
	}
	var b strings.Builder
	for _, p := range []struct{ section, profile string }{
		{"default", "vm"}, {"profile vm", "vm"}, {"profile app", "app"}, {"profile cert", "cert"}, {"profile stranger", "stranger"},
	} {
		fmt.Fprintf(&b, "[%s]\nregion = us-east-1\ncredential_process = %q credential-process --config %q %s\n\n",
			p.section, exe, g.path("keyless.yaml"), p.profile) // quotes at both ends would be taken off by Go's SDK
	}
	return b.String()
}

// adminCredentials are those of who sets up the account: the profile admin.
func adminCredentials() string {
	return "[admin]\naws_access_key_id = " + sandbox.DemoAdminKeyID + "\naws_secret_access_key = " + sandbox.DemoAdminSecret + "\n"
}

// variables are where the sandbox is, and what the host would tell a program.
func (g *playground) variables() ([]string, error) {
	host, err := g.hostEnv()
	if err != nil {
		return nil, err
	}
	variables := append(append(host, g.receivers()...),
		"KEYLESS_CONFIG="+g.path("keyless.yaml"),
		"KEYLESS_CACHE_DIR="+g.path("cache"),
		"AWS_CONFIG_FILE="+g.path("aws-config"),
		"AWS_SHARED_CREDENTIALS_FILE="+g.path("aws-credentials"),
		"NO_PROXY=localhost,127.0.0.1,::1",
	)
	for _, variable := range caVariables() {
		variables = append(variables, variable+"="+g.path("ca.pem"))
	}
	return variables, nil
}

// hostEnv leaves out what only a virtual machine in Azure has. Where the names are the
// true ones there is nothing to say about the clouds.
func (g *playground) hostEnv() ([]string, error) {
	kind := g.host
	if kind == "" {
		kind = sandbox.HostVM
	}
	host, err := g.HostEnv(kind, g.dir)
	if err != nil || g.isolated {
		return host, err
	}
	clouds := slices.DeleteFunc(g.Env(), func(variable string) bool { return strings.HasPrefix(variable, "AZURE_POD_IDENTITY_AUTHORITY_HOST=") })
	if !g.inAWS() {
		clouds = append(clouds, "AWS_EC2_METADATA_DISABLED=true")
	}
	return append(clouds, host...), nil
}

// shell is env as a file for ". env".
func (g *playground) shell() string {
	var b strings.Builder
	for _, variable := range g.env {
		name, value, _ := strings.Cut(variable, "=")
		fmt.Fprintf(&b, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	return b.String()
}

// getenv reads the playground's variables first.
func (g *playground) getenv(outer func(string) string) func(string) string {
	own := &program{environ: g.env}
	return func(name string) string {
		if value := own.getenv(name); value != "" {
			return value
		}
		return outer(name)
	}
}

// remove ends the sandbox and removes its folder.
func (g *playground) remove() error {
	var closed error
	if g.Sandbox != nil {
		closed = g.Close()
	}
	if err := os.RemoveAll(g.dir); err != nil {
		return err
	}
	return closed
}
