package podtoken_test

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/keyless-id/keyless/internal/podtoken"
)

// everyKey is a set with keys that can be used, and some that cannot.
func everyKey() []object {
	return []object{
		jwk("rsa", &rsaKey().PublicKey),
		jwk("ec", &p256().PublicKey),
		jwk("ec384", &p384().PublicKey),
		jwk("ec521", &p521().PublicKey),
		with(jwk("any use", &p256().PublicKey), object{"use": nil}),
		with(jwk("only RS512", &rsaKey().PublicKey), object{"alg": "RS512"}),
		with(jwk("only ES384", &p256().PublicKey), object{"alg": "ES384"}),
		with(jwk("enc", &rsaKey().PublicKey), object{"use": "enc"}),
		jwk("short", &shortRSA().PublicKey),
		with(jwk("even", &rsaKey().PublicKey), object{"e": ""}),
		with(jwk("off the curve", &p256().PublicKey), object{"x": jwk("", &newEC(elliptic.P256()).PublicKey)["x"]}),
		with(jwk("old curve", &p256().PublicKey), object{"crv": "P-224"}),
		{"kty": "oct", "kid": "oct", "use": "sig", "k": base64.RawURLEncoding.EncodeToString([]byte("a shared secret"))},
		{"kty": 7, "kid": "odd"},
		with(jwk("", &p256().PublicKey), object{"kid": nil}),
	}
}

func TestVerifyReturnsThePod(t *testing.T) {
	v, _ := newVerifier(everyKey()...)
	token := good(t)
	for range 2 { // the second time it is known
		pod, err := v.Verify(context.Background(), token)
		if err != nil {
			t.Fatal(err)
		}
		if life := pod.Expiry.Sub(pod.Issued); life != time.Hour || time.Until(pod.Expiry) > time.Hour {
			t.Errorf("life: got %v until %v, want an hour from now", life, pod.Expiry)
		}
		pod.Issued, pod.Expiry = time.Time{}, time.Time{}
		want := podtoken.Pod{
			Namespace: "shop", ServiceAccount: "cart", Subject: "system:serviceaccount:shop:cart",
			Name: "cart-7d9f-x2x4p", UID: "5f6c4f0e-0000-4000-8000-000000000002",
		}
		if pod != want {
			t.Errorf("got %+v, want %+v", pod, want)
		}
	}
}

func TestVerifyWithoutPod(t *testing.T) {
	v, _ := newVerifier(everyKey()...)
	unbound := with(claims(), object{"kubernetes.io": with(private(), object{"pod": nil})})
	pod, err := v.Verify(context.Background(), signer{p256(), "ES256", "ec"}.sign(t, unbound, nil))
	if err != nil || pod.Name != "" || pod.UID != "" || pod.ServiceAccount != "cart" {
		t.Errorf("got %+v, %v, want a pod without name and UID", pod, err)
	}
}

