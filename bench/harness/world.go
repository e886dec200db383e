package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

const (
	tenant   = "22222222-2222-4222-8222-222222222222"
	api      = "11111111-1111-4111-8111-111111111111"
	audience = "api://" + api
	vmObject = "44444444-4444-4444-8444-000000000000"
	roleARN  = "arn:aws:iam::111122223333:role/app"
	region   = "us-east-1"

	staticID     = "AKIAIOSFODNN7EXAMPLE"
	staticSecret = "hunter2/static/key"
)

// world is the far side of all contestants, and a workload's place in it.
type world struct {
	*sandbox.Sandbox
	dir, config, cache string
}

func newWorld() (*world, error) { return newWorldAt(0) }

// newWorldAt is a world whose clock is off by skew.
func newWorldAt(skew time.Duration) (*world, error) {
	s, err := sandbox.New(farSide(), sandbox.Options{Now: func() time.Time { return time.Now().Add(skew) }})
	if err != nil {
		return nil, err
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "keyless-bench-")
	if err != nil {
		return nil, err
	}
	w := &world{Sandbox: s, dir: dir, config: filepath.Join(dir, "keyless.yaml"), cache: filepath.Join(dir, "cache")}
	return w, os.WriteFile(w.config, fmt.Appendf(nil, `profiles:
  vm:
    source: { managed_identity: {} }
    audience: %s
    aws: { role_arn: %q, region: %s }
`, audience, roleARN, region), 0o600)
}

// bundle is where Go finds the system's root certificates first.
const bundle = "/etc/ssl/certs/ca-certificates.crt"

// trust adds the sandbox's certificate to the system's roots, as every program
// here sees them. That takes a mount namespace of our own; see scripts/bench.sh.
func (w *world) trust() error {
	if os.Getenv("OWN_MOUNTS") == "" {
		return errors.New("no mount namespace of our own")
	}
	system, err := os.ReadFile(bundle)
	if err != nil {
		return err
	}
	file := filepath.Join(w.dir, "roots.pem")
	if err := os.WriteFile(file, append(system, w.CAPEM()...), 0o600); err != nil {
		return err
	}
	return syscall.Mount(file, bundle, "", syscall.MS_BIND, "")
}

func (w *world) close() {
	_ = w.Close()
	_ = syscall.Unmount(bundle, 0) // if trust mounted it
	_ = os.RemoveAll(w.dir)
}

// env is the environment of every contestant, made from scratch; more wins.
func (w *world) env(more ...string) []string {
	base := []string{
		"PATH=/usr/bin:/bin",
		"HOME=" + w.dir,
		"LANG=C.UTF-8",
		"KEYLESS_CACHE_DIR=" + w.cache,
		"AZURE_POD_IDENTITY_AUTHORITY_HOST=" + w.URL(sandbox.IMDS),
		"AWS_ENDPOINT_URL_STS=" + w.URL(sandbox.STS),
		"AWS_REGION=" + region,
		"AWS_DEFAULT_REGION=" + region,
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_SHARED_CREDENTIALS_FILE=" + filepath.Join(w.dir, "none"),
	}
	return slices.DeleteFunc(append(base, more...), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		last := slices.ContainsFunc(more, func(other string) bool { return strings.HasPrefix(other, name+"=") })
		return last && !slices.Contains(more, pair)
	})
}

func farSide() sandbox.World {
	const provider = "sts.windows.net/" + tenant + "/"
	policy := fmt.Sprintf(`{"Version": "2012-10-17", "Statement": [{
		"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
		"Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/%s"},
		"Condition": {"StringEquals": {"%s:aud": %q, "%s:sub": %q}}
	}]}`, provider, provider, audience, provider, vmObject)
	return sandbox.World{
		Tenants: []sandbox.Tenant{{
			ID: tenant,
			Apps: []sandbox.App{{
				Name: "aws", ClientID: api, ObjectID: "11111111-1111-4111-8111-000000000000", AppIDURI: audience,
			}},
			Identities: []sandbox.ManagedIdentity{{
				Name: "vm", ClientID: "44444444-4444-4444-8444-444444444444", ObjectID: vmObject, SystemAssigned: true,
			}},
		}},
		Accounts: []sandbox.Account{{
			ID:        "111122223333",
			Providers: []sandbox.OIDCProvider{{URL: "https://" + provider, ClientIDs: []string{audience}}},
			Roles:     []sandbox.Role{{Name: "app", TrustPolicy: policy}},
			Buckets:   []sandbox.Bucket{{Name: "invoices"}},
			Users:     []sandbox.AccessKey{{UserName: "static", AccessKeyID: staticID, SecretAccessKey: staticSecret}},
		}},
	}
}
