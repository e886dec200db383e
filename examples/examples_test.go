package examples_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/golang/snappy"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/keyless-id/keyless/sandbox"
)

const monitor = "https://monitor.azure.com/"

// clouds is the demo with Azure Monitor in it, on a host that is in AWS as well.
func clouds(t *testing.T, subject string) *sandbox.Sandbox {
	t.Helper()
	const issuer = "https://c0ffee00-0000-4000-8000-0000000000ff.tokens.sts.global.api.aws"
	world := sandbox.Demo()
	world.Host.RoleARN = sandbox.DemoRoleARN
	world.Accounts[0].OutboundIssuer = issuer
	tenant := &world.Tenants[0]
	tenant.Apps = append(tenant.Apps, sandbox.App{
		Name: "monitor", ClientID: "035f9e1d-4f00-4419-bf50-bf2d87eb4878", ObjectID: "f00d0000-0000-4000-8000-000000000001", AppIDURI: monitor,
	})
	app := &tenant.Apps[2]
	app.FederatedCredentials = append(app.FederatedCredentials, sandbox.FIC{Issuer: issuer, Subject: subject, Audience: sandbox.ExchangeAudience})
	s, err := sandbox.New(world, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// run builds the example and runs it with nothing but env.
func run(t *testing.T, example string, env ...string) (string, error) {
	t.Helper()
	program := filepath.Join(t.TempDir(), example)
	if out, err := exec.Command("go", "build", "-o", program, "./"+example).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append([]string{"PATH="}, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func hostEnv(t *testing.T, s *sandbox.Sandbox) []string {
	t.Helper()
	env, err := s.HostEnv(sandbox.HostAppService, "")
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func TestAWSSDKListsABucket(t *testing.T) {
	s := clouds(t, sandbox.DemoRoleARN)
	for role, want := range map[string]string{sandbox.DemoRoleARN: "hello.txt\n", sandbox.DemoOtherARN: "AccessDenied"} {
		out, err := run(t, "aws-sdk", append(hostEnv(t, s),
			"AUDIENCE="+sandbox.DemoAudience, "ROLE_ARN="+role, "BUCKET="+sandbox.DemoBucket,
			"AWS_ENDPOINT_URL_STS="+s.URL(sandbox.STS), "AWS_ENDPOINT_URL_S3="+s.URL(sandbox.S3))...)
		if (err == nil) != (role == sandbox.DemoRoleARN) || !strings.Contains(out, want) {
			t.Errorf("%s: %v\n%s", role, err, out)
		}
	}
}

func TestAzureSDKReadsFromAnAPI(t *testing.T) {
	for subject, want := range map[string]string{sandbox.DemoRoleARN: "you are " + sandbox.DemoAppObjectID, sandbox.DemoOtherARN: "AADSTS700213"} {
		s := clouds(t, subject)
		api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			subject, err := admit(s, r, sandbox.DemoAudience)
			if err != nil {
				http.Error(w, err.Error(), http.StatusUnauthorized)
				return
			}
			fmt.Fprintln(w, "you are", subject)
		}))
		t.Cleanup(api.Close)
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, append(s.CAPEM(), pemOf(api)...), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := run(t, "azure-sdk",
			"AZURE_TENANT_ID="+sandbox.DemoTenantID, "AZURE_CLIENT_ID="+sandbox.DemoAppClientID, "AZURE_AUTHORITY_HOST="+s.TLSURL(sandbox.Entra),
			"AWS_ENDPOINT_URL_STS="+s.URL(sandbox.STS), "AWS_EC2_METADATA_SERVICE_ENDPOINT="+s.URL(sandbox.EC2),
			"AUDIENCE="+sandbox.DemoAudience, "API_URL="+api.URL, "SSL_CERT_FILE="+ca)
		if (err == nil) != (subject == sandbox.DemoRoleARN) || !strings.Contains(out, want) {
			t.Errorf("%s: %v\n%s", subject, err, out)
		}
	}
}

func TestRemoteWriteSendsASample(t *testing.T) {
	s := clouds(t, sandbox.DemoRoleARN)
	for audience, allowed := range map[string]bool{monitor: true, "https://other.example": false} {
		var got string
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := admit(s, r, audience); err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
			got = received(t, r)
			w.WriteHeader(http.StatusNoContent)
		}))
		t.Cleanup(receiver.Close)
		out, err := run(t, "remote-write", append(hostEnv(t, s), "REMOTE_WRITE_URL="+receiver.URL+"/api/v1/write")...)
		if (err == nil) != allowed || allowed && got != `__name__="up" job="example" 1` || !allowed && !strings.Contains(out, "403") {
			t.Errorf("%s: %v, received %q\n%s", audience, err, got, out)
		}
	}
}

// admit looks at a token as an API does: signature, audience and time.
func admit(s *sandbox.Sandbox, r *http.Request, audience string) (subject string, err error) {
	raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", errors.New("no token")
	}
	token, err := jwt.Parse(raw, func(token *jwt.Token) (any, error) { return key(s, token.Header["kid"]) },
		jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithValidMethods([]string{"RS256"}))
	if err != nil {
		return "", err
	}
	return token.Claims.GetSubject()
}

// key fetches the issuer's keys.
func key(s *sandbox.Sandbox, id any) (*rsa.PublicKey, error) {
	answer, err := http.Get(s.URL(sandbox.Entra) + "/" + sandbox.DemoTenantID + "/discovery/v2.0/keys")
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	var set struct{ Keys []struct{ Kid, N, E string } }
	if err := json.NewDecoder(answer.Body).Decode(&set); err != nil {
		return nil, err
	}
	for _, k := range set.Keys {
		if k.Kid == id {
			return &rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())}, nil
		}
	}
	return nil, fmt.Errorf("no key %v", id)
}

func number(text string) *big.Int {
	raw, _ := base64.RawURLEncoding.DecodeString(text)
	return new(big.Int).SetBytes(raw)
}

func pemOf(server *httptest.Server) []byte {
	block := base64.StdEncoding.EncodeToString(server.Certificate().Raw)
	return []byte("-----BEGIN CERTIFICATE-----\n" + block + "\n-----END CERTIFICATE-----\n")
}

// received is the one sample of a request, in words.
func received(t *testing.T, r *http.Request) string {
	t.Helper()
	if r.Header.Get("Content-Encoding") != "snappy" || r.Header.Get("X-Prometheus-Remote-Write-Version") != "0.1.0" {
		t.Errorf("headers %v", r.Header)
	}
	compressed, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := snappy.Decode(nil, compressed)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	series := fields(t, fields(t, raw)[0].content)
	for _, f := range series {
		parts := fields(t, f.content)
		if f.number == 1 {
			fmt.Fprintf(&text, "%s=%q ", parts[0].content, parts[1].content)
		} else if len(parts) == 2 && parts[0].fixed == 0x3ff0000000000000 && parts[1].fixed > 0 {
			text.WriteString("1")
		}
	}
	return text.String()
}

type field struct {
	number  protowire.Number
	content []byte
	fixed   uint64
}

func fields(t *testing.T, message []byte) []field {
	t.Helper()
	var all []field
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		message = message[n:]
		f := field{number: number}
		switch kind {
		case protowire.BytesType:
			f.content, n = protowire.ConsumeBytes(message)
		case protowire.Fixed64Type:
			f.fixed, n = protowire.ConsumeFixed64(message)
		default:
			f.fixed, n = protowire.ConsumeVarint(message)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		message = message[n:]
		all = append(all, f)
	}
	return all
}
