package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery"
	"github.com/keyless-id/keyless/profile"
)

// watch is a token that goes into a file.
type watch struct {
	out string
	on  bool
}

func (w watch) check(claims, socket string) error {
	switch {
	case w.on && w.out == "":
		return usageError{errors.New("--watch: want --out FILE")}
	case w.out != "" && claims != "":
		return usageError{errors.New("--out: does not go with --claims")}
	case w.on && socket != "":
		return usageError{errors.New("--watch: does not go with a daemon, which keeps files itself: serve.files")}
	}
	return nil
}

func (w watch) file() *delivery.File {
	if w.out == "" {
		return nil
	}
	return &delivery.File{Path: w.out}
}

// watchToken keeps the file fresh. It gives up if the first answer is a refusal; later it
// tries for as long as it runs, and says so.
func (p *program) watchToken(ctx context.Context, c *choice, args []string, file *delivery.File) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	selected, built, err := p.build(c, args)
	if err != nil {
		return err
	}
	cache, warn := p.cache(c)
	warn.print(p, selected.Warnings)
	memory := profile.Memory{Cache: cache}
	source := keyless.Cached(p.saying(memory.Source(built)))
	if _, err := source.Token(ctx); err != nil && !keyless.IsTemporary(err) {
		return err
	}
	if err := file.Check(); err != nil {
		return err
	}
	var last keyless.Secret
	source.Keep(ctx, func(token keyless.Token) {
		if _, err := os.Stat(file.Path); err == nil && last.Equal(token.Value) {
			return
		}
		if err := file.Write([]byte(token.Value.Reveal())); err != nil {
			p.warn(err.Error())
			return
		}
		last = token.Value
	})
	return file.Remove()
}

// saying warns of every try that fails.
func (p *program) saying(inner keyless.TokenSource) keyless.TokenSource {
	return keyless.TokenSourceFunc(func(ctx context.Context) (keyless.Token, error) {
		token, err := inner.Token(ctx)
		if err != nil && keyless.IsTemporary(err) {
			p.warn(err.Error())
		}
		return token, err
	})
}
