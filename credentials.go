package keyless

import (
	"context"
	"time"
)

// Credentials are short-lived AWS credentials.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey Secret
	SessionToken    Secret
	Obtained        time.Time // when STS was asked; zero: unknown
	RefreshAt       time.Time // when to look for the next; zero: at 40 to 45 % of the lifetime
	Expiry          time.Time
	AccountID       string // the account that the credentials act in; may be empty
}

// Exchanger trades a subject token for credentials.
type Exchanger interface {
	Exchange(ctx context.Context, subject Token) (Credentials, error)
}

// CredentialsProvider hands out credentials. Credentials may ask a far side each
// time; see [CachedCredentials].
type CredentialsProvider interface {
	Credentials(ctx context.Context) (Credentials, error)
}

// CredentialsProviderFunc is a function as a [CredentialsProvider].
type CredentialsProviderFunc func(ctx context.Context) (Credentials, error)

// Credentials calls f.
func (f CredentialsProviderFunc) Credentials(ctx context.Context) (Credentials, error) { return f(ctx) }
