package podtoken

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
)

// minRSA is the shortest RSA key that is believed, in bits (RFC 7518 section 3.3).
const minRSA = 2048

// algorithms are those that a token may be signed by (RFC 7518 section 3.1): public keys
// only. Kubernetes itself uses RS256 and ES256, ES384, ES512; an external signer may use more.
func algorithms() []string { return append(rsaAlgorithms(), "ES256", "ES384", "ES512") }

func rsaAlgorithms() []string { return []string{"RS256", "RS384", "RS512", "PS256"} }

// keySet is a JWKS document (RFC 7517 section 5) of which something can be used.
type keySet struct {
	byID   map[string]key
	digest [sha256.Size]byte // of the document
}

type key struct {
	public     crypto.PublicKey
	algorithms []string
}

func (k key) fits(algorithm string) bool { return slices.Contains(k.algorithms, algorithm) }

// webKey is a public key as RFC 7517 section 4 and RFC 7518 section 6 write it.
type webKey struct {
	Type      string `json:"kty"`
	Use       string `json:"use"`
	ID        string `json:"kid"`
	Algorithm string `json:"alg"`
	N         string `json:"n"`
	E         string `json:"e"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	Y         string `json:"y"`
}

var (
	errNoJWKS = errors.New("the answer is no JWKS document")
	errNoKeys = errors.New("the JWKS document has no key for signatures that can be used")
)

// parseKeys passes over what it cannot use: keys for encryption, of other kinds, too
// short, or without kid. Of two with the same kid the first counts.
func parseKeys(document []byte) (*keySet, error) {
	var list struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(document, &list); err != nil {
		return nil, errNoJWKS // the decoder's words may quote the document
	}
	set := &keySet{byID: map[string]key{}, digest: sha256.Sum256(document)}
	for _, text := range list.Keys {
		var written webKey
		if json.Unmarshal(text, &written) != nil || written.ID == "" {
			continue
		}
		if key, ok := written.key(); ok && set.byID[written.ID].public == nil {
			set.byID[written.ID] = key
		}
	}
	if len(set.byID) == 0 {
		return nil, errNoKeys
	}
	return set, nil
}

// key returns the key, and false if it is none for our signatures.
func (w webKey) key() (k key, ok bool) {
	if w.Use != "" && w.Use != "sig" {
		return k, false
	}
	switch w.Type {
	case "RSA":
		k, ok = w.rsa()
	case "EC":
		k, ok = w.elliptic()
	}
	if w.Algorithm != "" { // then it is for nothing else
		k.algorithms = slices.DeleteFunc(k.algorithms, func(a string) bool { return a != w.Algorithm })
	}
	return k, ok && len(k.algorithms) > 0
}

func (w webKey) rsa() (key, bool) {
	n, err := decode(w.N)
	e, err2 := decode(w.E)
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	if errors.Join(err, err2) != nil || modulus.BitLen() < minRSA || modulus.BitLen() > 8*minRSA ||
		exponent.BitLen() > 31 || exponent.Int64() < 3 {
		return key{}, false
	}
	return key{&rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, rsaAlgorithms()}, true
}

func (w webKey) elliptic() (key, bool) {
	var curve elliptic.Curve
	var algorithm string // each curve has its own (RFC 7518 section 3.4)
	switch w.Curve {
	case "P-256":
		curve, algorithm = elliptic.P256(), "ES256"
	case "P-384":
		curve, algorithm = elliptic.P384(), "ES384"
	case "P-521":
		curve, algorithm = elliptic.P521(), "ES512"
	default:
		return key{}, false
	}
	x, err := decode(w.X)
	y, err2 := decode(w.Y)
	public, err3 := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
	// Coordinates of different lengths could make up for each other.
	return key{public, []string{algorithm}}, errors.Join(err, err2, err3) == nil && len(x) == len(y)
}

func decode(text string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(text) }