func TestAlgorithms(t *testing.T) {
	public, err := x509.MarshalPKIXPublicKey(&rsaKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	secret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	cases := []struct {
		name, algorithm, kid string
		key                  any
		changes              object
		want                 error
	}{
		{"RS256", "RS256", "rsa", rsaKey(), nil, nil},
		{"RS384", "RS384", "rsa", rsaKey(), nil, nil},
		{"RS512", "RS512", "rsa", rsaKey(), nil, nil},
		{"PS256", "PS256", "rsa", rsaKey(), nil, nil},
		{"ES256", "ES256", "ec", p256(), nil, nil},
		{"ES384", "ES384", "ec384", p384(), nil, nil},
		{"ES512", "ES512", "ec521", p521(), nil, nil},
		{"key without use", "ES256", "any use", p256(), nil, nil},
		{"key for its algorithm", "RS512", "only RS512", rsaKey(), nil, nil},
		{"key for another algorithm", "RS256", "only RS512", rsaKey(), nil, podtoken.ErrToken},
		{"key for an algorithm of another curve", "ES256", "only ES384", p256(), nil, podtoken.ErrToken},
		{"PS384", "PS384", "rsa", rsaKey(), nil, podtoken.ErrToken},
		{"none", "none", "rsa", jwt.UnsafeAllowNoneSignatureType, nil, podtoken.ErrToken},
		{"None", "none", "rsa", jwt.UnsafeAllowNoneSignatureType, object{"alg": "None"}, podtoken.ErrToken},
		{"no algorithm", "RS256", "rsa", rsaKey(), object{"alg": nil}, podtoken.ErrToken},
		{"HS256 with the public key", "HS256", "rsa", secret, nil, podtoken.ErrToken},
		{"HS256 with the public key as RS256", "HS256", "rsa", secret, object{"alg": "RS256"}, podtoken.ErrToken},
		{"HS256 with the modulus", "HS256", "rsa", rsaKey().N.Bytes(), nil, podtoken.ErrToken},
		{"HS256 with a shared secret of the set", "HS256", "oct", []byte("a shared secret"), nil, podtoken.ErrToken},
		{"another RSA key", "RS256", "rsa", otherRSA(), nil, podtoken.ErrToken},
		{"another elliptic key", "ES256", "ec", newEC(elliptic.P256()), nil, podtoken.ErrToken},
		{"kid of a key of another kind", "ES256", "rsa", p256(), nil, podtoken.ErrToken},
		{"kid of another curve", "ES256", "ec384", p256(), nil, podtoken.ErrToken},
		{"key for encryption", "RS256", "enc", rsaKey(), nil, podtoken.ErrToken},
		{"key of 1024 bits", "RS256", "short", shortRSA(), nil, podtoken.ErrToken},
		{"unknown kid", "ES256", "nobody", p256(), nil, podtoken.ErrToken},
		{"no kid", "ES256", "ec", p256(), object{"kid": nil}, podtoken.ErrToken},
		{"empty kid", "ES256", "", p256(), nil, podtoken.ErrToken},
		{"kid of another type", "ES256", "ec", p256(), object{"kid": 7}, podtoken.ErrToken},
		{"kid in other case", "ES256", "EC", p256(), nil, podtoken.ErrToken},
		{"critical extension", "ES256", "ec", p256(), object{"crit": []string{"exp"}}, podtoken.ErrToken},
		{"key in the header", "RS256", "nobody", otherRSA(), object{"jwk": jwk("nobody", &otherRSA().PublicKey)}, podtoken.ErrToken},
	}
	v, _ := newVerifier(everyKey()...)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			token := signer{c.key, c.algorithm, c.kid}.sign(t, claims(), c.changes)
			err := verify(v, token)
			wantError(t, err, c.want)
			wantSilent(t, err, token)
		})
	}
}

