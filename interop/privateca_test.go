package interop_test

import (
	"path/filepath"
	"testing"

	"github.com/keyless-id/keyless/sandbox"
)

// TestPrivateCAReachesEveryHop: a company whose proxy signs everything sets one
// variable, and all of Entra, STS and the caller's own S3 must heed it.
func TestPrivateCAReachesEveryHop(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	w := newWorkload(t, c, c.TLSURL(sandbox.STS))
	w.env["AZURE_AUTHORITY_HOST"] = c.TLSURL(sandbox.Entra)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	write(t, roots, string(c.CAPEM()))

	t.Run("SSL_CERT_FILE", func(t *testing.T) {
		there := workload{env: w.env.with(environment{"SSL_CERT_FILE": roots}), config: w.config}
		parseOutput(t, there.keyless(t, "credential-process", "app", "--no-cache").wantSuccess(t).stdout)
	})
	t.Run("without it", func(t *testing.T) {
		got := w.keyless(t, "credential-process", "app", "--no-cache")
		if got.code == 0 || got.stdout != "" {
			t.Errorf("got exit code %d and stdout %q, want a refusal of the certificate", got.code, got.stdout)
		}
	})
	for _, client := range awsClients {
		t.Run("AWS_CA_BUNDLE/"+client.name, func(t *testing.T) {
			env := w.awsProfile(t, "app").with(environment{"AWS_CA_BUNDLE": roots, "SSL_CERT_FILE": roots})
			wantListing(t, env, client, c.TLSURL(sandbox.S3), "invoices")
		})
	}
}
