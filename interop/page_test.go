package interop_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// The status page of the daemon in a real browser: Debian's Chromium, which
// page/look.js drives.

// markup is what a far side says to become more than text.
const markup = `<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>`

// longName is of a profile that has only a token, and does not fit on a phone's line.
const longName = "a-profile-that-has-only-a-token-and-a-name-that-does-not-fit-on-a-line"

// pageProfiles are all that the page shows, and what else of each must be seen.
var pageProfiles = map[string]struct {
	bars  int
	words []string
}{
	"good":    {1, []string{roleARN, "\nready\n", "Credentials", "until"}},
	longName:  {1, []string{"\nready\n", "Token", "until", "/long.jwt"}},
	"refused": {0, []string{closed, "not ready", "AccessDenied", " ago", "What to do: "}},
	"garbled": {0, []string{roleARN, "not ready", markup, " ago", "What to do: "}},
}

// chromium returns the program that drives it. Chromium is large, so only make test-all
// installs it and its driver; where both are, they are used.
func chromium(t *testing.T) (node string) {
	t.Helper()
	const browser, driver = "/usr/bin/chromium", "page/node_modules/playwright-core"
	node, err := exec.LookPath("node")
	if os.Getenv("INTEROP_SLOW") == "" {
		_, noBrowser := os.Stat(browser)
		_, noDriver := os.Stat(filepath.Join("../.tools", driver))
		if errors.Join(noBrowser, noDriver, err) != nil {
			t.Skip("make test-all installs it")
		}
	}
	installed(t, "Debian's Chromium", browser)
	installed(t, "playwright-core", driver)
	if err != nil {
		missing(t, "Node.js", err.Error())
	}
	return node
}

func TestTheStatusPageInABrowser(t *testing.T) {
	node := chromium(t)
	s := startPageDaemon(t)
	secrets := s.secrets(t)
	dir := os.Getenv("KEYLESS_ARTIFACTS")
	if dir == "" {
		dir = t.TempDir()
	}
	control := http.NewServeMux()
	control.HandleFunc("/stop", answerWith(s.stop))
	control.HandleFunc("/start", answerWith(s.start))
	remote := httptest.NewServer(control)
	t.Cleanup(remote.Close)

	report := look(t, node, order{
		URL: s.url + "/", Stop: remote.URL + "/stop", Start: remote.URL + "/start", Select: markup, OutageShot: filepath.Join(dir, "phone-outage.png"),
		Views: []view{
			{Name: "phone-light", Width: 390, Height: 844, Scheme: "light", Phone: true, Shot: filepath.Join(dir, "phone-light.png")},
			{Name: "phone-dark", Width: 390, Height: 844, Scheme: "dark", Phone: true, Shot: filepath.Join(dir, "phone-dark.png")},
			{Name: "phone-small", Width: 320, Height: 568, Scheme: "light", Phone: true},
			{Name: "desktop", Width: 1280, Height: 800, Scheme: "light", Shot: filepath.Join(dir, "desktop.png")},
			{Name: "desktop-dark", Width: 1280, Height: 800, Scheme: "dark"},
		},
	})
	backgrounds := map[string]int{}
	for _, seen := range report.Views {
		backgrounds[seen.Background]++
		for _, problem := range seen.problems(s.url, secrets) {
			t.Errorf("%s: %s", seen.Name, problem)
		}
	}
	if len(report.Views) != 5 || len(backgrounds) != 2 {
		t.Errorf("%d views with the backgrounds %v, want 5 with two", len(report.Views), backgrounds)
	}
	for _, shot := range []string{"phone-light.png", "phone-dark.png", "desktop.png", "phone-outage.png"} {
		if data, err := os.ReadFile(filepath.Join(dir, shot)); err != nil || !bytes.HasPrefix(data, []byte("\x89PNG")) {
			t.Errorf("%s is no picture: %v", shot, err)
		}
	}

	out := report.Outage
	if problems := out.Before.problems(s.url, secrets); len(problems) > 0 {
		t.Error(problems)
	}
	if !strings.Contains(out.During.Summary, "does not answer") || len(out.During.Profiles) != len(pageProfiles) {
		t.Errorf("when the daemon has gone: %q with %d profiles", out.During.Summary, len(out.During.Profiles))
	}
	if problem := faint(out.During.Texts); problem != "" {
		t.Errorf("when the daemon has gone: %s", problem)
	}
	if !strings.Contains(out.After.Summary, "Not all profiles are ready") || len(out.After.Profiles) != len(pageProfiles) {
		t.Errorf("when the daemon is back: %q with %d profiles", out.After.Summary, len(out.After.Profiles))
	}
	if !strings.HasSuffix(out.Selected, markup) {
		t.Errorf("a refresh leaves %q selected", out.Selected)
	}
	wantNone(t, append(secrets, s.secrets(t)...), out.During.HTML+out.After.HTML)
}

