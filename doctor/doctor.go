package doctor

import (
	"context"
	"net/http"
	"sync"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/profile"
)

// Doctor examines one profile. The zero value but for Getenv looks at the host only, and
// says what could be done there.
type Doctor struct {
	Profile *profile.Selected // nil: there is no configuration
	Routes  []profile.Route   // what the daemon's proxies send with the profile's identity

	// Workspace is the id of the Log Analytics workspace that has DCRLogErrors; zero: it is
	// not read.
	Workspace string

	Getenv func(name string) string // zero: an empty environment
	Now    func() time.Time         // zero: time.Now

	// Around goes round each transport with which a far side is asked; nil: nothing does.
	Around func(http.RoundTripper) http.RoundTripper

	// IAM reads the account with somebody's credentials, by a client that trusts what the
	// profile's does; nil: it is not read. It is asked as the session that was obtained, and
	// then as Login.
	IAM func(keyless.CredentialsProvider, *http.Client) Account
	// Login is the AWS login of whoever runs the program; nil: there is none. It may be
	// slow, and is asked after a refusal only, unless Thorough.
	Login    keyless.CredentialsProvider
	Thorough bool
	// Policy is the role's trust policy from a file, for want of one that can be read live.
	Policy []byte
}

// Examine goes the way of the profile and says what it saw. It asks the far sides what
// the workload asks them, and reads; it changes nothing. Agents' data is not sent: an
// ingestion endpoint gets an empty request.
func (d Doctor) Examine(ctx context.Context) Report {
	d = d.whole()
	if d.Profile == nil {
		return d.survey(ctx)
	}
	e := d.gather(ctx)
	report := Report{Profile: d.Profile.Name}
	for _, check := range checks() {
		report.add(check(e)...)
	}
	return report
}

func (d Doctor) whole() Doctor {
	if d.Getenv == nil {
		d.Getenv = func(string) string { return "" }
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d
}

// checks are in the order in which data passes the hops. Each judges evidence, and asks
// nobody.
func checks() []func(*evidence) []Finding {
	return []func(*evidence) []Finding{
		one((*evidence).configuration),
		one((*evidence).plainSecret),
		one((*evidence).proxyVariables),
		one((*evidence).clock),
		one((*evidence).source),
		one((*evidence).tokenItself),
		one((*evidence).retirement),
		one((*evidence).issuerKeys),
		one((*evidence).providerEntry),
		one((*evidence).roleItself),
		one((*evidence).trustPolicy),
		one((*evidence).session),
		(*evidence).chain,
		one((*evidence).callerItself),
		one((*evidence).shadowed),
		(*evidence).ingestion,
		one((*evidence).droppedRows),
	}
}

func one(check func(*evidence) Finding) func(*evidence) []Finding {
	return func(e *evidence) []Finding { return []Finding{check(e)} }
}

// gather asks. What does not depend on each other is asked side by side.
func (d Doctor) gather(ctx context.Context) *evidence {
	e := &evidence{Doctor: d, seen: &observer{around: d.Around}}
	e.cloud = e.cloudClient()
	selected := *d.Profile
	selected.Far.Around = e.seen.wrap
	if e.built, e.buildErr = selected.Build(d.Getenv); e.buildErr != nil {
		return e
	}
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { e.shadows = readShadows(d.Getenv) })
	if e.built.Found != nil {
		beside.Go(func() { e.found, _ = e.built.Found(ctx) })
	}
	if e.askSource(ctx); e.tokenErr != nil {
		e.askWhy(ctx)
		return e
	}
	beside.Go(func() { e.askIssuer(ctx) })
	beside.Go(func() { e.bearing = e.probeBearers(ctx) })
	beside.Go(func() { e.losses = e.askLosses(ctx) })
	if e.built.Exchanger != nil {
		e.askSTS(ctx, &beside)
	}
	return e
}