func TestClaims(t *testing.T) {
	now := time.Now().Unix()
	kubernetes := func(changes object) object { return object{"kubernetes.io": with(private(), changes)} }
	cases := []struct {
		name    string
		changes object
		good    bool
	}{
		{"as it is", nil, true},
		{"issuer with slash", object{"iss": issuer + "/"}, false},
		{"issuer in other case", object{"iss": strings.ToUpper(issuer)}, false},
		{"other issuer", object{"iss": "https://evil.example"}, false},
		{"issuer as list", object{"iss": []string{issuer}}, false},
		{"empty issuer", object{"iss": ""}, false},
		{"no issuer", object{"iss": nil}, false},
		{"ISS", object{"iss": nil, "ISS": issuer}, false},
		{"audience as text", object{"aud": audience}, true},
		{"one audience of two", object{"aud": []string{"https://kubernetes.default.svc", audience}}, true},
		{"other audience", object{"aud": []string{"https://kubernetes.default.svc"}}, false},
		{"other audience as text", object{"aud": "https://kubernetes.default.svc"}, false},
		{"audience within another", object{"aud": "x" + audience}, false},
		{"two audiences in one text", object{"aud": audience + " x"}, false},
		{"empty audience", object{"aud": ""}, false},
		{"no audiences", object{"aud": []string{}}, false},
		{"audience beside a number", object{"aud": []any{audience, 7}}, false},
		{"audience as object", object{"aud": object{audience: true}}, false},
		{"no audience", object{"aud": nil}, false},
		{"expired", object{"exp": now - 1}, false},
		{"expires now", object{"exp": now}, false},
		{"exp of nought", object{"exp": 0}, false},
		{"negative exp", object{"exp": -5}, false},
		{"exp beyond all calendars", object{"exp": 1e30}, false},
		{"exp as text", object{"exp": "9999999999"}, false},
		{"exp with a fraction", object{"exp": float64(now) + 600.5}, true},
		{"no exp", object{"exp": nil}, false},
		{"not yet valid", object{"nbf": now + 60}, false},
		{"valid at once, clock behind", object{"nbf": now + 25, "iat": now + 25}, true},
		{"nbf as text", object{"nbf": "0"}, false},
		{"no nbf", object{"nbf": nil}, true},
		{"issued in the future", object{"iat": now + 60}, false},
		{"iat as list", object{"iat": []int{0}}, false},
		{"no iat", object{"iat": nil}, true},
		{"other subject", object{"sub": "system:serviceaccount:shop:admin"}, false},
		{"subject of another namespace", object{"sub": "system:serviceaccount:kube-system:cart"}, false},
		{"subject with more", object{"sub": "system:serviceaccount:shop:cart "}, false},
		{"a user", object{"sub": "cart"}, false},
		{"no subject", object{"sub": nil}, false},
		{"no kubernetes.io", object{"kubernetes.io": nil}, false},
		{"kubernetes.io as text", object{"kubernetes.io": "shop"}, false},
		{"no namespace", kubernetes(object{"namespace": nil}), false},
		{"namespace in other case", kubernetes(object{"namespace": nil, "Namespace": "shop"}), false},
		{"empty namespace", with(kubernetes(object{"namespace": ""}), object{"sub": "system:serviceaccount::cart"}), false},
		{"no service account", kubernetes(object{"serviceaccount": nil}), false},
		{"service account without name", kubernetes(object{"serviceaccount": object{"uid": "1"}}), false},
		{"service account as text", kubernetes(object{"serviceaccount": "cart"}), false},
		{"colon in a name", with(kubernetes(object{"namespace": "shop:cart", "serviceaccount": object{"name": "x"}}),
			object{"sub": "system:serviceaccount:shop:cart:x"}), false},
		{"pod without UID", kubernetes(object{"pod": object{"name": "cart-1"}}), false},
		{"pod without name", kubernetes(object{"pod": object{"uid": "1"}}), false},
		{"pod as text", kubernetes(object{"pod": "cart-1"}), false},
	}
	v, _ := newVerifier(everyKey()...)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			token := signer{p256(), "ES256", "ec"}.sign(t, with(claims(), c.changes), nil)
			want := podtoken.ErrToken
			if c.good {
				want = nil
			}
			err := verify(v, token)
			wantError(t, err, want)
			wantSilent(t, err, token)
		})
	}
}

func TestForm(t *testing.T) {
	token := good(t)
	parts := strings.Split(token, ".")
	jws := func(signatures ...object) string {
		return string(mustJSON(t, object{"payload": parts[1], "signatures": signatures}))
	}
	one := object{"protected": parts[0], "signature": parts[2]}
	cases := map[string]string{
		"empty":                     "",
		"garbage":                   "garbage",
		"dots":                      "..",
		"two parts":                 parts[0] + "." + parts[1],
		"no signature":              parts[0] + "." + parts[1] + ".",
		"no payload":                parts[0] + ".." + parts[2],
		"JWE":                       token + "." + parts[1] + "." + parts[2],
		"JWE header in three parts": segment(t, object{"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "rsa"}) + "." + parts[1] + "." + parts[2],
		"JSON form":                 string(mustJSON(t, object{"payload": parts[1], "protected": parts[0], "signature": parts[2]})),
		"one signature in a list":   jws(one),
		"two signatures":            jws(one, one),
		"too big":                   signer{p256(), "ES256", "ec"}.sign(t, with(claims(), object{"pad": strings.Repeat("x", 16<<10)}), nil),
		"Bearer":                    "Bearer " + token,
		"line break at the end":     token + "\n",
		"line break within":         parts[0] + "." + parts[1] + "." + parts[2][:9] + "\r\n" + parts[2][9:],
		"padding":                   token + "==",
		"other alphabet":            parts[0] + "." + parts[1] + "." + "+/" + parts[2][2:],
		"header is a list":          segment(t, []int{1}) + "." + parts[1] + "." + parts[2],
		"header is null":            segment(t, nil) + "." + parts[1] + "." + parts[2],
		"other payload":             parts[0] + "." + segment(t, with(claims(), object{"jti": "other"})) + "." + parts[2],
		"signature cut":             token[:len(token)-8],
		"claims are a list":         signText(t, `[1]`),
		"claims are null":           signText(t, `null`),
		"claims are no JSON":        signText(t, `canary-of-the-claims`),
	}
	v, _ := newVerifier(everyKey()...)
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			err := verify(v, text)
			wantError(t, err, podtoken.ErrToken)
			wantSilent(t, err, text)
		})
	}
	wantError(t, verify(v, token), nil)
}

