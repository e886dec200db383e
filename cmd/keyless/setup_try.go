package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
	"github.com/keyless-id/keyless/profile"
)

// try uses a set-up by its own profile, which works where the workload is. What was made
// a moment ago is not known to STS and Entra everywhere yet; that is waited for.
func (j *job) try(ctx context.Context, document string) error {
	config, err := profile.Parse("the profile above", []byte(document))
	if err != nil {
		return err
	}
	selected, err := config.Select(j.spec.Name, nil, j.getenv)
	if err != nil {
		return err
	}
	built, err := selected.Build(j.getenv)
	if err != nil {
		return err
	}
	err = settle(ctx, func(ctx context.Context) error {
		if built.Exchanger == nil {
			_, err := built.Source.Token(ctx)
			return err
		}
		_, err := keyless.Federate(built.Source, built.Exchanger).Credentials(ctx)
		return err
	}, func() { fmt.Fprintln(j.stderr, "keyless: waiting for AWS and Entra to know it everywhere") })
	if err == nil {
		fmt.Fprintln(j.stderr, "keyless: it works here")
	}
	return err
}

// settle asks again for a minute or two, while the answer is one that passes: a trust policy
// takes some seconds to be known to STS, a federated credential and an application as long.
func settle(ctx context.Context, ask func(context.Context) error, waiting func()) error {
	told := false
	return wire.Backoff{Tries: 25, First: time.Second, Max: 5 * time.Second}.Retry(ctx, ask, func(err error) wire.Verdict {
		var refused *keyless.Error
		young := []string{"AccessDenied", "InvalidIdentityToken", "AADSTS500011", "AADSTS700016", "AADSTS70021", "AADSTS700213"}
		if !errors.As(err, &refused) || !slices.Contains(young, refused.Code) {
			return wire.Verdict{}
		}
		if !told {
			waiting()
		}
		told = true
		return wire.Verdict{Again: true}
	})
}