// Whatever is broken on the page, the same look finds it.
func TestABrokenStatusPageIsFound(t *testing.T) {
	node := chromium(t)
	s := startPageDaemon(t)
	secrets := s.secrets(t)
	page, policy := s.get(t, "/")
	status, _ := s.get(t, "/status.json")
	const call = "refresh();\n"
	twins := []struct {
		name             string
		old, replacement string // in the page
		status           string // instead of the daemon's
		wrongHash        bool
		want             string // a pattern of a problem; empty: there is none
	}{
		{name: "sound"},
		{name: "the hash of another script", wrongHash: true, want: `^violation: script-src-elem inline$`},
		{name: "text becomes markup", old: "element.textContent = text", replacement: "element.innerHTML = text", want: `^foreign elements: .*img`},
		{name: "markup that runs", old: "element.textContent = text", replacement: "element.innerHTML = text", want: `^violation: script-src-attr inline$`},
		{name: "wide", old: call, replacement: `document.getElementById("profiles").style.width = "500px"; ` + call, want: `^5\d\d wide on a screen of 390$`},
		{name: "pale", old: call, replacement: `document.body.style.color = "#999"; ` + call, want: `^contrast `},
		{name: "another origin", old: call, replacement: `fetch("http://127.0.0.1:1/x").catch(() => {}); ` + call, want: `^violation: connect-src http://127\.0\.0\.1:1/x$`},
		{name: "an error", old: call, replacement: "setTimeout(() => nothing(), 0); " + call, want: `^complaint: thrown: nothing is not defined$`},
		{name: "no bar", old: `add(box, "meter")`, replacement: `document.createElement("meter")`, want: `^profile good: 0 bars`},
		{name: "no label", old: `meter.setAttribute("aria-label"`, replacement: `meter.setAttribute("title"`, want: `^profile good: a bar has no label`},
		{name: "no hint", old: `profile.hint)`, replacement: `profile.nothing)`, want: `^profile refused: no "What to do: "`},
		{name: "a secret", status: strings.Replace(status, "AccessDenied", "AccessDenied "+secrets[0], 1), want: `^a secret`},
	}
	for _, twin := range twins {
		t.Run(twin.name, func(t *testing.T) {
			if !strings.Contains(page, twin.old) {
				t.Fatalf("the page has no %q", twin.old)
			}
			body := page
			if twin.old != "" {
				body = strings.Replace(page, twin.old, twin.replacement, 1)
			}
			answer := status
			if twin.status != "" {
				answer = twin.status
			}
			url := servePage(t, body, answer, policy, twin.wrongHash)
			seen := look(t, node, order{URL: url + "/", Views: []view{{Name: twin.name, Width: 390, Height: 844, Scheme: "light", Phone: true}}}).Views[0]
			problems := seen.problems(url, secrets)
			switch {
			case twin.want == "" && len(problems) > 0:
				t.Error(problems)
			case twin.want != "" && !slices.ContainsFunc(problems, regexp.MustCompile(twin.want).MatchString):
				t.Errorf("%q is not found, only %q", twin.want, problems)
			}
		})
	}
}

// order is what page/look.js is to do.
type order struct {
	Browser    string `json:"browser"`
	URL        string `json:"url"`
	Views      []view `json:"views"`
	Stop       string `json:"stop,omitempty"`
	Start      string `json:"start,omitempty"`
	Select     string `json:"select,omitempty"`
	OutageShot string `json:"outageShot,omitempty"`
}

