package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"
)

// signingKey is a key with the certificate that a JWKS shows.
type signingKey struct {
	id          string // kid and x5t: the SHA-1 of the certificate
	private     crypto.Signer
	certificate []byte
}

// firstKey is the RSA key that every sandbox of the process starts with: making
// one takes longer than a whole test. It never changes once made.
//
//nolint:gochecknoglobals // a constant in all but name
var firstKey = sync.OnceValues(newRSAKey)

func newRSAKey() (*signingKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return newSigningKey(key)
}

func newSigningKey(key crypto.Signer) (*signingKey, error) {
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(randomBytes(16)),
		Subject:      pkix.Name{CommonName: "accounts.accesscontrol.windows.net"},
		NotBefore:    time.Unix(946684800, 0), NotAfter: time.Unix(4102444800, 0), // 2000 to 2100: the clock is the test's
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum(der)
	return &signingKey{base64.RawURLEncoding.EncodeToString(sum[:]), key, der}, nil
}

// keyring holds the signing keys of all issuers that the sandbox plays.
type keyring struct {
	mu      sync.Mutex
	rsa     []*signingKey // the last one signs
	ec      map[elliptic.Curve]*signingKey
	foreign *signingKey // in no JWKS, for forgeries
}

// RotateKeys makes a new signing key. The JWKS shows it besides the old ones.
func (s *Sandbox) RotateKeys() {
	key, err := newRSAKey()
	if err != nil {
		return // no randomness: there is nothing to rotate to
	}
	_, _ = s.keys.signer() // so that the first key is among the old ones
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	s.keys.rsa = append(s.keys.rsa, key)
}

// DropOldKeys leaves only the latest signing key in the JWKS. The metadata
// service forgets the tokens it has cached, for they are worthless now.
func (s *Sandbox) DropOldKeys() {
	s.keys.mu.Lock()
	if n := len(s.keys.rsa); n > 1 {
		s.keys.rsa = s.keys.rsa[n-1:]
	}
	s.keys.mu.Unlock()
	s.tokens.clear()
}

// signer returns the key that signs now.
func (k *keyring) signer() (*signingKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.rsa) == 0 {
		key, err := firstKey()
		if err != nil {
			return nil, err
		}
		k.rsa = append(k.rsa, key)
	}
	return k.rsa[len(k.rsa)-1], nil
}

// curve returns the key for an ES… algorithm.
func (k *keyring) curve(c elliptic.Curve) (*signingKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.ec[c]; key != nil {
		return key, nil
	}
	private, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := newSigningKey(private)
	if err != nil {
		return nil, err
	}
	if k.ec == nil {
		k.ec = map[elliptic.Curve]*signingKey{}
	}
	k.ec[c] = key
	return key, nil
}

// stranger returns a key that no JWKS shows.
func (k *keyring) stranger() (*signingKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.foreign == nil {
		key, err := newRSAKey()
		if err != nil {
			return nil, err
		}
		k.foreign = key
	}
	return k.foreign, nil
}

// forAlgorithm returns the key that signs with a JWS algorithm.
func (k *keyring) forAlgorithm(algorithm string) (*signingKey, error) {
	switch algorithm {
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		return k.signer()
	case "ES256":
		return k.curve(elliptic.P256())
	case "ES384":
		return k.curve(elliptic.P384())
	case "ES512":
		return k.curve(elliptic.P521())
	}
	return nil, fmt.Errorf("sandbox: no key for algorithm %q", algorithm)
}

// shown returns the keys of a JWKS, the elliptic ones where an issuer has any.
func (k *keyring) shown(elliptic bool) ([]*signingKey, error) {
	if _, err := k.signer(); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := append([]*signingKey(nil), k.rsa...)
	if elliptic {
		for _, key := range k.ec {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// verify checks a signature by the keys that Entra shows.
func (k *keyring) verify(s *signedText) error {
	keys, err := k.shown(false)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if key.id == s.keyID && s.verify(key.private.Public()) == nil {
			return nil
		}
	}
	return errSignature
}

// entraJWKS is the JWKS document of Entra: no alg member, x5t equal to kid, and
// the issuer where the document is a tenant's.
func (k *keyring) entraJWKS(issuer string) ([]byte, error) {
	keys, err := k.shown(false)
	if err != nil {
		return nil, err
	}
	set := struct {
		Keys []map[string]any `json:"keys"`
	}{}
	for _, key := range keys {
		public, isRSA := key.private.Public().(*rsa.PublicKey)
		if !isRSA {
			continue
		}
		entry := map[string]any{
			"kty": "RSA", "use": "sig", "kid": key.id, "x5t": key.id,
			"n":                   base64.RawURLEncoding.EncodeToString(public.N.Bytes()),
			"e":                   base64.RawURLEncoding.EncodeToString(big.NewInt(int64(public.E)).Bytes()),
			"x5c":                 []string{base64.StdEncoding.EncodeToString(key.certificate)},
			"cloud_instance_name": "microsoftonline.com",
		}
		if issuer != "" {
			entry["issuer"] = issuer
		}
		set.Keys = append(set.Keys, entry)
	}
	return json.Marshal(set)
}

// issuerJWKS is the JWKS document of an issuer that is not Entra.
func (k *keyring) issuerJWKS() ([]byte, error) {
	keys, err := k.shown(true)
	if err != nil {
		return nil, err
	}
	var set keySet
	for _, key := range keys {
		public, err := newWebKey(key.id, key.private.Public())
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, public)
	}
	return json.Marshal(set)
}

// sign makes a compact JWS.
func (key *signingKey) sign(algorithm string, header map[string]any, payload []byte) (string, error) {
	token, err := signText(algorithm, header, payload, key.private)
	if err != nil {
		return "", fmt.Errorf("sandbox: sign: %w", err)
	}
	return token, nil
}

// flipSignature makes the signature wrong and leaves the form right.
func flipSignature(token string) string {
	at := strings.LastIndexByte(token, '.') + 1
	replacement := byte('A')
	if token[at] == 'A' {
		replacement = 'B'
	}
	return token[:at] + string(replacement) + token[at+1:]
}
