package doctor

import (
	"context"
	"time"
)

// Role is an IAM role as far as a doctor looks at it.
type Role struct {
	Name, Path, ARN string
	TrustPolicy     []byte // JSON
	MaxSession      time.Duration
	Tags            map[string]string
}

// Provider is an IAM OIDC identity provider.
type Provider struct {
	ARN, URL               string
	ClientIDs, Thumbprints []string
	Tags                   map[string]string
}

// Account reads the IAM of an account. Errors are [*keyless.Error] with IAM's codes:
// NoSuchEntity, AccessDenied.
type Account interface {
	Role(ctx context.Context, name string) (Role, error)
	Provider(ctx context.Context, arn string) (Provider, error)
	Providers(ctx context.Context) (arns []string, err error)
}

// codeNoSuchEntity is IAM's word for what is not there.
const codeNoSuchEntity = "NoSuchEntity"

// reading is what was read of one thing in IAM.
type reading[T any] struct {
	value T
	err   error
	tried bool
}

func read[T any](value T, err error) reading[T] { return reading[T]{value, err, true} }

// known reports whether there is a value.
func (r reading[T]) known() bool { return r.tried && r.err == nil }

// absent reports whether IAM said that there is none.
func (r reading[T]) absent() bool { return r.tried && codeOf(r.err) == codeNoSuchEntity }

// codeOf is the far side's code of an error; empty if it has none.
func codeOf(err error) string {
	if e := asError(err); e != nil {
		return e.Code
	}
	return ""
}
