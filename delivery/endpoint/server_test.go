package endpoint_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery/endpoint"
)

const hunter2 = "hunter2-secret-access-key"

func good() (keyless.Credentials, error) {
	return keyless.Credentials{
		AccessKeyID: "ASIAEXAMPLE1234", SecretAccessKey: keyless.NewSecret(hunter2), SessionToken: keyless.NewSecret("hunter3-session"),
		Expiry: time.Now().Add(time.Hour), AccountID: "111122223333",
	}, nil
}

// record is an audit log that tests read.
type record struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

func start(t *testing.T, latest func() (keyless.Credentials, error)) (*endpoint.Local, *record) {
	t.Helper()
	audit := &record{}
	s := &endpoint.Local{Latest: latest, Audit: slog.New(slog.NewJSONHandler(audit, nil))}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, audit
}

func address(t *testing.T, s *endpoint.Local) string {
	t.Helper()
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// say sends a request over a socket, word for word, and returns status and body.
func say(t *testing.T, s *endpoint.Local, request string) (int, string, http.Header) {
	t.Helper()
	connection, err := net.Dial("tcp", address(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	_ = connection.SetDeadline(time.Now().Add(20 * time.Second))
	request = strings.NewReplacer("HOST", address(t, s), "TOKEN", s.Token().Reveal(), "\n", "\r\n").Replace(request)
	if _, err := io.WriteString(connection, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	answer, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: method}) //nolint:bodyclose // its connection is closed
	if err != nil {
		return 0, err.Error(), nil
	}
	body, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), answer.Header
}

func TestAProgramOfThisUserGetsTheCredentials(t *testing.T) {
	s, audit := start(t, good)
	for _, host := range []string{"HOST", "localhost:" + strings.Split(address(t, s), ":")[1]} {
		status, body, header := say(t, s, "GET /v1/credentials HTTP/1.1\nHost: "+host+"\nAuthorization: TOKEN\nAccept: application/json\n\n")
		var document map[string]string
		if err := json.Unmarshal([]byte(body), &document); status != 200 || err != nil || len(document) != 5 {
			t.Fatalf("%d %s", status, body)
		}
		expiry, err := time.Parse("2006-01-02T15:04:05Z", document["Expiration"])
		if document["AccessKeyId"] != "ASIAEXAMPLE1234" || document["SecretAccessKey"] != hunter2 || document["Token"] != "hunter3-session" ||
			document["AccountId"] != "111122223333" || err != nil || time.Until(expiry) < 59*time.Minute {
			t.Errorf("%v", document)
		}
		if header.Get("Content-Type") != "application/json" || header.Get("Cache-Control") != "no-store" || header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%v", header)
		}
	}
	text := audit.String()
	if strings.Count(text, `"msg":"issued"`) != 2 || !strings.Contains(text, `"key_tail":"1234"`) || strings.Contains(text, "hunter") || strings.Contains(text, s.Token().Reveal()) {
		t.Error(text)
	}
}

