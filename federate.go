package keyless

import (
	"context"
	"errors"
)

// CodeExpiredToken is the [Error] code with which an [Exchanger] says that the
// subject token is no longer valid, so that another one may help (AWS STS, API
// reference of AssumeRoleWithWebIdentity, "Errors").
const CodeExpiredToken = "ExpiredTokenException"

// Federate joins the two halves: each call proves the workload to src's issuer and
// trades the proof at ex. If ex says that the token has expired, src is asked once
// for another.
func Federate(src TokenSource, ex Exchanger) CredentialsProvider {
	return federation{src: src, ex: ex}
}

type federation struct {
	src TokenSource
	ex  Exchanger
}

func (f federation) Credentials(ctx context.Context) (Credentials, error) {
	subject, err := f.src.Token(ctx)
	if err != nil {
		return Credentials{}, err
	}
	credentials, err := f.ex.Exchange(ctx, subject)
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != CodeExpiredToken {
		return credentials, err
	}
	if subject, err = renew(ctx, f.src, subject, ""); err != nil {
		return Credentials{}, err
	}
	return f.ex.Exchange(ctx, subject)
}
