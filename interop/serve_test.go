package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// server is a running keyless serve, with the profiles of a workload.
type server struct {
	*workload
	cloud     *cloud
	dir       string // with the socket and the tokens
	listen    string
	imds      map[string]string // addresses by profile
	tokenFile string
	profiles  string // the configuration without the block serve
	audit     string // file with the records
	log       *lockedBuffer
	taken     map[string]int // records by message
	process   *os.Process
	ended     chan error
}

// startServe starts the daemon and waits until it serves; more is added to its block.
func startServe(t *testing.T, c *cloud, more string) *server {
	t.Helper()
	s := newServer(t, c)
	s.configure(t, more)
	s.start(t)
	return s
}

func newServer(t *testing.T, c *cloud) *server {
	t.Helper()
	w := newWorkload(t, c, c.URL(sandbox.STS))
	base := t.TempDir()
	profiles, err := os.ReadFile(w.config)
	if err != nil {
		t.Fatal(err)
	}
	return &server{
		workload: w, cloud: c, dir: filepath.Join(base, "run"), listen: freeAddress(t),
		imds:      map[string]string{"app": freeAddress(t), "closed": freeAddress(t)},
		tokenFile: filepath.Join(base, "token"), profiles: string(profiles), audit: filepath.Join(base, "audit"),
		taken: map[string]int{},
	}
}

// configure writes the configuration.
func (s *server) configure(t *testing.T, more string) {
	t.Helper()
	write(t, s.config, s.profiles+fmt.Sprintf(`serve:
  listen: %s
  directory: %s
  imds:
    - { listen: %q, profile: app }
    - { listen: %q, profile: closed }
  files: [ { profile: app, token: %s } ]
%s`, s.listen, s.dir, s.imds["app"], s.imds["closed"], s.tokenFile, more))
}

func (s *server) start(t *testing.T) {
	t.Helper()
	audit, err := os.OpenFile(s.audit, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = audit.Close() }()
	cmd := exec.Command(keyless(t), "serve", "--config", s.config)
	s.log, s.ended = &lockedBuffer{}, make(chan error, 1)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env.list(), audit, s.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.process = cmd.Process
	gone := make(chan struct{})
	go func() {
		s.ended <- cmd.Wait()
		close(gone)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-gone
		if t.Failed() {
			t.Logf("keyless serve said: %s", s.log)
		}
	})
	eventually(t, "keyless serve is up", func() bool { return strings.Contains(s.log.String(), "msg=serving ") })
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(40 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		}
	}
}

// record is one line of the audit.
type record struct {
	Msg         string
	Profile     string
	Status      int
	Kind        string
	Role        string
	Caller      struct{ UID int }
	Credentials struct{ Expires time.Time }
}

// records are those of a kind so far, about requests for credentials only.
func (s *server) records(t *testing.T, msg string) []record {
	t.Helper()
	data, err := os.ReadFile(s.audit)
	if err != nil {
		t.Fatal(err)
	}
	var all []record
	for line := range strings.Lines(string(data)) {
		r := record{Caller: struct{ UID int }{-1}}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("not a record: %v: %q", err, line)
		}
		if r.Msg == msg && r.Kind == "" {
			all = append(all, r)
		}
	}
	return all
}

// take returns the records that were not taken yet.
func (s *server) take(t *testing.T, msg string) []record {
	t.Helper()
	all := s.records(t, msg)
	fresh := all[s.taken[msg]:]
	s.taken[msg] = len(all)
	return fresh
}

func (s *server) socket() string { return filepath.Join(s.dir, "keyless.sock") }

func (s *server) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := s.process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// ways are how a client may get at the credentials of a profile.
var ways = []struct {
	name string
	env  func(t *testing.T, s *server, client stsCaller, profile string) environment
}{
	{"process", throughProcess}, {"container", throughContainer}, {"imds", throughIMDS}, {"web identity", throughTokenFile},
}

