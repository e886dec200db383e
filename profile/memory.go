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
	return m.credentials(ctx, b, keyless.Credentials{})
}

// credentials are others than refused, if those are any.
func (m Memory) credentials(ctx context.Context, b *Built, refused keyless.Credentials) (filecache.Entry, error) {
	provider := keyless.Federate(b.Source, b.Exchanger)
	query := m.query(b.CredentialsKey, b.Attempt)
	query.Policy = credentialsPolicy
	query.Fetch = func(ctx context.Context) (filecache.Answer, error) {
		go b.Prepare()
		return m.exchange(ctx, provider)
	}
	if refused.AccessKeyID != "" {
		query.Refused = func(payload []byte) bool {
			c, err := delivery.ReadProcess(payload)
			return err == nil && c.AccessKeyID == refused.AccessKeyID
		}
	}
	entry, err := m.Cache.Get(ctx, query)
	return entry, deadOnArrival(keyless.HopExchange, err)
}

// Token is what b's source proves itself with.
func (m Memory) Token(ctx context.Context, b *Built) (filecache.Entry, error) {
	return m.token(ctx, b, b.Source.Token, nil)
}

// token is remembered unless refused says that it is of no use; then fetch is asked.
func (m Memory) token(ctx context.Context, b *Built, fetch func(context.Context) (keyless.Token, error), refused func([]byte) bool) (filecache.Entry, error) {
	cache := m.Cache
	if b.Fleeting {
		cache = nil
	}
	query := m.query(b.SourceKey, b.Attempt)
	query.Refused = refused
	query.Fetch = func(ctx context.Context) (filecache.Answer, error) { return fetchToken(ctx, fetch) }
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

// Renewer is a provider that can be told what the far side has refused, as
// [keyless.CachedProvider.Renew] does.
type Renewer interface {
	keyless.CredentialsProvider
	Renew(ctx context.Context, refused keyless.Credentials) (keyless.Credentials, error)
}

// Provider hands out the credentials that are remembered, with the time at which to look
// again.
func (m Memory) Provider(b *Built) Renewer { return rememberedProvider{m, b} }

type rememberedProvider struct {
	Memory
	built *Built
}

func (p rememberedProvider) Credentials(ctx context.Context) (keyless.Credentials, error) {
	return p.Renew(ctx, keyless.Credentials{})
}

// Renew returns credentials other than refused.
func (p rememberedProvider) Renew(ctx context.Context, refused keyless.Credentials) (keyless.Credentials, error) {
	entry, err := p.credentials(ctx, p.built, refused)
	if err != nil {
		return keyless.Credentials{}, err
	}
	credentials, err := delivery.ReadProcess(entry.Payload)
	credentials.Obtained, credentials.RefreshAt = entry.Obtained, lookAgain(entry)
	return credentials, err
}

// Source hands out the token that is remembered, in the way of [Memory.Provider]. It is a
// [keyless.Refresher].
func (m Memory) Source(b *Built) keyless.TokenSource { return rememberedSource{m, b} }

type rememberedSource struct {
	Memory
	built *Built
}

func (s rememberedSource) Token(ctx context.Context) (keyless.Token, error) {
	return s.answer(s.Memory.Token(ctx, s.built))
}

// Refresh returns a token other than refused, and asks the source for it with claims.
func (s rememberedSource) Refresh(ctx context.Context, refused keyless.Token, claims string) (keyless.Token, error) {
	return s.answer(s.token(ctx, s.built, func(ctx context.Context) (keyless.Token, error) {
		if r, ok := s.built.Source.(keyless.Refresher); ok {
			return r.Refresh(ctx, refused, claims)
		}
		return s.built.Source.Token(ctx)
	}, func(payload []byte) bool { return refused.Value.Equal(keyless.NewSecret(string(payload))) }))
}

func (rememberedSource) answer(entry filecache.Entry, err error) (keyless.Token, error) {
	if err != nil {
		return keyless.Token{}, err
	}
	return keyless.Token{Value: keyless.NewSecret(string(entry.Payload)), Obtained: entry.Obtained, RefreshAt: lookAgain(entry), Expiry: entry.Expiry}, nil
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

func fetchToken(ctx context.Context, fetch func(context.Context) (keyless.Token, error)) (filecache.Answer, error) {
	token, err := fetch(ctx)
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
