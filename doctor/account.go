package doctor

import (
	"context"

	"github.com/keyless-id/keyless/internal/iam"
)

// Account reads the IAM of an account, as [iam.Client] does.
type Account interface {
	Role(ctx context.Context, name string) (iam.Role, error)
	Provider(ctx context.Context, arn string) (iam.Provider, error)
	Providers(ctx context.Context) (arns []string, err error)
}

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
func (r reading[T]) absent() bool { return r.tried && codeOf(r.err) == iam.CodeNoSuchEntity }

// codeOf is the far side's code of an error; empty if it has none.
func codeOf(err error) string {
	if e := asError(err); e != nil {
		return e.Code
	}
	return ""
}
