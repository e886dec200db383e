package keyless_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
)

const hunter2 = "hunter2-hunter2"

// holder keeps secrets where fmt calls no methods.
type holder struct {
	open   keyless.Secret
	nested struct{ creds keyless.Credentials }
	list   []keyless.Token
	byName map[string]keyless.Secret
	any    any
}

func filled() holder {
	secret := keyless.NewSecret(hunter2)
	h := holder{
		open: secret, list: []keyless.Token{{Value: secret}}, any: &secret,
		byName: map[string]keyless.Secret{"a": secret},
	}
	h.nested.creds = keyless.Credentials{AccessKeyID: "ASIA", SecretAccessKey: secret, SessionToken: secret}
	return h
}

func TestSecretIsNeverPrinted(t *testing.T) {
	secret := keyless.NewSecret(hunter2)
	values := map[string]any{
		"Secret": secret, "*Secret": &secret, "Token": keyless.Token{Value: secret}, "Credentials": filled().nested.creds,
		"unexported": filled(), "*unexported": func() *holder { h := filled(); return &h }(), "slice": []keyless.Secret{secret},
		"map": map[string]keyless.Secret{"k": secret}, "array": [1]keyless.Secret{secret}, "any": []any{secret, &secret},
	}
	for name, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T", "%p", "%U", "%c", "%e", "% x", "%10.3s"} {
			if text := fmt.Sprintf(verb, value); leaks(text) {
				t.Errorf("%s with %s shows the value: %s", name, verb, text)
			}
		}
		if data, err := json.Marshal(value); err == nil && leaks(string(data)) {
			t.Errorf("%s as JSON shows the value: %s", name, data)
		}
		if data, err := xml.Marshal(value); err == nil && leaks(string(data)) {
			t.Errorf("%s as XML shows the value: %s", name, data)
		}
		var log bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(handler).Info("message", "value", value, "group", slog.GroupValue(slog.Any("inner", value)))
		}
		if leaks(log.String()) {
			t.Errorf("%s in a log shows the value: %s", name, log.String())
		}
		if text := fmt.Errorf("wrapped: %v: %w", value, errors.New("x")).Error(); leaks(text) {
			t.Errorf("%s in an error shows the value: %s", name, text)
		}
	}
}

// leaks also finds the value as hex, which %x would print.
func leaks(text string) bool {
	return strings.Contains(text, hunter2) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", hunter2)) || strings.Contains(text, fmt.Sprintf("%x", "hunter2"))
}

func TestSecretSaysRedacted(t *testing.T) {
	secret := keyless.NewSecret(hunter2)
	for _, verb := range []string{"%v", "%s", "%+v", "%#v", "%q", "%x"} {
		if text := fmt.Sprintf(verb, secret); text != "[redacted]" {
			t.Errorf("%s: %q", verb, text)
		}
	}
	if data, _ := json.Marshal(secret); string(data) != `"[redacted]"` {
		t.Errorf("JSON: %s", data)
	}
}

func TestPanicWithASecretDoesNotShowIt(t *testing.T) {
	defer func() {
		if text := fmt.Sprint(recover()); leaks(text) {
			t.Error(text)
		}
	}()
	panic(filled())
}

func TestSecretEqual(t *testing.T) {
	a, b := keyless.NewSecret("a"), keyless.NewSecret("b")
	if !a.Equal(keyless.NewSecret("a")) || a.Equal(b) || a.Equal(keyless.Secret{}) || !(keyless.Secret{}).Equal(keyless.NewSecret("")) {
		t.Error("Equal is wrong")
	}
	if !(keyless.Secret{}).IsZero() || !keyless.NewSecret("").IsZero() || a.IsZero() || a.Reveal() != "a" || (keyless.Secret{}).Reveal() != "" {
		t.Error("IsZero or Reveal is wrong")
	}
}

func TestErrorIsOneLineFromHopToCause(t *testing.T) {
	cause := errors.New("connection refused")
	err := error(&keyless.Error{
		Hop: keyless.HopExchange, Op: "AssumeRoleWithWebIdentity", Code: "InvalidIdentityToken", Message: "no provider",
		Hint: "create it", Temporary: true, RetryAfter: time.Second, Err: cause,
	})
	if got, want := err.Error(), "exchange: AssumeRoleWithWebIdentity: InvalidIdentityToken: no provider: connection refused"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, cause) || !keyless.IsTemporary(fmt.Errorf("more: %w", err)) || keyless.IsTemporary(cause) {
		t.Error("cause or class is lost")
	}
}
