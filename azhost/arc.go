package azhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
)

// DefaultArcEndpoint is where the agent of Azure Arc (himds) listens.
const DefaultArcEndpoint = "http://127.0.0.1:40342/" + imdsPath

const (
	opArc      = "azure arc"
	arcVersion = "2020-06-01"
)

var (
	_ keyless.TokenSource = Arc{}
	_ keyless.Refresher   = Arc{}
)

// Arc is the managed identity of a machine outside Azure that the agent of Azure
// Arc connects ("Authenticate against Azure resources with Azure Arc-enabled
// servers", Microsoft Learn). The agent lets in who can read a file that it has
// just written; the program's user must be in the group himds for that. The zero
// value but for Resource is the machine's own identity.
type Arc struct {
	Resource string // the App ID URI that the token is for, without /.default

	// At most one of these, to choose a user-assigned identity. An agent too old to
	// know them is found out, and its token is not used.
	ClientID   string
	ObjectID   string
	ResourceID string

	Endpoint string // IDENTITY_ENDPOINT; zero: [DefaultArcEndpoint]
	// TokenDir is the only folder that the agent's files are read from; zero: the
	// documented one. It is for tests.
	TokenDir string
	Client   *http.Client // zero: a shared one without a proxy, for this machine and its link only
}

// Validate checks the fields.
func (a Arc) Validate() error {
	_, err := a.address()
	return err
}

// Token asks for a challenge, reads its file, and asks for a token with it.
func (a Arc) Token(ctx context.Context) (keyless.Token, error) {
	address, err := a.address()
	if err != nil {
		return keyless.Token{}, a.endpoint("").wrong(err)
	}
	return a.endpoint("").token(ctx, func(ctx context.Context) (keyless.Token, error) {
		token, answered, err := a.try(ctx, address)
		if answered == http.StatusUnauthorized {
			// The file was replaced between the two requests: once more from the start.
			token, _, err = a.try(ctx, address)
		}
		return token, err
	})
}

// Refresh asks again. The agent knows no way past its own cache, so the token may
// be the refused one.
func (a Arc) Refresh(ctx context.Context, _ keyless.Token, _ string) (keyless.Token, error) {
	return a.Token(ctx)
}

func (a Arc) address() (string, error) {
	if err := checkResource(a.Resource); err != nil {
		return "", err
	}
	chosen, err := a.selector()
	if err != nil {
		return "", err
	}
	endpoint := a.Endpoint
	if endpoint == "" {
		endpoint = DefaultArcEndpoint
	}
	base, err := wire.Endpoint(endpoint)
	if err != nil {
		return "", fmt.Errorf("endpoint: %w", err)
	}
	base.RawQuery = query(arcVersion, a.Resource, chosen)
	return base.String(), nil
}

func (a Arc) selector() (map[string]string, error) {
	return selector(map[string]string{"client_id": a.ClientID, "object_id": a.ObjectID, "msi_res_id": a.ResourceID})
}

func (a Arc) endpoint(key string) endpoint {
	return endpoint{
		op: opArc, client: orClient(a.Client, wire.Local), secrets: []string{key}, refuse: arcRefusal,
		absent: "the agent of Azure Arc does not answer at HOST; is the machine connected (azcmagent show), and does himds run (systemctl status himdsd)?",
	}
}

// try also returns the status of the second answer; 0: it did not come to that.
func (a Arc) try(ctx context.Context, address string) (token keyless.Token, answered int, err error) {
	key, err := a.key(ctx, address)
	if err != nil {
		return keyless.Token{}, 0, err
	}
	endpoint := a.endpoint(key.Reveal())
	request, err := arcRequest(ctx, address)
	if err != nil {
		return keyless.Token{}, 0, endpoint.wrong(err)
	}
	request.Header.Set("Authorization", "Basic "+key.Reveal()) // the content as it is, not user:password in base64
	obtained := time.Now()
	answer, err := endpoint.ask(request)
	if err != nil {
		return keyless.Token{}, 0, err
	}
	if token, err = endpoint.read(answer, obtained); err != nil {
		return keyless.Token{}, answer.Status, err
	}
	if err := a.checkEcho(answer.Body); err != nil {
		return keyless.Token{}, answer.Status, err
	}
	return token, answer.Status, nil
}

