package transport_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/transport"
)

// arrival is a request as a far side gets it.
type arrival struct {
	*http.Request
	content string
}

// bare is what arrived, with the signed headers and no others.
func (a arrival) bare(t *testing.T) (*http.Request, time.Time) {
	t.Helper()
	scheme := "http://"
	if a.TLS != nil {
		scheme = "https://"
	}
	r := request(t, a.Method, scheme+a.Host+a.RequestURI, nil)
	for _, name := range a.signed() {
		switch name {
		case "Host":
		case "Content-Length":
			r.ContentLength = a.ContentLength
		default:
			r.Header[name] = slices.Clone(a.Header.Values(name)) // the SDK writes into them
		}
	}
	at, err := time.Parse("20060102T150405Z", a.Header.Get("X-Amz-Date"))
	if err != nil {
		t.Error(err)
	}
	return r, at
}

// signed are the names of the signed headers, in canonical form.
func (a arrival) signed() []string {
	_, rest, _ := strings.Cut(a.Header.Get("Authorization"), "SignedHeaders=")
	names, _, _ := strings.Cut(rest, ",")
	all := strings.Split(names, ";")
	for i := range all {
		all[i] = http.CanonicalHeaderKey(all[i])
	}
	return all
}

func hash(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// theSDK signs what arrived once more and returns the Authorization that it must have.
func theSDK(t *testing.T, a arrival, keys aws.Credentials, service string) string {
	t.Helper()
	r, at := a.bare(t)
	sum := hash(a.content)
	if a.Header.Get("X-Amz-Content-Sha256") == "UNSIGNED-PAYLOAD" {
		sum = "UNSIGNED-PAYLOAD"
	}
	err := v4.NewSigner().SignHTTP(t.Context(), keys, r, sum, service, "eu-west-1", at, func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	if err != nil {
		t.Error(err)
	}
	return r.Header.Get("Authorization")
}

func keysNo(n int64) aws.Credentials {
	c := (&vault{}).no(n)
	return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey.Reveal(), SessionToken: c.SessionToken.Reveal()}
}

// signerOf sends to this machine.
func signerOf(provider keyless.CredentialsProvider, service string, next http.RoundTripper) *transport.SigV4 {
	return &transport.SigV4{Provider: provider, Region: "eu-west-1", Service: service, Hosts: []string{"127.0.0.1", "api.example"}, Base: next}
}

func TestTheSignatureIsGoodAndNothingCanBeChanged(t *testing.T) {
	for _, service := range []string{"s3", "execute-api", "dynamodb", "sts"} {
		for name, c := range map[string]struct {
			method, path string
			prepare      func(*http.Request)
		}{
			"GET":                {http.MethodGet, "", nil},
			"DELETE with a path": {http.MethodDelete, "/a/b", nil},
			"a query":            {http.MethodGet, "/?b=2&a=1&a=0&acl", nil},
			"spaces":             {http.MethodGet, "/a%20b/c%20d?x%20y=z%20w&p=1+2", nil},
			"signs":              {http.MethodGet, "/a:b@c,d;e=f/%2F/~-._*'()!?k=~-._*'()!/%2F&%C3%BC=%E2%82%AC", nil},
			"beyond ASCII":       {http.MethodGet, "/ü/€", nil},
			"POST":               {http.MethodPost, "/", func(r *http.Request) { withGetBody(r, "hello") }},
			"without GetBody":    {http.MethodPost, "/x", func(r *http.Request) { unread(r, "hello", 5) }},
			"of unknown length":  {http.MethodPut, "/x", func(r *http.Request) { unread(r, "hello", -1) }},
			"nothing in it":      {http.MethodPut, "/x", func(r *http.Request) { unread(r, "", -1) }},
			"in chunks": {http.MethodPut, "/x", func(r *http.Request) {
				unread(r, "hello", 5)
				r.TransferEncoding = []string{"chunked"}
			}},
			"headers": {http.MethodPost, "/", func(r *http.Request) {
				withGetBody(r, "{}")
				r.Header = http.Header{
					"X-Amz-Target": {"DynamoDB_20120810.ListTables"}, "Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Meta-A": {" a  b ", "c"}, "User-Agent": {"x"},
				}
			}},
			"a signature of another's": {http.MethodPost, "/", func(r *http.Request) {
				withGetBody(r, "{}")
				r.Header = http.Header{
					"Authorization": {"AWS4-HMAC-SHA256 Credential=evil"}, "authorization": {"x"}, "X-Amz-Date": {"20000101T000000Z"}, "x-amz-date": {"x"},
					"X-Amz-Security-Token": {"evil"}, "X-Amz-Content-Sha256": {"evil"}, "Host": {"evil.example"}, "host": {"evil.example"}, "Content-Length": {"7"}, "content-length": {"7"},
				}
			}},
			"another host": {http.MethodGet, "/", func(r *http.Request) { r.Host = "api.example" }},
		} {
			t.Run(service+" "+name, func(t *testing.T) {
				a := arrive(t, signerOf(&vault{}, service, nil), c.method, c.path, c.prepare)
				verify(t, a, service)
			})
		}
	}
}

// OpenSearch Serverless does not take a signature of the body's length.
func TestServerlessSignsTheHashAndNotTheLength(t *testing.T) {
	a := arrive(t, signerOf(&vault{}, "aoss", nil), http.MethodPost, "/x", func(r *http.Request) { unread(r, "hello", -1) })
	verify(t, a, "aoss")
	if slices.Contains(a.signed(), "Content-Length") || !slices.Contains(a.signed(), "X-Amz-Content-Sha256") {
		t.Errorf("signed: %v", a.signed())
	}
}

// arrive sends a request and returns what comes of it at the other end.
func arrive(t *testing.T, tripper http.RoundTripper, method, path string, prepare func(*http.Request)) arrival {
	t.Helper()
	var a arrival
	far := newFarSide(t, func(_ int, _ http.ResponseWriter, r *http.Request) { a.Request = r })
	r := request(t, method, far.URL+path, nil)
	if prepare != nil {
		prepare(r)
	}
	if err := roundTrip(tripper, r); err != nil {
		t.Fatal(err)
	}
	a.content = far.all()[0].body
	return a
}

// verify says that the signature is that of the SDK, until anything is changed.
func verify(t *testing.T, a arrival, service string) {
	t.Helper()
	keys, got := keysNo(1), a.Header.Get("Authorization")
	if len(a.Header.Values("Authorization")) != 1 || len(a.Header.Values("X-Amz-Date")) != 1 || a.Header.Get("X-Amz-Security-Token") != keys.SessionToken {
		t.Errorf("headers: %v", a.Header)
	}
	if strings.Contains(fmt.Sprint(a.Header), "evil") || len(a.TransferEncoding) > 0 || a.ContentLength != int64(len(a.content)) {
		t.Errorf("headers: %v, %d bytes, %v", a.Header, a.ContentLength, a.TransferEncoding)
	}
	if want := theSDK(t, a, keys, service); got != want {
		t.Fatalf("%s %s %v\ngot  %s\nwant %s", a.Method, a.RequestURI, a.Header, got, want)
	}
	for what, change := range tampering(a) {
		changed := arrival{a.Clone(t.Context()), a.content}
		change(&changed)
		if theSDK(t, changed, keys, service) == got {
			t.Errorf("%s changed, and the signature is as good as before", what)
		}
	}
	for what, other := range map[string]aws.Credentials{
		"key":     {AccessKeyID: keys.AccessKeyID, SecretAccessKey: "other", SessionToken: keys.SessionToken},
		"ID":      {AccessKeyID: "other", SecretAccessKey: keys.SecretAccessKey, SessionToken: keys.SessionToken},
		"session": {AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey, SessionToken: "other"},
	} {
		if theSDK(t, a, other, service) == got {
			t.Errorf("the signature is good for another %s", what)
		}
	}
}

func tampering(a arrival) map[string]func(*arrival) {
	changes := map[string]func(*arrival){
		"method": func(a *arrival) { a.Method = http.MethodPatch },
		"path": func(a *arrival) {
			path, query, _ := strings.Cut(a.RequestURI, "?")
			a.RequestURI = path + "x?" + query
		},
		"query": func(a *arrival) {
			path, query, _ := strings.Cut(a.RequestURI, "?")
			a.RequestURI = path + "?" + query + "&evil=1"
		},
		"host": func(a *arrival) { a.Host = "evil.example" },
		"body": func(a *arrival) { a.content += "x" },
		"date": func(a *arrival) { a.Header.Set("X-Amz-Date", "20200101T000000Z") },
	}
	for _, name := range a.signed() {
		switch name {
		case "Host", "Content-Length", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256": // which a judge puts there itself
		default:
			changes[name] = func(a *arrival) { a.Header.Set(name, "evil") }
		}
	}
	return changes
}

// A judge for whom every payload is unsigned would not see a changed body, and must not.
func TestAnUnsignedPayloadIsLeftOut(t *testing.T) {
	const content = "as it comes"
	for name, prepare := range map[string]func(*http.Request){
		"known": func(r *http.Request) { unread(r, content, int64(len(content))) }, "unknown": func(r *http.Request) { unread(r, content, -1) },
		"GetBody": func(r *http.Request) { withGetBody(r, content) },
	} {
		tripper := signerOf(&vault{}, "s3", nil)
		tripper.UnsignedPayload, tripper.MaxBuffer = true, 1
		a := arrive(t, tripper, http.MethodPut, "/bucket/key", prepare)
		got := a.Header.Get("Authorization")
		if a.content != content || a.Header.Get("X-Amz-Content-Sha256") != "UNSIGNED-PAYLOAD" || got != theSDK(t, a, keysNo(1), "s3") {
			t.Errorf("%s: %q %v", name, a.content, a.Header)
		}
		a.Header.Set("X-Amz-Content-Sha256", hash(content))
		if got == theSDK(t, a, keysNo(1), "s3") {
			t.Errorf("%s: the signature is good with a hash too", name)
		}
	}
	tripper := signerOf(&vault{}, "s3", nil)
	tripper.UnsignedPayload = true
	if a := arrive(t, tripper, http.MethodGet, "/", nil); a.Header.Get("X-Amz-Content-Sha256") != hash("") {
		t.Errorf("no body: %v", a.Header)
	}
}

func TestOnlyS3GetsTheHashAsAHeader(t *testing.T) {
	for service, want := range map[string]string{"s3": hash("x"), "s3express": hash("x"), "execute-api": "", "s3tables": ""} {
		a := arrive(t, signerOf(&vault{}, service, nil), http.MethodPut, "/", func(r *http.Request) { withGetBody(r, "x") })
		if got := a.Header.Get("X-Amz-Content-Sha256"); got != want {
			t.Errorf("%s: %q, want %q", service, got, want)
		}
	}
}

func TestKeysWithoutASessionHaveNoToken(t *testing.T) {
	plain := keyless.Credentials{AccessKeyID: "AKID", SecretAccessKey: keyless.NewSecret(canary)}
	provider := keyless.CredentialsProviderFunc(func(context.Context) (keyless.Credentials, error) { return plain, nil })
	a := arrive(t, signerOf(provider, "sts", nil), http.MethodGet, "/", func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "mine") })
	if a.Header.Values("X-Amz-Security-Token") != nil || a.Header.Get("Authorization") != theSDK(t, a, aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: canary}, "sts") {
		t.Errorf("%v", a.Header)
	}
}

