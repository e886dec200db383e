package interop_test

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
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// The world of these tests: one tenant with an API that AWS trusts, one with
// an API that it does not, a client, and the identities of a virtual machine.
const (
	tenantID = "22222222-2222-4222-8222-222222222222"

	apiID         = "11111111-1111-4111-8111-111111111111"
	audience      = "api://" + apiID
	otherAPIID    = "11111111-1111-4111-8111-999999999999"
	otherAudience = "api://" + otherAPIID

	clientID     = "33333333-3333-4333-8333-333333333333"
	clientObject = "33333333-3333-4333-8333-000000000000"
	clientSecret = "hunter2~client~secret"

	systemID     = "44444444-4444-4444-8444-444444444444"
	systemObject = "44444444-4444-4444-8444-000000000000"
	userID       = "55555555-5555-4555-8555-555555555555"
	userObject   = "55555555-5555-4555-8555-000000000000"
	userResource = "/subscriptions/77777777-7777-4777-8777-777777777777/resourcegroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/vm"

	account  = "111122223333"
	roleARN  = "arn:aws:iam::" + account + ":role/app"
	chainARN = "arn:aws:iam::" + account + ":role/data"
	closed   = "arn:aws:iam::" + account + ":role/closed" // trusts another subject
	region   = "us-east-1"

	issuer = "https://sts.windows.net/" + tenantID + "/"
)

// key is one certificate for all tests: a client certificate of the app.
type key struct {
	private *rsa.PrivateKey
	cert    *x509.Certificate
	pem     []byte // certificate and key
}

func newKey(t *testing.T) key {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "interop"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...)
	return key{private: private, cert: cert, pem: text}
}

