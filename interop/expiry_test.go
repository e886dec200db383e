package interop_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/keyless-id/keyless/sandbox"
)

// What clients do with credentials that do not live long is the reason why keyless hands
// out none with less than 20 minutes left. So it is measured here, with a stand-in for
// keyless that says of good credentials what a test wants it to say.

// shortLived are good credentials of which it is said that they expire in left.
type shortLived struct {
	aws.Credentials
	left  time.Duration
	asked atomic.Int64
}

// document has the members of all three ways.
func (s *shortLived) document() []byte {
	at := time.Now().Add(s.left).UTC().Format("2006-01-02T15:04:05Z")
	text, _ := json.Marshal(map[string]any{ // of texts: always possible
		"Version": 1, "AccessKeyId": s.AccessKeyID, "SecretAccessKey": s.SecretAccessKey, "SessionToken": s.SessionToken,
		"Token": s.SessionToken, "Expiration": at, "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": time.Now().UTC().Format("2006-01-02T15:04:05Z"),
	})
	return text
}

// ServeHTTP is the endpoint of containers and of EC2 at once.
func (s *shortLived) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const roles = "/latest/meta-data/iam/security-credentials/"
	switch {
	case r.Method == http.MethodPut:
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
		fmt.Fprint(w, "session")
	case r.URL.Path == roles:
		fmt.Fprint(w, "app")
	case r.URL.Path == roles+"app", r.URL.Path == "/container":
		s.asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(s.document())
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// standIns lead a client to them, and count how often it asks.
var standIns = []struct {
	way   string
	start func(t *testing.T, env environment, s *shortLived) (environment, func() int)
}{
	{"process", standInProcess},
	{"container", func(t *testing.T, env environment, s *shortLived) (environment, func() int) {
		t.Helper()
		env, asked := standInServer(t, env, s)
		env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] + "container"
		env["AWS_EC2_METADATA_DISABLED"] = "true"
		return env, asked
	}},
	{"imds", standInServer},
}

func standInServer(t *testing.T, env environment, s *shortLived) (environment, func() int) {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return env.with(environment{"AWS_EC2_METADATA_DISABLED": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": server.URL + "/"}),
		func() int { return int(s.asked.Load()) }
}

func standInProcess(t *testing.T, env environment, s *shortLived) (environment, func() int) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/answer", string(s.document()))
	return countedHelper(t, env, dir, "exec cat "+dir+"/answer")
}

// countedHelper is a credential process that notes each run.
func countedHelper(t *testing.T, env environment, dir, command string) (environment, func() int) {
	t.Helper()
	journal, helper := filepath.Join(dir, "journal"), filepath.Join(dir, "helper")
	write(t, helper, "#!/bin/sh\necho run >> "+journal+"\n"+command+"\n")
	if err := os.Chmod(helper, 0o700); err != nil {
		t.Fatal(err)
	}
	return processEnv(t, env, helper), func() int {
		lines, err := os.ReadFile(journal)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(lines), "run\n")
	}
}

const expiryCalls = 10

// TestExpiryOfWhatClientsAreGiven is the oracle: with 16 minutes left every client asks
// once for ten calls, and with less some ask for each call.
func TestExpiryOfWhatClientsAreGiven(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	credentials, err := session(t, c).Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	table := &strings.Builder{}
	for _, standIn := range standIns {
		for _, client := range lasting() {
			fmt.Fprintf(table, "\n%-10s %-14s", standIn.way, client.name)
			for _, minutes := range []int{5, 14, 16, 60} {
				t.Run(fmt.Sprintf("%s/%s/%d", standIn.way, client.name, minutes), func(t *testing.T) {
					s := &shortLived{Credentials: credentials, left: time.Duration(minutes) * time.Minute}
					env, asked := standIn.start(t, noCredentials(t, c), s)
					client.ask(t, env, expiryCalls).wantRole(t, "app", expiryCalls)
					fmt.Fprintf(table, "%6d", asked())
					wantAppetite(t, client, standIn.way, minutes, asked())
				})
			}
		}
	}
	t.Logf("how often ten calls ask with 5, 14, 16 and 60 minutes left:%s", table)
}

// wantAppetite knows which clients ask once, and which more often; what is between is
// theirs.
func wantAppetite(t *testing.T, client stsCaller, way string, minutes, asked int) {
	t.Helper()
	botocore := strings.HasPrefix(client.name, "boto3-")
	switch {
	case asked == 0:
		t.Error("it did not ask")
	case minutes > 15 && asked != 1:
		t.Errorf("with %d minutes left it asks %d times: the floor of 20 minutes does not do for %s any more", minutes, asked, client.name)
	case minutes < 15 && botocore && way != "imds" && asked < expiryCalls/2:
		t.Errorf("with %d minutes left it asks %d times only: does %s still need a floor of 20 minutes?", minutes, asked, client.name)
	}
}

