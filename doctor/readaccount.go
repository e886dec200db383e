package doctor

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/iam"
)

// login is somebody who may be allowed to read IAM.
type login struct {
	name        string
	credentials keyless.Credentials
}

// readAccount reads what the verdict depends on, as the session that was obtained and,
// where that may not, as whoever runs the program.
func (e *evidence) readAccount(ctx context.Context, session keyless.Credentials) {
	if e.IAM == nil {
		return
	}
	if session.AccessKeyID != "" {
		e.readAs(ctx, login{"the session", session})
	}
	if e.readWhole() || e.Login == nil || e.exchangeErr == nil && !e.Thorough {
		return
	}
	own, err := e.Login.Credentials(ctx)
	if err == nil {
		err = e.sameAccount(ctx, own)
	}
	if err != nil {
		e.unread = append(e.unread, "your own AWS login: "+cmp.Or(hinted(err), clean(err.Error())))
		return
	}
	e.readAs(ctx, login{"your own AWS login", own})
}

// sameAccount refuses a login whose account is not the role's: what it does not find there
// may well exist.
func (e *evidence) sameAccount(ctx context.Context, own keyless.Credentials) error {
	caller, err := e.callerOf(ctx, own)
	if err != nil {
		return err
	}
	if want := splitARN(e.built.STS.RoleARN).account; caller.Account != want {
		return fmt.Errorf("it is of account %s, and the role of %s", caller.Account, want)
	}
	return nil
}

// readWhole reports whether nothing is left to be read.
func (e *evidence) readWhole() bool {
	whole := settled(e.role) && settled(e.provider)
	for _, role := range e.chained {
		whole = whole && settled(role)
	}
	return whole
}

// settled reports whether IAM gave the thing, or said that it does not exist.
func settled[T any](r reading[T]) bool { return r.known() || r.absent() }

func (e *evidence) readAs(ctx context.Context, as login) {
	account := e.IAM(held(as.credentials), e.built.STS.Client)
	var beside sync.WaitGroup
	if !settled(e.provider) {
		beside.Go(func() { e.readProvider(ctx, account) })
	}
	if !settled(e.role) {
		beside.Go(func() { e.role = read(account.Role(ctx, splitARN(e.built.STS.RoleARN).roleName())) })
	}
	hops := e.Profile.AWS.Chain
	e.chained = append(e.chained, make([]reading[iam.Role], len(hops)-len(e.chained))...)
	for i, hop := range hops {
		if arn := splitARN(hop.RoleARN); !settled(e.chained[i]) && arn.account == splitARN(e.built.STS.RoleARN).account {
			beside.Go(func() { e.chained[i] = read(account.Role(ctx, arn.roleName())) })
		}
	}
	beside.Wait()
	for _, err := range []error{e.role.err, e.provider.err} {
		if err != nil && codeOf(err) != iam.CodeNoSuchEntity {
			e.unread = append(e.unread, as.name+": "+clean(err.Error()))
		}
	}
}

// readProvider lists the other providers where the right one is missing: one of them may
// be meant.
func (e *evidence) readProvider(ctx context.Context, account Account) {
	e.provider = read(account.Provider(ctx, e.providerARN()))
	if e.provider.absent() {
		e.providers = read(account.Providers(ctx))
	}
}

// arn is an ARN taken apart.
type arn struct{ partition, account, resource string }

func splitARN(text string) arn {
	parts := strings.SplitN(text, ":", 6)
	if len(parts) != 6 {
		return arn{}
	}
	return arn{parts[1], parts[4], parts[5]}
}

// roleName is the last part of a role's ARN: IAM asks for roles without their path.
func (a arn) roleName() string { return a.resource[strings.LastIndexByte(a.resource, '/')+1:] }
