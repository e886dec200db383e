package azhost

import (
	"testing"
	"time"
)

// Whatever a program prints, it is a token with an end, or an error.
func FuzzLoginOutput(f *testing.F) {
	for _, seed := range []string{
		`{"accessToken":"a.b.c","expiresOn":"2026-01-01 00:00:00.000000","expires_on":4102444800}`,
		`{"accessToken":"a.b.c","expiresOn":"2026-01-01 00:00:00.000000"}`, `{"token":"a.b.c","expiresOn":"2100-01-01T00:00:00Z"}`,
		`{"accessToken":"a","expires_on":"1e9"}`, `{}`, `[]`, `null`, "WARNING: x\n{}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		for _, read := range []func([]byte) (string, time.Time, error){readAzureCLI, readAzureDeveloperCLI} {
			if value, expiry, err := read(out); err == nil && expiry.IsZero() && value != "" {
				t.Errorf("%q without an end", value)
			}
		}
	})
}
