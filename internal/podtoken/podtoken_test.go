package podtoken_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/keyless-id/keyless/internal/podtoken"
)

const (
	issuer   = "https://cluster.example/id"
	audience = "sts.amazonaws.com"
)

// Keys are made once: that takes longer than all else here.
var (
	rsaKey     = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	otherKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	shortKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 1024)) })
	ellipseKey = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// keySet publishes public keys by their ids.
func keySet(keys map[string]crypto.PublicKey) []byte {
	set := map[string][]map[string]string{"keys": {}}
	for id, key := range keys {
		entry := map[string]string{"kid": id, "use": "sig"}
		switch k := key.(type) {
		case *rsa.PublicKey:
			entry["kty"], entry["n"], entry["e"] = "RSA", encode(k.N.Bytes()), encode(big.NewInt(int64(k.E)).Bytes())
		case *ecdsa.PublicKey:
			point := must(k.Bytes())
			entry["kty"], entry["crv"], entry["x"], entry["y"] = "EC", "P-256", encode(point[1:33]), encode(point[33:])
		}
		set["keys"] = append(set["keys"], entry)
	}
	return must(json.Marshal(set))
}

func published() []byte {
	return keySet(map[string]crypto.PublicKey{"r": rsaKey().Public(), "e": ellipseKey().Public(), "short": shortKey().Public()})
}

// payload is what a good token says now.
func payload() jwt.MapClaims {
	now := time.Now()
	return jwt.MapClaims{
		"iss": issuer, "aud": []string{audience}, "sub": "system:serviceaccount:shop:api",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{
			"namespace": "shop", "serviceaccount": map[string]any{"name": "api", "uid": "u1"}, "pod": map[string]any{"name": "api-1", "uid": "u2"},
		},
	}
}

func sign(method jwt.SigningMethod, id string, key any, claims jwt.MapClaims) string {
	token := jwt.NewWithClaims(method, claims)
	if id != "" {
		token.Header["kid"] = id
	}
	return must(token.SignedString(key))
}

func changed(f func(c jwt.MapClaims)) string {
	c := payload()
	f(c)
	return sign(jwt.SigningMethodRS256, "r", rsaKey(), c)
}

func verifier() *podtoken.Verifier {
	return &podtoken.Verifier{Issuer: issuer, Audience: audience, Keys: func(context.Context) ([]byte, error) { return published(), nil }}
}

func TestATokenSaysWhosePodItIs(t *testing.T) {
	for name, token := range map[string]string{
		"RSA": changed(func(jwt.MapClaims) {}), "EC": sign(jwt.SigningMethodES256, "e", ellipseKey(), payload()), "PSS": sign(jwt.SigningMethodPS256, "r", rsaKey(), payload()),
		"one audience":   changed(func(c jwt.MapClaims) { c["aud"] = audience }),
		"many audiences": changed(func(c jwt.MapClaims) { c["aud"] = []string{"vault", audience} }),
		"not of a pod":   changed(func(c jwt.MapClaims) { delete(c["kubernetes.io"].(map[string]any), "pod") }),
		"a clock ahead": changed(func(c jwt.MapClaims) {
			c["nbf"], c["iat"] = time.Now().Add(20*time.Second).Unix(), time.Now().Add(20*time.Second).Unix()
		}),
		"without nbf":     changed(func(c jwt.MapClaims) { delete(c, "nbf") }),
		"with more to it": changed(func(c jwt.MapClaims) { c["extra"] = strings.Repeat("x", 4000) }),
	} {
		v := verifier()
		for range 2 { // verified, and known
			pod, err := v.Verify(t.Context(), token)
			if err != nil || pod.Namespace != "shop" || pod.ServiceAccount != "api" || pod.Subject != "system:serviceaccount:shop:api" || time.Until(pod.Expiry) < 59*time.Minute || pod.Issued.IsZero() {
				t.Errorf("%s: %+v, %v", name, pod, err)
			}
		}
	}
}