// throughProcess has no secret of the source, so that the daemon is the only one who can
// help.
func throughProcess(t *testing.T, s *server, _ stsCaller, profile string) environment {
	t.Helper()
	env := s.env.with(noCredentials(t, s.cloud)).with(environment{
		"KEYLESS_SOCKET": s.socket(), "AZURE_CLIENT_SECRET": "", "KEYLESS_CACHE_DIR": filepath.Join(t.TempDir(), "cache"),
	})
	return processEnv(t, env, fmt.Sprintf("%q credential-process --config %q %s", keyless(t), s.config, profile))
}

// processEnv leads a client to a credential process. The line must not both begin and end
// with a quotation mark: the SDK for Go takes the two away.
func processEnv(t *testing.T, env environment, line string) environment {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	write(t, file, "[profile under-test]\ncredential_process = "+line+"\n")
	return env.with(environment{"AWS_CONFIG_FILE": file, "AWS_PROFILE": "under-test"})
}

func throughContainer(t *testing.T, s *server, client stsCaller, profile string) environment {
	t.Helper()
	return containerEnv(t, s, client, profile, filepath.Join(s.dir, "tokens", profile))
}

func containerEnv(t *testing.T, s *server, client stsCaller, profile, tokenFile string) environment {
	t.Helper()
	env := noCredentials(t, s.cloud)
	env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://" + s.listen + "/v1/credentials/" + profile
	if !client.tokenVar {
		env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = tokenFile
		return env
	}
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = string(token)
	return env
}

func throughIMDS(t *testing.T, s *server, _ stsCaller, profile string) environment {
	t.Helper()
	return noCredentials(t, s.cloud).with(environment{
		"AWS_EC2_METADATA_DISABLED": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://" + s.imds[profile] + "/", // without the slash CLI 2.9 cannot
	})
}

// throughTokenFile trades the token by itself.
func throughTokenFile(t *testing.T, s *server, _ stsCaller, profile string) environment {
	t.Helper()
	role := map[string]string{"app": roleARN, "closed": closed}[profile]
	return noCredentials(t, s.cloud).with(environment{
		"AWS_WEB_IDENTITY_TOKEN_FILE": s.tokenFile, "AWS_ROLE_ARN": role, "AWS_ROLE_SESSION_NAME": "judge",
	})
}

const notAuthorized = "Not authorized to perform sts:AssumeRoleWithWebIdentity"

func TestServeGivesEveryClientCredentials(t *testing.T) {
	t.Parallel()
	for _, client := range stsCallers() {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			s := startServe(t, newCloud(t), "")
			for _, way := range ways {
				if client.fixedSTS && way.name == "web identity" {
					continue // it asks Amazon's STS: TestServeFeedsOldClientsInIsolation
				}
				t.Run(way.name, func(t *testing.T) {
					client.ask(t, way.env(t, s, client, "app"), 1).wantRole(t, "app", 1)
					if issued := s.take(t, "issued"); way.name != "web identity" && (len(issued) != 1 || issued[0].Profile != "app" || issued[0].Role != roleARN) {
						t.Errorf("records of issuance: got %+v, want one of app", issued)
					}
					refused := client.ask(t, way.env(t, s, client, "closed"), 1)
					wantNoRole(t, client, way.name, refused)
					if issued := s.take(t, "issued"); len(issued) != 0 {
						t.Errorf("issued nevertheless: %+v", issued)
					}
					wantRequests(t, client, way.name, s.take(t, "not issued"), http.StatusBadRequest)
				})
			}
		})
	}
}

// wantNoRole fails the test unless STS's reason reached the person, where the client lets
// it through.
func wantNoRole(t *testing.T, client stsCaller, way string, got result) {
	t.Helper()
	if got.code == 0 || got.stdout != "" {
		t.Errorf("%s: a role that trusts somebody else was had: %q", client.name, got.stdout)
	}
	shown := map[string]bool{"process": !client.silent, "container": client.bodies, "imds": false, "web identity": true}[way]
	if shown && !strings.Contains(got.stderr, notAuthorized) {
		t.Errorf("%s does not say %q: %s", client.name, notAuthorized, got.stderr)
	}
}

