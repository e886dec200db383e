package azhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/entra"
	"github.com/keyless-id/keyless/internal/command"
	"github.com/keyless-id/keyless/internal/oauth"
)

const (
	opAzureCLI          = "az account get-access-token"
	opAzureDeveloperCLI = "azd auth token"

	// loginTimeout is for programs that take seconds to start.
	loginTimeout = 20 * time.Second

	codeNotInstalled = "NotInstalled"
	codeNotSignedIn  = "NotSignedIn"
)

var (
	_ keyless.TokenSource = AzureCLI{}
	_ keyless.TokenSource = AzureDeveloperCLI{}
)

// AzureCLI is the account that is signed in with the Azure CLI, for the machines of
// developers (`az account get-access-token`, Azure CLI reference).
type AzureCLI struct {
	Resource     string // the App ID URI that the token is for, without /.default
	TenantID     string // zero: that of the subscription
	Subscription string // name or id; zero: the one that is selected. Not together with TenantID.

	Path string   // zero: az, found in PATH
	Env  []string // of the program; nil: this process's
}

// Validate checks the fields, and runs nothing.
func (a AzureCLI) Validate() error {
	if a.TenantID != "" && a.Subscription != "" {
		return errors.New("tenant and subscription: want one of them")
	}
	return checkArguments(a.Resource, a.TenantID, a.Subscription)
}

// Token runs the program. What it says on stderr is part of the error.
func (a AzureCLI) Token(ctx context.Context) (keyless.Token, error) {
	arguments := []string{"account", "get-access-token", "--output", "json", "--resource", a.Resource}
	if a.TenantID != "" {
		arguments = append(arguments, "--tenant", a.TenantID)
	}
	if a.Subscription != "" {
		arguments = append(arguments, "--subscription", a.Subscription)
	}
	return login{
		op: opAzureCLI, program: command.Command{Path: orName(a.Path, "az"), Args: arguments, Env: a.Env, Set: []string{"AZURE_CORE_NO_COLOR=true"}},
		signIn: "az login", read: readAzureCLI,
	}.token(ctx, a.Validate())
}

// AzureDeveloperCLI is the account that is signed in with the Azure Developer CLI
// (`azd auth token`, Azure Developer CLI reference).
type AzureDeveloperCLI struct {
	Resource string // the App ID URI that the token is for, without /.default
	TenantID string // zero: the account's own

	Path string   // zero: azd, found in PATH
	Env  []string // of the program; nil: this process's
}

// Validate checks the fields, and runs nothing.
func (a AzureDeveloperCLI) Validate() error { return checkArguments(a.Resource, a.TenantID) }

// Token runs the program. What it says on stderr is part of the error.
func (a AzureDeveloperCLI) Token(ctx context.Context) (keyless.Token, error) {
	arguments := []string{"auth", "token", "--output", "json", "--no-prompt", "--scope", entra.Scope(a.Resource)}
	if a.TenantID != "" {
		arguments = append(arguments, "--tenant-id", a.TenantID)
	}
	return login{
		op: opAzureDeveloperCLI, program: command.Command{Path: orName(a.Path, "azd"), Args: arguments, Env: a.Env, Set: []string{"NO_COLOR=1"}},
		signIn: "azd auth login", read: readAzureDeveloperCLI,
	}.token(ctx, a.Validate())
}

func orName(path, name string) string {
	if path == "" {
		return name
	}
	return path
}

// checkArguments admits what the programs' wrappers, shell scripts and batch files,
// hand on as it is.
func checkArguments(resource string, others ...string) error {
	if err := checkResource(resource); err != nil {
		return err
	}
	for _, value := range append(others, resource) {
		harmless := func(r rune) bool {
			return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("-_.:/ ", r)
		}
		if strings.HasPrefix(value, "-") || strings.ContainsFunc(value, func(r rune) bool { return !harmless(r) }) {
			return fmt.Errorf("%q: want letters, digits and -_.:/ only", value)
		}
	}
	return nil
}

// login asks a program who is signed in with it.
type login struct {
	op      string
	program command.Command
	signIn  string // the command that a person is to run
	read    func(out []byte) (value string, expiry time.Time, err error)
}