// Each line is item 2 to 5 or 8 of the threat model: what no SDK sends, and what somebody
// else would.
func TestWhoeverElseAsksIsRefused(t *testing.T) {
	s, audit := start(t, good)
	const get = "GET /v1/credentials HTTP/1.1\n"
	const right = "Host: HOST\nAuthorization: TOKEN\n"
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"another host":          {get + "Host: evil.example\nAuthorization: TOKEN\n\n", 403},
		"a name that resolves":  {get + "Host: 127.0.0.1.nip.io\nAuthorization: TOKEN\n\n", 403},
		"a dot at the end":      {get + "Host: localhost.\nAuthorization: TOKEN\n\n", 403},
		"another port":          {get + "Host: 127.0.0.1:1\nAuthorization: TOKEN\n\n", 403},
		"no port":               {get + "Host: 127.0.0.1\nAuthorization: TOKEN\n\n", 403},
		"an empty host":         {get + "Host:\nAuthorization: TOKEN\n\n", 403},
		"no host":               {get + "Authorization: TOKEN\n\n", 400},
		"two hosts":             {get + "Host: HOST\nHost: evil.example\nAuthorization: TOKEN\n\n", 400},
		"HTTP/1.0 without host": {"GET /v1/credentials HTTP/1.0\nAuthorization: TOKEN\n\n", 403},
		"an absolute address":   {"GET http://evil.example/v1/credentials HTTP/1.1\nHost: HOST\nAuthorization: TOKEN\n\n", 403},
		"a browser's origin":    {get + right + "Origin: http://evil.example\n\n", 403},
		"a browser's referer":   {get + right + "Referer: http://evil.example\n\n", 403},
		"a browser's metadata":  {get + right + "Sec-Fetch-Site: cross-site\n\n", 403},
		"a proxy's forward":     {get + right + "X-Forwarded-For: 10.0.0.1\n\n", 403},
		"a proxy's host":        {get + right + "X-Forwarded-Host: a\n\n", 403},
		"a proxy":               {get + right + "Forwarded: for=10.0.0.1\n\n", 403},
		"a gateway":             {get + right + "Via: 1.1 gateway\n\n", 403},
		"no token":              {get + "Host: HOST\n\n", 401},
		"an empty token":        {get + "Host: HOST\nAuthorization: \n\n", 401},
		"a wrong token":         {get + "Host: HOST\nAuthorization: hunter2\n\n", 401},
		"a scheme":              {get + "Host: HOST\nAuthorization: Bearer TOKEN\n\n", 401},
		"HEAD":                  {"HEAD /v1/credentials HTTP/1.1\n" + right + "\n", 405},
		"POST":                  {"POST /v1/credentials HTTP/1.1\n" + right + "Content-Length: 0\n\n", 405},
		"OPTIONS":               {"OPTIONS /v1/credentials HTTP/1.1\n" + right + "\n", 405},
		"OPTIONS *":             {"OPTIONS * HTTP/1.1\n" + right + "\n", 405},
		"TRACE":                 {"TRACE /v1/credentials HTTP/1.1\n" + right + "\n", 405},
		"CONNECT":               {"CONNECT evil.example:443 HTTP/1.1\n" + right + "\n", 403},
		"another path":          {"GET / HTTP/1.1\n" + right + "\n", 404},
		"a slash more":          {"GET /v1/credentials/ HTTP/1.1\n" + right + "\n", 404},
		"two slashes":           {"GET //v1/credentials HTTP/1.1\n" + right + "\n", 404},
		"a dot":                 {"GET /v1/./credentials HTTP/1.1\n" + right + "\n", 404},
		"a way up":              {"GET /v1/x/%2e%2e/credentials HTTP/1.1\n" + right + "\n", 404},
		"a query":               {"GET /v1/credentials?role=admin HTTP/1.1\n" + right + "\n", 404},
		"a huge header":         {get + right + "X: " + strings.Repeat("x", 64<<10) + "\n\n", 431},
	} {
		status, body, header := say(t, s, c.request)
		if status != c.status || strings.Contains(body, "hunter") || header.Get("Location") != "" || header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if text := audit.String(); strings.Contains(text, `"issued"`) || strings.Contains(text, "hunter") || !strings.Contains(text, "wrong or no token") {
		t.Error(text)
	}
}

func TestMissingAndWrongTokensLookTheSame(t *testing.T) {
	s, _ := start(t, good)
	_, missing, _ := say(t, s, "GET /v1/credentials HTTP/1.1\nHost: HOST\n\n")
	_, wrong, _ := say(t, s, "GET /v1/credentials HTTP/1.1\nHost: HOST\nAuthorization: x\n\n")
	if missing != wrong || missing != `{"Code":"AccessDenied","Message":"Access denied."}` {
		t.Errorf("%s, %s", missing, wrong)
	}
	other, _ := start(t, good)
	if s.Token().Equal(other.Token()) || len(s.Token().Reveal()) < 43 {
		t.Error("tokens are no secrets")
	}
}