// A derived key is remembered, and must not outlive its secret.
func TestAnotherSecretOfTheSameIDIsAnotherKey(t *testing.T) {
	secret := "first"
	provider := keyless.CredentialsProviderFunc(func(context.Context) (keyless.Credentials, error) {
		return keyless.Credentials{AccessKeyID: "AKID", SecretAccessKey: keyless.NewSecret(secret)}, nil
	})
	tripper := signerOf(provider, "sts", nil)
	for _, secret = range []string{"first", "second", "first"} {
		a := arrive(t, tripper, http.MethodGet, "/", nil)
		if a.Header.Get("Authorization") != theSDK(t, a, aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: secret}, "sts") {
			t.Errorf("%s: not signed with it", secret)
		}
	}
}

func TestTheHostIsSignedAsItIsSent(t *testing.T) {
	for _, c := range []struct{ address, named, want string }{
		{"https://api.example/", "", "api.example"},
		{"https://api.example:443/", "", "api.example"},
		{"https://api.example:8443/", "", "api.example:8443"},
		{"https://api.example:80/", "", "api.example:80"},
		{"http://127.0.0.1:80/", "", "127.0.0.1"},
		{"http://127.0.0.1:443/", "", "127.0.0.1:443"},
		{"https://[::1]:443/", "", "[::1]"},
		{"http://127.0.0.1:9000/", "api.example", "api.example"},
		{"https://127.0.0.1:9000/", "api.example:443", "api.example"},
	} {
		var sent *http.Request
		tripper := signerOf(&vault{}, "sts", base(func(r *http.Request) (*http.Response, error) {
			sent = r
			return answerOf(r, http.StatusOK, ""), nil
		}))
		tripper.Hosts = append(tripper.Hosts, "::1")
		r := request(t, http.MethodGet, c.address, nil)
		r.Host = c.named
		if err := roundTrip(tripper, r); err != nil {
			t.Fatal(err)
		}
		if sent.Host != c.want || r.Host != c.named {
			t.Errorf("%+v: sent %q", c, sent.Host)
		}
		a := arrival{sent.Clone(t.Context()), ""}
		a.RequestURI = "/"
		if sent.URL.Scheme == "https" {
			a.TLS = &tls.ConnectionState{}
		}
		if a.Header.Get("Authorization") != theSDK(t, a, keysNo(1), "sts") {
			t.Errorf("%+v: not signed as it is sent", c)
		}
	}
}

func TestTheDateIsThatOfTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dates []string
		tripper := signerOf(&vault{}, "sts", base(func(r *http.Request) (*http.Response, error) {
			dates = append(dates, r.Header.Get("X-Amz-Date")+" "+r.Header.Get("Authorization")[len("AWS4-HMAC-SHA256 Credential=AKID1/"):][:8])
			return answerOf(r, http.StatusOK, ""), nil
		}))
		for range 2 {
			if err := roundTrip(tripper, request(t, http.MethodGet, "http://127.0.0.1/", nil)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(36*time.Hour + time.Second)
		}
		if want := []string{"20000101T000000Z 20000101", "20000102T120001Z 20000102"}; !slices.Equal(dates, want) {
			t.Errorf("%q, want %q", dates, want)
		}
	})
}

func TestALongBodyNeedsGetBody(t *testing.T) {
	for name, c := range map[string]struct {
		max     int64
		prepare func(*http.Request)
		allowed bool
	}{
		"as long as it may be":  {5, func(r *http.Request) { unread(r, "hello", 5) }, true},
		"longer":                {4, func(r *http.Request) { unread(r, "hello", 5) }, false},
		"unknown, but not long": {5, func(r *http.Request) { unread(r, "hello", -1) }, true},
		"unknown and longer":    {4, func(r *http.Request) { unread(r, "hello", -1) }, false},
		"longer, with GetBody":  {4, func(r *http.Request) { withGetBody(r, "hello") }, true},
		"10 MiB":                {0, func(r *http.Request) { unread(r, strings.Repeat("x", 10<<20), -1) }, true},
		"10 MiB and one":        {0, func(r *http.Request) { unread(r, strings.Repeat("x", 10<<20+1), -1) }, false},
		"a GetBody that fails": {0, func(r *http.Request) {
			withGetBody(r, "hello")
			r.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("no") }
		}, false},
		"one that cannot be read": {0, func(r *http.Request) {
			withGetBody(r, "hello")
			r.GetBody = func() (io.ReadCloser, error) {
				return &body{Reader: strings.NewReader("x"), err: errors.New("no")}, nil
			}
		}, false},
	} {
		tripper := signerOf(&vault{}, "s3", ok())
		tripper.MaxBuffer = c.max
		r := request(t, http.MethodPut, "http://127.0.0.1/", nil)
		c.prepare(r)
		b := &body{Reader: r.Body}
		r.Body = b
		if err := roundTrip(tripper, r); (err == nil) != c.allowed || b.closed.Load() != 1 {
			t.Errorf("%s: closed %d times, %v", name, b.closed.Load(), err)
		} else if strings.Contains(name, "longer") && !c.allowed {
			refusedOn(t, err, keyless.HopDelivery, "4 bytes")
		}
	}
}