// wantRequests fails the test unless each request got the status, and the client soon gave
// up: the SDK for Go at once if that was asked of it.
func wantRequests(t *testing.T, client stsCaller, way string, got []record, status int) {
	t.Helper()
	if way == "process" || way == "web identity" {
		return // the program or STS says it
	}
	for _, r := range got {
		if r.Status != status {
			t.Errorf("status: got %d, want %d", r.Status, status)
		}
	}
	t.Logf("%s made %d requests for a %d", client.name, len(got), status)
	most := 10
	if client.name == "aws-sdk-go-v2" && status < 500 {
		most = 1
	}
	if len(got) < 1 || len(got) > most {
		t.Errorf("%s made %d requests, want 1 to %d", client.name, len(got), most)
	}
}

func TestServeRefusesAWrongToken(t *testing.T) {
	t.Parallel()
	for _, client := range stsCallers() {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			s := startServe(t, newCloud(t), "")
			wrong := filepath.Join(t.TempDir(), "wrong")
			for what, file := range map[string]string{"made up": wrong, "of another profile": filepath.Join(s.dir, "tokens", "vm")} {
				write(t, wrong, "hunter2-wrong")
				got := client.ask(t, containerEnv(t, s, client, "app", file), 1)
				if got.code == 0 || client.bodies && !strings.Contains(got.stderr, "Access denied") {
					t.Errorf("%s: %+v", what, got)
				}
				wantRequests(t, client, "container", s.take(t, "refused"), http.StatusUnauthorized)
			}
			client.ask(t, throughContainer(t, s, client, "app"), 1).wantRole(t, "app", 1)
		})
	}
}

// While STS is out of order clients are told to come again; once it works they get
// credentials of the daemon that has tried meanwhile.
func TestServeTellsClientsToComeAgain(t *testing.T) {
	t.Parallel()
	for _, client := range stsCallers() {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			c.SetFault(sandbox.STS, sandbox.Fault{Status: http.StatusServiceUnavailable})
			s := startServe(t, c, "")
			got := client.ask(t, throughContainer(t, s, client, "app"), 1)
			if got.code == 0 || client.bodies && !strings.Contains(got.stderr, "ServiceUnavailable") {
				t.Errorf("%+v", got)
			}
			wantRequests(t, client, "container", s.take(t, "not issued"), http.StatusServiceUnavailable)
			c.ClearFaults()
			eventually(t, "the daemon has credentials", func() bool { return s.get(t, "app", http.DefaultClient) == http.StatusOK })
			client.ask(t, throughContainer(t, s, client, "app"), 1).wantRole(t, "app", 1)
		})
	}
}

// Old clients cannot be led to another STS, so that they trade the token where the true
// names lead to the sandbox.
func TestServeFeedsOldClientsInIsolation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/keyless.yaml", fmt.Sprintf(`profiles:
  host: { source: { managed_identity: {} }, audience: %q }
serve:
  listen: none
  directory: %s/run
  files: [ { profile: host, token: %s/token } ]
`, sandbox.DemoAudience, dir, dir))
	script := "set -e; " + keyless(t) + " serve --config " + dir + `/keyless.yaml > ` + dir + `/audit & trap "kill $!" EXIT