// Item 10: whoever has the token and is another user is refused. Only root can try.
func TestAnotherUserIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user; see TestTheGuardKnowsWhoseProgramsMayAsk")
	}
	s, audit := start(t, good)
	script := fmt.Sprintf(`exec 3<>/dev/tcp/%s; printf 'GET /v1/credentials HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nConnection: close\r\n\r\n' >&3; cat <&3`,
		strings.Replace(address(t, s), ":", "/", 1), address(t, s), s.Token().Reveal())
	out, err := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-c", script).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "403 Forbidden") || strings.Contains(string(out), "hunter") {
		t.Errorf("%v\n%s", err, out)
	}
	if !strings.Contains(audit.String(), "another user") {
		t.Error(audit.String())
	}
	if out, err := exec.Command("bash", "-c", script).CombinedOutput(); err != nil || !strings.Contains(string(out), hunter2) {
		t.Errorf("its own user: %v\n%s", err, out)
	}
}

// Item 12: no answer is better than an empty, partial or expired one.
func TestWhatIsNotWholeIsNotHandedOver(t *testing.T) {
	whole, _ := good()
	change := func(f func(c *keyless.Credentials)) func() (keyless.Credentials, error) {
		c := whole
		f(&c)
		return func() (keyless.Credentials, error) { return c, nil }
	}
	for name, c := range map[string]struct {
		latest func() (keyless.Credentials, error)
		status int
		want   string
	}{
		"empty":     {change(func(c *keyless.Credentials) { *c = keyless.Credentials{} }), 400, "incomplete"},
		"no token":  {change(func(c *keyless.Credentials) { c.SessionToken = keyless.Secret{} }), 400, "incomplete"},
		"no secret": {change(func(c *keyless.Credentials) { c.SecretAccessKey = keyless.Secret{} }), 400, "incomplete"},
		"expired":   {change(func(c *keyless.Credentials) { c.Expiry = time.Now() }), 400, "expired"},
		"no end":    {change(func(c *keyless.Credentials) { c.Expiry = time.Time{} }), 400, "expired"},
		"refused": {func() (keyless.Credentials, error) {
			return whole, &keyless.Error{Hop: keyless.HopExchange, Code: "AccessDenied"}
		}, 400, "exchange: AccessDenied"},
		"out of order": {func() (keyless.Credentials, error) {
			return whole, &keyless.Error{Hop: keyless.HopExchange, Temporary: true}
		}, 503, "CredentialsUnavailable"},
		"a plain error": {func() (keyless.Credentials, error) { return whole, errors.New("no") }, 400, "CredentialsRefused"},
	} {
		s, audit := start(t, c.latest)
		status, body, header := say(t, s, "GET /v1/credentials HTTP/1.1\nHost: HOST\nAuthorization: TOKEN\n\n")
		var message struct{ Code, Message string }
		if err := json.Unmarshal([]byte(body), &message); err != nil || status != c.status || !strings.Contains(body, c.want) || header.Get("Content-Type") != "application/json" || strings.Contains(body, "hunter") {
			t.Errorf("%s: %d %s", name, status, body)
		}
		if !strings.Contains(audit.String(), "not issued") || strings.Contains(audit.String(), "hunter") {
			t.Errorf("%s: %s", name, audit)
		}
	}
}

// Item 6: half-open connections end by themselves, and keep no good client waiting.
func TestHalfOpenConnectionsHinderNobody(t *testing.T) {
	s, _ := start(t, good)
	var open []net.Conn
	for range 500 {
		connection, err := net.Dial("tcp", address(t, s))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(connection, "GET /v1/credentials HTTP/1.1\r\nHost: ")
		open = append(open, connection)
	}
	if status, body, _ := say(t, s, "GET /v1/credentials HTTP/1.1\nHost: HOST\nAuthorization: TOKEN\n\n"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	for _, connection := range open {
		_ = connection.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.Copy(io.Discard, connection); err != nil {
			t.Fatalf("it is open still: %v", err)
		}
		_ = connection.Close()
	}
}

func TestAfterTheEndNobodyAnswers(t *testing.T) {
	s, _ := start(t, good)
	at := address(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if connection, err := net.DialTimeout("tcp", at, time.Second); err == nil {
		_ = connection.Close()
		t.Error("somebody answers")
	}
}