// TestExpiryLeavesClientsInPeace: what keyless hands out is asked for once, whichever way
// and whichever client.
func TestExpiryLeavesClientsInPeace(t *testing.T) {
	t.Parallel()
	for _, life := range []time.Duration{40 * time.Minute, time.Hour} {
		t.Run(life.String(), func(t *testing.T) {
			t.Parallel()
			s := newServer(t, newCloud(t))
			s.profiles = strings.ReplaceAll(s.profiles, "region: "+region+" }", "region: "+region+", duration: "+life.String()+" }")
			s.configure(t, "")
			s.start(t)
			for _, client := range lasting() {
				for _, way := range ways[:3] {
					s.take(t, "issued")
					client.ask(t, way.env(t, s, client, "app"), expiryCalls).wantRole(t, "app", expiryCalls)
					if issued := s.take(t, "issued"); len(issued) != 1 {
						t.Errorf("%s, %s: %d calls made %d requests, want 1", client.name, way.name, expiryCalls, len(issued))
					} else if left := time.Until(issued[0].Credentials.Expires); left < floor || left > life {
						t.Errorf("%s, %s: %s left, want %s to %s", client.name, way.name, left, floor, life)
					}
				}
				env, runs := countedHelper(t, s.env.with(noCredentials(t, s.cloud)).with(environment{"AZURE_CLIENT_SECRET": clientSecret}),
					t.TempDir(), fmt.Sprintf("exec %q credential-process --config %q app", keyless(t), s.config))
				client.ask(t, env, expiryCalls).wantRole(t, "app", expiryCalls)
				if got := runs(); got != 1 {
					t.Errorf("%s: %d calls ran the helper %d times, want once", client.name, expiryCalls, got)
				}
			}
		})
	}
}

// floor is the least that what is handed out has left.
const floor = 20 * time.Minute

// TestExpiryHasAFloor grows what is remembered old: close to the floor it is replaced, by
// the program and by a daemon, and handed out nevertheless if nothing new is to be had.
func TestExpiryHasAFloor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		left      time.Duration
		outage    bool
		exchanges int
	}{
		{name: "young", left: 50 * time.Minute},
		{name: "above the floor", left: 21 * time.Minute, exchanges: 1},
		{name: "below the floor", left: 19 * time.Minute, exchanges: 1},
		{name: "below the floor in an outage", left: 19 * time.Minute, outage: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			s := newServer(t, c)
			first := printed(t, s.keyless(t, "credential-process", "app"))
			age(t, s.cache, time.Hour-test.left)
			if test.outage {
				c.SetFault(sandbox.STS, sandbox.Fault{Status: http.StatusServiceUnavailable})
			}
			before := c.Requests(sandbox.STS)
			for _, got := range []processOutput{printed(t, s.keyless(t, "credential-process", "app")), s.fromDaemon(t)} {
				left := time.Until(got.expires(t))
				if isNew := got.AccessKeyID != first.AccessKeyID; isNew != (test.exchanges > 0) {
					t.Errorf("%s before they expire: other credentials: got %v", left, isNew)
				}
				if left < floor && !test.outage || test.outage && (left < test.left-time.Minute || left > test.left) {
					t.Errorf("got credentials with %s left", left)
				}
			}
			if got := c.Requests(sandbox.STS) - before; !test.outage && got < test.exchanges {
				t.Errorf("STS requests: got %d, want %d", got, test.exchanges)
			}
		})
	}
}

// fromDaemon starts a daemon that remembers the same, and asks it; the other profiles are
// of no interest.
func (s *server) fromDaemon(t *testing.T) processOutput {
	t.Helper()
	s.configure(t, "  profiles: [ app ]\n")
	s.start(t)
	return printed(t, run(t, s.env.with(environment{"AZURE_CLIENT_SECRET": ""}), keyless(t), "credential-process", "app", "--config", s.config, "--socket", s.socket()))
}

// printed is what a credential process says, however long that is good for.
func printed(t *testing.T, got result) processOutput {
	t.Helper()
	var output processOutput
	if err := json.Unmarshal([]byte(got.wantSuccess(t).stdout), &output); err != nil {
		t.Fatal(err)
	}
	return output
}

func (o processOutput) expires(t *testing.T) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, o.Expiration)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// age makes what is remembered older: five times in nanoseconds and a checksum in the
// first line, then the answer.
func age(t *testing.T, cache string, by time.Duration) {
	t.Helper()
	aged := 0
	expiration := regexp.MustCompile(`"Expiration":\s*"([^"]+)"`)
	err := filepath.WalkDir(cache, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		line, payload, _ := bytes.Cut(data, []byte("\n"))
		fields := strings.Fields(string(line))
		if err != nil || len(fields) != 7 || fields[0] != "keyless-cache/1" {
			return err
		}
		for i := 1; i < 6; i++ {
			ns, err := strconv.ParseInt(fields[i], 10, 64)
			if err != nil {
				return err
			}
			fields[i] = strconv.FormatInt(ns-by.Nanoseconds(), 10)
		}
		if found := expiration.FindSubmatch(payload); found != nil {
			at, err := time.Parse(time.RFC3339, string(found[1]))
			if err != nil {
				return err
			}
			payload = bytes.Replace(payload, found[1], []byte(at.Add(-by).Format(time.RFC3339)), 1)
			aged++
		}
		sum := sha256.Sum256(payload)
		fields[6] = hex.EncodeToString(sum[:])
		return os.WriteFile(path, []byte(strings.Join(fields, " ")+"\n"+string(payload)), 0o600)
	})
	if err != nil || aged != 1 {
		t.Fatalf("%d sets of credentials have aged, want 1: %v", aged, err)
	}
}
