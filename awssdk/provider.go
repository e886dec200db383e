package awssdk

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	keyless "github.com/keyless-id/keyless"
)

// SourceName is the Source of the credentials that a [Provider] returns.
const SourceName = "keyless"

const (
	// early is how long before their end the SDK's cache is told to come back for new
	// credentials. keyless.CachedCredentials has them by then, and so the SDK's cache,
	// which asks for nothing until it has nothing left, never waits for the far sides.
	early = 20 * time.Minute
	// soon is when it is told to come back while there is nothing better to be had.
	soon = time.Minute
	// longEnough is the life of credentials that can spare that.
	longEnough = 2 * early
)

var (
	_ aws.CredentialsProvider                       = (*Provider)(nil)
	_ aws.HandleFailRefreshCredentialsCacheStrategy = (*Provider)(nil)
	_ aws.AdjustExpiresByCredentialsCacheStrategy   = (*Provider)(nil)
)

// Provider is keyless's credentials as an aws.CredentialsProvider. It may be used as it
// is or inside of an aws.CredentialsCache, which the SDK's config package puts around
// every provider; Expires is then up to 20 minutes before the end, so that this cache
// asks while there is time.
type Provider struct {
	from   keyless.CredentialsProvider
	latest atomic.Pointer[keyless.Credentials] // what was handed out last
}

// NewProvider returns the credentials of from, which should be a
// [keyless.CachedProvider]: others are asked at every call.
func NewProvider(from keyless.CredentialsProvider) *Provider { return &Provider{from: from} }

// Retrieve returns credentials that have not expired.
func (p *Provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	credentials, err := p.from.Credentials(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	if !credentials.Expiry.IsZero() && !credentials.Expiry.After(time.Now()) {
		return aws.Credentials{}, &keyless.Error{Hop: keyless.HopDelivery, Op: "aws sdk", Err: errors.New("the credentials have expired")}
	}
	p.latest.Store(&credentials)
	return handOut(credentials), nil
}

// handOut is the credentials as the SDK has them.
func handOut(c keyless.Credentials) aws.Credentials {
	return aws.Credentials{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey.Reveal(), SessionToken: c.SessionToken.Reveal(),
		Source: SourceName, AccountID: c.AccountID,
		CanExpire: !c.Expiry.IsZero(), Expires: comeBack(c, time.Now()),
	}
}

// comeBack is when the SDK's cache should ask again.
func comeBack(c keyless.Credentials, now time.Time) time.Time {
	at := c.Expiry
	if c.Expiry.Sub(c.Obtained) >= longEnough {
		at = c.Expiry.Add(-early)
	}
	if again := now.Add(soon); at.Before(again) {
		at = again
	}
	if at.After(c.Expiry) {
		at = c.Expiry
	}
	return at
}

// HandleFailToRefresh returns the previous credentials for as long as they are really
// good, which is longer than their Expires says.
func (p *Provider) HandleFailToRefresh(_ context.Context, previous aws.Credentials, cause error) (aws.Credentials, error) {
	c := p.latest.Load()
	if c == nil || c.AccessKeyID != previous.AccessKeyID || !c.Expiry.After(time.Now()) {
		return aws.Credentials{}, cause
	}
	return handOut(*c), nil
}

// AdjustExpiresBy moves Expires by the cache's own window, which is not added to what
// [Provider.Retrieve] took off already.
func (p *Provider) AdjustExpiresBy(credentials aws.Credentials, by time.Duration) (aws.Credentials, error) {
	end := credentials.Expires
	if c := p.latest.Load(); c != nil && c.AccessKeyID == credentials.AccessKeyID {
		end = c.Expiry
	}
	if at := end.Add(by); credentials.CanExpire && at.Before(credentials.Expires) {
		credentials.Expires = at
	}
	return credentials, nil
}
