package daemon_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyless-id/keyless/daemon"
	"github.com/keyless-id/keyless/sandbox"
)

const everything = `
serve:
  listen: LISTEN
  directory: DIR/run
  profiles: [ vm, chained ]
  imds: [ { listen: "IMDS", profile: chained } ]
  files:
    - { profile: plain, token: DIR/plain.jwt }
    - { profile: vm, credentials_file: DIR/credentials, section: deploy }
`

func serving(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.write(t, everything)
	w.start(t)
	return w
}

func TestEveryDeliveryHasItsCredentials(t *testing.T) {
	w := serving(t)
	for _, name := range []string{"vm", "chained"} {
		status, body := w.credentials(t, name)
		if status != 200 || !strings.Contains(body, `"AccessKeyId":"ASIA`) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if _, body := w.credentials(t, "chained"); !strings.Contains(body, `"RoleArn":"`+sandbox.DemoChainedARN+`"`) {
		t.Error(body)
	}
	_, session := w.send(t, "PUT", "http://"+w.imds+"/latest/api/token", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
	roles := "http://" + w.imds + "/latest/meta-data/iam/security-credentials/"
	if status, role := w.ask(t, roles, "X-Aws-Ec2-Metadata-Token", session); status != 200 || role != "keyless-demo-chained" {
		t.Errorf("%d %s", status, role)
	}
	if status, body := w.ask(t, roles+"keyless-demo-chained", "X-Aws-Ec2-Metadata-Token", session); status != 200 || !strings.Contains(body, `"Code":"Success"`) {
		t.Errorf("%d %s", status, body)
	}
	w.until(t, "the files are there", func() bool { return exists(w.dir+"/plain.jwt") && exists(w.dir+"/credentials") })
	if token, _ := os.ReadFile(w.dir + "/plain.jwt"); strings.Count(string(token), ".") != 2 || strings.ContainsAny(string(token), "\n ") {
		t.Errorf("%q", token)
	}
	if file, _ := os.ReadFile(w.dir + "/credentials"); !strings.HasPrefix(string(file), "[deploy]\n") {
		t.Errorf("%s", file)
	}
	process, err := w.socket().Process(t.Context(), "vm")
	var document struct {
		Version     int
		AccessKeyID string `json:"AccessKeyId"`
	}
	if err != nil || json.Unmarshal(process, &document) != nil || document.Version != 1 || document.AccessKeyID == "" || !strings.HasSuffix(string(process), "}\n") {
		t.Errorf("%s, %v", process, err)
	}
	if token, err := w.socket().Token(t.Context(), "vm"); err != nil || strings.Count(token.Reveal(), ".") != 2 {
		t.Error(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Item 23: what the configuration does not name is not to be had.
func TestWhatIsNotServedIsNotThere(t *testing.T) {
	w := serving(t)
	token := w.token(t, "vm")
	for path, want := range map[string]int{
		"/v1/credentials/plain": 404, "/v1/credentials/stranger": 404, "/v1/credentials": 404, "/v1/credentials/": 404,
		"/v1/credentials/../credentials/vm": 404, "/role-arn/" + sandbox.DemoRoleARN: 404,
		"/v1/credentials/chained": 401, // another profile's token
		"/v1/process/vm":          404, // the socket's alone
		"/v1/token/vm":            404,
	} {
		if status, body := w.ask(t, "http://"+w.listen+path, "Authorization", token); status != want || strings.Contains(body, "ASIA") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	for _, name := range []string{"stranger", "nobody", "", "../vm"} {
		if answer, err := w.socket().Process(t.Context(), name); err == nil {
			t.Errorf("%q: %s", name, answer)
		}
	}
	if _, err := w.socket().Process(t.Context(), "plain"); err == nil || !strings.Contains(err.Error(), "not served with its credentials") {
		t.Error(err)
	}
}

// Item 13: who asks before anything has come is told so at once.
func TestBeforeTheFirstAnswerItSaysSoAtOnce(t *testing.T) {
	w := newWorld(t)
	const slow = time.Minute
	w.SetFault(sandbox.STS, sandbox.Fault{Delay: slow})
	w.write(t, everything)
	began := time.Now()
	w.startWithoutWaiting(t)
	var standing *daemon.Status
	w.until(t, "it answers", func() (answers bool) {
		var err error
		standing, err = w.socket().Status(t.Context())
		return err == nil
	})
	if standing.Ready || !strings.Contains(standing.Profiles[0].Error, "nothing has come yet") {
		t.Errorf("status: %+v", standing)
	}
	if status, body := w.credentials(t, "vm"); status != 503 || !strings.Contains(body, "nothing has come yet") {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := w.ask(t, "http://"+w.listen+"/readyz"); status != 503 {
		t.Errorf("ready: %d", status)
	}
	if status, _ := w.ask(t, "http://"+w.listen+"/healthz"); status != 200 {
		t.Errorf("alive: %d", status)
	}
	if took := time.Since(began); took > slow/2 {
		t.Errorf("somebody has waited for the far side: %s", took)
	}
	w.ClearFaults()
	w.stop()
	if err := <-w.gone(t); err != nil {
		t.Error(err)
	}
}

// Item 14: however many ask, the far sides are asked once.
func TestManyWhoAskAtOnceAreOneRequest(t *testing.T) {
	w := newWorld(t)
	w.SetFault(sandbox.STS, sandbox.Fault{Delay: 300 * time.Millisecond, Times: 1})
	w.write(t, "serve: { listen: LISTEN, directory: DIR/run, profiles: [ vm ] }")
	w.startWithoutWaiting(t)
	w.until(t, "it answers", func() bool { status, _ := w.ask(t, "http://"+w.listen+"/healthz"); return status == 200 })
	token := w.token(t, "vm")
	var done sync.WaitGroup
	for range 200 {
		done.Go(func() {
			w.until(t, "there are credentials", func() bool {
				status, _ := w.ask(t, "http://"+w.listen+"/v1/credentials/vm", "Authorization", token)
				return status == 200
			})
		})
	}
	done.Wait()
	if imds, sts := w.requests(sandbox.IMDS), w.requests(sandbox.STS); imds != 1 || sts != 1 {
		t.Errorf("%d requests to IMDS, %d to STS", imds, sts)
	}
}

// A reload drops no request, asks nobody for what has not changed, and closes what is no
// longer wanted.
func TestAReloadIsSeenByNobody(t *testing.T) {
	w := serving(t)
	token, asked := w.token(t, "vm"), w.requests(sandbox.STS)
	_, session := w.send(t, "PUT", "http://"+w.imds+"/latest/api/token", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
	var ended atomic.Bool
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for !ended.Load() {
				if status, body := w.ask(t, "http://"+w.listen+"/v1/credentials/vm", "Authorization", token); status != 200 {
					t.Errorf("%d %s", status, body)
					return
				}
			}
		})
	}
	for range 3 {
		w.write(t, "serve: { listen: LISTEN, directory: DIR/run, profiles: [ vm ] }")
		w.again(t)
		w.write(t, everything)
		w.again(t)
	}
	ended.Store(true)
	done.Wait()
	if n := w.requests(sandbox.STS); n > asked {
		t.Errorf("STS was asked %d times more for what is remembered", n-asked)
	}
	if status, _ := w.ask(t, "http://"+w.imds+"/latest/meta-data/iam/security-credentials/", "X-Aws-Ec2-Metadata-Token", session); status != 200 {
		t.Errorf("a session does not outlive a reload: %d", status)
	}
	w.write(t, "serve: { listen: none, directory: DIR/run, profiles: [ vm ] }")
	w.again(t)
	if status, _ := w.ask(t, "http://"+w.listen+"/healthz"); status != 0 {
		t.Errorf("the address is open still: %d", status)
	}
	if status, _ := w.ask(t, "http://"+w.imds+"/"); status != 0 {
		t.Errorf("the address is open still: %d", status)
	}
	if exists(w.dir+"/plain.jwt") || exists(w.dir+"/credentials") || exists(w.dir+"/run/tokens/chained") {
		t.Error("a file that is no longer kept is there still")
	}
}

func TestABadConfigurationChangesNothing(t *testing.T) {
	w := serving(t)
	for _, serve := range []string{"serve: { lisen: x }", "serve: { profiles: [ nobody ] }", "serve: { listen: 0.0.0.0:1 }", "serve: { listen: LISTEN, directory: DIR/run, imds: [ { listen: \"LISTEN\", profile: vm } ] }", "serve: { users: [ nobody-of-this-name ] }"} {
		w.write(t, serve)
		w.again(t)
		if status, body := w.credentials(t, "vm"); status != 200 {
			t.Errorf("%s: %d %s", serve, status, body)
		}
	}
	if n := strings.Count(w.log.String(), "the configuration is not taken over"); n != 5 {
		t.Errorf("%d of 5 were told\n%s", n, w.log)
	}
}

// Item 26.
func TestTheEndTakesEverythingAway(t *testing.T) {
	w := serving(t)
	w.until(t, "the files are there", func() bool { return exists(w.dir+"/plain.jwt") && exists(w.dir+"/credentials") })
	if err := os.WriteFile(w.dir+"/credentials", append(read(t, w.dir+"/credentials"), "[mine]\nregion = x\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	w.end(t)
	for _, path := range []string{"plain.jwt", "run/keyless.sock", "run/tokens/vm", "run/tokens/chained"} {
		if exists(filepath.Join(w.dir, path)) {
			t.Errorf("%s is left", path)
		}
	}
	if left := read(t, w.dir+"/credentials"); string(left) != "[mine]\nregion = x\n" {
		t.Errorf("%s", left)
	}
	if states := w.states.String(); !strings.Contains(states, "READY=1") || !strings.HasSuffix(states, "STOPPING=1\n") {
		t.Error(states)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestASecondDaemonDoesNotTakeTheSocket(t *testing.T) {
	w := serving(t)
	second := newWorld(t)
	second.dir, second.config = w.dir, filepath.Join(t.TempDir(), "keyless.yaml")
	second.write(t, "serve: { listen: LISTEN, directory: DIR/run, profiles: [ vm ] }")
	second.startWithoutWaiting(t)
	if err := <-second.gone(t); err == nil || !strings.Contains(err.Error(), "another daemon answers there") {
		t.Error(err)
	}
	if status, _ := w.credentials(t, "vm"); status != 200 {
		t.Errorf("the first one suffered: %d", status)
	}
}

// A refusal is shown with its hint wherever somebody looks.
func TestARefusedProfileSaysWhyEverywhere(t *testing.T) {
	w := newWorld(t)
	w.write(t, "serve: { listen: LISTEN, directory: DIR/run, profiles: [ vm, stranger ] }")
	w.start(t)
	status, body := w.credentials(t, "stranger")
	if status != 400 || !strings.Contains(body, "AccessDenied") || !strings.Contains(body, "hint: ") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := w.ask(t, "http://"+w.listen+"/readyz"); status != 503 || !strings.Contains(body, "stranger: ") || strings.Contains(body, "vm: ") {
		t.Errorf("%d %s", status, body)
	}
	if _, body := w.ask(t, "http://"+w.listen+"/metrics"); !strings.Contains(body, `keyless_ready{profile="stranger"} 0`) || !strings.Contains(body, `keyless_refreshes_total{profile="stranger",kind="credentials",outcome="failed"} 1`) {
		t.Error(body)
	}
	s, err := w.socket().Status(t.Context())
	if err != nil || s.Ready || len(s.Profiles) != 2 || !strings.Contains(s.Profiles[1].Error, "AccessDenied") || s.Profiles[1].Hint == "" || s.Profiles[0].Error != "" || s.Profiles[0].Credentials == nil {
		t.Errorf("%+v, %v", s, err)
	}
	before := strings.Count(w.audit.String(), `"msg":"not issued"`)
	if _, err := w.socket().Process(t.Context(), "stranger"); err == nil || !strings.Contains(err.Error(), "exchange: AssumeRoleWithWebIdentity: AccessDenied") {
		t.Error(err)
	}
	if after := strings.Count(w.audit.String(), `"msg":"not issued"`); after != before+1 {
		t.Errorf("%d records of what was not issued, %d before", after, before)
	}
}

// Items 17 and 24: a record for each exchange, issuance and refusal, and no secret
// anywhere.
func TestEveryIssuanceIsRecordedWithoutASecret(t *testing.T) {
	w := serving(t)
	_, body := w.credentials(t, "vm")
	w.ask(t, "http://"+w.listen+"/v1/credentials/vm", "Authorization", "wrong")
	w.ask(t, "http://"+w.listen+"/v1/credentials/vm", "Origin", "http://evil.example")
	process, _ := w.socket().Process(t.Context(), "vm")
	identity, _ := w.socket().Token(t.Context(), "vm")
	_, metrics := w.ask(t, "http://"+w.listen+"/metrics")
	_, status := w.ask(t, "http://"+w.listen+"/status.json")
	_, page := w.ask(t, "http://"+w.listen+"/")
	all := w.audit.String() + w.log.String() + metrics + status + page
	var document map[string]string
	if err := json.Unmarshal([]byte(body), &document); err != nil {
		t.Fatal(err)
	}
	for what, secret := range map[string]string{"key": document["SecretAccessKey"], "session": document["Token"], "door": w.token(t, "vm"), "identity": identity.Reveal(), "file": string(read(t, w.dir+"/plain.jwt"))} {
		if secret == "" || strings.Contains(all, secret) {
			t.Errorf("the %s shows, or there is none", what)
		}
	}
	if !strings.Contains(string(process), document["AccessKeyId"]) || strings.Contains(all, document["AccessKeyId"]) {
		t.Error("the key id shows, of which the end is enough")
	}
	for _, want := range []string{
		`"msg":"exchanged","profile":"vm"`, `"request_id":"`, `"issuer":"` + sandbox.DemoIssuer + `"`, `"audience":"` + sandbox.DemoAudience + `"`, `"subject":"` + sandbox.DemoVMObjectID + `"`,
		`"msg":"issued","profile":"vm","caller":{"address":"127.0.0.1:`, `"key_tail":"` + document["AccessKeyId"][len(document["AccessKeyId"])-4:] + `"`,
		`"pid":`, `"exe":"/`, `"msg":"refused","why":"wrong or no token"`, `"why":"the request does not come straight`, `"file":"` + w.dir + `/plain.jwt"`,
	} {
		if !strings.Contains(w.audit.String(), want) {
			t.Errorf("no %s in\n%s", want, w.audit)
		}
	}
}

func TestAFileThatSomebodyRemovesComesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("waits half a minute")
	}
	w := serving(t)
	w.until(t, "the file is there", func() bool { return exists(w.dir + "/plain.jwt") })
	if err := os.Remove(w.dir + "/plain.jwt"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Second)
	w.until(t, "the file is there again", func() bool { return exists(w.dir + "/plain.jwt") })
}

func TestTheWatchdogHearsOfADaemonThatAnswers(t *testing.T) {
	w := newWorld(t)
	w.write(t, "serve: { listen: LISTEN, directory: DIR/run, profiles: [ vm ] }")
	w.watchdog = 20 * time.Millisecond
	w.start(t)
	w.until(t, "systemd hears of it", func() bool { return strings.Count(w.states.String(), "WATCHDOG=1") > 3 })
}

// A page of another site must not read what this machine serves; the page of this one
// must.
func TestTheStatusPageIsForPeopleOfThisMachine(t *testing.T) {
	w := serving(t)
	page := "http://" + w.listen + "/"
	if status, body := w.ask(t, page, "Sec-Fetch-Site", "none"); status != 200 || !strings.Contains(body, "<title>keyless</title>") {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := w.ask(t, page+"status.json", "Sec-Fetch-Site", "same-origin"); status != 200 {
		t.Errorf("%d", status)
	}
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "http://evil.example"}} {
		if status, body := w.ask(t, page+"status.json", header...); status != 403 || strings.Contains(body, "profile") {
			t.Errorf("%v: %d %s", header, status, body)
		}
	}
	if status, _ := w.send(t, "POST", page); status != 405 {
		t.Errorf("%d", status)
	}
	if status, _ := w.ask(t, page+"unknown"); status != 404 {
		t.Errorf("%d", status)
	}
}