func TestEveryOtherTokenIsRefused(t *testing.T) {
	public := must(rsaKey().PublicKey.N.GobEncode())
	good := changed(func(jwt.MapClaims) {})
	parts := strings.Split(good, ".")
	general := string(must(json.Marshal(map[string]any{"payload": parts[1], "signatures": []map[string]string{{"protected": parts[0], "signature": parts[2]}}})))
	kubernetes := func(change func(k map[string]any)) string {
		return changed(func(c jwt.MapClaims) { change(c["kubernetes.io"].(map[string]any)) })
	}
	for name, token := range map[string]string{
		"nothing": "", "garbage": "hunter2", "three parts": "a.b.c", "a scheme": "Bearer " + good, "a line end": good + "\n", "JSON form": general, "five parts": good + ".a.b",
		"another issuer": changed(func(c jwt.MapClaims) { c["iss"] = "https://evil.example" }), "a slash more": changed(func(c jwt.MapClaims) { c["iss"] = issuer + "/" }),
		"no issuer": changed(func(c jwt.MapClaims) { delete(c, "iss") }), "no audience": changed(func(c jwt.MapClaims) { delete(c, "aud") }),
		"another audience": changed(func(c jwt.MapClaims) { c["aud"] = []string{"https://kubernetes.default.svc"} }), "an empty audience": changed(func(c jwt.MapClaims) { c["aud"] = []string{""} }),
		"expired": changed(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Second).Unix() }), "no end": changed(func(c jwt.MapClaims) { delete(c, "exp") }),
		"not yet": changed(func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Minute).Unix() }), "of the future": changed(func(c jwt.MapClaims) { c["iat"] = time.Now().Add(time.Minute).Unix() }),
		"another subject": changed(func(c jwt.MapClaims) { c["sub"] = "system:serviceaccount:shop:admin" }), "no subject": changed(func(c jwt.MapClaims) { delete(c, "sub") }),
		"not Kubernetes'": changed(func(c jwt.MapClaims) { delete(c, "kubernetes.io") }), "no namespace": kubernetes(func(k map[string]any) { delete(k, "namespace") }),
		"no account": kubernetes(func(k map[string]any) { k["serviceaccount"] = map[string]any{} }), "another namespace": kubernetes(func(k map[string]any) { k["namespace"] = "kube-system" }),
		"no algorithm": sign(jwt.SigningMethodNone, "r", jwt.UnsafeAllowNoneSignatureType, payload()), "the public key as a secret": sign(jwt.SigningMethodHS256, "r", public, payload()),
		"another key": sign(jwt.SigningMethodRS256, "r", otherKey(), payload()), "an unknown key": sign(jwt.SigningMethodRS256, "x", rsaKey(), payload()), "no key": sign(jwt.SigningMethodRS256, "", rsaKey(), payload()),
		"a short key": sign(jwt.SigningMethodRS256, "short", shortKey(), payload()), "a key of another kind": sign(jwt.SigningMethodRS256, "e", rsaKey(), payload()),
		"too long": changed(func(c jwt.MapClaims) { c["extra"] = strings.Repeat("x", 20_000) }), "cut off": good[:len(good)-4], "another payload": parts[0] + "." + encode([]byte("{}")) + "." + parts[2],
	} {
		pod, err := verifier().Verify(t.Context(), token)
		if err == nil || errors.Is(err, podtoken.ErrKeys) || pod != (podtoken.Pod{}) {
			t.Errorf("%s: %+v, %v", name, pod, err)
			continue
		}
		for _, part := range strings.Split(token, ".") {
			if len(part) > 3 && strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error has a part of the token: %v", name, err)
			}
		}
	}
}

func TestWithoutAnIssuerOrAnAudienceNobodyIsKnown(t *testing.T) {
	for _, v := range []*podtoken.Verifier{{Issuer: issuer}, {Audience: audience}, {}} {
		v.Keys = verifier().Keys
		if _, err := v.Verify(t.Context(), changed(func(c jwt.MapClaims) { c["iss"], c["aud"] = v.Issuer, v.Audience })); err == nil {
			t.Errorf("%q, %q", v.Issuer, v.Audience)
		}
	}
}

// A token that was verified is no longer good once it has expired, or its key is gone.
func TestWhatIsKnownEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := published()
		v := &podtoken.Verifier{Issuer: issuer, Audience: audience, Keys: func(context.Context) ([]byte, error) { return set, nil }}
		token := sign(jwt.SigningMethodRS256, "r", rsaKey(), payload())
		long := changed(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(24 * time.Hour).Unix() })
		for _, text := range []string{token, long} {
			if _, err := v.Verify(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		set = keySet(map[string]crypto.PublicKey{"r": otherKey().Public()})
		time.Sleep(59 * time.Minute)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("within the hour: %v", err)
		}
		time.Sleep(2 * time.Minute)
		if _, err := v.Verify(t.Context(), token); err == nil {
			t.Error("it has expired")
		}
		_, _ = v.Verify(t.Context(), long) // the keys are old: this asks for others
		synctest.Wait()
		if _, err := v.Verify(t.Context(), long); err == nil {
			t.Error("its key is gone")
		}
	})
}

func TestKeysAreAskedForOnceAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		down := errors.New("no route")
		var outage atomic.Bool
		set := atomic.Pointer[[]byte]{}
		first := keySet(map[string]crypto.PublicKey{"r": rsaKey().Public()})
		set.Store(&first)
		v := &podtoken.Verifier{Issuer: issuer, Audience: audience, Keys: func(context.Context) ([]byte, error) {
			asked.Add(1)
			time.Sleep(time.Second)
			if outage.Load() {
				return nil, down
			}
			return *set.Load(), nil
		}}
		verify := func(id string, key any) error {
			c := payload()
			c["jti"] = rand.Text()
			_, err := v.Verify(t.Context(), sign(jwt.SigningMethodRS256, id, key, c))
			return err
		}
		outage.Store(true)
		if err := verify("r", rsaKey()); !errors.Is(err, podtoken.ErrKeys) || !errors.Is(err, down) {
			t.Errorf("without keys: %v", err)
		}
		outage.Store(false)
		time.Sleep(11 * time.Second)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if err := verify("r", rsaKey()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := asked.Load(); n != 2 {
			t.Errorf("asked %d times", n)
		}
		for range 100 { // forged ids make one request in ten seconds
			if err := verify("forged", otherKey()); err == nil || errors.Is(err, podtoken.ErrKeys) {
				t.Errorf("%v", err)
			}
		}
		if n := asked.Load(); n > 3 {
			t.Errorf("asked %d times", n)
		}
		second := keySet(map[string]crypto.PublicKey{"r": rsaKey().Public(), "new": otherKey().Public()})
		set.Store(&second)
		time.Sleep(11 * time.Second)
		if err := verify("new", otherKey()); err != nil {
			t.Errorf("a new key: %v", err)
		}
		outage.Store(true)
		time.Sleep(2 * time.Hour)
		for range 3 {
			began := time.Now()
			if err := verify("r", rsaKey()); err != nil || time.Since(began) > 0 {
				t.Errorf("in an outage: %v after %s", err, time.Since(began))
			}
			time.Sleep(time.Minute)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if _, err := v.Verify(ctx, sign(jwt.SigningMethodRS256, "other", otherKey(), payload())); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("whoever does not want to wait: %v", err)
		}
		time.Sleep(time.Minute)
	})
}

func TestKeySetsThatAreNone(t *testing.T) {
	token := changed(func(jwt.MapClaims) {})
	for name, set := range map[string]string{
		"HTML": "<html>", "nothing": "", "no keys": `{"keys":[]}`, "no set": `[]`, "a secret": `{"keys":[{"kty":"oct","kid":"r","k":"aHVudGVyMg"}]}`,
		"for encryption":   strings.ReplaceAll(string(keySet(map[string]crypto.PublicKey{"r": rsaKey().Public()})), `"sig"`, `"enc"`),
		"half a key":       `{"keys":[{"kty":"RSA","kid":"r","n":"AQAB"}]}`,
		"not on the curve": `{"keys":[{"kty":"EC","kid":"r","crv":"P-256","x":"` + encode(make([]byte, 32)) + `","y":"` + encode(make([]byte, 32)) + `"}]}`,
		"another curve":    `{"keys":[{"kty":"EC","kid":"r","crv":"P-224","x":"AQ","y":"AQ"}]}`,
	} {
		v := &podtoken.Verifier{Issuer: issuer, Audience: audience, Keys: func(context.Context) ([]byte, error) { return []byte(set), nil }}
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, podtoken.ErrKeys) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheKeysComeFromAFileOrTheCluster(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "keys"), published(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/away":
			http.Redirect(w, r, "/keys", http.StatusFound)
		case r.Header.Get("Authorization") != "Bearer hunter2":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			_, _ = w.Write(published())
		}
	}))
	defer server.Close()
	for name, c := range map[string]struct {
		keys func(context.Context) ([]byte, error)
		good bool
	}{
		"file":           {podtoken.File(filepath.Join(dir, "keys")), true},
		"no file":        {podtoken.File(filepath.Join(dir, "none")), false},
		"cluster":        {podtoken.API{URL: server.URL + "/keys", TokenFile: filepath.Join(dir, "token")}.Keys, true},
		"no token":       {podtoken.API{URL: server.URL + "/keys"}.Keys, false},
		"a missing file": {podtoken.API{URL: server.URL + "/keys", TokenFile: filepath.Join(dir, "none")}.Keys, false},
		"a redirect":     {podtoken.API{URL: server.URL + "/away", TokenFile: filepath.Join(dir, "token")}.Keys, false},
		"plain http":     {podtoken.API{URL: "http://cluster.example/keys"}.Keys, false},
	} {
		v := &podtoken.Verifier{Issuer: issuer, Audience: audience, Keys: c.keys}
		_, err := v.Verify(t.Context(), changed(func(jwt.MapClaims) {}))
		if (err == nil) != c.good || err != nil && (!errors.Is(err, podtoken.ErrKeys) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever is sent, it is not let in unless the key has signed it.
func FuzzVerify(f *testing.F) {
	good := sign(jwt.SigningMethodRS256, "r", rsaKey(), payload())
	f.Add(good)
	f.Add(sign(jwt.SigningMethodNone, "r", jwt.UnsafeAllowNoneSignatureType, payload()))
	f.Add("a.b.c")
	v := verifier()
	signed := good[:strings.LastIndexByte(good, '.')]
	f.Fuzz(func(t *testing.T, token string) {
		if pod, err := v.Verify(t.Context(), token); err == nil && !strings.HasPrefix(token, signed+".") {
			t.Fatalf("%q is let in as %+v", token, pod)
		}
	})
}