func (l login) token(ctx context.Context, invalid error) (keyless.Token, error) {
	if invalid != nil {
		return keyless.Token{}, endpoint{op: l.op}.wrong(invalid)
	}
	obtained := time.Now()
	l.program.Timeout = loginTimeout
	out, err := l.program.Output(ctx)
	if err != nil {
		return keyless.Token{}, l.failed(err)
	}
	value, expiry, err := l.read(out)
	if err == nil {
		err = checkHeader("the token", keyless.NewSecret(value))
	}
	if err != nil {
		return keyless.Token{}, endpoint{op: l.op}.wrong(fmt.Errorf("its output: %w", err))
	}
	return keyless.Token{Value: keyless.NewSecret(value), Obtained: obtained, Expiry: expiry}, nil
}

// failed tells a program that is missing from one with which nobody is signed in.
func (l login) failed(err error) error {
	e := &keyless.Error{Hop: keyless.HopSource, Op: l.op, Err: err, Hint: "the program failed; run it by hand to see why"}
	var ended *command.Error
	if errors.As(err, &ended) {
		e.Message, e.Temporary = ended.Complaint, ended.TooLate
	}
	code, hint := oauth.Mentioned(e.Message)
	switch {
	case command.Missing(err):
		e.Code, e.Hint = codeNotInstalled, "install the program, or choose another source"
	case e.Temporary:
		e.Hint = "the program did not answer in time; does it wait for somebody to sign in?"
	case code != "":
		e.Code, e.Hint = code, orName(hint, "sign in again: "+l.signIn)
	case strings.Contains(e.Message, l.signIn) || strings.Contains(e.Message, "not logged in"):
		e.Code, e.Hint = codeNotSignedIn, "sign in first: "+l.signIn
	}
	return e
}

// signedIn asks the Azure CLI and, if nobody is signed in with it, the other program.
func (d Detected) signedIn(resource string) source {
	cli := AzureCLI{Resource: resource, Path: d.Endpoint}
	look := lookout{Detector: d.detector}
	if kind, path := look.azureDeveloperCLI(context.Background()); kind != "" {
		return either{cli, AzureDeveloperCLI{Resource: resource, Path: path}}
	}
	return cli
}

// either is whoever is signed in with one program or the other.
type either struct {
	AzureCLI

	second AzureDeveloperCLI
}

// Token returns the first program's error if both fail: it is the usual one.
func (e either) Token(ctx context.Context) (keyless.Token, error) {
	token, err := e.AzureCLI.Token(ctx)
	var failed *keyless.Error
	if !errors.As(err, &failed) || failed.Code != codeNotSignedIn {
		return token, err
	}
	if token, other := e.second.Token(ctx); other == nil {
		return token, nil
	}
	return token, err
}

// readAzureCLI knows both ways in which az tells the end: old ones give the local
// time only.
func readAzureCLI(out []byte) (string, time.Time, error) {
	var answer struct {
		AccessToken string
		ExpiresOn   string
		Expires     json.Number `json:"expires_on"`
	}
	if err := oauth.Decode(out, &answer); err != nil {
		return "", time.Time{}, err
	}
	if seconds, err := answer.Expires.Int64(); err == nil {
		return answer.AccessToken, time.Unix(seconds, 0).UTC(), nil
	}
	expiry, err := time.ParseInLocation("2006-01-02 15:04:05.999999", answer.ExpiresOn, time.Local)
	if err != nil {
		return "", time.Time{}, errors.New("expiresOn is no time")
	}
	return answer.AccessToken, expiry.UTC(), nil
}

func readAzureDeveloperCLI(out []byte) (string, time.Time, error) {
	var answer struct {
		Token     string
		ExpiresOn string
	}
	if err := oauth.Decode(out, &answer); err != nil {
		return "", time.Time{}, err
	}
	expiry, err := time.Parse(time.RFC3339, answer.ExpiresOn)
	if err != nil {
		return "", time.Time{}, errors.New("expiresOn is no time")
	}
	return answer.Token, expiry.UTC(), nil
}
