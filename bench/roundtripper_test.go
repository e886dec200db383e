package bench_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/storage/remote/azuread"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/transport"
)

// A request on its way out, with a token in hand: the next RoundTripper does nothing. What
// Prometheus has in its own configuration for it, next to ours.

// nowhere answers at once.
type nowhere struct{ answer *http.Response }

func (n nowhere) RoundTrip(*http.Request) (*http.Response, error) { return n.answer, nil }

// remoteWrite is a request as Prometheus sends it.
func remoteWrite(ctx context.Context, b *testing.B) *http.Request {
	b.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://x.westeurope-1.metrics.ingest.monitor.azure.com/api/v1/write", nil)
	if err != nil {
		b.Fatal(err)
	}
	for name, value := range map[string]string{
		"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "User-Agent": "Prometheus/3", "X-Prometheus-Remote-Write-Version": "0.1.0",
	} {
		r.Header.Set(name, value)
	}
	return r
}

// sends measures a RoundTripper; each goroutine has a request of its own.
func sends(b *testing.B, next http.RoundTripper) {
	b.Helper()
	send := func(r *http.Request) error {
		_, err := next.RoundTrip(r) //nolint:bodyclose // there is none
		return err
	}
	b.Run("g=1", func(b *testing.B) {
		r := remoteWrite(b.Context(), b)
		alone(b, func(context.Context) error { return send(r) })
	})
	b.Run("g=64", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(crowdSize())
		b.RunParallel(func(pb *testing.PB) {
			for r := remoteWrite(b.Context(), b); pb.Next(); {
				if err := send(r); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

func answering() nowhere {
	return nowhere{&http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}}
}

// longToken is as long as those of Entra.
var longToken = "eyJ." + strings.Repeat("x", 1800)

func BenchmarkSendPrometheusAzureAD(b *testing.B) {
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"expires_on":"%d","resource":"x","token_type":"Bearer"}`, longToken, time.Now().Add(24*time.Hour).Unix())
	}))
	defer far.Close()
	b.Setenv("IDENTITY_ENDPOINT", far.URL) // of App Service: the one address of azuread that can be moved
	b.Setenv("IDENTITY_HEADER", "x")
	next, err := azuread.NewAzureADRoundTripper(&azuread.AzureADConfig{Cloud: azuread.AzurePublic, ManagedIdentity: &azuread.ManagedIdentityConfig{}}, answering())
	if err != nil {
		b.Fatal(err)
	}
	sends(b, next)
}

func bearer(inPlace bool) *transport.Bearer {
	now := time.Now()
	source := keyless.TokenSourceFunc(func(context.Context) (keyless.Token, error) {
		return keyless.Token{Value: keyless.NewSecret(longToken), Obtained: now, Expiry: now.Add(24 * time.Hour)}, nil
	})
	return &transport.Bearer{Source: keyless.Cached(source), Hosts: []string{"*.ingest.monitor.azure.com"}, Base: answering(), InPlace: inPlace}
}

func BenchmarkSendKeyless(b *testing.B)        { sends(b, bearer(false)) }
func BenchmarkSendKeylessInPlace(b *testing.B) { sends(b, bearer(true)) }
