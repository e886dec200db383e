// Package oauth reads what token endpoints answer (RFC 6749 sections 5.1 and
// 5.2), in the spellings of Entra and of Azure's managed identity endpoints, and
// knows what their AADSTS codes mean.
package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// maxLifetime is beyond what any issuer grants; more is garbage.
const maxLifetime = 366 * 24 * time.Hour

type answer struct {
	AccessToken string  `json:"access_token"`
	TokenType   string  `json:"token_type"`
	ExpiresIn   *number `json:"expires_in"`
	ExpiresOn   *moment `json:"expires_on"`
	RefreshIn   *number `json:"refresh_in"`
}

// number is a whole number that comes as a JSON number from Entra and as a
// string from IMDS.
type number int64

var errNumber = errors.New("not a number of seconds")

func (n *number) UnmarshalJSON(raw []byte) error {
	value, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	if err != nil || math.IsNaN(value) || math.Abs(value) > 1e15 {
		return errNumber
	}
	*n = number(value)
	return nil
}

// moment is a number of seconds since 1970, or a date: App Service's old endpoint
// and some others spell expires_on as their platform spells dates.
type moment int64

// dateLayouts are those seen in the field; without a zone they are UTC. Go reads
// days, months and hours of one digit or two by all of them.
var dateLayouts = [...]string{ //nolint:gochecknoglobals // a constant in all but name
	"1/2/2006 15:04:05 -07:00",
	"1/2/2006 3:04:05 PM -07:00",
	"1/2/2006 15:04:05 PM -07:00", // "13:00:00 PM" is in Microsoft's own examples
	"1/2/2006 15:04:05",
	"2006-01-02 15:04:05",
	time.RFC3339,
}

func (m *moment) UnmarshalJSON(raw []byte) error {
	var seconds number
	if seconds.UnmarshalJSON(raw) == nil {
		*m = moment(seconds)
		return nil
	}
	for _, layout := range dateLayouts {
		if at, err := time.Parse(layout, strings.Trim(string(raw), `"`)); err == nil {
			*m = moment(at.Unix())
			return nil
		}
	}
	return errNumber
}

// Token reads the answer to a request made at obtained. The token itself is
// opaque to its holder: all that is asked of it is that it fits into a header.
// Errors never quote the body.
func Token(body []byte, obtained time.Time) (keyless.Token, error) {
	var a answer
	if err := Decode(body, &a); err != nil {
		return keyless.Token{}, fmt.Errorf("the answer is no token: %w", err)
	}
	if err := a.check(); err != nil {
		return keyless.Token{}, err
	}
	expiry, err := a.expiry(obtained)
	if err != nil {
		return keyless.Token{}, err
	}
	return keyless.Token{
		Value:     keyless.NewSecret(a.AccessToken),
		Obtained:  obtained,
		Expiry:    expiry,
		RefreshAt: a.refreshAt(obtained, expiry),
	}, nil
}

func (a answer) check() error {
	switch {
	case a.AccessToken == "":
		return errors.New("the answer has an empty access_token")
	case strings.ContainsFunc(a.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the access_token in the answer has spaces or characters that are not printable ASCII")
	case a.TokenType != "" && !strings.EqualFold(a.TokenType, "Bearer"):
		return errors.New("the answer's token_type is not Bearer")
	}
	return nil
}

// expiry is the earlier of expires_in and expires_on. IMDS hands out tokens from
// its own cache, and its documentation counts expires_in from the time of issue.
func (a answer) expiry(obtained time.Time) (time.Time, error) {
	if a.ExpiresIn == nil && a.ExpiresOn == nil {
		return time.Time{}, errors.New("the answer does not say how long the token lasts: no expires_in, no expires_on")
	}
	var expiry time.Time
	if a.ExpiresIn != nil {
		expiry = obtained.Add(time.Duration(min(*a.ExpiresIn, number(2*maxLifetime/time.Second))) * time.Second)
	}
	if a.ExpiresOn != nil {
		if on := time.Unix(int64(*a.ExpiresOn), 0); expiry.IsZero() || on.Before(expiry) {
			expiry = on
		}
	}
	if (a.ExpiresIn != nil && *a.ExpiresIn < 0) || expiry.Unix() < 0 || expiry.Sub(obtained) > maxLifetime {
		return time.Time{}, errors.New("the answer gives the token an impossible lifetime")
	}
	return expiry, nil
}

// refreshAt is the zero time if the hint is absent or makes no sense.
func (a answer) refreshAt(obtained, expiry time.Time) time.Time {
	if a.RefreshIn == nil || *a.RefreshIn <= 0 || time.Duration(*a.RefreshIn) > maxLifetime/time.Second {
		return time.Time{}
	}
	at := obtained.Add(time.Duration(*a.RefreshIn) * time.Second)
	if !at.Before(expiry) {
		return time.Time{}
	}
	return at
}

var (
	errNotJSON = errors.New("not JSON")
	errCutOff  = errors.New("JSON that is cut off")
)

// Decode reads a JSON answer that holds secrets: its error repeats nothing of it,
// and tells [Garbage] what was cut off from what is something else.
func Decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return plain(err, body)
	}
	return nil
}

// plain words what encoding/json says without repeating any of the input.
func plain(err error, body []byte) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(body)) && bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")):
		return errCutOff
	case errors.As(err, &syntax):
		return errNotJSON
	case errors.As(err, &kind):
		return fmt.Errorf("unexpected JSON %s", kind.Value)
	}
	return errNumber
}
