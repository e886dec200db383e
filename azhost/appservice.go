package azhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
)

const (
	opAppService            = "app service"
	appServiceVersion       = "2019-08-01"
	appServiceVersionLegacy = "2017-09-01"
)

var (
	_ keyless.TokenSource = AppService{}
	_ keyless.Refresher   = AppService{}
)

// AppService is a managed identity of an App Service, a Function or a Container
// App ("How to use managed identities for App Service and Azure Functions", REST
// endpoint reference, Microsoft Learn). Endpoint and Header are what the platform
// puts into the environment of the program.
type AppService struct {
	Resource string // the App ID URI that the token is for, without /.default

	// At most one of these, to choose a user-assigned identity; zero: the
	// system-assigned one. A Legacy endpoint knows the client id only.
	ClientID   string
	ObjectID   string
	ResourceID string

	Endpoint string         // IDENTITY_ENDPOINT
	Header   keyless.Secret // IDENTITY_HEADER
	Legacy   bool           // they are MSI_ENDPOINT and MSI_SECRET, which speak the version of 2017
	Client   *http.Client   // zero: a shared one without a proxy, for this machine and its networks only
}

// Validate checks the fields.
func (a AppService) Validate() error {
	_, err := a.address()
	return err
}

// Token asks for a token. The endpoint may answer with one from its own cache.
func (a AppService) Token(ctx context.Context) (keyless.Token, error) {
	address, err := a.address()
	if err != nil {
		return keyless.Token{}, a.endpoint().wrong(err)
	}
	return a.endpoint().get(ctx, address, a.header(), a.Header.Reveal())
}

// Refresh asks again. The endpoint knows no way past its own cache, so the token
// may be the refused one.
func (a AppService) Refresh(ctx context.Context, _ keyless.Token, _ string) (keyless.Token, error) {
	return a.Token(ctx)
}

func (a AppService) header() string {
	if a.Legacy {
		return "Secret"
	}
	return "X-Identity-Header"
}

func (a AppService) address() (string, error) {
	if err := checkResource(a.Resource); err != nil {
		return "", err
	}
	if err := checkHeader("the identity header", a.Header); err != nil {
		return "", err
	}
	version, chosen, err := a.dialect()
	if err != nil {
		return "", err
	}
	base, err := wire.NearEndpoint(a.Endpoint)
	if err != nil {
		return "", fmt.Errorf("endpoint: %w", err)
	}
	base.RawQuery = query(version, a.Resource, chosen)
	return base.String(), nil
}

func (a AppService) dialect() (version string, chosen map[string]string, err error) {
	if !a.Legacy {
		chosen, err = selector(map[string]string{"client_id": a.ClientID, "object_id": a.ObjectID, "mi_res_id": a.ResourceID})
		return appServiceVersion, chosen, err
	}
	if a.ObjectID != "" || a.ResourceID != "" {
		return "", nil, errors.New("object id or resource id; the version of 2017 knows the client id only")
	}
	chosen, err = selector(map[string]string{"clientid": a.ClientID})
	return appServiceVersionLegacy, chosen, err
}

func (a AppService) endpoint() endpoint {
	return endpoint{
		op: opAppService, client: orClient(a.Client, wire.Near), secrets: []string{a.Header.Reveal()}, refuse: appServiceRefusal,
		absent: "nobody answers where the platform says its identity endpoint is; has the app been restarted since its identity was switched on?",
	}
}

// appServiceRefusal says what a refusal means. Some are plain text.
func appServiceRefusal(e *keyless.Error, answer *wire.Answer, secrets []string) {
	ownWords(e, answer, secrets)
	text := strings.ToLower(e.Code + " " + e.Message)
	switch {
	case answer.Status >= 500 || answer.Status == http.StatusTooManyRequests:
	case strings.Contains(text, "invalid_resource"), strings.Contains(text, "aadsts500011"):
		e.Hint = "no application in this tenant has this App ID URI; check the audience, character by character"
	case strings.Contains(text, "aadsts"):
	case answer.Status == http.StatusUnauthorized, strings.Contains(text, "secret token header"), strings.Contains(text, "identity-header"):
		e.Hint = "the endpoint does not take the header's value; take IDENTITY_HEADER from the environment of the running app, and not from another one or from before a restart"
	case strings.Contains(text, "identity not found"), strings.Contains(text, "no managed identity found"), strings.Contains(text, "no managedidentity was found"):
		e.Hint = "the app has no such identity; switch its identity on or assign one (az webapp identity assign), or correct client_id, object_id or resource_id"
	}
}

// ownWords reads the forms that the hosts give errors of their own:
// {"statusCode":…,"message":…} and {"error":{"code":…,"message":…}}.
func ownWords(e *keyless.Error, answer *wire.Answer, secrets []string) {
	var own struct {
		Message string          `json:"message"`
		Error   json.RawMessage `json:"error"`
	}
	if json.Unmarshal(answer.Body, &own) != nil {
		return
	}
	var inner struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(own.Error, &inner) == nil && inner.Code != "" {
		e.Code, own.Message = wire.Quote(inner.Code, secrets...), inner.Message
	}
	if own.Message != "" {
		e.Message = wire.Quote(own.Message, secrets...)
	}
}
