package keylessextension

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/client"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keyless-id/keyless/sandbox"
)

// claimsOf are those of a token that the demo's virtual machine has for the demo's API.
func claimsOf(t *testing.T, s *sandbox.Sandbox, change func(map[string]any)) map[string]any {
	t.Helper()
	claims, err := s.Claims(sandbox.DemoVMObjectID, sandbox.DemoAudience)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(claims)
	}
	return claims
}

func mint(t *testing.T, s *sandbox.Sandbox, change func(map[string]any), how sandbox.Minting) string {
	t.Helper()
	token, err := s.Mint(claimsOf(t, s, change), how)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func header(values ...string) map[string][]string {
	return map[string][]string{"Authorization": values}
}

func set(name string, value any) func(map[string]any) {
	return func(claims map[string]any) { claims[name] = value }
}

func in(span time.Duration) int64 { return time.Now().Add(span).Unix() }

// whole is a server that wants everything that can be wanted.
func (w *world) whole() block {
	return w.asServer(block{"issuer": sandbox.DemoIssuer, "roles": []any{"Other", "AssumeRole"}, "subjects": []any{sandbox.DemoVMObjectID}})
}

func TestWhoHasTheRightTokenIsLetIn(t *testing.T) {
	w := newWorld(t)
	v2 := map[string]any{"iss": sandbox.DemoV2Issuer, "ver": "2.0", "azp": sandbox.DemoVMClientID}
	for name, c := range map[string]struct {
		server block
		change func(map[string]any)
		how    sandbox.Minting
	}{
		"v1.0":                 {w.whole(), nil, sandbox.Minting{}},
		"a tenant in capitals": {w.asServer(block{"tenant": strings.ToUpper(sandbox.DemoTenantID)}), nil, sandbox.Minting{}},
		"v1.0 of the tenant":   {w.asServer(nil), nil, sandbox.Minting{}},
		"v2.0 of the tenant":   {w.asServer(nil), func(c map[string]any) { maps.Copy(c, v2) }, sandbox.Minting{}},
		"PSS":                  {w.whole(), nil, sandbox.Minting{Algorithm: "PS256"}},
		"a list of audiences":  {w.whole(), set("aud", []string{"api://other", sandbox.DemoAudience}), sandbox.Minting{}},
		"its clock is late":    {w.whole(), set("exp", in(-30*time.Second)), sandbox.Minting{}},
		"its clock is early":   {w.whole(), set("nbf", in(30*time.Second)), sandbox.Minting{}},
		"no beginning":         {w.whole(), func(c map[string]any) { delete(c, "nbf") }, sandbox.Minting{}},
	} {
		e, _ := w.start(t, c.server)
		for _, scheme := range []string{"Bearer ", "bearer "} {
			ctx, err := e.Authenticate(t.Context(), map[string][]string{"authorization": {scheme + mint(t, w.Sandbox, c.change, c.how)}, "Other": {"x", "y"}})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			auth := client.FromContext(ctx).Auth
			if auth.GetAttribute("subject") != sandbox.DemoVMObjectID || auth.GetAttribute("azp") != sandbox.DemoVMClientID || auth.GetAttribute("roles").([]string)[0] != "AssumeRole" || auth.GetAttribute("nothing") != nil ||
				!slices.Equal(auth.GetAttributeNames(), []string{"azp", "issuer", "oid", "roles", "subject", "tenant"}) {
				t.Errorf("%s: %v", name, auth)
			}
		}
	}
}

func TestWhoHasNotIsTurnedAway(t *testing.T) {
	w := newWorld(t)
	e, logs := w.start(t, w.whole())
	if _, err := e.Authenticate(t.Context(), header("Bearer "+mint(t, w.Sandbox, nil, sandbox.Minting{}))); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(map[string]any)
		how    sandbox.Minting
		want   string
	}{
		"another issuer":            {set("iss", sandbox.DemoV2Issuer), sandbox.Minting{}, "issuer"},
		"an issuer without a slash": {set("iss", strings.TrimSuffix(sandbox.DemoIssuer, "/")), sandbox.Minting{}, "issuer"},
		"another tenant":            {set("tid", "11111111-1111-1111-1111-111111111111"), sandbox.Minting{}, "tenant"},
		"no tenant":                 {func(c map[string]any) { delete(c, "tid") }, sandbox.Minting{}, "tenant"},
		"another audience":          {set("aud", "https://monitor.azure.com"), sandbox.Minting{}, "audience"},
		"an audience with more":     {set("aud", sandbox.DemoAudience+"x"), sandbox.Minting{}, "audience"},
		"no audience":               {func(c map[string]any) { delete(c, "aud") }, sandbox.Minting{}, "audience"},
		"another role":              {set("roles", []string{"Reader"}), sandbox.Minting{}, "roles"},
		"no role":                   {func(c map[string]any) { delete(c, "roles") }, sandbox.Minting{}, "roles"},
		"a role that is no list":    {set("roles", "AssumeRole"), sandbox.Minting{}, "claims"},
		"another subject":           {func(c map[string]any) { c["sub"], c["oid"] = "x", "x" }, sandbox.Minting{}, "subject"},
		"expired":                   {set("exp", in(-2*time.Minute)), sandbox.Minting{}, "expired"},
		"no end":                    {func(c map[string]any) { delete(c, "exp") }, sandbox.Minting{}, "no end"},
		"of the future":             {set("nbf", in(2*time.Minute)), sandbox.Minting{}, "not valid yet"},
		"an unknown key":            {nil, sandbox.Minting{Flaw: sandbox.UnknownKey}, "not one of the issuer's"},
		"a foreign key":             {nil, sandbox.Minting{Flaw: sandbox.ForeignKey}, "not one of the issuer's"},
		"a bad signature":           {nil, sandbox.Minting{Flaw: sandbox.BadSignature}, "not one of the issuer's"},
		"HS256 with the public key": {nil, sandbox.Minting{Flaw: sandbox.SymmetricAbuse}, "not one of the issuer's"},
		"the algorithm none":        {nil, sandbox.Minting{Flaw: sandbox.Unsigned}, errNoToken.Error()},
	} {
		token := mint(t, w.Sandbox, c.change, c.how)
		ctx, err := e.Authenticate(t.Context(), header("Bearer "+token))
		if err == nil || !strings.Contains(err.Error(), c.want) || client.FromContext(ctx).Auth != nil {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		leaks(t, name, token, err)
	}
	for _, line := range logs.All() {
		for _, value := range line.ContextMap() {
			if text, ok := value.(string); ok && strings.Contains(text, "eyJ") {
				t.Errorf("the log has a token: %s", text)
			}
		}
	}
}

// leaks looks for parts of a token in what is said of it.
func leaks(t *testing.T, name, token string, err error) {
	t.Helper()
	for _, part := range strings.Split(token, ".") {
		if len(part) > 8 && err != nil && strings.Contains(err.Error(), part[:8]) {
			t.Errorf("%s: the error has a part of the token: %v", name, err)
		}
	}
}

func TestOneBearerTokenIsWanted(t *testing.T) {
	w := newWorld(t)
	e, _ := w.start(t, w.whole())
	token := mint(t, w.Sandbox, nil, sandbox.Minting{})
	for name, headers := range map[string]map[string][]string{
		"none at all":       nil,
		"no value":          header(),
		"two values":        header("Bearer "+token, "Bearer "+token),
		"two headers":       {"Authorization": {"Bearer " + token}, "authorization": {"Bearer " + token}},
		"Basic":             header("Basic dXNlcjpwYXNz"),
		"no scheme":         header(token),
		"no token":          header("Bearer "),
		"two spaces":        header("Bearer  " + token),
		"something after":   header("Bearer " + token + " x"),
		"a list":            header("Bearer " + token + ",Bearer " + token),
		"four parts":        header("Bearer " + token + ".x"),
		"padding":           header("Bearer " + token + "="),
		"far too long":      header("Bearer a." + strings.Repeat("a", maxToken) + ".a"),
		"another header":    {"Proxy-Authorization": {"Bearer " + token}},
		"not even a header": {"": {"Bearer " + token}},
	} {
		if _, err := e.Authenticate(t.Context(), headers); err != errNoToken { //nolint:errorlint // nothing else may be said
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := w.Requests(sandbox.Keys); n != 0 {
		t.Errorf("the issuer was asked %d times", n)
	}
}

func FuzzBearerToken(f *testing.F) {
	for _, seed := range []string{"Bearer a.b.c", "bearer a.b.c", "Bearer a.b", "Basic a.b.c", "Bearer  a.b.c", "Bearer a.b.c d", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		token, err := bearerToken(header(value))
		if err != nil {
			if token != "" {
				t.Errorf("%q: a token and an error", value)
			}
			return
		}
		if !strings.EqualFold(value, "Bearer "+token) || strings.Count(token, ".") != 2 || strings.ContainsAny(token, " \t\r\n,=") || len(token) > maxToken {
			t.Errorf("%q: took %q", value, token)
		}
	})
}

// inBubble is a server whose clock is the test's, with keys from the sandbox.
func inBubble(t *testing.T) (*keylessExtension, *sandbox.Sandbox) {
	t.Helper()
	s, err := sandbox.New(sandbox.Demo(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Sandbox: s}
	e, _ := w.unstarted(t, block{"server": block{"issuer": sandbox.DemoIssuer, "audience": []any{sandbox.DemoAudience}}})
	e.verifier.client = &http.Client{Transport: &patient{base: s.RoundTripper(), next: map[string]pause{}}, Timeout: keysTimeout}
	return e, s
}

func (e *keylessExtension) takes(ctx context.Context, token string) error {
	_, err := e.Authenticate(ctx, header("Bearer "+token))
	return err
}

func TestTheKeysAreThoseOfTheDiscoveryDocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := inBubble(t)
		for range 100 {
			if err := e.takes(t.Context(), mint(t, s, nil, sandbox.Minting{})); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.Requests(sandbox.Keys); n != 2 {
			t.Errorf("the issuer was asked %d times, want twice: for the document and for the keys", n)
		}
	})
}

func TestANewKeyIsFetchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := inBubble(t)
		if err := e.takes(t.Context(), mint(t, s, nil, sandbox.Minting{})); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		s.RotateKeys()
		before := s.Requests(sandbox.Keys)
		if err := e.takes(t.Context(), mint(t, s, nil, sandbox.Minting{})); err != nil {
			t.Error(err)
		}
		for range 1000 { // tokens that cost nothing to make
			if err := e.takes(t.Context(), mint(t, s, nil, sandbox.Minting{Flaw: sandbox.UnknownKey})); err == nil || status.Code(err) == codes.Unavailable {
				t.Fatalf("a token of nobody: %v", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := s.Requests(sandbox.Keys) - before; n > 2 {
			t.Errorf("the issuer was asked %d times in ten seconds", n)
		}
	})
}

// A discovery document is not obeyed when it leads to where somebody on the way could answer.
func TestKeysAreNotFetchedInTheClear(t *testing.T) {
	e, s := inBubble(t)
	e.verifier.config.JWKSURL = "http://login.microsoftonline.com/common/discovery/keys"
	if err := e.takes(t.Context(), mint(t, s, nil, sandbox.Minting{})); status.Code(err) != codes.Unavailable || s.Requests(sandbox.Keys) != 0 {
		t.Errorf("%v, asked %d times", err, s.Requests(sandbox.Keys))
	}
}

// hanging answers when the client gives up.
type hanging struct{ asked atomic.Int32 }

func (h *hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	h.asked.Add(1)
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// Callers do not queue up for an issuer that does not answer, each with a timeout of its own.
func TestAnIssuerThatHangsHoldsUpNobodyForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := inBubble(t)
		h := &hanging{}
		e.verifier.client.Transport.(*patient).base = h
		token, began := mint(t, s, nil, sandbox.Minting{}), time.Now()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := e.takes(t.Context(), token); status.Code(err) != codes.Unavailable {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took > keysTimeout+afterFailure || h.asked.Load() > 2 {
			t.Errorf("%s, asked %d times", took, h.asked.Load())
		}
	})
}

func TestKeysThatAreKnownOutliveAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := inBubble(t)
		s.SetFault(sandbox.Keys, sandbox.Fault{Status: http.StatusServiceUnavailable})
		good := mint(t, s, nil, sandbox.Minting{})
		if err := e.takes(t.Context(), good); status.Code(err) != codes.Unavailable {
			t.Errorf("before any key is known: %v", err)
		}
		s.ClearFaults()
		time.Sleep(2 * time.Second)
		if err := e.takes(t.Context(), good); err != nil {
			t.Fatal(err)
		}
		s.SetFault(sandbox.Keys, sandbox.Fault{Status: http.StatusServiceUnavailable})
		time.Sleep(30 * time.Minute)
		if err := e.takes(t.Context(), mint(t, s, nil, sandbox.Minting{Flaw: sandbox.UnknownKey})); err == nil {
			t.Error("a token of nobody is let in")
		}
		if err := e.takes(t.Context(), mint(t, s, nil, sandbox.Minting{})); err != nil {
			t.Errorf("during the outage: %v", err)
		}
	})
}
