package daemon

import (
	"context"
	"sync"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/filecache"
	"github.com/keyless-id/keyless/profile"
)

// keeper keeps what a profile stands for fresh: its credentials, and its token and
// assertion if a file wants them.
type keeper struct {
	name, role, region string
	identity           string // a profile with another one wants another keeper
	outlets            []*outlet

	credentials *keyless.CachedProvider // nil: the profile names no role
	token       *keyless.CachedSource
	assertion   *keyless.CachedSource // nil: the source has none

	tried map[kind]*tries
	stop  context.CancelFunc
	done  sync.WaitGroup
}

// kind is what can be kept of a profile.
type kind string

const (
	kindCredentials kind = "credentials"
	kindToken       kind = "token"
	kindAssertion   kind = "assertion"
)

// newKeeper wires a profile to what is remembered of it. It asks nobody yet.
func newKeeper(selected *profile.Selected, built *profile.Built, memory profile.Memory, outlets []*outlet) *keeper {
	k := &keeper{
		name: selected.Name, identity: identify(built, outlets), outlets: outlets,
		tried: map[kind]*tries{kindCredentials: newTries(), kindToken: newTries(), kindAssertion: newTries()},
	}
	if built.Exchanger != nil {
		k.role, k.region = selected.AWS.FinalRole(), selected.AWS.Region
		k.credentials = keyless.CachedCredentials(k.watchProvider(memory, built))
	}
	k.token = keyless.Cached(watchSource(k.tried[kindToken], memory.Source(built), func() (filecache.Failure, bool) {
		return memory.LastFailure(built, built.SourceKey)
	}))
	if built.Assertion != nil {
		k.assertion = keyless.Cached(watchSource(k.tried[kindAssertion], built.Assertion, func() (filecache.Failure, bool) {
			return filecache.Failure{}, false // nothing is remembered of it
		}))
	}
	return k
}

func identify(built *profile.Built, outlets []*outlet) string {
	parts := []string{built.SourceKey, built.CredentialsKey, built.Attempt}
	for _, o := range outlets {
		parts = append(parts, string(o.kind), o.name())
	}
	return filecache.Digest(parts)
}

// watchProvider notes how each try goes.
func (k *keeper) watchProvider(memory profile.Memory, built *profile.Built) keyless.CredentialsProvider {
	inner, tried := memory.Provider(built), k.tried[kindCredentials]
	return keyless.CredentialsProviderFunc(func(ctx context.Context) (keyless.Credentials, error) {
		c, err := inner.Credentials(ctx)
		if err != nil {
			tried.refused(err)
			return c, err
		}
		failure, _ := memory.LastFailure(built, built.CredentialsKey)
		tried.came(c.Obtained, c.Expiry, failure)
		return c, nil
	})
}

func watchSource(tried *tries, inner keyless.TokenSource, last func() (filecache.Failure, bool)) keyless.TokenSource {
	return keyless.TokenSourceFunc(func(ctx context.Context) (keyless.Token, error) {
		token, err := inner.Token(ctx)
		if err != nil {
			tried.refused(err)
			return token, err
		}
		failure, _ := last()
		tried.came(token.Obtained, token.Expiry, failure)
		return token, nil
	})
}

// start begins to keep what is wanted.
func (k *keeper) start() {
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	if k.credentials != nil {
		k.done.Go(func() { k.credentials.Keep(ctx, k.putCredentials) })
	}
	if k.keeps(kindToken) {
		k.done.Go(func() { k.token.Keep(ctx, func(t keyless.Token) { k.putToken(kindToken, t) }) })
	}
	if k.keeps(kindAssertion) {
		k.done.Go(func() { k.assertion.Keep(ctx, func(t keyless.Token) { k.putToken(kindAssertion, t) }) })
	}
}

// keeps reports whether the kind is worth keeping: for a file, and of a profile without
// a role the token, which is all that it has.
func (k *keeper) keeps(what kind) bool {
	for _, o := range k.outlets {
		if o.kind == what {
			return true
		}
	}
	return what == kindToken && k.credentials == nil
}

func (k *keeper) putCredentials(c keyless.Credentials) {
	for _, o := range k.outlets {
		if o.kind == kindCredentials {
			o.put(c.SessionToken, func() error { return o.credentials.Write(c) })
		}
	}
}

func (k *keeper) putToken(what kind, t keyless.Token) {
	for _, o := range k.outlets {
		if o.kind == what {
			o.put(t.Value, func() error { return o.file.Write([]byte(t.Value.Reveal())) })
		}
	}
}

// end stops asking.
func (k *keeper) end() {
	k.stop()
	k.done.Wait()
}

// warm waits until the first try has ended one way or the other.
func (k *keeper) warm(ctx context.Context) {
	what := kindCredentials
	if k.credentials == nil {
		what = kindToken
	}
	select {
	case <-k.tried[what].any:
	case <-ctx.Done():
	}
}

// ready says why there is nothing to hand out; nil: there is.
func (k *keeper) ready() error {
	var err error
	if k.credentials != nil {
		_, err = k.credentials.Latest()
	} else {
		_, err = k.token.Latest()
	}
	for _, o := range k.outlets {
		if err == nil {
			err = o.failure()
		}
	}
	return err
}
