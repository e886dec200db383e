package awshost

import (
	"context"
	"errors"
	"fmt"
	"time"

	keyless "github.com/keyless-id/keyless"
)

const opEnvironment = "environment"

// Names of the variables that AWS's SDKs know.
const (
	envAccessKey    = "AWS_ACCESS_KEY_ID"
	envSecretKey    = "AWS_SECRET_ACCESS_KEY"     //nolint:gosec // the name of a variable
	envSessionToken = "AWS_SESSION_TOKEN"         //nolint:gosec // the name of a variable
	envExpiration   = "AWS_CREDENTIAL_EXPIRATION" //nolint:gosec // the name of a variable
)

// lasting is what credentials that name no end are taken for: they are read again
// then, and may be others.
const lasting = time.Hour

var _ keyless.CredentialsProvider = Environment{}

// Environment is the credentials in AWS_ACCESS_KEY_ID and its sisters. Those without
// AWS_CREDENTIAL_EXPIRATION are said to last an hour, so that they are read again.
type Environment struct {
	Getenv func(string) string
}

// Credentials reads the variables.
func (e Environment) Credentials(context.Context) (keyless.Credentials, error) {
	if e.Getenv == nil {
		return keyless.Credentials{}, wrong(opEnvironment, errors.New("no environment to look into"))
	}
	now := time.Now()
	credentials := keyless.Credentials{
		AccessKeyID: e.Getenv(envAccessKey), SecretAccessKey: keyless.NewSecret(e.Getenv(envSecretKey)),
		SessionToken: keyless.NewSecret(e.Getenv(envSessionToken)), Obtained: now, Expiry: now.Add(lasting), AccountID: e.Getenv("AWS_ACCOUNT_ID"),
	}
	for name, value := range map[string]string{envAccessKey: credentials.AccessKeyID, envSecretKey: credentials.SecretAccessKey.Reveal()} {
		if !printable(value) {
			return keyless.Credentials{}, wrong(opEnvironment, fmt.Errorf("%s is empty or not printable; want both %s and %s", name, envAccessKey, envSecretKey))
		}
	}
	if text := e.Getenv(envExpiration); text != "" {
		expiry, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return keyless.Credentials{}, wrong(opEnvironment, errors.New(envExpiration+" is not a time like 2026-01-01T00:00:00Z"))
		}
		credentials.Expiry = expiry.UTC()
	}
	return credentials, nil
}

// wrong is the error of a provider that cannot even ask.
func wrong(op string, err error) *keyless.Error {
	return &keyless.Error{Hop: keyless.HopSource, Op: op, Err: err}
}
