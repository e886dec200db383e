package doctor

import (
	"cmp"
	"context"
	"net/http"
	"os"
	"strings"
	"sync"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awshost"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/internal/iam"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/internal/wire"
	"github.com/keyless-id/keyless/profile"
	"github.com/keyless-id/keyless/trust"
)

// evidence is all that was seen. Tokens and credentials in it go to far sides only.
type evidence struct {
	Doctor
	built    *profile.Built
	buildErr error
	seen     *observer
	cloud    *http.Client
	found    string // what kind of host there is, by a source that looks around

	token     keyless.Token
	tokenErr  error
	claims    jwtpeek.Claims
	claimsErr error
	// assertion is what the source proves itself to Entra with; looked at if Entra refuses.
	assertion   jwtpeek.Claims
	metadataEC2 bool // the metadata service of AWS is there, whatever it answers

	issuer issuerAnswer

	credentials keyless.Credentials
	exchangeErr error
	first       bool // the first role was assumed, whatever became of the chain
	caller      reading[iam.Caller]

	role      reading[iam.Role]
	provider  reading[iam.Provider]
	providers reading[[]string]
	chained   []reading[iam.Role]
	unread    []string // why IAM could not be read, one line for each login that was tried

	shadows shadows
	bearing []probe // routes to Azure
	signing []probe // routes to AWS
	losses  losses
}

// askSource runs on the caller's goroutine, as the source of a program would.
func (e *evidence) askSource(ctx context.Context) {
	if e.token, e.tokenErr = e.built.Source.Token(ctx); e.tokenErr == nil {
		e.claims, e.claimsErr = jwtpeek.Unverified(e.token.Value.Reveal())
	}
}

// askWhy looks at what explains a source's failure.
func (e *evidence) askWhy(ctx context.Context) {
	switch {
	case codeOf(e.tokenErr) == awshost.CodeNothing:
		e.metadataEC2 = e.answersAsEC2(ctx)
	case e.built.Assertion != nil:
		if token, err := e.built.Assertion.Token(ctx); err == nil {
			e.assertion, _ = jwtpeek.Unverified(token.Value.Reveal())
		}
	case e.assertionFile() != "":
		if data, err := os.ReadFile(e.assertionFile()); err == nil && len(data) <= jwtpeek.MaxToken {
			e.assertion, _ = jwtpeek.Unverified(strings.TrimSpace(string(data)))
		}
	}
}

// assertionFile is the file that the source reads its assertion from; empty: there is none.
func (e *evidence) assertionFile() string {
	switch source := e.Profile.Source; {
	case source.AssertionFile != nil:
		return source.AssertionFile.File
	case source.WorkloadIdentity != nil && source.WorkloadIdentity.File != "":
		return source.WorkloadIdentity.File
	case source.WorkloadIdentity != nil, source.Auto != nil:
		return e.Getenv("AZURE_FEDERATED_TOKEN_FILE")
	}
	return ""
}

// answersAsEC2 asks without a session, which the service answers whatever its hop limit:
// that holds back answers to PUT only ("Use the Instance Metadata Service to access
// instance metadata", Amazon EC2 User Guide).
func (e *evidence) answersAsEC2(ctx context.Context) bool {
	address := e.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT")
	if address == "" {
		address = awshost.DefaultMetadataEndpoint
	}
	base, err := wire.Endpoint(address)
	if err != nil {
		return false
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("latest/meta-data/").String(), nil)
	if err != nil {
		return false
	}
	answer, err := wire.Do(e.seen.client(wire.Local()), request)
	return err == nil && (answer.Status == http.StatusUnauthorized || answer.Status == http.StatusOK)
}

// cloudClient is for what the profile itself does not ask: the issuer's keys, and routes.
func (e *evidence) cloudClient() *http.Client {
	if e.Profile.CAFile != "" {
		return e.seen.client(wire.NewCloud(e.Profile.CAFile))
	}
	return e.seen.client(wire.Cloud())
}

// askSTS tries the exchange, and looks at the account with what came of it.
func (e *evidence) askSTS(ctx context.Context, beside *sync.WaitGroup) {
	e.credentials, e.exchangeErr = e.built.Exchanger.Exchange(ctx, e.token)
	session := e.credentials
	if e.exchangeErr == nil {
		e.first = true
		if e.ofAWS() {
			beside.Go(func() { e.caller = read(e.callerOf(ctx, session)) })
		}
		beside.Go(func() { e.signing = e.probeSigners(ctx) })
	}
	if failedLater(e.exchangeErr) {
		var err error
		session, err = e.built.STS.Exchange(ctx, e.token)
		e.first = err == nil
	}
	if e.shown() && e.ofAWS() {
		e.readAccount(ctx, session)
	}
}

// ofAWS reports whether the role is AWS's: other implementations of STS have no IAM, and
// do not say who a caller is.
func (e *evidence) ofAWS() bool {
	return strings.HasPrefix(splitARN(e.built.STS.RoleARN).partition, "aws")
}

// callerOf asks STS whose credentials they are, where the role was assumed.
func (e *evidence) callerOf(ctx context.Context, from keyless.Credentials) (iam.Caller, error) {
	at := e.built.STS
	partition := splitARN(at.RoleARN).partition
	_, home := iam.Endpoint(partition)
	sts := iam.STS{Credentials: held(from), Region: cmp.Or(at.Region, home), Endpoint: at.Endpoint, HTTPClient: at.Client}
	if at.Endpoint == "" {
		var err error
		if sts.Endpoint, err = awssts.Endpoint(sts.Region, partition, at.FIPS, at.DualStack); err != nil {
			return iam.Caller{}, err
		}
	}
	return sts.Caller(ctx)
}

// held are credentials that somebody has already.
func held(credentials keyless.Credentials) keyless.CredentialsProvider {
	return keyless.CredentialsProviderFunc(func(context.Context) (keyless.Credentials, error) { return credentials, nil })
}

// failedLater reports whether it was a chained role that refused, and not the first.
func failedLater(err error) bool {
	failed := asError(err)
	return failed != nil && failed.Op == "AssumeRole"
}

// guarded reports whether the token was not even sent.
func guarded(err error) bool {
	switch codeOf(err) {
	case awssts.CodeNotJWT, awssts.CodeAudience, awssts.CodeFirstParty:
		return true
	}
	return false
}

// key is what IAM calls the token's issuer.
func (e *evidence) key() string { return trust.ProviderKey(e.claims.Issuer) }

// providerARN is where the account of the role must have the token's issuer.
func (e *evidence) providerARN() string {
	arn := splitARN(e.built.STS.RoleARN)
	return trust.ProviderARN(arn.partition, arn.account, e.claims.Issuer)
}
