package daemon

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

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
	sends              bool          // a proxy adds the token to requests
	margin             time.Duration // for how long what there is must be good to be ready

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
	k.token = keyless.Cached(watchedSource{memory.Source(built), k.tried[kindToken], func() (filecache.Failure, bool) {
		return memory.LastFailure(built, built.SourceKey)
	}})
	if built.Assertion != nil {
		k.assertion = keyless.Cached(watchedSource{built.Assertion, k.tried[kindAssertion], func() (filecache.Failure, bool) {
			return filecache.Failure{}, false // nothing is remembered of it
		}})
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
	return watchedProvider{memory.Provider(built), k.tried[kindCredentials], func() (filecache.Failure, bool) {
		return memory.LastFailure(built, built.CredentialsKey)
	}}
}

type watchedProvider struct {
	profile.Renewer
	tried *tries
	last  func() (filecache.Failure, bool)
}

func (w watchedProvider) Credentials(ctx context.Context) (keyless.Credentials, error) {
	return w.note(w.Renewer.Credentials(ctx))
}

func (w watchedProvider) Renew(ctx context.Context, refused keyless.Credentials) (keyless.Credentials, error) {
	return w.note(w.Renewer.Renew(ctx, refused))
}

func (w watchedProvider) note(c keyless.Credentials, err error) (keyless.Credentials, error) {
	if err != nil {
		w.tried.refused(err)
		return c, err
	}
	failure, _ := w.last()
	w.tried.came(c.Obtained, c.Expiry, failure)
	return c, nil
}

// watchedSource notes how each try goes.
type watchedSource struct {
	keyless.TokenSource
	tried *tries
	last  func() (filecache.Failure, bool)
}

func (w watchedSource) Token(ctx context.Context) (keyless.Token, error) {
	return w.note(w.TokenSource.Token(ctx))
}

// Refresh asks a source that cannot be told what was refused for whatever it has.
func (w watchedSource) Refresh(ctx context.Context, refused keyless.Token, claims string) (keyless.Token, error) {
	if r, ok := w.TokenSource.(keyless.Refresher); ok {
		return w.note(r.Refresh(ctx, refused, claims))
	}
	return w.Token(ctx)
}

func (w watchedSource) note(token keyless.Token, err error) (keyless.Token, error) {
	if err != nil {
		w.tried.refused(err)
		return token, err
	}
	failure, _ := w.last()
	w.tried.came(token.Obtained, token.Expiry, failure)
	return token, nil
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

// serveProxies makes the keeper keep what proxies want; one that keeps less is another.
func (k *keeper) serveProxies(sends bool, margin time.Duration) {
	k.sends, k.margin = sends, margin
	k.identity = filecache.Digest([]string{k.identity, strconv.FormatBool(sends), margin.String()})
}

// keeps reports whether the kind is worth keeping: for a file, and of a profile without
// a role the token, which is all that it has.
func (k *keeper) keeps(what kind) bool {
	for _, o := range k.outlets {
		if o.kind == what {
			return true
		}
	}
	return what == kindToken && (k.credentials == nil || k.sends)
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
		var c keyless.Credentials
		if c, err = k.credentials.Latest(); err == nil {
			err = k.lasts(c.Expiry)
		}
	}
	if err == nil && (k.credentials == nil || k.sends) {
		var t keyless.Token
		if t, err = k.token.Latest(); err == nil {
			err = k.lasts(t.Expiry)
		}
	}
	for _, o := range k.outlets {
		if err == nil {
			err = o.failure()
		}
	}
	return err
}

// lasts says why what expires then is not enough for a proxy.
func (k *keeper) lasts(expiry time.Time) error {
	if left := time.Until(expiry); left < k.margin {
		return &keyless.Error{Hop: keyless.HopDelivery, Op: "proxy", Message: fmt.Sprintf("what there is expires in %s", left.Round(time.Second)), Temporary: true}
	}
	return nil
}
