package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// signedText is a compact JWS (RFC 7515 §3.1), taken apart.
type signedText struct {
	header    map[string]any
	payload   []byte
	algorithm string
	keyID     string
	signed    string // what the signature is of
	signature []byte
}

var errNotSigned = errors.New("not a JWS in compact form with one of the algorithms")

// parseSigned takes a compact JWS of one of the algorithms apart.
func parseSigned(text string, algorithms []string) (*signedText, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, errNotSigned
	}
	var decoded [3][]byte
	for i, part := range parts {
		data, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil {
			return nil, errNotSigned
		}
		decoded[i] = data
	}
	s := &signedText{payload: decoded[1], signature: decoded[2], signed: parts[0] + "." + parts[1]}
	if err := json.Unmarshal(decoded[0], &s.header); err != nil || s.header == nil || s.header["crit"] != nil {
		return nil, errNotSigned
	}
	s.algorithm, _ = s.header["alg"].(string)
	s.keyID, _ = s.header["kid"].(string)
	if !slices.Contains(algorithms, s.algorithm) {
		return nil, errNotSigned
	}
	return s, nil
}

var errSignature = errors.New("the signature does not match")

// verify checks the signature. A key of another kind than the algorithm's fits none.
func (s *signedText) verify(key crypto.PublicKey) error {
	method := jwt.GetSigningMethod(s.algorithm)
	if method == nil || method.Verify(s.signed, s.signature, key) != nil {
		return errSignature
	}
	return nil
}

// signText makes a compact JWS.
func signText(algorithm string, header map[string]any, payload []byte, key any) (string, error) {
	method := jwt.GetSigningMethod(algorithm)
	if method == nil {
		return "", errors.New("no such algorithm: " + algorithm)
	}
	full := map[string]any{"typ": "JWT", "alg": algorithm}
	for name, value := range header {
		full[name] = value
	}
	first, err := json.Marshal(full)
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode(first) + "." + encode(payload)
	signature, err := method.Sign(signed, key)
	return signed + "." + encode(signature), err
}

// keySet is a JWK set (RFC 7517 §5).
type keySet struct {
	Keys []webKey `json:"keys"`
}

// webKey is a public key as RFC 7518 §6 writes it.
type webKey struct {
	Type  string `json:"kty"`
	Use   string `json:"use,omitempty"`
	ID    string `json:"kid,omitempty"`
	N     string `json:"n,omitempty"`
	E     string `json:"e,omitempty"`
	Curve string `json:"crv,omitempty"`
	X     string `json:"x,omitempty"`
	Y     string `json:"y,omitempty"`
}

func newWebKey(id string, public crypto.PublicKey) (webKey, error) {
	encode := base64.RawURLEncoding.EncodeToString
	switch public := public.(type) {
	case *rsa.PublicKey:
		return webKey{Type: "RSA", Use: "sig", ID: id, N: encode(public.N.Bytes()), E: encode(big.NewInt(int64(public.E)).Bytes())}, nil
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // 4, then both coordinates
		if err != nil {
			return webKey{}, err
		}
		half := len(point) / 2
		return webKey{Type: "EC", Use: "sig", ID: id, Curve: public.Params().Name, X: encode(point[1 : 1+half]), Y: encode(point[1+half:])}, nil
	}
	return webKey{}, errors.New("a key of an unknown kind")
}

var errKey = errors.New("not an RSA or elliptic key")

// public is the key itself.
func (k webKey) public() (crypto.PublicKey, error) {
	switch k.Type {
	case "RSA":
		n, err := number(k.N)
		e, err2 := number(k.E)
		if err := errors.Join(err, err2); err != nil || !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 || n.BitLen() < 1024 {
			return nil, errKey
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
	case "EC":
		return k.elliptic()
	}
	return nil, errKey
}

func (k webKey) elliptic() (crypto.PublicKey, error) {
	curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[k.Curve]
	x, err := base64.RawURLEncoding.DecodeString(k.X)
	y, err2 := base64.RawURLEncoding.DecodeString(k.Y)
	if curve == nil || errors.Join(err, err2) != nil {
		return nil, errKey
	}
	return ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
}

func number(text string) (*big.Int, error) {
	data, err := base64.RawURLEncoding.DecodeString(text)
	return new(big.Int).SetBytes(data), err
}

// byID returns the keys with an id that can be read.
func (s *keySet) byID(id string) []crypto.PublicKey {
	var all []crypto.PublicKey
	for _, key := range s.Keys {
		if public, err := key.public(); err == nil && key.ID == id {
			all = append(all, public)
		}
	}
	return all
}
