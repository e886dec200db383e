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

	// Receipt is what STS said of the exchange; nil if that is not known, as of credentials
	// that another process has got.
	Receipt *Receipt
}

// Receipt is what there is to find an exchange again by, in AWS CloudTrail and in Entra's
// sign-in log. Nothing of it is a secret.
type Receipt struct {
	RequestID string // STS's, of the last role
	Session   string // ARN of the assumed role's session
	Issuer    string // of the subject token, as STS took it
	Audience  string
	Subject   string
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
