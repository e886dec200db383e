package sigv4_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/keyless-id/keyless/internal/sigv4"
)

// TestTheSignatureIsThatOfTheSDK signs random requests with this package and with the
// signer of the AWS SDK for Go. Secrets, days and services come back, so that the signer
// meets again what it remembers.
func TestTheSignatureIsThatOfTheSDK(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var signer sigv4.Signer
	for range 4000 {
		request, body := anyRequest(t, random)
		keys := sigv4.Keys{AccessKeyID: "AKID" + word(random), SecretAccessKey: "s" + strconv.Itoa(random.IntN(2))}
		if random.IntN(2) == 0 {
			keys.SessionToken = "t" + word(random)
		}
		scope := sigv4.Scope{
			Service: []string{"sts", "s3", "iam"}[random.IntN(3)], Region: []string{"eu-west-1", "us-east-1"}[random.IntN(2)],
			Time: time.Unix(1700000000+random.Int64N(2*24*60*60), 0),
		}
		hash := hashOf(body)
		if random.IntN(4) == 0 {
			hash = sigv4.UnsignedPayload
		}
		theirs := request.Clone(t.Context())
		theirs.Body = nil
		bySDK(t, theirs, hash, keys, scope)
		signer.Sign(request, hash, keys, scope)
		if got, want := request.Header.Get("Authorization"), theirs.Header.Get("Authorization"); got != want || request.URL.RawQuery != theirs.URL.RawQuery {
			t.Fatalf("%s %s %v\ngot  %s\nwant %s", request.Method, request.URL, request.Header, got, want)
		}
	}
}

// BenchmarkSign is a remote write with temporary credentials, and what the SDK takes for
// the same.
func BenchmarkSign(b *testing.B) {
	keys := sigv4.Keys{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret", SessionToken: strings.Repeat("t", 800)}
	scope := sigv4.Scope{Service: "aps", Region: "eu-west-1", Time: time.Now()}
	hash := hashOf(nil)
	request := func() *http.Request {
		r := httptest.NewRequest(http.MethodPost, "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write", nil)
		r.ContentLength = 1000
		for _, name := range []string{"Content-Type", "Content-Encoding", "X-Prometheus-Remote-Write-Version", "User-Agent"} {
			r.Header.Set(name, "application/x-protobuf")
		}
		return r
	}
	b.Run("ours", func(b *testing.B) {
		var signer sigv4.Signer
		r := request()
		b.ReportAllocs()
		for b.Loop() {
			signer.Sign(r, hash, keys, scope)
		}
	})
	b.Run("SDK", func(b *testing.B) {
		signer := v4.NewSigner()
		credentials := aws.Credentials{AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey, SessionToken: keys.SessionToken}
		r := request()
		b.ReportAllocs()
		for b.Loop() {
			if err := signer.SignHTTP(b.Context(), credentials, r, hash, scope.Service, scope.Region, scope.Time); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// bySDK signs with a signer that remembers nothing: it tells secrets apart by the ID of the
// access key alone.
func bySDK(t *testing.T, request *http.Request, hash string, keys sigv4.Keys, scope sigv4.Scope) {
	t.Helper()
	if scope.Service == "s3" || hash == sigv4.UnsignedPayload {
		request.Header.Set("X-Amz-Content-Sha256", hash)
	}
	credentials := aws.Credentials{AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey, SessionToken: keys.SessionToken}
	err := v4.NewSigner().SignHTTP(t.Context(), credentials, request, hash, scope.Service, scope.Region, scope.Time,
		func(o *v4.SignerOptions) { o.DisableURIPathEscaping = scope.Service == "s3" })
	if err != nil {
		t.Fatal(err)
	}
}

func anyRequest(t *testing.T, random *rand.Rand) (*http.Request, []byte) {
	t.Helper()
	body := []byte(word(random))
	u := &url.URL{Scheme: "https", Host: "x.amazonaws.com", Path: "/" + word(random) + "/" + word(random)}
	if random.IntN(4) == 0 {
		u.Host += ":443"
	}
	query := url.Values{}
	for range random.IntN(4) {
		query.Add(word(random), word(random))
	}
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Content-Type", "X-Amz-Meta-A", "X-Amz-Target"} {
		if random.IntN(2) == 0 {
			request.Header.Set(name, "a  "+hex.EncodeToString([]byte(word(random)))+" ")
		}
	}
	request.Header.Set("User-Agent", "unsigned")
	return request, body
}

func word(random *rand.Rand) string {
	const letters = "abcXYZ019-._~ /+%&=:,;@ü*()'!"
	runes := []rune(letters)
	out := make([]rune, 1+random.IntN(8))
	for i := range out {
		out[i] = runes[random.IntN(len(runes))]
	}
	return string(out)
}
