package awssts

import (
	"fmt"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/internal/wire"
)

// Codes of tokens that are not sent.
const (
	CodeNotJWT     = "NotAJWT"            // the token is no JWT
	CodeAudience   = "WrongAudience"      // it is for another audience than the configured one
	CodeFirstParty = "FirstPartyAudience" // it is for one of Microsoft's own services
)

// admit is the audience guard. Whoever gets a token can use it for whatever its
// audience names; STS is to get none that is worth anything elsewhere.
func (w WebIdentity) admit(subject keyless.Token) (jwtpeek.Claims, error) {
	token := subject.Value.Reveal()
	claims, err := jwtpeek.Unverified(token)
	if err != nil {
		return claims, refuse(CodeNotJWT, err.Error(), "STS takes a signed JWT only; is the audience an application of your own? Tokens for some services of Microsoft's are opaque or encrypted")
	}
	if len(token) > maxToken {
		return claims, refuse(CodeNotJWT, fmt.Sprintf("the token has %d characters, STS takes %d at most", len(token), maxToken),
			"the token carries too many claims, most often groups or roles")
	}
	if len(claims.Audience) == 0 {
		return claims, refuse(CodeAudience, "the token names no audience", "STS needs one in the aud claim")
	}
	for _, audience := range claims.Audience {
		if err := w.checkFirstParty(audience); err != nil {
			return claims, err
		}
	}
	return claims, w.checkExpected(claims)
}

func refuse(code, message, hint string) *keyless.Error {
	return &keyless.Error{Hop: keyless.HopExchange, Op: actionWebIdentity, Code: code, Message: message + "; it was not sent", Hint: hint}
}

func (w WebIdentity) checkFirstParty(audience string) error {
	switch {
	case tokenExchange(audience) && w.AllowTokenExchangeAudience:
		return nil
	case tokenExchange(audience):
		return refuse(CodeFirstParty, fmt.Sprintf("the token is for %q, and so good for every application that federates with its issuer", wire.Quote(audience)),
			"register an application of your own for AWS and ask for a token for its App ID URI; only Azure Pipelines has no other audience to offer")
	case FirstParty(audience):
		return refuse(CodeFirstParty, fmt.Sprintf("the token is for %q, one of Microsoft's own services, where it is as good as a key", wire.Quote(audience)),
			"register an application of your own for AWS and ask for a token for its App ID URI")
	}
	return nil
}

func (w WebIdentity) checkExpected(claims jwtpeek.Claims) error {
	want, err := w.expected(claims)
	if err != nil || want == "" {
		return err
	}
	if w.AllowTokenExchangeAudience && tokenExchange(want) && len(claims.Audience) == 1 && tokenExchange(claims.Audience[0]) {
		return nil // one audience with two names, of which v2.0 tokens use the GUID
	}
	if len(claims.Audience) == 1 && claims.Audience[0] == want {
		return nil
	}
	return refuse(CodeAudience, fmt.Sprintf("the token is for %q, expected %q", wire.Quote(strings.Join(claims.Audience, ", ")), wire.Quote(want)),
		"the audience of the token's source and that of the exchange must be the same, character by character")
}

// expected is the aud claim that the token must have; empty: nothing was said.
func (w WebIdentity) expected(claims jwtpeek.Claims) (string, error) {
	audience := strings.TrimSuffix(w.Audience, "/.default")
	switch {
	case w.ExpectedAudience != "":
		return w.ExpectedAudience, nil
	case audience == "" || !isV2(claims) || pattern.GUID(audience) || tokenExchange(audience):
		return audience, nil
	}
	if id, found := strings.CutPrefix(audience, "api://"); found && pattern.GUID(id) {
		return strings.ToLower(id), nil
	}
	return "", refuse(CodeAudience, fmt.Sprintf("the token is a v2.0 token for the application %q, which cannot be compared with %q", wire.Quote(strings.Join(claims.Audience, ", ")), wire.Quote(audience)),
		"set expected_aud to the client id (GUID) of the application whose App ID URI this is")
}

// isV2 tells the two kinds of Entra's access tokens apart ("Access token claims
// reference"). Only the older one repeats the audience as it was asked for.
func isV2(claims jwtpeek.Claims) bool {
	return claims.Version == "2.0" || (claims.Version == "" && strings.HasSuffix(claims.Issuer, "/v2.0"))
}

// tokenExchange reports whether audience is that of workload identity federation,
// in any cloud, or its GUID.
func tokenExchange(audience string) bool {
	audience = strings.ToLower(audience)
	return strings.HasPrefix(audience, "api://azureadtokenexchange") || audience == "fb60f99c-7a34-4190-8149-302f77469936"
}