// answers are those of services, with the code that each of them has.
func answers(code string) map[string]string {
	return map[string]string{
		"S3":        `<?xml version="1.0"?><Error><Code>` + code + `</Code><Message>m</Message></Error>`,
		"query":     `<ErrorResponse xmlns="x"><Error><Type>Sender</Type><Code>` + code + `</Code></Error></ErrorResponse>`,
		"JSON 1.0":  `{"__type":"com.amazon.coral.service#` + code + `","message":"m"}`,
		"JSON 1.1":  `{ "__type" : "` + code + `" }`,
		"REST JSON": `{"message":"m","code":"` + code + `"}`,
	}
}

func TestCredentialsThatAreOutOfDateAreRenewedOnce(t *testing.T) {
	for code, renews := range map[string]bool{
		"ExpiredToken": true, "ExpiredTokenException": true, "InvalidToken": true,
		"AccessDenied": false, "SignatureDoesNotMatch": false, "RequestTimeTooSkewed": false, "NotExpiredToken": false, "ExpiredTokens": false, "InvalidClientTokenId": false,
	} {
		for form, content := range answers(code) {
			for status, mayRenew := range map[int]bool{400: true, 401: true, 403: true, 404: false, 500: false, 200: false} {
				renewal(t, fmt.Sprintf("%s %s %d", code, form, status), answered{status, nil, content}, renews && mayRenew)
			}
		}
		for _, kind := range []string{code, code + ":http://internal.amazon.com/coral/com.amazon.coral.service/", "com.amazon.coral.service#" + code} {
			renewal(t, kind, answered{403, http.Header{"X-Amzn-Errortype": {kind}}, "{}"}, renews)
		}
	}
	renewal(t, "in the message", answered{403, nil, `{"__type":"AccessDenied","message":"not an ExpiredToken"}`}, false)
	renewal(t, "late", answered{403, nil, strings.Repeat(" ", 4<<10) + "<Code>ExpiredToken</Code>"}, false)
	renewal(t, "empty", answered{403, nil, ""}, false)
}

