package interop_test

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	keylessid "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssdk"
	"github.com/keyless-id/keyless/pipelines"
	"github.com/keyless-id/keyless/sandbox"
)

// demo is the sandbox's own world, listening, and this process as a program on the host.
func demo(t *testing.T, kind sandbox.HostKind) (*sandbox.Sandbox, environment) {
	t.Helper()
	s, err := sandbox.New(sandbox.Demo(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	pairs, err := s.HostEnv(kind, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	env := environment{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return s, env
}

func job(env environment, connection string) pipelines.Job {
	return pipelines.Job{
		RequestURI: env["SYSTEM_OIDCREQUESTURI"], AccessToken: keylessid.NewSecret(env["SYSTEM_ACCESSTOKEN"]), ServiceConnectionID: connection,
	}
}

func TestAzidentityTakesTheSandboxForAzurePipelines(t *testing.T) {
	s, env := demo(t, sandbox.HostPipelines)
	t.Setenv("SYSTEM_OIDCREQUESTURI", env["SYSTEM_OIDCREQUESTURI"])
	options := azureOptions(t, &cloud{Sandbox: s})
	for connection, allowed := range map[string]bool{sandbox.DemoConnectionID: true, sandbox.DemoOldConnectionID: true, "c0de0000-0000-4000-8000-00000000dead": false} {
		credential, err := azidentity.NewAzurePipelinesCredential(sandbox.DemoTenantID, sandbox.DemoAppClientID, connection, env["SYSTEM_ACCESSTOKEN"],
			&azidentity.AzurePipelinesCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
		if err != nil {
			t.Fatal(err)
		}
		token, err := getToken(t, credential, sandbox.DemoAudience)
		if (err == nil) != allowed || allowed && strings.Count(token.Token, ".") != 2 {
			t.Errorf("%s: %v", connection, err)
		}
	}
}

func TestAzidentityTakesTheSandboxForAnyFederation(t *testing.T) {
	s, env := demo(t, sandbox.HostPipelines)
	options := azureOptions(t, &cloud{Sandbox: s})
	for connection, allowed := range map[string]bool{sandbox.DemoConnectionID: true, "c0de0000-0000-4000-8000-00000000dead": false} {
		source := job(env, connection)
		credential, err := azidentity.NewClientAssertionCredential(sandbox.DemoTenantID, sandbox.DemoAppClientID, assertionOf(source),
			&azidentity.ClientAssertionCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
		if err != nil {
			t.Fatal(err)
		}
		if token, err := getToken(t, credential, sandbox.DemoAudience); (err == nil) != allowed || allowed && strings.Count(token.Token, ".") != 2 {
			t.Errorf("%s: %v", connection, err)
		}
	}
}

// MinIO, which nobody here wrote, takes what a pipeline's job and a pod have for
// subject tokens.
func TestMinIOTakesTheTokensOfJobsAndPods(t *testing.T) {
	jobs, jobEnv := demo(t, sandbox.HostPipelines)
	pods, podEnv := demo(t, sandbox.HostAKS)
	for name, c := range map[string]struct {
		issuer   string
		s        *sandbox.Sandbox
		audience string
		good     keylessid.TokenSource
		bad      keylessid.TokenSource // of another audience
	}{
		"job of Entra's issuer": {
			sandbox.DemoV2Issuer, jobs, pipelines.ExchangeAudienceID, job(jobEnv, sandbox.DemoConnectionID), job(jobEnv, sandbox.DemoOldConnectionID),
		},
		"job of the retired issuer": {
			"https://vstoken.dev.azure.com/" + sandbox.DemoOrganizationID, jobs, sandbox.ExchangeAudience, job(jobEnv, sandbox.DemoOldConnectionID), job(jobEnv, sandbox.DemoConnectionID),
		},
		"pod": {sandbox.DemoClusterIssuer, pods, sandbox.ExchangeAudience, file(podEnv["AZURE_FEDERATED_TOKEN_FILE"]), foreignPod(t, pods)},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := c.good.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			sum := sha1.Sum([]byte(c.audience))
			role := "arn:minio:iam:::role/" + base64.RawURLEncoding.EncodeToString(sum[:])
			minio := startMinIOThat(t, environment{
				"MINIO_IDENTITY_OPENID_CONFIG_URL": mirror(t, c.s, c.issuer) + openIDPath, "MINIO_IDENTITY_OPENID_CLIENT_ID": c.audience,
				"MINIO_IDENTITY_OPENID_ROLE_POLICY": "readwrite",
			}, role, token.Value.Reveal())
			if err := makeBucketWith(t, minio, role, c.good); err != nil {
				t.Error(err)
			}
			if err := makeBucketWith(t, minio, role, c.bad); err == nil {
				t.Error("a token for somebody else is taken")
			}
		})
	}
}

func makeBucketWith(t *testing.T, minio, role string, source keylessid.TokenSource) error {
	t.Helper()
	provider := stscreds.NewWebIdentityRoleProvider(
		sts.New(sts.Options{Region: region, BaseEndpoint: aws.String(minio), Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{}}),
		role, awssdk.IdentityToken{Source: source}, func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = "judge" })
	client := s3.New(s3.Options{Region: region, BaseEndpoint: aws.String(minio), Credentials: provider, UsePathStyle: true, Retryer: aws.NopRetryer{}})
	_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("bucket")})
	return err
}

// mirror offers an issuer of the sandbox, keys and all, under an address of loopback.
func mirror(t *testing.T, s *sandbox.Sandbox, issuer string) string {
	t.Helper()
	client := &http.Client{Transport: s.RoundTripper()}
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := map[string]string{openIDPath: "", "/keys": keysOf(issuer)}
		address, known := path[r.URL.Path]
		switch {
		case !known:
			http.NotFound(w, r)
		case address == "":
			_, _ = w.Write([]byte(`{"issuer":"` + issuer + `","jwks_uri":"` + server.URL + `/keys"}`))
		default:
			forward(w, client, address)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// keysOf is where the issuer's configuration says that its keys are.
func keysOf(issuer string) string {
	if issuer == sandbox.DemoV2Issuer {
		return "https://login.microsoftonline.com/" + sandbox.DemoTenantID + "/discovery/v2.0/keys"
	}
	return strings.TrimSuffix(issuer, "/") + "/.well-known/jwks"
}

func forward(w http.ResponseWriter, client *http.Client, address string) {
	answer, err := client.Get(address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(w, answer.Body)
}

func assertionOf(source keylessid.TokenSource) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		token, err := source.Token(ctx)
		return token.Value.Reveal(), err
	}
}

// file is a token that somebody else keeps fresh.
type file string

func (f file) Token(context.Context) (keylessid.Token, error) {
	raw, err := os.ReadFile(string(f))
	return keylessid.Token{Value: keylessid.NewSecret(string(raw))}, err
}

// foreignPod is the same pod with a token for somebody else.
func foreignPod(t *testing.T, s *sandbox.Sandbox) file {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	what := sandbox.FIC{Issuer: sandbox.DemoClusterIssuer, Subject: sandbox.DemoServiceAccount, Audience: "https://vault.example"}
	if err := s.ProjectToken(path, what, time.Hour); err != nil {
		t.Fatal(err)
	}
	return file(path)
}