// cloud is a listening sandbox and what a workload needs to reach it.
type cloud struct {
	*sandbox.Sandbox
	key key
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	k := newKey(t)
	s, err := sandbox.New(world(k), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &cloud{Sandbox: s, key: k}
}

func world(k key) sandbox.World {
	workloads := []string{systemObject, userObject, clientObject}
	return sandbox.World{
		Tenants: []sandbox.Tenant{{
			ID: tenantID,
			Apps: []sandbox.App{
				{
					Name: "aws", ClientID: apiID, ObjectID: "11111111-1111-4111-8111-000000000000",
					AppIDURI: audience, Roles: []string{"readwrite"}, Assigned: workloads,
				},
				{
					Name: "other", ClientID: otherAPIID, ObjectID: "11111111-1111-4111-8111-000000000009",
					AppIDURI: otherAudience, Roles: []string{"readwrite"}, Assigned: workloads,
				},
				{
					Name: "workload", ClientID: clientID, ObjectID: clientObject,
					Secrets:      []sandbox.AppSecret{{Value: clientSecret}},
					Certificates: [][]byte{k.cert.Raw},
					FederatedCredentials: []sandbox.FIC{{
						Issuer: githubIssuer, Subject: githubSubject, Audience: "api://AzureADTokenExchange",
					}},
				},
			},
			Identities: []sandbox.ManagedIdentity{
				{Name: "system", ClientID: systemID, ObjectID: systemObject, SystemAssigned: true},
				{Name: "vm", ClientID: userID, ObjectID: userObject, ResourceID: userResource},
			},
		}},
		Accounts: []sandbox.Account{{
			ID:        account,
			Providers: []sandbox.OIDCProvider{{URL: issuer, ClientIDs: []string{audience}}},
			Roles: []sandbox.Role{
				{Name: "app", TrustPolicy: trustWebIdentity(workloads...), MaxSession: 12 * time.Hour},
				{Name: "data", TrustPolicy: trustRole("app")},
				{Name: "closed", TrustPolicy: trustWebIdentity("99999999-9999-4999-8999-999999999999")},
			},
			Buckets: []sandbox.Bucket{{Name: "invoices", Objects: map[string]string{
				"2026/01.txt": "january", "2026/02.txt": "february", "readme.txt": "hello",
			}}},
			Users: []sandbox.AccessKey{{UserName: "static", AccessKeyID: staticID, SecretAccessKey: staticSecret}},
		}},
		Issuers: []sandbox.Issuer{{URL: githubIssuer}},
	}
}

const (
	githubIssuer  = "https://token.actions.githubusercontent.com"
	githubSubject = "repo:example/example:ref:refs/heads/main"
	staticID      = "AKIAIOSFODNN7EXAMPLE"
	staticSecret  = "hunter2/static/key"
)

func trustWebIdentity(subjects ...string) string {
	provider := strings.TrimPrefix(issuer, "https://")
	return fmt.Sprintf(`{"Version": "2012-10-17", "Statement": [{
		"Effect": "Allow",
		"Principal": {"Federated": "arn:aws:iam::%s:oidc-provider/%s"},
		"Action": "sts:AssumeRoleWithWebIdentity",
		"Condition": {"StringEquals": {"%s:aud": %q, "%s:sub": ["%s"]}}
	}]}`, account, provider, provider, audience, provider, strings.Join(subjects, `", "`))
}

func trustRole(name string) string {
	return fmt.Sprintf(`{"Version": "2012-10-17", "Statement": [{
		"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::%s:role/%s"}, "Action": "sts:AssumeRole"
	}]}`, account, name)
}

// workload is a place that keyless runs in: a home, a config file, a cache.
type workload struct {
	env    environment
	config string
	cache  string
}

// newWorkload writes a config file with every kind of source, and leads the
// environment to the cloud. What is to be STS can be somebody else.
func newWorkload(t *testing.T, c *cloud, stsURL string) *workload {
	t.Helper()
	dir := t.TempDir()
	w := &workload{config: filepath.Join(dir, "keyless.yaml"), cache: filepath.Join(dir, "cache")}
	certificate := filepath.Join(dir, "client.pem")
	write(t, certificate, string(c.key.pem))
	write(t, w.config, configFile(certificate))
	w.env = bareEnvironment(t).with(environment{
		"KEYLESS_CACHE_DIR":                 w.cache,
		"AZURE_AUTHORITY_HOST":              c.URL(sandbox.Entra),
		"AZURE_POD_IDENTITY_AUTHORITY_HOST": c.URL(sandbox.IMDS),
		"AZURE_CLIENT_SECRET":               clientSecret,
		"AWS_ENDPOINT_URL_STS":              stsURL,
		"AWS_EC2_METADATA_DISABLED":         "true",
	})
	return w
}

func configFile(certificate string) string {
	const aws = "{ role_arn: " + roleARN + ", region: " + region + " }"
	app := "tenant_id: " + tenantID + ", client_id: " + clientID
	secret := `{ client_secret: { ` + app + `, client_secret: "${AZURE_CLIENT_SECRET}" } }`
	profiles := []struct{ name, source, audience, aws string }{
		{"system", "{ managed_identity: {} }", audience, aws},
		{"vm", "{ managed_identity: { client_id: " + userID + " } }", audience, aws},
		{"app", secret, audience, aws},
		{"cert", "{ certificate: { " + app + ", certificate_file: " + certificate + " } }", audience, aws},
		{"chain", secret, audience, "{ role_arn: " + roleARN + ", region: " + region + ", chain: [ { role_arn: " + chainARN + " } ] }"},
		{"closed", secret, audience, "{ role_arn: " + closed + ", region: " + region + " }"},
		{"other", secret, otherAudience, aws},
	}
	var b strings.Builder
	b.WriteString("profiles:\n")
	for _, p := range profiles {
		fmt.Fprintf(&b, "  %s:\n    source: %s\n    audience: %s\n    aws: %s\n", p.name, p.source, p.audience, p.aws)
	}
	return b.String()
}

// keyless runs the program under test in this place.
func (w *workload) keyless(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, w.env, keyless(t), append(args, "--config", w.config)...)
}

// awsProfile makes the environment of a program that gets its credentials from a
// profile whose only line is credential_process.
func (w *workload) awsProfile(t *testing.T, profile string) environment {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	write(t, file, fmt.Sprintf("[profile under-test]\ncredential_process = %q credential-process --config %q %s\n",
		keyless(t), w.config, profile))
	return w.env.with(environment{
		"AWS_CONFIG_FILE":             file,
		"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(filepath.Dir(file), "none"),
		"AWS_PROFILE":                 "under-test",
		"AWS_DEFAULT_REGION":          region,
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
