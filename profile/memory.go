package profile

import (
	"context"
	"errors"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery"
	"github.com/keyless-id/keyless/internal/filecache"
	"github.com/keyless-id/keyless/internal/refresh"
)

// Memory is where the processes of a user share tokens and credentials. The zero Memory
// asks each time.
type Memory struct {
	Cache *filecache.Cache
	Warn  func(error) // is told what did not work and did no harm; nil: nobody
	// Exchanged is told of each exchange that this process makes, with the credentials
	// that came; nil: nobody.
	Exchanged func(keyless.Credentials)
}

// AWS SDKs ask again at every call once less than 15 minutes are left.
var credentialsPolicy = refresh.Policy{MinLeft: 20 * time.Minute, Margin: time.Minute} //nolint:gochecknoglobals // a constant in all but name

// somebodyElse is when to look again for the answer that another process is asking for.
const somebodyElse = 15 * time.Second

// Credentials are what b's token is traded for, as [delivery.Process] writes them.
func (m Memory) Credentials(ctx context.Context, b *Built) (filecache.Entry, error) {
	provider := keyless.Federate(b.Source, b.Exchanger)
	query := m.query(b.CredentialsKey, b.Attempt)
	query.Policy = credentialsPolicy
	query.Fetch = func(ctx context.Context) (filecache.Answer, error) {
		go b.Prepare()
		return m.exchange(ctx, provider)
	}
	entry, err := m.Cache.Get(ctx, query)
	return entry, deadOnArrival(keyless.HopExchange, err)
}

// Token is what b's source proves itself with.
func (m Memory) Token(ctx context.Context, b *Built) (filecache.Entry, error) {
	cache := m.Cache
	if b.Fleeting {
		cache = nil
	}
	query := m.query(b.SourceKey, b.Attempt)
	query.Fetch = func(ctx context.Context) (filecache.Answer, error) { return fetchToken(ctx, b.Source) }
	entry, err := cache.Get(ctx, query)
	return entry, deadOnArrival(keyless.HopSource, err)
}

// LastFailure returns the failure that is remembered for key, which is one of b's.
func (m Memory) LastFailure(b *Built, key string) (filecache.Failure, bool) {
	if m.Cache == nil || key == "" {
		return filecache.Failure{}, false
	}
	return m.Cache.LastFailure(m.query(key, b.Attempt))
}

// Provider hands out the credentials that are remembered, with the time at which to look
// again.
func (m Memory) Provider(b *Built) keyless.CredentialsProvider {
	return keyless.CredentialsProviderFunc(func(ctx context.Context) (keyless.Credentials, error) {
		entry, err := m.Credentials(ctx, b)
		if err != nil {
			return keyless.Credentials{}, err
		}
		credentials, err := delivery.ReadProcess(entry.Payload)
		credentials.Obtained, credentials.RefreshAt = entry.Obtained, lookAgain(entry)
		return credentials, err
	})
}

// Source hands out the token that is remembered, in the way of [Memory.Provider].
func (m Memory) Source(b *Built) keyless.TokenSource {
	return keyless.TokenSourceFunc(func(ctx context.Context) (keyless.Token, error) {
		entry, err := m.Token(ctx, b)
		if err != nil {
			return keyless.Token{}, err
		}
		return keyless.Token{Value: keyless.NewSecret(string(entry.Payload)), Obtained: entry.Obtained, RefreshAt: lookAgain(entry), Expiry: entry.Expiry}, nil
	})
}

// lookAgain is when an entry is due: soon, if it is and came nevertheless, because
// another process is asking or asking fails.
func lookAgain(entry filecache.Entry) time.Time {
	if now := time.Now(); !entry.Fresh(now) {
		return now.Add(somebodyElse)
	}
	return entry.Due
}

func (m Memory) query(key, attempt string) filecache.Query {
	return filecache.Query{Key: key, Attempt: attempt, Failure: EncodeError, Failed: DecodeError, Warn: m.Warn}
}

func (m Memory) exchange(ctx context.Context, provider keyless.CredentialsProvider) (filecache.Answer, error) {
	credentials, err := provider.Credentials(ctx)
	if err != nil {
		return filecache.Answer{}, err
	}
	if m.Exchanged != nil {
		m.Exchanged(credentials)
	}
	payload, err := delivery.Process(credentials)
	return filecache.Answer{Times: refresh.Times{Obtained: credentials.Obtained, Expiry: credentials.Expiry}, Payload: payload}, err
}

func fetchToken(ctx context.Context, source keyless.TokenSource) (filecache.Answer, error) {
	token, err := source.Token(ctx)
	if err != nil {
		return filecache.Answer{}, err
	}
	return filecache.Answer{
		Times:   refresh.Times{Obtained: token.Obtained, RefreshAt: token.RefreshAt, Expiry: token.Expiry},
		Payload: []byte(token.Value.Reveal()),
	}, nil
}

// deadOnArrival gives an answer that had expired when it came a hop and a hint.
func deadOnArrival(hop keyless.Hop, err error) error {
	var dead *refresh.DeadOnArrivalError
	if !errors.As(err, &dead) {
		return err
	}
	return &keyless.Error{Hop: hop, Op: "cache", Message: "dead on arrival", Hint: "set the clock (timedatectl, chronyc makestep)", Err: dead}
}
