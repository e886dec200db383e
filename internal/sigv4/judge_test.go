package sigv4_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/keyless-id/keyless/internal/sigv4"
)

// TestTheSignatureIsThatOfTheSDK signs random requests with this package and with the
// signer of the AWS SDK for Go.
func TestTheSignatureIsThatOfTheSDK(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		request, body := anyRequest(t, random)
		keys := sigv4.Keys{AccessKeyID: "AKID" + word(random), SecretAccessKey: "s" + word(random)}
		if random.IntN(2) == 0 {
			keys.SessionToken = "t" + word(random)
		}
		scope := sigv4.Scope{
			Service: []string{"sts", "s3", "iam"}[random.IntN(3)], Region: "eu-west-1",
			Time: time.Unix(1700000000+random.Int64N(1e8), 0),
		}
		theirs := request.Clone(t.Context())
		theirs.Body = nil
		bySDK(t, theirs, body, keys, scope)
		sigv4.Sign(request, body, keys, scope)
		if got, want := request.Header.Get("Authorization"), theirs.Header.Get("Authorization"); got != want {
			t.Fatalf("%s %s %v\ngot  %s\nwant %s", request.Method, request.URL, request.Header, got, want)
		}
	}
}

func bySDK(t *testing.T, request *http.Request, body []byte, keys sigv4.Keys, scope sigv4.Scope) {
	t.Helper()
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	if scope.Service == "s3" {
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
