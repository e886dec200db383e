package entra

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// assertionLife is how long an assertion is good for. It is used at once.
const assertionLife = 10 * time.Minute

type assertionHeader struct {
	Algorithm  string   `json:"alg"`
	Type       string   `json:"typ"`
	Thumbprint string   `json:"x5t#S256"`
	Chain      []string `json:"x5c,omitempty"`
}

type assertionClaims struct {
	Audience  string `json:"aud"`
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	ID        string `json:"jti"`
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	Expiry    int64  `json:"exp"`
}

// assertion signs a JWT that says "I am the client" to the token endpoint
// (RFC 7523 section 3).
func (c Certificate) assertion(pair keyPair, endpoint string) (string, error) {
	now := time.Now()
	header, claims := c.header(pair.chain), assertionClaims{
		Audience: endpoint, Issuer: c.ClientID, Subject: c.ClientID, ID: rand.Text(),
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expiry: now.Add(assertionLife).Unix(),
	}
	input := encodeJSON(header) + "." + encodeJSON(claims)
	digest := sha256.Sum256([]byte(input))
	signature, err := pair.signer.Sign(rand.Reader, digest[:], c.padding())
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func (c Certificate) header(chain []*x509.Certificate) assertionHeader {
	thumbprint := sha256.Sum256(chain[0].Raw)
	header := assertionHeader{Algorithm: "PS256", Type: "JWT", Thumbprint: base64.RawURLEncoding.EncodeToString(thumbprint[:])}
	if c.RS256 {
		header.Algorithm = "RS256"
	}
	if c.SendChain {
		for _, certificate := range chain {
			// Not base64url: RFC 7515 section 4.1.6.
			header.Chain = append(header.Chain, base64.StdEncoding.EncodeToString(certificate.Raw))
		}
	}
	return header
}

// padding is PSS with a salt as long as the digest for PS256 (RFC 7518 section 3.5).
func (c Certificate) padding() crypto.SignerOpts {
	if c.RS256 {
		return crypto.SHA256
	}
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
}

func encodeJSON(part any) string {
	raw, err := json.Marshal(part)
	if err != nil {
		panic(err) // structs of strings and numbers
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}
