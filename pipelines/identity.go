package pipelines

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/internal/wire"
)

// AppID is the application of Azure DevOps, the same in all tenants: azp in the
// tokens that Entra issues, and so what AWS takes for their audience.
const AppID = "499b84ac-1321-427f-aa17-267ca6975798"

// Audiences of the two kinds of tokens.
const (
	ExchangeAudience   = "api://AzureADTokenExchange"
	ExchangeAudienceID = "fb60f99c-7a34-4190-8149-302f77469936" // the same audience, by its GUID
)

// VSTokenRetired is when the older issuer ends ("Convert service connections to the
// Microsoft Entra issuer", Microsoft Learn).
func VSTokenRetired() time.Time { return time.Date(2027, time.July, 1, 0, 0, 0, 0, time.UTC) }

// Kind says who issued a token, and for what.
type Kind string

// The kinds of tokens.
const (
	KindUnknown    Kind = ""
	KindPipeline   Kind = "vstoken pipeline"   // p://ORGANIZATION/PROJECT/PIPELINE
	KindConnection Kind = "vstoken connection" // sc://ORGANIZATION/PROJECT/CONNECTION
	KindEntra      Kind = "entra connection"   // /eid1/c/pub/t/…/a/…/sc/ORGANIZATION/CONNECTION
)

// Identity is what a token says of itself; nothing of it is verified.
type Identity struct {
	Kind     Kind
	Issuer   string
	Subject  string
	Audience []string

	// Names, in tokens of the older issuer; renaming any of them breaks trust.
	Organization string
	Project      string
	Name         string // the pipeline's or the connection's

	// Ids, in tokens of Entra.
	TenantID       string
	OrganizationID string
	ConnectionID   string
}

// Inspect reads what a token says of itself, without verifying it.
func Inspect(token keyless.Token) (Identity, error) {
	claims, err := jwtpeek.Unverified(token.Value.Reveal())
	if err != nil {
		return Identity{}, err
	}
	return identify(claims), nil
}

const olderIssuer = "https://vstoken.dev.azure.com/"

func identify(claims jwtpeek.Claims) Identity {
	id := Identity{Issuer: claims.Issuer, Subject: claims.Subject, Audience: claims.Audience}
	switch {
	case strings.HasPrefix(claims.Issuer, olderIssuer):
		id.byName()
	case strings.HasPrefix(claims.Subject, prefix):
		id.byID()
	}
	return id
}

func (id *Identity) byName() {
	kind := KindConnection
	rest, found := strings.CutPrefix(id.Subject, "sc://")
	if !found {
		kind = KindPipeline
		rest, found = strings.CutPrefix(id.Subject, "p://")
	}
	parts := strings.SplitN(rest, "/", 3)
	if !found || len(parts) != 3 || slices.Contains(parts, "") {
		return
	}
	id.Kind, id.Organization, id.Project, id.Name = kind, parts[0], parts[1], parts[2]
}

func (id *Identity) byID() {
	parts := strings.Split(strings.TrimPrefix(id.Subject, prefix), "/")
	if len(parts) != 6 || parts[1] != "a" || parts[2] != appSegment || parts[3] != "sc" || !guid().MatchString(parts[4]) || !guid().MatchString(parts[5]) {
		return
	}
	tenant, ok := decode(parts[0])
	if !ok {
		return
	}
	id.Kind, id.TenantID, id.OrganizationID, id.ConnectionID = KindEntra, tenant, parts[4], parts[5]
}

// Retired reports whether the token's issuer has an end; see [VSTokenRetired].
func (id Identity) Retired() bool { return strings.HasPrefix(id.Issuer, olderIssuer) }

const (
	prefix     = "/eid1/c/pub/t/"
	appSegment = "rISbSSETf0KqFyZ8ppdXmA" // AppID, encoded
)

var guid = pattern.Lazy(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// Subject is the subject of the tokens that Entra issues for a service connection, of
// the GUIDs of the tenant, the organization and the connection. It stays the same
// when any of them is renamed. Tenants of national clouds have other subjects.
func Subject(tenantID, organizationID, connectionID string) (string, error) {
	for name, value := range map[string]string{"tenant id": tenantID, "organization id": organizationID, "connection id": connectionID} {
		if !guid().MatchString(value) {
			return "", fmt.Errorf("%s %q: want a GUID", name, wire.Quote(value))
		}
	}
	return prefix + encode(tenantID) + "/a/" + appSegment + "/sc/" + strings.ToLower(organizationID) + "/" + strings.ToLower(connectionID), nil
}

// order is how .NET lays out a GUID (Guid.ToByteArray): the first three groups are
// little-endian.
func order() [16]int { return [...]int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15} }

// encode writes a GUID as base64url of its bytes in the order of .NET.
func encode(id string) string {
	raw, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || len(raw) != 16 { // callers have checked the form
		return ""
	}
	var laid [16]byte
	for i, from := range order() {
		laid[i] = raw[from]
	}
	return base64.RawURLEncoding.EncodeToString(laid[:])
}

// decode is the opposite of encode.
func decode(text string) (string, bool) {
	laid, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(laid) != 16 {
		return "", false
	}
	var raw [16]byte
	for i, to := range order() {
		raw[to] = laid[i]
	}
	h := hex.EncodeToString(raw[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], true
}

// compare holds the token against what was asked for. The service answers a question
// that it does not understand with the pipeline's own token.
func (j Job) compare(id Identity) error {
	switch {
	case j.ServiceConnectionID != "" && id.Kind == KindPipeline:
		return mismatch(CodeWrongConnection, fmt.Sprintf("the token stands for the pipeline (%q) and not for a service connection", wire.Quote(id.Subject)),
			"the service did not recognise the service connection; give its id and not its name")
	case j.ServiceConnectionID != "" && id.Kind == KindEntra && !strings.EqualFold(id.ConnectionID, j.ServiceConnectionID):
		return mismatch(CodeWrongConnection, fmt.Sprintf("the token stands for the connection %s, not for %s", wire.Quote(id.ConnectionID), wire.Quote(j.ServiceConnectionID)),
			"is something between here and the service answering with an old answer?")
	case j.Subject != "" && j.Subject != id.Subject:
		return mismatch(CodeWrongSubject, fmt.Sprintf("the token's subject is %q, expected %q", wire.Quote(id.Subject), wire.Quote(j.Subject)), j.subjectHint(id))
	}
	return nil
}

func mismatch(code, message, hint string) *keyless.Error {
	return &keyless.Error{Hop: keyless.HopSource, Op: opJob, Code: code, Message: message, Hint: hint}
}

func (j Job) subjectHint(id Identity) string {
	switch old := strings.HasPrefix(j.Subject, "sc://"); {
	case old && id.Kind == KindEntra:
		return "the connection was converted to Entra's issuer: the trust needs the token's issuer, audience and subject"
	case !old && id.Kind == KindConnection:
		return "the connection still has the older issuer, which is retired on " + VSTokenRetired().Format(time.DateOnly) + "; convert it"
	}
	return "compare the ids of tenant, organization and connection; subjects are compared to the letter"
}
