package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/entra"
	"github.com/keyless-id/keyless/internal/wire"
)

// issuerAnswer is what the token's issuer publishes, as AWS would fetch it.
type issuerAnswer struct {
	asked string // the host; empty: nobody was asked
	err   error
	keys  int
	kid   bool // the key that signed the token is among them
}

const issuerTimeout = 10 * time.Second

// askIssuer goes the way of OpenID Connect Discovery 1.0, section 4, as AWS does.
func (e *evidence) askIssuer(ctx context.Context) {
	if e.claimsErr != nil || e.built.Exchanger == nil {
		return
	}
	base, err := e.issuerBase()
	if err != nil || base == "" {
		e.issuer.err = err
		return
	}
	ctx, cancel := context.WithTimeout(ctx, issuerTimeout)
	defer cancel()
	e.issuer = e.fetchKeys(ctx, base)
}

// issuerBase is where the issuer's documents are. Where Entra's authority or STS have been
// moved, to a sandbox for example, the issuer's true name leads elsewhere: then the
// authority is asked, or nobody.
func (e *evidence) issuerBase() (string, error) {
	issuer, err := url.Parse(e.claims.Issuer)
	if err != nil || issuer.Scheme != "https" {
		return "", errors.New("the issuer is no https address")
	}
	authority := strings.TrimSuffix(cmp.Or(e.application().AuthorityHost, e.Getenv("AZURE_AUTHORITY_HOST")), "/")
	moved := authority != "" && !slices.ContainsFunc(entra.Clouds(), func(cloud string) bool {
		known, _ := entra.AuthorityFor(cloud)
		return known == authority
	})
	switch {
	case moved && readIssuer(e.key()).tenant != "":
		return authority + strings.TrimSuffix(issuer.Path, "/"), nil
	case moved || strings.HasPrefix(e.built.STS.Endpoint, "http:"):
		return "", nil
	}
	return strings.TrimSuffix(e.claims.Issuer, "/"), nil
}

func (e *evidence) fetchKeys(ctx context.Context, base string) issuerAnswer {
	var discovery struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	answer := issuerAnswer{asked: trustHost(base)}
	if answer.err = e.fetch(ctx, base+"/.well-known/openid-configuration", &discovery); answer.err != nil {
		return answer
	}
	if discovery.Issuer != e.claims.Issuer {
		answer.err = fmt.Errorf("the document is that of %q", clean(discovery.Issuer))
		return answer
	}
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if answer.err = e.fetch(ctx, discovery.JWKSURI, &set); answer.err != nil {
		return answer
	}
	answer.keys = len(set.Keys)
	for _, key := range set.Keys {
		answer.kid = answer.kid || key.ID == e.claims.KeyID
	}
	return answer
}

func trustHost(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return parsed.Host
}

func (e *evidence) fetch(ctx context.Context, address string, into any) error {
	if _, err := wire.Endpoint(address); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	answer, err := wire.Do(e.cloud, request)
	switch {
	case err != nil:
		return err
	case answer.Status != http.StatusOK:
		return fmt.Errorf("%s answers %d", request.URL.Host, answer.Status)
	}
	if err := json.Unmarshal(answer.Body, into); err != nil {
		return fmt.Errorf("%s answers no JSON", request.URL.Host)
	}
	return nil
}

// issuerKeys is about AWS being able to verify the token. This machine reaches the issuer
// or does not by its own way; what counts is what STS says of AWS's.
func (e *evidence) issuerKeys() Finding {
	if e.built == nil || e.built.Exchanger == nil || e.tokenErr != nil || e.claimsErr != nil || guarded(e.exchangeErr) {
		return Finding{}
	}
	f := Finding{Check: "issuer", Hop: keyless.HopExchange, Verdict: OK, Summary: "the issuer publishes the keys of its tokens", Evidence: texts(e.issuerLine())}
	complaint := keysComplaint(e.exchangeErr)
	switch {
	case complaint && e.issuer.err != nil:
		f.Verdict, f.Code, f.Summary = Failed, "issuer-unreachable", "AWS cannot fetch the keys of the token's issuer, and they cannot be fetched from here either"
		f.Fix = "the issuer's documents must be public, on https, with a certificate of a public CA\ncurl -sv " + quoted(strings.TrimSuffix(e.claims.Issuer, "/")+"/.well-known/openid-configuration") + " -o /dev/null"
	case complaint && e.issuer.asked != "" && !e.issuer.kid:
		f.Verdict, f.Code, f.Summary = Failed, "issuer-key-unknown", "the key that signed the token is not among those that the issuer publishes"
		f.Fix = "get a new token; if its issuer is your own, publish the new key before you sign with it"
	case complaint:
		f.Verdict, f.Code, f.Summary = Failed, "issuer-unreachable", "AWS could not fetch the keys of the token's issuer just now"
		f.Fix = hinted(e.exchangeErr)
	case e.issuer.err != nil && e.exchangeErr == nil, e.issuer.asked == "":
		f.Summary = "STS has verified the token"
		if e.exchangeErr != nil {
			f.Summary = "STS has not complained of the issuer's keys"
		}
	}
	f.Temporary = f.Verdict == Failed && keyless.IsTemporary(e.exchangeErr)
	return f
}

func (e *evidence) issuerLine() string {
	switch {
	case e.issuer.err != nil:
		return "from here: " + clean(e.issuer.err.Error())
	case e.issuer.asked == "":
		return ""
	}
	return fmt.Sprintf("from here: %s publishes %d key(s)", e.issuer.asked, e.issuer.keys)
}

// keysComplaint reports whether STS says that it has no key to verify the token with.
func keysComplaint(err error) bool {
	failed := asError(err)
	if failed == nil {
		return false
	}
	text := strings.ReplaceAll(failed.Message, "’", "'")
	return failed.Code == "IDPCommunicationError" || failed.Code == "InvalidIdentityToken" && strings.Contains(text, "Couldn't retrieve verification key")
}