func TestAlmostTooBig(t *testing.T) {
	v, _ := newVerifier(everyKey()...)
	token := signer{p256(), "ES256", "ec"}.sign(t, with(claims(), object{"pad": strings.Repeat("x", 11<<10)}), nil)
	if len(token) < 15<<10 || len(token) > 16<<10 {
		t.Fatalf("the token has %d bytes, want a little less than 16 KiB", len(token))
	}
	wantError(t, verify(v, token), nil)
}

func TestSetup(t *testing.T) {
	c := &cluster{document: jwks(everyKey()...)}
	for name, v := range map[string]*podtoken.Verifier{
		"nothing":     {},
		"no issuer":   {Audience: audience, Keys: c.Keys},
		"no audience": {Issuer: issuer, Keys: c.Keys},
		"no keys":     {Issuer: issuer, Audience: audience},
	} {
		t.Run(name, func(t *testing.T) {
			empty := with(claims(), object{"iss": v.Issuer, "aud": v.Audience})
			wantError(t, verify(v, signer{p256(), "ES256", "ec"}.sign(t, empty, nil)), podtoken.ErrSetup)
			wantError(t, v.Load(context.Background()), podtoken.ErrSetup)
		})
	}
	c.wantAsked(t, 0)
}

func TestErrorsQuoteNoMoreThanAHundredCharacters(t *testing.T) {
	v, _ := newVerifier(everyKey()...)
	long := strings.Repeat("x", 500)
	for name, token := range map[string]string{
		"iss": signer{p256(), "ES256", "ec"}.sign(t, with(claims(), object{"iss": long}), nil),
		"aud": signer{p256(), "ES256", "ec"}.sign(t, with(claims(), object{"aud": []string{long, long}}), nil),
		"kid": signer{p256(), "ES256", long}.sign(t, claims(), nil),
	} {
		err := verify(v, token)
		wantError(t, err, podtoken.ErrToken)
		if n := strings.Count(err.Error(), "xx"); n == 0 || strings.Contains(err.Error(), long[:101]) {
			t.Errorf("%s: got %v, want up to 100 characters of it", name, err)
		}
	}
}

// wantSilent looks that an error has nothing of the token, as it came or decoded.
func wantSilent(t *testing.T, err error, token string) {
	t.Helper()
	if err == nil {
		return
	}
	const window = 12
	for at := 0; at+window <= len(token); at++ {
		if strings.Contains(err.Error(), token[at:at+window]) {
			t.Errorf("error %q has %q of the token", err, token[at:at+window])
		}
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("error %q has a claim of the token", err)
	}
}

func mustJSON(t *testing.T, value any) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(segment(t, value))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// signText signs any text as payload.
func signText(t *testing.T, payload string) string {
	t.Helper()
	text := segment(t, object{"alg": "ES256", "kid": "ec"}) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	signature, err := jwt.SigningMethodES256.Sign(text, p256())
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// FuzzVerify looks that nothing is accepted but what the key has signed, whatever the
// parts of a token are exchanged for.
func FuzzVerify(f *testing.F) {
	v, _ := newVerifier(everyKey()...)
	signed := map[string]bool{}
	add := func(token string) {
		signed[token[:strings.LastIndex(token, ".")]] = true
		f.Add(token)
	}
	far := with(claims(), object{"exp": time.Now().Add(24 * time.Hour).Unix()})
	add(signer{p256(), "ES256", "ec"}.sign(f, far, nil))
	add(signer{rsaKey(), "RS256", "rsa"}.sign(f, far, nil))
	token := signer{newEC(elliptic.P256()), "ES256", "ec"}.sign(f, far, nil)
	f.Add(token)
	f.Add(token[:strings.LastIndex(token, ".")+1])
	f.Add(signer{jwt.UnsafeAllowNoneSignatureType, "none", "ec"}.sign(f, maps.Clone(far), nil))
	f.Add("")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		pod, err := v.Verify(context.Background(), token)
		if err == nil && !signed[token[:strings.LastIndex(token, ".")]] {
			t.Errorf("accepted %q as %+v", token, pod)
		}
		if err != nil {
			wantError(t, err, podtoken.ErrToken)
		}
	})
}
