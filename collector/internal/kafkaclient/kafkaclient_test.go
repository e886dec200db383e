package kafkaclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component"
	"golang.org/x/oauth2"
)

// issuer is an extension that has tokens.
type issuer struct {
	component.StartFunc
	component.ShutdownFunc
	token string
}

func (i issuer) Token(context.Context) (*oauth2.Token, error) {
	if i.token == "" {
		return nil, errors.New("no identity")
	}
	return &oauth2.Token{AccessToken: i.token}, nil
}

// extensions is a host with one extension.
type extensions map[component.ID]component.Component

func (e extensions) GetExtensions() map[component.ID]component.Component { return e }

func TestATokenOpensABroker(t *testing.T) {
	id := component.MustNewID("keyless")
	way := SASL{Mechanism: mechanismOAuthBearer, OAuthBearerTokenSource: &id}
	for token, want := range map[string]string{"t0ken": "auth=Bearer t0ken", "": "no identity"} {
		mechanism, err := way.mechanism(extensions{id: issuer{token: token}})
		if err != nil {
			t.Fatal(err)
		}
		_, first, err := mechanism.Authenticate(t.Context(), "broker:9093")
		if got := fmt.Sprint(string(first), err); !strings.Contains(got, want) {
			t.Errorf("got %q, want %s", got, want)
		}
	}
	_, err := way.mechanism(extensions{id: struct{ component.Component }{}})
	if err == nil || !strings.Contains(err.Error(), "extension keyless has no tokens") {
		t.Errorf("%v", err)
	}
}
