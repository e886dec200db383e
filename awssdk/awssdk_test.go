package awssdk_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssdk"
)

const hunter2 = "hunter2~secret"

// far hands out credentials of an hour, until it is told to fail.
type far struct {
	asked int
	err   error
	life  time.Duration
}

func (f *far) Credentials(context.Context) (keyless.Credentials, error) {
	f.asked++
	if f.err != nil {
		return keyless.Credentials{}, f.err
	}
	now := time.Now()
	return keyless.Credentials{
		AccessKeyID: fmt.Sprintf("AKID%d", f.asked), SecretAccessKey: keyless.NewSecret(hunter2), SessionToken: keyless.NewSecret("session"),
		Obtained: now, Expiry: now.Add(f.life), AccountID: "111122223333",
	}, nil
}

func TestTheSDKGetsWhatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{life: time.Hour}
		got, err := awssdk.NewProvider(f).Retrieve(t.Context())
		want := aws.Credentials{
			AccessKeyID: "AKID1", SecretAccessKey: hunter2, SessionToken: "session", AccountID: "111122223333",
			Source: "keyless", CanExpire: true, Expires: time.Now().Add(40 * time.Minute),
		}
		if err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
		f.err = &keyless.Error{Hop: keyless.HopExchange, Code: "AccessDenied"}
		if _, err := awssdk.NewProvider(f).Retrieve(t.Context()); !errors.Is(err, f.err) {
			t.Errorf("%v", err)
		}
		f.err, f.life = nil, 0
		if _, err := awssdk.NewProvider(f).Retrieve(t.Context()); err == nil {
			t.Error("expired credentials are handed out")
		}
	})
}

func TestTheSDKIsToldToComeBackWhileThereIsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for life, want := range map[time.Duration]time.Duration{
			12 * time.Hour:   12*time.Hour - 20*time.Minute,
			40 * time.Minute: 20 * time.Minute,
			15 * time.Minute: 15 * time.Minute,
			30 * time.Second: 30 * time.Second,
		} {
			got, err := awssdk.NewProvider(&far{life: life}).Retrieve(t.Context())
			if left := time.Until(got.Expires); err != nil || left != want {
				t.Errorf("of %s: %s, want %s (%v)", life, left, want, err)
			}
		}
	})
}

// TestAnOutageIsNotNoticed lets the far side fail for half an hour in mid-life, behind
// the SDK's own cache and keyless's.
func TestAnOutageIsNotNoticed(t *testing.T) {
	for name, window := range map[string]time.Duration{"plain": 0, "with a window": 5 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			f := &far{life: time.Hour}
			cache := aws.NewCredentialsCache(awssdk.NewProvider(keyless.CachedCredentials(f)), func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = window })
			for minute := range 180 {
				f.err = nil
				if minute >= 30 && minute < 58 {
					f.err = errors.New("out of order")
				}
				got, err := cache.Retrieve(t.Context())
				if err != nil || got.SecretAccessKey == "" {
					t.Fatalf("%s: minute %d: %v", name, minute, err)
				}
				time.Sleep(time.Minute)
			}
			if f.asked > 40 {
				t.Errorf("%s: asked %d times", name, f.asked)
			}
		})
	}
}

func TestWithoutACacheOfOursTheOldOnesServeToTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{life: time.Hour}
		cache := aws.NewCredentialsCache(awssdk.NewProvider(f))
		if _, err := cache.Retrieve(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.err = errors.New("out of order")
		for minute := range 70 {
			_, err := cache.Retrieve(t.Context())
			if (err == nil) != (minute < 60) {
				t.Fatalf("minute %d: %v", minute, err)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestTheCachesWindowIsNotAddedToOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := awssdk.NewProvider(&far{life: time.Hour})
		got, err := p.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for window, want := range map[time.Duration]time.Duration{5 * time.Minute: 40 * time.Minute, 30 * time.Minute: 30 * time.Minute} {
			adjusted, err := p.AdjustExpiresBy(got, -window)
			if left := time.Until(adjusted.Expires); err != nil || left != want {
				t.Errorf("window %s: %s left, want %s (%v)", window, left, want, err)
			}
		}
		other := aws.Credentials{AccessKeyID: "OTHER", CanExpire: true, Expires: time.Now().Add(time.Hour)}
		if adjusted, _ := p.AdjustExpiresBy(other, -time.Minute); time.Until(adjusted.Expires) != 59*time.Minute {
			t.Errorf("%s", adjusted.Expires)
		}
		if _, err := p.HandleFailToRefresh(t.Context(), other, context.DeadlineExceeded); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("foreign credentials are kept: %v", err)
		}
	})
}

func TestTheSDKsCredentialsServeKeyless(t *testing.T) {
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	for name, c := range map[string]struct {
		got  aws.Credentials
		err  error
		want string // of the error; empty: none
	}{
		"session":     {got: aws.Credentials{AccessKeyID: "A", SecretAccessKey: hunter2, SessionToken: "T", CanExpire: true, Expires: end, AccountID: "1"}},
		"static":      {got: aws.Credentials{AccessKeyID: "A", SecretAccessKey: hunter2}},
		"empty":       {want: "empty"},
		"expired":     {got: aws.Credentials{AccessKeyID: "A", SecretAccessKey: hunter2, CanExpire: true, Expires: end.Add(-2 * time.Hour)}, want: "expired"},
		"an error":    {err: errors.New("no EC2 IMDS role found\nat all " + "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0." + "hunter2"), want: "no EC2 IMDS role found at all [redacted]"},
		"of keyless":  {err: &keyless.Error{Hop: keyless.HopExchange, Code: "AccessDenied"}, want: "AccessDenied"},
		"out of time": {err: context.DeadlineExceeded, want: "deadline"},
	} {
		provider := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c.got, c.err })
		got, err := awssdk.Credentials{Provider: provider}.Credentials(t.Context())
		if c.want == "" {
			if err != nil || got.SecretAccessKey.Reveal() != hunter2 || got.AccessKeyID != "A" || got.Expiry.Sub(end).Abs() > time.Minute {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			continue
		}
		var e *keyless.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || strings.Contains(fmt.Sprintf("%+v", err), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
		if c.err != nil && !errors.Is(err, c.err) || e.Temporary != errors.Is(c.err, context.DeadlineExceeded) {
			t.Errorf("%s: %#v", name, e)
		}
	}
	if _, err := (awssdk.Credentials{}).Credentials(t.Context()); err == nil {
		t.Error("credentials of nobody")
	}
}

type tokens func(context.Context) (keyless.Token, error)

func (f tokens) Token(ctx context.Context) (keyless.Token, error) { return f(ctx) }

func TestTheSDKsOwnExchangeGetsAToken(t *testing.T) {
	good := awssdk.IdentityToken{Source: tokens(func(context.Context) (keyless.Token, error) {
		return keyless.Token{Value: keyless.NewSecret("a.b.c")}, nil
	})}
	if got, err := good.GetIdentityToken(); err != nil || string(got) != "a.b.c" {
		t.Errorf("%q, %v", got, err)
	}
	synctest.Test(t, func(t *testing.T) {
		hangs := awssdk.IdentityToken{Source: tokens(func(ctx context.Context) (keyless.Token, error) {
			<-ctx.Done()
			return keyless.Token{}, ctx.Err()
		})}
		began := time.Now()
		if got, err := hangs.GetIdentityToken(); !errors.Is(err, context.DeadlineExceeded) || got != nil || time.Since(began) != 30*time.Second {
			t.Errorf("%q, %v after %s", got, err, time.Since(began))
		}
	})
}
