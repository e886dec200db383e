package endpoint_test

import (
	"bufio"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery/endpoint"
)

const (
	roleARN = "arn:aws:iam::111122223333:role/path/deploy"
	roles   = "/latest/meta-data/iam/security-credentials/"
	newer   = "PUT /latest/api/token HTTP/1.1\nHost: HOST\nX-aws-ec2-metadata-token-ttl-seconds: "
)

// instance is a metadata service on loopback, and a way to speak to it word for word.
type instance struct {
	address string
	audit   *record
}

func startInstance(t *testing.T, region string, latest func() (keyless.Credentials, error)) instance {
	t.Helper()
	listener, err := endpoint.Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	i := instance{listener.Addr().String(), &record{}}
	audit := slog.New(slog.NewJSONHandler(i.audit, nil))
	server := &endpoint.Server{Listener: listener, Handler: endpoint.Guard{
		Hosts: endpoint.Hosts(netip.MustParseAddrPort(i.address)), UIDs: []int{os.Getuid()}, Audit: audit,
		Next: &endpoint.Metadata{Issue: &endpoint.Issue{Latest: latest, Role: roleARN, Name: "deploy", Audit: audit}, Region: region, Sessions: &endpoint.Sessions{}},
	}}
	server.Start()
	t.Cleanup(func() { _ = server.Close() })
	return i
}

func (i instance) say(t *testing.T, request string) (int, string, http.Header) {
	t.Helper()
	connection, err := net.Dial("tcp", i.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	_ = connection.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(connection, strings.NewReplacer("HOST", i.address, "\n", "\r\n").Replace(request)); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil) //nolint:bodyclose // its connection is closed
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), answer.Header
}

func (i instance) session(t *testing.T, ttl string) string {
	t.Helper()
	status, token, header := i.say(t, newer+ttl+"\n\n")
	if status != 200 || header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != ttl || len(token) < 43 {
		t.Fatalf("%d %s %v", status, token, header)
	}
	return token
}

func (i instance) get(t *testing.T, path, token string) (int, string) {
	t.Helper()
	status, body, _ := i.say(t, "GET "+path+" HTTP/1.1\nHost: HOST\nX-aws-ec2-metadata-token: "+token+"\n\n")
	return status, body
}