for i in $(seq 400); do test -s ` + dir + `/token && break; sleep 0.05; done
unset AWS_PROFILE AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE
export AWS_WEB_IDENTITY_TOKEN_FILE=` + dir + `/token AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true AWS_ROLE_ARN="$1" AWS_ROLE_SESSION_NAME=judge
shift; "$@"`
	for _, client := range awsClients {
		for what, command := range map[string][]string{
			"cli":   {client.cli(t), "sts", "get-caller-identity"},
			"boto3": {client.python(t), "-c", `import boto3; print(boto3.client("sts").get_caller_identity()["Arn"])`},
		} {
			t.Run(client.name+"/"+what, func(t *testing.T) {
				in := func(role string) result {
					return isolated(t, "vm", "sh", append([]string{"-c", script, "sh", role}, command...)...)
				}
				if got := in(sandbox.DemoVMRoleARN).wantSuccess(t); !strings.Contains(got.stdout, ":assumed-role/keyless-demo-vm/judge") {
					t.Error(got.stdout)
				}
				if refused := in(sandbox.DemoOtherARN); refused.code == 0 || !strings.Contains(refused.stderr, "AccessDenied") {
					t.Errorf("%+v", refused)
				}
			})
		}
	}
}

// nobody is a user that has nothing to do with the daemon's.
const nobody = 65534

// TestServeRefusesOtherUsers lets them have the token and reach the socket, so that only
// who they are is in the way.
func TestServeRefusesOtherUsers(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can run a client as somebody else")
	}
	program := forEveryone(t)
	for name, users := range map[string]string{"strangers": "", "listed": "  users: [ \"65534\" ]\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, newCloud(t))
			s.dir = filepath.Join(outInTheOpen(t), "run")
			s.configure(t, "  group: \"65534\"\n"+users)
			s.start(t)
			for _, way := range ways[1:3] {
				env := way.env(t, s, stsCaller{}, "app").with(environment{"HOME": "/nonexistent", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "1", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"})
				if token := filepath.Join(s.dir, "tokens", "app"); way.name == "container" {
					text, err := os.ReadFile(token)
					if err != nil {
						t.Fatal(err)
					}
					env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = string(text)
				}
				const script = `import boto3, os; print(boto3.client("sts", endpoint_url=os.environ["AWS_ENDPOINT_URL_STS"]).get_caller_identity()["Arn"])`
				s.wantAnswerToNobody(t, way.name, users != "", asNobody(t, env, debianPython(t), "-c", script))
			}
			socket := bareEnvironment(t).with(environment{"HOME": "/nonexistent", "KEYLESS_SOCKET": s.socket()})
			s.wantAnswerToNobody(t, "socket", users != "", asNobody(t, socket, program, "credential-process", "app"))
		})
	}
}

// wantAnswerToNobody fails the test unless the answer, and the record of it, are right.
func (s *server) wantAnswerToNobody(t *testing.T, way string, listed bool, got result) {
	t.Helper()
	issued, refused := s.take(t, "issued"), s.take(t, "refused")
	if listed {
		if got.code != 0 || len(issued) != 1 || len(refused) != 0 || issued[0].Caller.UID != nobody {
			t.Errorf("%s: exit code %d, %s, issued %+v, refused %+v", way, got.code, got.stderr, issued, refused)
		}
		return
	}
	if got.code == 0 || got.stdout != "" || len(issued) != 0 || len(refused) == 0 {
		t.Fatalf("%s: exit code %d, %s, issued %+v, refused %+v", way, got.code, got.stderr, issued, refused)
	}
	for _, r := range refused {
		if r.Status != http.StatusForbidden || r.Caller.UID != nobody {
			t.Errorf("%s: %+v", way, r)
		}
	}
}

func asNobody(t *testing.T, env environment, program string, args ...string) result {
	t.Helper()
	return run(t, env, "/usr/bin/setpriv", append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", program}, args...)...)
}

// outInTheOpen is a folder that every user can look into.
func outInTheOpen(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "keyless-serve-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// forEveryone is a copy of the program that every user can run.
func forEveryone(t *testing.T) string {
	t.Helper()
	program := filepath.Join(outInTheOpen(t), "keyless")
	data, err := os.ReadFile(keyless(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

func TestServeSaysHowItIs(t *testing.T) {
	t.Parallel()
	s := startServe(t, newCloud(t), "")
	all := run(t, bareEnvironment(t), keyless(t), "status", "--socket", s.socket())
	if all.code != 1 || !strings.Contains(all.stdout, "app") || !strings.Contains(all.stdout, "AccessDenied") {
		t.Errorf("%+v", all)
	}
	app := run(t, bareEnvironment(t), keyless(t), "status", "app", "--socket", s.socket()).wantSuccess(t)
	if !strings.Contains(app.stdout, "credentials") || strings.Contains(app.stdout, "closed") {
		t.Error(app.stdout)
	}
	run(t, bareEnvironment(t), keyless(t), "status", "stranger", "--socket", s.socket()).wantRefusal(t, 1, `no profile "stranger"`)
	run(t, bareEnvironment(t), keyless(t), "status", "--socket", s.socket()+"x").wantRefusal(t, exitTemporary, "is it running")
}

// get asks for a profile's credentials, and returns the status.
func (s *server) get(t *testing.T, profile string, client *http.Client) int {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(s.dir, "tokens", profile))
	if err != nil {
		t.Error(err)
		return 0
	}
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, "http://"+s.listen+"/v1/credentials/"+profile, nil)
	if err != nil {
		t.Error(err)
		return 0
	}
	request.Header.Set("Authorization", string(token))
	answer, err := client.Do(request)
	if err != nil {
		t.Error(err)
		return 0
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer.StatusCode
}

// TestServeReloadsAndDropsNobody: clients ask all the time, on old connections and on new
// ones, while the configuration changes.
func TestServeReloadsAndDropsNobody(t *testing.T) {
	t.Parallel()
	s := startServe(t, newCloud(t), "")
	var stop atomic.Bool
	var asked atomic.Int64
	var all sync.WaitGroup
	for i := range 4 {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}, Timeout: 10 * time.Second}
		all.Go(func() {
			for !stop.Load() && !t.Failed() {
				if status := s.get(t, "app", client); status != http.StatusOK {
					t.Errorf("status: got %d, want 200", status)
				}
				asked.Add(1)
			}
		})
	}
	defer func() {
		stop.Store(true)
		all.Wait()
	}()
	for i := range 12 {
		want := http.StatusNotFound
		if i%2 == 1 {
			want = http.StatusOK
		}
		s.configure(t, map[int]string{http.StatusNotFound: "  profiles: [ app ]\n"}[want])
		before := asked.Load()
		s.signal(t, syscall.SIGHUP)
		for _, client := range stsCallers()[:1] {
			client.ask(t, throughContainer(t, s, client, "app"), 1).wantRole(t, "app", 1)
			client.ask(t, throughIMDS(t, s, client, "app"), 1).wantRole(t, "app", 1)
		}
		eventually(t, "the configuration is taken over", func() bool {
			return strings.Count(s.log.String(), "the configuration is taken over") == i+1
		})
		eventually(t, "the others asked meanwhile", func() bool { return asked.Load() > before+10 })
		if got := s.statusOf(t, "chain"); got != want {
			t.Errorf("chain after %d changes: got %d, want %d", i+1, got, want)
		}
	}
	t.Logf("%d requests", asked.Load())
}

// statusOf asks for a profile with the token it had; none is shown if it has none.
func (s *server) statusOf(t *testing.T, profile string) int {
	t.Helper()
	if _, err := os.Stat(filepath.Join(s.dir, "tokens", profile)); err != nil {
		return http.StatusNotFound
	}
	return s.get(t, profile, http.DefaultClient)
}

// A configuration that is wrong changes nothing.
func TestServeKeepsWhatWorks(t *testing.T) {
	t.Parallel()
	s := startServe(t, newCloud(t), "")
	s.configure(t, "  profiles: [ nobody ]\n")
	s.signal(t, syscall.SIGHUP)
	eventually(t, "the configuration is refused", func() bool { return strings.Contains(s.log.String(), "is not taken over") })
	client := stsCallers()[0]
	client.ask(t, throughContainer(t, s, client, "chain"), 1).wantRole(t, "data", 1)
}

func TestServeTakesAllAwayWhenItEnds(t *testing.T) {
	t.Parallel()
	s := startServe(t, newCloud(t), "")
	token := filepath.Join(s.dir, "tokens", "app")
	files := []string{s.socket(), token, s.tokenFile}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	if text, err := os.ReadFile(token); err != nil || len(text) < 40 || strings.ContainsAny(string(text), "\r\n ") {
		t.Errorf("not a token that clients can read: %d bytes, %v", len(text), err)
	}
	s.signal(t, syscall.SIGTERM)
	select {
	case err := <-s.ended:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
	for _, file := range files {
		if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", file, err)
		}
	}
	run(t, s.env.with(environment{"KEYLESS_SOCKET": s.socket()}), keyless(t), "credential-process", "app").wantRefusal(t, exitTemporary, "is it running")
}
