package interop_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/keyless-id/keyless/sandbox"
)

// startMinIO runs a MinIO server that trusts the cloud's issuer for one audience,
// and takes the name of its own policy from the token's roles claim. It returns
// the server's address, which is STS and S3.
func startMinIO(t *testing.T, c *cloud, audience string) string {
	t.Helper()
	return startMinIOThat(t, environment{
		"MINIO_IDENTITY_OPENID_CONFIG_URL": c.URL(sandbox.Entra) + "/" + tenantID + openIDPath,
		"MINIO_IDENTITY_OPENID_CLIENT_ID":  audience,
		"MINIO_IDENTITY_OPENID_CLAIM_NAME": "roles",
	}, roleARN, subjectToken(t, c, sandbox.Sound, nil))
}

// openIDPath is where an OpenID provider's configuration is.
const openIDPath = "/.well-known/openid-configuration"

// startMinIOThat runs a MinIO server with these settings, which trade token for role.
func startMinIOThat(t *testing.T, trusts environment, role, token string) string {
	t.Helper()
	binary := installed(t, "MinIO", "bin/minio")
	address := freeAddress(t)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()),
		binary, "server", "--quiet", "--address", address, t.TempDir())
	cmd.Env = bareEnvironment(t).with(environment{
		"MINIO_ROOT_USER":     "rootroot",
		"MINIO_ROOT_PASSWORD": "hunter2-root",
		"MINIO_BROWSER":       "off",
		"MINIO_UPDATE":        "off",
		"MINIO_CI_CD":         "1",
	}).with(trusts).list()
	log := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("MinIO said: %s", log)
		}
	})
	url := "http://" + address
	if err := waitForMinIO(t, url, role, token); err != nil {
		t.Fatalf("MinIO is not ready: %v\n%s", err, log)
	}
	return url
}

// waitForMinIO waits until the server trades a token. Its health check is content
// before it has read its policies.
func waitForMinIO(t *testing.T, url, role, token string) error {
	t.Helper()
	client := sts.New(sts.Options{
		Region: region, BaseEndpoint: aws.String(url), Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := client.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
			RoleArn: aws.String(role), RoleSessionName: aws.String("ready"), WebIdentityToken: aws.String(token),
		})
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// given are the ports that tests have been given already.
var given sync.Map

// freeAddress returns a loopback address that nobody listens on, from below the ports
// that the system gives to whoever connects.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(10_000))
		if _, taken := given.LoadOrStore(address, true); taken {
			continue
		}
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
	t.Fatal("there is no free port")
	return ""
}

// lockedBuffer collects what a process says while a test reads it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
