package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/internal/wire"
	"github.com/keyless-id/keyless/trust"
)

// The forms of --claims.
const (
	claimsText = "text"
	claimsJSON = "json"
)

// printClaims shows what the token says of itself; from is whom the source asked, if
// the profile did not name it.
func (p *program) printClaims(token, form, from string) error {
	claims, err := jwtpeek.Unverified(token)
	if err != nil {
		return &keyless.Error{Hop: keyless.HopSource, Op: "claims", Message: "the token cannot be read", Err: err}
	}
	if form == claimsJSON {
		return printJSON(p.stdout, claims.All)
	}
	return newPage(p.stdout, p.getenv).claims(remarks(claims, time.Now()), from)
}

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// remark is a claim, and what AWS makes of it; empty: nothing.
type remark struct{ claim, value, meaning string }

func (p *page) claims(all []remark, from string) error {
	p.line("%s", p.paint(bold, "Not verified: this is what the token says of itself."))
	if from != "" {
		p.line("It is from: %s", p.wrap(from, 12))
	}
	width := 4
	for _, r := range all {
		width = max(width, len(r.claim))
	}
	unseen := false
	for _, r := range all {
		if r.meaning == "" && !unseen {
			unseen = true
			p.line("\n%s", p.paint(faint, "AWS sees none of these:"))
		}
		p.line("%-*s  %s", width, r.claim, p.wrap(r.value, width+2))
		if r.meaning != "" {
			p.line("%-*s  %s", width, "", p.paint(faint, p.wrap(r.meaning, width+2)))
		}
	}
	return p.out.Flush()
}

// remarks begins with what AWS sees, in the order in which STS looks at it.
func remarks(claims jwtpeek.Claims, now time.Time) []remark {
	var seen, unseen []remark
	order := []string{"iss", "aud", "azp", "sub", "exp", "nbf", "amr", "email"}
	for _, name := range order {
		if _, ok := claims.All[name]; ok {
			seen = append(seen, remark{wire.Quote(name), printable(claims, name), meaning(claims, name, now)})
		}
	}
	// oid and appid are what people look for first.
	rest := append([]string{"oid", "appid"}, slices.Sorted(maps.Keys(claims.All))...)
	for i, name := range rest {
		_, ok := claims.All[name]
		if !ok || slices.Contains(order, name) || slices.Index(rest, name) < i {
			continue
		}
		r := remark{wire.Quote(name), printable(claims, name), meaning(claims, name, now)}
		if r.meaning == "" {
			unseen = append(unseen, r)
		} else {
			seen = append(seen, r)
		}
	}
	return append(seen, unseen...)
}

// printable is the claim as JSON spells it, without quotes round a text.
func printable(claims jwtpeek.Claims, name string) string {
	if text, ok := claims.All[name].(string); ok {
		return wire.Quote(text)
	}
	raw, err := json.Marshal(claims.All[name])
	if err != nil {
		return "?"
	}
	return wire.Quote(string(raw))
}

// meaning is what AWS makes of a claim: the keys of a trust policy, by the mapping that
// the trust package knows, and what STS itself looks at.
func meaning(claims jwtpeek.Claims, name string, now time.Time) string {
	key := wire.Quote(trust.ProviderKey(claims.Issuer))
	switch name {
	case "iss":
		return issuerMeaning(claims, key)
	case "aud":
		return audienceMeaning(claims, key)
	case "azp":
		return fmt.Sprintf("AWS takes it for the audience: condition key %s:aud, and one of the IAM OIDC provider's client ids", key)
	case "sub":
		return subjectMeaning(claims, key)
	case "amr", "email":
		return fmt.Sprintf("condition key %s:%s", key, name)
	case "exp":
		return expiryMeaning(claims, now)
	case "nbf":
		if claims.NotBefore.After(now) {
			return fmt.Sprintf("%s: STS refuses the token until then", clock(claims.NotBefore))
		}
		return clock(claims.NotBefore)
	}
	return sessionMeaning(name)
}

func issuerMeaning(claims jwtpeek.Claims, key string) string {
	text := fmt.Sprintf("the IAM OIDC provider is %s", key)
	switch {
	case strings.HasPrefix(key, "vstoken.dev.azure.com/"):
		return text + "; Azure DevOps retires this issuer on 2027-07-01: convert the service connection"
	case strings.HasSuffix(key, "/"):
		text += ", slash included"
	}
	if claims.Version != "" {
		text += fmt.Sprintf(" (a version %s token)", wire.Quote(claims.Version))
	}
	return text
}

func audienceMeaning(claims jwtpeek.Claims, key string) string {
	for _, audience := range claims.Audience {
		if awssts.FirstParty(audience) {
			return "one of Microsoft's own services: keyless does not send such a token to AWS, where it would be as good as a key"
		}
	}
	if claims.AuthorizedParty != "" {
		return fmt.Sprintf("condition key %s:oaud, since there is an azp", key)
	}
	return fmt.Sprintf("condition key %s:aud, and one of the IAM OIDC provider's client ids", key)
}

func subjectMeaning(claims jwtpeek.Claims, key string) string {
	text := fmt.Sprintf("condition key %s:sub; a trust policy should pin it", key)
	if claims.Subject == claims.ObjectID {
		text += " (it is the object id of the service principal)"
	}
	return text
}

func expiryMeaning(claims jwtpeek.Claims, now time.Time) string {
	left := claims.Expiry.Sub(now).Round(time.Second)
	switch {
	case claims.Expiry.IsZero():
		return "not a time: STS refuses the token"
	case left <= 0:
		return fmt.Sprintf("%s, %s ago: STS answers ExpiredTokenException", clock(claims.Expiry), -left)
	}
	return fmt.Sprintf("%s, in %s; credentials may live on after it", clock(claims.Expiry), left)
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// sessionMeaning is about the claims by which a token shapes the session.
func sessionMeaning(name string) string {
	const prefix = "https://aws.amazon.com/"
	switch rest, found := strings.CutPrefix(name, prefix); {
	case !found:
		return ""
	case strings.HasPrefix(rest, "tags"):
		return "session tags; the trust policy must allow " + trust.TagSession + " too"
	case rest == "source_identity":
		return "the session's source identity; the trust policy must allow " + trust.SetSourceIdentity + " too"
	case rest == "roles":
		return "STS lets the token assume these roles only (sts:RoleAuthorizedByIdp)"
	}
	return ""
}
