package interop_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// startMinIO runs a MinIO server that trusts the issuer whose configuration is at
// configURL for one audience, and takes the name of its own policy from the
// token's roles claim. It returns the server's address, which is STS and S3.
func startMinIO(t *testing.T, configURL, audience string) string {
	t.Helper()
	binary := installed(t, "MinIO", "bin/minio")
	address := freeAddress(t)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()),
		binary, "server", "--quiet", "--address", address, t.TempDir())
	cmd.Env = bareEnvironment(t).with(environment{
		"MINIO_ROOT_USER":                      "rootroot",
		"MINIO_ROOT_PASSWORD":                  "hunter2-root",
		"MINIO_BROWSER":                        "off",
		"MINIO_UPDATE":                         "off",
		"MINIO_CI_CD":                          "1",
		"MINIO_IDENTITY_OPENID_CONFIG_URL":     configURL,
		"MINIO_IDENTITY_OPENID_CLIENT_ID":      audience,
		"MINIO_IDENTITY_OPENID_CLAIM_NAME":     "roles",
		"MINIO_IDENTITY_OPENID_CLAIM_USERINFO": "",
	}).list()
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
	if err := ready(t.Context(), url+"/minio/health/ready", 30*time.Second); err != nil {
		t.Fatalf("MinIO: %v\n%s", err, log)
	}
	return url
}

// freeAddress returns a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// ready waits until url answers 200.
func ready(ctx context.Context, url string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s", url, limit)
		}
	}
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
