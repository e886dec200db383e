package transport_test

import (
	"net/http"
	"strings"
	"testing"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/transport"
)

// BenchmarkBearer is what a request costs with a token in hand: the next RoundTripper does
// nothing. The request has the headers of an ordinary call of an API.
func BenchmarkBearer(b *testing.B) {
	answer := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}
	next := base(func(*http.Request) (*http.Response, error) { return answer, nil })
	source := keyless.Cached(&issuer{})
	tripper := func(inPlace bool) http.RoundTripper {
		return &transport.Bearer{Source: source, Hosts: []string{"*.blob.core.windows.net", "vault.azure.example"}, Base: next, InPlace: inPlace}
	}
	b.Run("copy", func(b *testing.B) { benchmark(b, tripper(false)) })
	b.Run("in place", func(b *testing.B) { benchmark(b, tripper(true)) })
	b.Run("next alone", func(b *testing.B) { benchmark(b, next) })
	b.Run("by hand", func(b *testing.B) { // the least that a program would write itself
		benchmark(b, base(func(r *http.Request) (*http.Response, error) {
			token, err := source.Token(r.Context())
			if err != nil {
				return nil, err
			}
			sent := r.Clone(r.Context())
			sent.Header.Set("Authorization", "Bearer "+token.Value.Reveal())
			return next(sent)
		}))
	})
	b.Run("copy, all cores", func(b *testing.B) {
		b.ReportAllocs()
		shared := tripper(false)
		b.RunParallel(func(pb *testing.PB) {
			own := ordinary(b)
			concurrent := &http.Request{Method: own.Method, URL: own.URL, Host: own.Host, Header: own.Header}
			for pb.Next() {
				if _, err := shared.RoundTrip(concurrent); err != nil { //nolint:bodyclose // there is none
					b.Error(err)
				}
			}
		})
	})
}

func BenchmarkSigV4(b *testing.B) {
	answer := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}
	benchmark(b, &transport.SigV4{
		Provider: keyless.CachedCredentials(&vault{}), Region: "eu-west-1", Service: "execute-api", Hosts: []string{"vault.azure.example"},
		Base: base(func(*http.Request) (*http.Response, error) { return answer, nil }),
	})
}

func ordinary(b *testing.B) *http.Request {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "https://vault.azure.example/secrets/x?api-version=7.4", nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"Accept", "Content-Type", "User-Agent", "X-Ms-Version", "X-Ms-Client-Request-Id"} {
		r.Header.Set(name, strings.Repeat("x", 16))
	}
	return r
}

func benchmark(b *testing.B, tripper http.RoundTripper) {
	b.Helper()
	r := ordinary(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tripper.RoundTrip(r); err != nil { //nolint:bodyclose // there is none
			b.Fatal(err)
		}
	}
}