type view struct {
	Name   string `json:"name"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Scheme string `json:"scheme"`
	Phone  bool   `json:"phone"`
	Shot   string `json:"shot,omitempty"`
}

// sight is what there is on a page.
type sight struct {
	Name, Background, Summary, HTML string
	Width, Screen                   int      // of all that is there, and of the screen
	Complaints, Violations          []string // of the console, and of the content security policy
	Requests, Bodies                []string // what was asked, and what came
	Elements                        []string
	Texts                           []text
	Profiles                        []struct {
		Name, Text string
		Bars       []struct {
			Value, Min, Max float64
			Label           string
			Visible         bool
		}
	}
}

type text struct {
	Text           string
	Contrast, Size float64
}

type report struct {
	Views  []sight
	Outage struct {
		Before, During, After sight
		Selected              string // what somebody selected before, and has still selected after
	}
}

// look drives Chromium through page/look.js.
func look(t *testing.T, node string, o order) report {
	t.Helper()
	o.Browser = "/usr/bin/chromium"
	input, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	modules, err := filepath.Abs("../.tools/page/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	// Chromium's socket wants a short path; t.TempDir has the name of the test in it.
	temp, err := os.MkdirTemp("", "keyless-page-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "page/look.js")
	cmd.Env = bareEnvironment(t).with(environment{"NODE_PATH": modules, "TMPDIR": temp}).list()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("look.js: %v\n%s", err, stderr.String())
	}
	var r report
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("look.js: %v\n%s", err, stdout.String())
	}
	return r
}

// pageElements are all that the page is made of.
var pageElements = strings.Fields("article body h1 h2 head html main meta meter noscript p script small span strong style title")

// problems is everything that is wrong with what was seen at an address.
func (s sight) problems(url string, secrets []string) []string {
	var all []string
	found := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	for _, complaint := range s.Complaints {
		found("complaint: %s", complaint)
	}
	for _, violation := range s.Violations {
		found("violation: %s", violation)
	}
	for _, request := range s.Requests {
		if !strings.HasPrefix(request, url+"/") {
			found("request to %s", request)
		}
	}
	if s.Width > s.Screen {
		found("%d wide on a screen of %d", s.Width, s.Screen)
	}
	if foreign := slices.DeleteFunc(slices.Clone(s.Elements), func(name string) bool { return slices.Contains(pageElements, name) }); len(foreign) > 0 {
		found("foreign elements: %s", strings.Join(foreign, " "))
	}
	if problem := faint(s.Texts); problem != "" {
		found("%s", problem)
	}
	for i, secret := range secrets {
		if strings.Contains(s.HTML+strings.Join(s.Bodies, "\n"), secret) {
			found("a secret, number %d", i)
		}
	}
	return append(all, s.missing()...)
}

// missing is what ought to be seen of the profiles, and is not.
func (s sight) missing() []string {
	var all []string
	found := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	want := maps.Clone(pageProfiles)
	for _, p := range s.Profiles {
		for _, word := range append([]string{p.Name}, want[p.Name].words...) {
			if !strings.Contains(p.Text, word) {
				found("profile %s: no %q in %q", p.Name, word, p.Text)
			}
		}
		if len(p.Bars) != want[p.Name].bars {
			found("profile %s: %d bars, want %d", p.Name, len(p.Bars), want[p.Name].bars)
		}
		for _, bar := range p.Bars {
			switch {
			case bar.Label == "":
				found("profile %s: a bar has no label", p.Name)
			case bar.Min != 0 || bar.Max != 1 || bar.Value <= 0 || bar.Value > 1 || !bar.Visible:
				found("profile %s: the bar %+v", p.Name, bar)
			}
		}
		delete(want, p.Name)
	}
	for name := range want {
		found("profile %s: not there", name)
	}
	return all
}

// faint says which text cannot be read well, if any; at least some must be there.
func faint(texts []text) string {
	if len(texts) == 0 {
		return "no text at all"
	}
	for _, one := range texts {
		if one.Contrast < 4.5 || one.Size < 13 {
			return fmt.Sprintf("contrast %.1f and size %.0f px of %q", one.Contrast, one.Size, one.Text)
		}
	}
	return ""
}

// serve is a running daemon.
type serve struct {
	dir, url string
	workload *workload
	program  string
	log      bytes.Buffer // read only when the daemon has ended
	cmd      *exec.Cmd
}

// startServe runs keyless serve until the test ends, and waits until every profile has
// been tried.
func startPageDaemon(t *testing.T) *serve {
	t.Helper()
	c := newCloud(t)
	refusal, err := json.Marshal(map[string]string{"error": "invalid_client", "error_description": "AADSTS7000215: " + markup})
	if err != nil {
		t.Fatal(err)
	}
	c.SetFault(sandbox.Entra, sandbox.Fault{Status: 401, Body: string(refusal)})
	s := &serve{dir: t.TempDir(), workload: newWorkload(t, c, c.URL(sandbox.STS)), program: keyless(t)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	s.url = "http://" + address
	write(t, s.workload.config, s.configFile(address))
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("keyless serve: %s", s.log.String())
		}
	})
	return s
}

func (s *serve) configFile(address string) string {
	role := func(arn string) string { return ", aws: { role_arn: " + arn + ", region: " + region + " }" }
	const identity = "source: { managed_identity: {} }, audience: " + audience
	secret := `source: { client_secret: { tenant_id: ` + tenantID + `, client_id: ` + clientID + `, client_secret: "${AZURE_CLIENT_SECRET}" } }, audience: ` + audience
	return "profiles:\n" +
		"  good: { " + identity + role(roleARN) + " }\n" +
		"  " + longName + ": { " + identity + " }\n" +
		"  refused: { " + identity + role(closed) + " }\n" +
		"  garbled: { " + secret + role(roleARN) + " }\n" +
		"serve:\n  listen: " + address + "\n  directory: " + s.dir + "/run\n  profiles: [ good, refused, garbled ]\n" +
		"  files: [ { profile: " + longName + ", token: " + s.dir + "/long.jwt } ]\n"
}

func (s *serve) start() error {
	s.cmd = exec.Command(s.program, "serve", "--config", s.workload.config)
	s.cmd.Env = s.workload.env.list()
	s.cmd.Stdout, s.cmd.Stderr = io.Discard, &s.log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if s.settled() {
			return nil
		}
	}
	return errors.Join(errors.New("keyless serve does not get ready"), s.stop())
}

// settled reports whether each profile has something or says why it has not.
func (s *serve) settled() bool {
	answer, err := http.Get(s.url + "/status.json")
	if err != nil {
		return false
	}
	defer func() { _ = answer.Body.Close() }()
	var status struct {
		Profiles []struct {
			Ready bool
			Error string
		}
	}
	if json.NewDecoder(answer.Body).Decode(&status) != nil || len(status.Profiles) != len(pageProfiles) {
		return false
	}
	for _, p := range status.Profiles {
		if !p.Ready && p.Error == "" {
			return false
		}
	}
	return true
}

// stop ends the daemon as systemd does.
func (s *serve) stop() error {
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	return errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
}

// get returns a body and the content security policy that came with it.
func (s *serve) get(t *testing.T, path string, header ...string) (body, policy string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(header) == 2 {
		request.Header.Set(header[0], header[1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s, %v", path, answer.StatusCode, data, err)
	}
	return string(data), answer.Header.Get("Content-Security-Policy")
}

// secrets are what this daemon hands out and what opens its doors. No page needs them.
func (s *serve) secrets(t *testing.T) []string {
	t.Helper()
	read := func(path string) string {
		data, err := os.ReadFile(filepath.Join(s.dir, path))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(data))
	}
	door, identity := read("run/tokens/good"), read("long.jwt")
	body, _ := s.get(t, "/v1/credentials/good", "Authorization", door)
	var document struct {
		AccessKeyID            string `json:"AccessKeyId"`
		SecretAccessKey, Token string
	}
	if err := json.Unmarshal([]byte(body), &document); err != nil {
		t.Fatal(err)
	}
	all := []string{
		door, identity, identity[strings.LastIndex(identity, ".")+1:], "eyJ", // any JWT at all
		document.AccessKeyID, document.SecretAccessKey, document.Token, clientSecret,
	}
	if i := slices.IndexFunc(all, func(secret string) bool { return len(secret) < 3 }); i >= 0 {
		t.Fatalf("there is no secret number %d", i)
	}
	return all
}

// servePage serves a page and a status as the daemon does, until the test ends. The hash
// of the script is right unless it is to be wrong.
func servePage(t *testing.T, page, status, policy string, wrongHash bool) string {
	t.Helper()
	_, rest, _ := strings.Cut(page, "<script>")
	script, _, _ := strings.Cut(rest, "</script>")
	if wrongHash {
		script += " "
	}
	digest := sha256.Sum256([]byte(script))
	policy = regexp.MustCompile(`'sha256-[^']*'`).ReplaceAllLiteralString(policy, "'sha256-"+base64.StdEncoding.EncodeToString(digest[:])+"'")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Security-Policy", policy)
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, page)
		case "/status.json":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, status)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// answerWith makes a handler of what can fail.
func answerWith(do func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := do(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}
