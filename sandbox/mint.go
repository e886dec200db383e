package sandbox

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Flaw is a way for a minted token to be bad.
type Flaw string

// The flaws. The zero Flaw is a sound token.
const (
	Sound          Flaw = ""
	BadSignature   Flaw = "bad signature"   // one bit of the signature is wrong
	UnknownKey     Flaw = "unknown key"     // signed by a key that is in no JWKS
	ForeignKey     Flaw = "foreign key"     // signed by such a key under the kid of a known one
	NoKeyID        Flaw = "no key id"       // the header has no kid
	Unsigned       Flaw = "unsigned"        // alg none
	SymmetricAbuse Flaw = "symmetric abuse" // HS256 with the public key for a secret
)

// Minting says how [Sandbox.Mint] signs. The zero value is RS256 and sound.
type Minting struct {
	Algorithm string // RS256 … ES512, PS256 …
	Flaw      Flaw
}

// Mint signs any claims with the keys of the issuers that the sandbox plays: a
// token as a test needs it, also expired, misaddressed or forged ones. Take the
// claims from [Sandbox.Claims] and change them.
func (s *Sandbox) Mint(claims map[string]any, how Minting) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("sandbox: mint: %w", err)
	}
	if how.Algorithm == "" {
		how.Algorithm = "RS256"
	}
	key, err := s.keys.forAlgorithm(how.Algorithm)
	if err != nil {
		return "", err
	}
	return s.mintFlawed(key, payload, how)
}

func (s *Sandbox) mintFlawed(key *signingKey, payload []byte, how Minting) (string, error) {
	header := map[string]any{"kid": key.id}
	switch how.Flaw {
	case Sound:
	case Unsigned:
		encode := base64.RawURLEncoding.EncodeToString
		return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(payload) + ".", nil
	case SymmetricAbuse:
		return key.abuse(payload)
	case NoKeyID:
		delete(header, "kid")
	case UnknownKey, ForeignKey:
		stranger, err := s.keys.stranger()
		if err != nil {
			return "", err
		}
		if how.Flaw == UnknownKey {
			header["kid"] = stranger.id
		}
		key, how.Algorithm = stranger, "RS256"
	case BadSignature:
		token, err := key.sign(how.Algorithm, header, payload)
		return flipSignature(token), err
	default:
		return "", fmt.Errorf("sandbox: mint: no flaw is called %q", string(how.Flaw))
	}
	return key.sign(how.Algorithm, header, payload)
}

// abuse signs with the public key as if it were a shared secret: the attack on
// verifiers that let the token choose the kind of algorithm.
func (key *signingKey) abuse(payload []byte) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key.private.Public())
	if err != nil {
		return "", err
	}
	secret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return signText("HS256", map[string]any{"kid": key.id}, payload, secret)
}

// Claims returns the claims that Entra would put into an access token for a
// principal, named by object id or client id, and a resource, named by App ID
// URI or client id. The principal may be an application or a managed identity.
func (s *Sandbox) Claims(principal, resource string) (map[string]any, error) {
	for _, t := range s.index.ordered {
		d := s.directory(t)
		p, found := d.principal(t, principal)
		if !found {
			continue
		}
		target, found := d.resource(resource)
		if !found {
			return nil, fmt.Errorf("sandbox: no resource %q in tenant %s", resource, t.ID)
		}
		return s.claimsFor(t, p, target), nil
	}
	return nil, errors.New("sandbox: no such principal in any tenant")
}

// principal finds an application or identity by either of its ids.
func (d *directory) principal(t *tenant, id string) (principal, bool) {
	for i := range t.Identities {
		if m := &t.Identities[i]; strings.EqualFold(id, m.ClientID) || strings.EqualFold(id, m.ObjectID) {
			return principal{clientID: m.ClientID, objectID: m.ObjectID, acr: "2", identity: m}, true
		}
	}
	for _, app := range d.clients {
		if strings.EqualFold(id, app.ClientID) || strings.EqualFold(id, app.ObjectID) {
			return appPrincipal(app, "1"), true
		}
	}
	return principal{}, false
}