type answered struct {
	status  int
	header  http.Header
	content string
}

// renewal sends a request whose first answer is a.
func renewal(t *testing.T, name string, a answered, renews bool) {
	t.Helper()
	a.content += strings.Repeat("\n", 100<<10)
	v, ids := &vault{}, ""
	tripper := signerOf(v, "s3", base(func(r *http.Request) (*http.Response, error) {
		id := r.Header.Get("Authorization")[len("AWS4-HMAC-SHA256 Credential="):][:5]
		if ids += id; id != "AKID1" || consumed(r) != "x" {
			return answerOf(r, http.StatusOK, "welcome"), nil
		}
		answer := answerOf(r, a.status, a.content)
		answer.Header = a.header
		return answer, nil
	}))
	got, err := ask(t, tripper, request(t, http.MethodPut, "http://127.0.0.1/", strings.NewReader("x")))
	switch {
	case err != nil:
		t.Errorf("%s: %v", name, err)
	case renews && (ids != "AKID1AKID2" || got.content != "welcome" || v.renewed.Load() != 1):
		t.Errorf("%s: %s, %d %q, want new credentials", name, ids, got.status, got.content)
	case !renews && (ids != "AKID1" || got.content != a.content || got.status != a.status || v.renewed.Load() != 0):
		t.Errorf("%s: %s, %d with %d bytes, want the answer as it came", name, ids, got.status, len(got.content))
	}
}

func TestARefusalThatNothingCanMendComesAsItWas(t *testing.T) {
	const refusal = "<Error><Code>ExpiredToken</Code></Error>"
	for name, c := range map[string]struct {
		provider keyless.CredentialsProvider
		length   int64
		sent     int
	}{
		"no others to be had":     {&vault{broken: errors.New("down")}, 1, 1},
		"a provider without that": {keyless.CredentialsProviderFunc((&vault{}).Credentials), 1, 1},
		"the same again":          {stuck{&vault{}}, 1, 1},
		"a body that is gone":     {&vault{}, -1, 1},
		"the others no better":    {&vault{}, 1, 2},
	} {
		sent := 0
		tripper := signerOf(c.provider, "s3", base(func(r *http.Request) (*http.Response, error) {
			sent++
			consumed(r)
			return answerOf(r, http.StatusBadRequest, refusal), nil
		}))
		tripper.UnsignedPayload = true
		r := request(t, http.MethodPut, "http://127.0.0.1/", nil)
		unread(r, "x", c.length)
		got, err := ask(t, tripper, r)
		if err != nil || got.content != refusal || got.status != http.StatusBadRequest || sent != c.sent || got.request != r {
			t.Errorf("%s: %+v, %v after %d", name, got, err, sent)
		}
	}
}