func TestAnInstanceHasItsRole(t *testing.T) {
	i := startInstance(t, "eu-west-1", good)
	token := i.session(t, "21600")
	for path, want := range map[string]string{
		roles: "deploy", strings.TrimSuffix(roles, "/"): "deploy",
		roles + "deploy": `"Code":"Success"`, roles + "deploy/": `"Code":"Success"`,
		"/latest/meta-data/placement/region": "eu-west-1", "/latest/meta-data/placement/availability-zone/": "eu-west-1a",
		"/latest/dynamic/instance-identity/document": `"region":"eu-west-1"`, "/latest/meta-data/iam/info": `"Code":"Success"`,
		"/latest/meta-data/instance-id": "i-00000000000000000",
	} {
		if status, body := i.get(t, path, token); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	var document map[string]string
	_, body := i.get(t, roles+"deploy", token)
	if err := json.Unmarshal([]byte(body), &document); err != nil || document["Type"] != "AWS-HMAC" || document["Token"] != "hunter3-session" || document["SecretAccessKey"] != hunter2 {
		t.Errorf("%v", document)
	}
	if _, err := time.Parse("2006-01-02T15:04:05Z", document["Expiration"]); err != nil {
		t.Error(err)
	}
	if text := i.audit.String(); !strings.Contains(text, `"issued"`) || strings.Contains(text, "hunter") || strings.Contains(text, token) {
		t.Error(text)
	}
}

// Item 9, and items 3 to 5 once more: this endpoint has no secret.
func TestWithoutASessionAnInstanceSaysNothing(t *testing.T) {
	i := startInstance(t, "", good)
	token := i.session(t, "60")
	other := startInstance(t, "", good).session(t, "60")
	const get = "GET " + roles + "deploy HTTP/1.1\nHost: HOST\n"
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"version 1":            {get + "\n", 401},
		"an empty session":     {get + "X-aws-ec2-metadata-token: \n\n", 401},
		"a made-up session":    {get + "X-aws-ec2-metadata-token: " + strings.Repeat("A", len(token)) + "\n\n", 401},
		"a cut session":        {get + "X-aws-ec2-metadata-token: " + token[:len(token)-1] + "\n\n", 401},
		"a longer session":     {get + "X-aws-ec2-metadata-token: " + token + "A\n\n", 401},
		"another process's":    {get + "X-aws-ec2-metadata-token: " + other + "\n\n", 401},
		"unknown, no session":  {"GET /latest/user-data HTTP/1.1\nHost: HOST\n\n", 401},
		"unknown":              {"GET /latest/user-data HTTP/1.1\nHost: HOST\nX-aws-ec2-metadata-token: " + token + "\n\n", 404},
		"another role":         {"GET " + roles + "admin HTTP/1.1\nHost: HOST\nX-aws-ec2-metadata-token: " + token + "\n\n", 404},
		"no region":            {"GET /latest/meta-data/placement/region HTTP/1.1\nHost: HOST\nX-aws-ec2-metadata-token: " + token + "\n\n", 404},
		"POST":                 {"POST " + roles + "deploy HTTP/1.1\nHost: HOST\nX-aws-ec2-metadata-token: " + token + "\nContent-Length: 0\n\n", 405},
		"GET of a session":     {"GET /latest/api/token HTTP/1.1\nHost: HOST\n\n", 405},
		"no end":               {"PUT /latest/api/token HTTP/1.1\nHost: HOST\n\n", 400},
		"no time":              {newer + "0\n\n", 400},
		"a negative time":      {newer + "-1\n\n", 400},
		"too long":             {newer + "21601\n\n", 400},
		"words":                {newer + "an hour\n\n", 400},
		"two times":            {newer + "60\nX-aws-ec2-metadata-token-ttl-seconds: 60\n\n", 400},
		"through a proxy":      {newer + "60\nX-Forwarded-For: 10.0.0.1\n\n", 403},
		"from a page":          {newer + "60\nOrigin: http://evil.example\n\n", 403},
		"another host":         {"PUT /latest/api/token HTTP/1.1\nHost: evil.example\nX-aws-ec2-metadata-token-ttl-seconds: 60\n\n", 403},
		"the real one's":       {"PUT /latest/api/token HTTP/1.1\nHost: 169.254.169.254\nX-aws-ec2-metadata-token-ttl-seconds: 60\n\n", 403},
		"a slash is tolerated": {"PUT /latest/api/token/ HTTP/1.1\nHost: HOST\nX-aws-ec2-metadata-token-ttl-seconds: 60\n\n", 200},
	} {
		status, body, header := i.say(t, c.request)
		if status != c.status || strings.Contains(body, "hunter") || header.Get("Location") != "" {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestASessionEnds(t *testing.T) {
	i := startInstance(t, "", good)
	token := i.session(t, "1")
	if status, body := i.get(t, roles, token); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	for end := time.Now().Add(10 * time.Second); ; { // the end is the server's, by its clock
		if status, _ := i.get(t, roles, token); status == 401 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("a session of a second does not end")
		}
	}
}

func TestAnInstanceWithoutCredentialsSaysWhy(t *testing.T) {
	i := startInstance(t, "", func() (keyless.Credentials, error) {
		return keyless.Credentials{}, &keyless.Error{Hop: keyless.HopExchange, Code: "AccessDenied", Hint: "the trust policy"}
	})
	if status, body := i.get(t, roles+"deploy", i.session(t, "60")); status != 400 || !strings.Contains(body, "AccessDenied") || !strings.Contains(body, "the trust policy") {
		t.Errorf("%d %s", status, body)
	}
}

// Item 9: no number of sessions takes memory.
func TestSessionsTakeNoMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("30,000 requests")
	}
	i := startInstance(t, "", good)
	client := &http.Client{Transport: &http.Transport{}}
	ask := func(times int) {
		for range times {
			request, _ := http.NewRequest(http.MethodPut, "http://"+i.address+"/latest/api/token", nil)
			request.Header.Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
			answer, err := client.Do(request)
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
	}
	held := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	ask(1000)
	before := held()
	ask(30_000)
	if after := held(); after > before+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
}
