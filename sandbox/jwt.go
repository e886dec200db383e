package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/keyless-id/keyless/trust"
)

// webToken is a JWT as it arrived: parsed, not yet believed.
type webToken struct {
	*signedText
	claims  trust.Claims
	issuer  string
	subject string
}

// parseToken reads a compact JWS of one of the algorithms; "none" and the
// symmetric ones are never among them.
func parseToken(text string, algorithms []string) (*webToken, error) {
	jws, err := parseSigned(text, algorithms)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(jws.payload))
	decoder.UseNumber() // to tell 1 from 1.0
	claims := trust.Claims{}
	if err := decoder.Decode(&claims); err != nil {
		return nil, errors.New("the claims are not a JSON object")
	}
	issuer, _ := claims["iss"].(string)
	subject, _ := claims["sub"].(string)
	return &webToken{jws, claims, issuer, subject}, nil
}

// verify checks the signature against the issuer's keys.
func (t *webToken) verifyBy(set *keySet) error {
	keys := set.byID(t.keyID)
	if t.keyID == "" || len(keys) == 0 {
		return errNoKey
	}
	for _, key := range keys {
		if t.verify(key) == nil {
			return nil
		}
	}
	return errSignature
}

// date returns a numeric date; STS insists on integers.
func (t *webToken) date(claim string) (seconds int64, present bool, err error) {
	value, present := t.claims[claim]
	if !present {
		return 0, false, nil
	}
	number, ok := value.(json.Number)
	if !ok {
		return 0, true, fmt.Errorf("%s is not a number", claim)
	}
	seconds, err = number.Int64()
	if err != nil {
		return 0, true, fmt.Errorf("%s is not an integer", claim)
	}
	return seconds, true, nil
}

// audiences returns aud as a list; RFC 7519 §4.1.3 lets it be either.
func (t *webToken) audiences() []string {
	switch aud := t.claims["aud"].(type) {
	case string:
		return []string{aud}
	case []any:
		var list []string
		for _, item := range aud {
			if text, ok := item.(string); ok {
				list = append(list, text)
			}
		}
		return list
	}
	return nil
}