type stuck struct{ *vault }

func (s stuck) Renew(ctx context.Context, _ keyless.Credentials) (keyless.Credentials, error) {
	return s.Credentials(ctx)
}

func TestAnAnswerThatBreaksOffStillDoes(t *testing.T) {
	cut := errors.New("cut")
	got, err := ask(t, signerOf(&vault{}, "s3", base(func(r *http.Request) (*http.Response, error) {
		answer := answerOf(r, http.StatusForbidden, "")
		answer.Body = &body{Reader: io.MultiReader(strings.NewReader("half"), &once{cut}), err: io.EOF}
		return answer, nil
	})), request(t, http.MethodGet, "http://127.0.0.1/", nil))
	if got.content != "half" || !errors.Is(err, cut) {
		t.Errorf("%+v, %v", got, err)
	}
}

// once says its error and forgets it.
type once struct{ err error }

func (o *once) Read([]byte) (int, error) {
	err := o.err
	o.err = io.EOF
	return 0, err
}

// TestACachedProviderIsRenewed is the way that programs use it.
func TestACachedProviderIsRenewed(t *testing.T) {
	v := &vault{}
	numbered := keyless.CredentialsProviderFunc(func(context.Context) (keyless.Credentials, error) { return v.no(v.asked.Add(1)), nil })
	far := newFarSide(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "=AKID1/") {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"__type":"ExpiredTokenException"}`)
		}
	})
	tripper := signerOf(keyless.CachedCredentials(numbered), "dynamodb", nil)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			answer, err := tripper.RoundTrip(request(t, http.MethodPost, far.URL, strings.NewReader("{}")))
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Errorf("%v %v", answer, err)
				return
			}
			_ = answer.Body.Close()
		})
	}
	all.Wait()
	if v.asked.Load() != 2 {
		t.Errorf("asked %d times, want 2", v.asked.Load())
	}
}

func TestWhatCannotBeSignedIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*transport.SigV4, *http.Request)
		hop    keyless.Hop
	}{
		"no provider":     {func(s *transport.SigV4, _ *http.Request) { s.Provider = nil }, keyless.HopDelivery},
		"no region":       {func(s *transport.SigV4, _ *http.Request) { s.Region = "" }, keyless.HopDelivery},
		"no service":      {func(s *transport.SigV4, _ *http.Request) { s.Service = "" }, keyless.HopDelivery},
		"a query with ;":  {func(_ *transport.SigV4, r *http.Request) { r.URL.RawQuery = "a=1;b=" + canary }, keyless.HopDelivery},
		"a query cut off": {func(_ *transport.SigV4, r *http.Request) { r.URL.RawQuery = "a=" + canary + "%2" }, keyless.HopDelivery},
		"no credentials":  {func(s *transport.SigV4, _ *http.Request) { s.Provider = fixed(keyless.Credentials{}) }, keyless.HopExchange},
		"half a pair": {func(s *transport.SigV4, _ *http.Request) {
			s.Provider = fixed(keyless.Credentials{AccessKeyID: "AKID"})
		}, keyless.HopExchange},
		"the other half": {func(s *transport.SigV4, _ *http.Request) {
			s.Provider = fixed(keyless.Credentials{SecretAccessKey: keyless.NewSecret(canary)})
		}, keyless.HopExchange},
		"nothing is changed": {func(*transport.SigV4, *http.Request) {}, ""},
	} {
		tripper := signerOf(&vault{}, "s3", ok())
		r := request(t, http.MethodGet, "http://127.0.0.1/?a=1&b=2", nil)
		c.change(tripper, r)
		err := roundTrip(tripper, r)
		if c.hop == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		refusedOn(t, err, c.hop)
	}
}

func fixed(c keyless.Credentials) keyless.CredentialsProvider {
	return keyless.CredentialsProviderFunc(func(context.Context) (keyless.Credentials, error) { return c, nil })
}