func arcRequest(ctx context.Context, address string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err == nil {
		request.Header.Set(metadataHeader, "true")
	}
	return request, err
}

// key gets a challenge and reads what it points at.
func (a Arc) key(ctx context.Context, address string) (keyless.Secret, error) {
	endpoint := a.endpoint("")
	request, err := arcRequest(ctx, address)
	if err != nil {
		return keyless.Secret{}, endpoint.wrong(err)
	}
	answer, err := endpoint.ask(request)
	if err != nil {
		return keyless.Secret{}, err
	}
	switch answer.Status {
	case http.StatusUnauthorized:
	case http.StatusOK:
		return keyless.Secret{}, arcWrong("the agent hands out tokens without a challenge", hintNotTheAgent)
	default:
		return keyless.Secret{}, endpoint.refusal(answer)
	}
	dir := a.TokenDir
	if dir == "" {
		dir = arcTokenDir()
	}
	name, err := keyName(answer.Header, dir)
	if err != nil {
		return keyless.Secret{}, arcWrong(err.Error(), hintNotTheAgent)
	}
	key, err := readKey(dir, name)
	if err != nil {
		return keyless.Secret{}, arcKeyWrong(err)
	}
	return key, nil
}

const hintNotTheAgent = "this is not how the agent of Azure Arc answers; does another program listen at its address?"

func arcWrong(message, hint string) *keyless.Error {
	return &keyless.Error{Hop: keyless.HopSource, Op: opArc, Message: message, Hint: hint}
}

func arcKeyWrong(err error) *keyless.Error {
	wrong := arcWrong("the challenge's file", "the file is not as the agent of Azure Arc writes it; look at who wrote it")
	wrong.Err = err
	switch {
	case errors.Is(err, fs.ErrPermission):
		wrong.Hint = "the program's user may not read the agent's files; add the user to group himds (usermod -aG himds USER) and start the program anew"
	case errors.Is(err, fs.ErrNotExist):
		wrong.Hint = "the agent's file is not on this side; in a container, mount the agent's folder read-only"
	}
	return wrong
}

// checkEcho makes sure that the agent knows selectors: older ones ignore them and
// answer with the machine's own identity.
func (a Arc) checkEcho(body []byte) error {
	chosen, err := a.selector()
	if err != nil || len(chosen) == 0 {
		return err
	}
	var answer map[string]any
	_ = json.Unmarshal(body, &answer) // it held a token, so it is an object
	for name, want := range chosen {
		if got, _ := answer[name].(string); !strings.EqualFold(got, want) {
			return arcWrong("the answer does not confirm the "+name+" that was asked for",
				"this agent knows no user-assigned identities; update it (azcmagent upgrade), or leave the selector out to use the machine's own identity")
		}
	}
	return nil
}

// arcRefusal says what a refusal by the agent means.
func arcRefusal(e *keyless.Error, answer *wire.Answer, _ []string) {
	text := strings.ToLower(e.Code + " " + e.Message)
	switch {
	case strings.Contains(text, "invalid_resource"), strings.Contains(text, "aadsts500011"):
		e.Hint = "no application in this tenant has this App ID URI; check the audience, character by character"
	case strings.HasPrefix(text, "aadsts"):
	case strings.Contains(text, "identity_not_found"), strings.Contains(text, "identity not found"):
		e.Hint = "the machine has no such identity; is it connected (azcmagent show), and is client_id, object_id or resource_id right?"
	case answer.Status == http.StatusUnauthorized:
		e.Hint = "the agent does not take the content of its own file, also not a second time; does it run in another container or machine than the file is from?"
	case answer.Status == http.StatusNotFound:
		e.Hint = "the address answers, but not like the agent of Azure Arc"
	}
}
