package interop_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/sandbox"
)

// TestNoSecretLeaves runs everything that can go wrong and looks for secret
// values in all that people see. Where a case is a success its stdout is the
// delivery itself, so only stderr counts.
func TestNoSecretLeaves(t *testing.T) {
	t.Parallel()
	all := []string{"system", "app", "cert", "chain"}
	breakage := []struct {
		name     string
		hop      sandbox.Hop
		fault    sandbox.Fault
		profiles []string
	}{
		{"entra refuses", sandbox.Entra, sandbox.Fault{Code: "AADSTS7000215", Status: 401}, all},
		{"entra says html", sandbox.Entra, sandbox.Fault{Body: "<html>hello</html>"}, all},
		{"entra says the secret", sandbox.Entra, sandbox.Fault{
			Status: 400, Body: `{"error":"invalid_client","error_description":"no ` + clientSecret + `"}`,
		}, []string{"app", "chain"}},
		{"imds is gone", sandbox.IMDS, sandbox.Fault{Reset: true}, []string{"system"}},
		{"sts refuses", sandbox.STS, sandbox.Fault{Code: "AccessDenied", Status: 403}, all},
		{"sts is cut off", sandbox.STS, sandbox.Fault{Truncate: true}, all},
		{"sts says html", sandbox.STS, sandbox.Fault{Body: "<html>hello</html>"}, all},
		{"sts resets", sandbox.STS, sandbox.Fault{Reset: true}, all},
	}
	for _, broken := range breakage {
		t.Run(broken.name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			w := newWorkload(t, c, c.URL(sandbox.STS))
			secrets := knownSecrets(t, c, w)
			c.SetFault(broken.hop, broken.fault)
			for _, profile := range broken.profiles {
				got := w.keyless(t, "credential-process", profile, "--no-cache")
				wantNone(t, secrets, got.stderr)
				if got.code != 0 {
					wantNone(t, secrets, got.stdout)
				}
			}
		})
	}
}

// TestNoSecretInHelpAndUsage looks at what keyless says about itself.
func TestNoSecretInHelpAndUsage(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	w := newWorkload(t, c, c.URL(sandbox.STS))
	secrets := knownSecrets(t, c, w)
	t.Run("wrong usage", func(t *testing.T) {
		for _, args := range [][]string{
			{"credential-process", "no-such-profile"},
			{"credential-process", "--no-such-flag"},
			{"credential-process", "closed"},
			{"token", "app", "--claims"},
		} {
			got := w.keyless(t, args...)
			wantNone(t, secrets, got.stderr+got.stdout)
		}
	})
	t.Run("help", func(t *testing.T) {
		for _, args := range [][]string{{"--help"}, {"credential-process", "--help"}, {"token", "--help"}, {"version"}} {
			got := run(t, w.env, keyless(t), args...)
			wantNone(t, secrets, got.stderr+got.stdout)
		}
	})
}

// knownSecrets are the values that must not be seen: those of this world, and
// those that a good run got. Parts of them count as well.
func knownSecrets(t *testing.T, c *cloud, w *workload) []string {
	t.Helper()
	output := parseOutput(t, w.keyless(t, "credential-process", "app").wantSuccess(t).stdout)
	token := strings.TrimSpace(w.keyless(t, "token", "app").wantSuccess(t).stdout)
	if strings.Count(token, ".") != 2 {
		t.Fatalf("keyless token: got %q, want a JWT", token)
	}
	lines := strings.Split(string(c.key.pem), "\n")
	return []string{
		clientSecret, output.SecretAccessKey, output.SessionToken,
		token, token[strings.LastIndex(token, ".")+1:], "eyJ", // any JWT at all
		lines[len(lines)-4], // of the private key
	}
}

func wantNone(t *testing.T, secrets []string, text string) {
	t.Helper()
	if at := slices.IndexFunc(secrets, func(secret string) bool { return strings.Contains(text, secret) }); at >= 0 {
		t.Errorf("a secret value (number %d) is in %q", at, text)
	}
}
