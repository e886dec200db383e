package interop_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// Exit codes of keyless.
const (
	exitSource    = 3
	exitExchange  = 4
	exitTemporary = 75
)

// TestMinIORefuses: for each refusal there is a twin that differs in the one
// thing the case is about, and that MinIO accepts.
func TestMinIORefuses(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	minio := startMinIO(t, c, audience)

	for _, forged := range []struct {
		flaw  sandbox.Flaw
		words string
	}{
		{sandbox.BadSignature, "verification error"},
		{sandbox.ForeignKey, "verification error"},
		{sandbox.UnknownKey, "No public key found"},
	} {
		t.Run(string(forged.flaw), func(t *testing.T) {
			w := newWorkload(t, c, minio)
			w.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = playIMDS(t, mint(t, c, sandbox.Sound))
			w.keyless(t, "credential-process", "system").wantSuccess(t)

			w = newWorkload(t, c, minio)
			w.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = playIMDS(t, mint(t, c, forged.flaw))
			w.keyless(t, "credential-process", "system").wantRefusal(t, exitExchange, "keyless: error: ", forged.words)
		})
	}

	t.Run("a token for another audience", func(t *testing.T) {
		w := newWorkload(t, c, minio)
		w.keyless(t, "credential-process", "app").wantSuccess(t)
		w.keyless(t, "credential-process", "other").wantRefusal(t, exitExchange, "keyless: error: ", "`azp` claim invalid")
	})
}

// TestMinIORefusesAnExpiredToken has a cloud of its own: its issuer's clock is
// two hours slow, so that its tokens are expired when they are new.
func TestMinIORefusesAnExpiredToken(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	minio := startMinIO(t, c, audience)
	newWorkload(t, c, minio).keyless(t, "credential-process", "app").wantSuccess(t)

	c.SetSkew(sandbox.Entra, -2*time.Hour)
	w := newWorkload(t, c, minio)
	w.keyless(t, "credential-process", "app").wantRefusal(t, exitExchange, "keyless: error: ", "expired")
}

// mint makes the token of the system-assigned identity, sound or not.
func mint(t *testing.T, c *cloud, flaw sandbox.Flaw) string {
	t.Helper()
	claims, err := c.Claims(systemObject, audience)
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.Mint(claims, sandbox.Minting{Flaw: flaw})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// playIMDS is a metadata service that always hands out the same token.
func playIMDS(t *testing.T, token string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{
			"access_token": token,
			"client_id":    systemID,
			"expires_in":   "3599",
			"expires_on":   fmt.Sprint(time.Now().Add(time.Hour).Unix()),
			"resource":     r.URL.Query().Get("resource"),
			"token_type":   "Bearer",
		})
	}))
	t.Cleanup(server.Close)
	return server.URL
}
