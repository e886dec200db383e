// Package deploy_test holds the units, manifests and guides to what the program is.
package deploy_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/keyless-id/keyless/profile"
)

// documents are the YAML documents of a text.
func documents(t *testing.T, name string, text []byte) []map[string]any {
	t.Helper()
	var all []map[string]any
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var document map[string]any
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatalf("%s: %v", name, err)
		}
		if document == nil { // the comment that a file begins with
			continue
		}
		all = append(all, document)
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

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(pattern)
	if err != nil || len(all) == 0 {
		t.Fatalf("%s: %v, %d files", pattern, err, len(all))
	}
	return all
}

// serves reports why a configuration would not be served as far as that shows without
// asking anybody; each of its profiles counts.
func serves(t *testing.T, text string) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyless.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	nothing := func(string) string { return "" }
	config, err := profile.Read(path)
	if err != nil {
		return err
	}
	if _, err = config.Serve(nothing); err != nil {
		return err
	}
	for _, name := range config.Names() {
		if _, err := profile.Select(name, path, nil, nothing); err != nil {
			return err
		}
	}
	return nil
}

// configurations are those in the manifests and guides, by where they are.
func configurations(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, path := range glob(t, "kubernetes/*.yaml") {
		for _, document := range documents(t, path, read(t, path)) {
			if document["kind"] != "ConfigMap" {
				continue
			}
			text, ok := document["data"].(map[string]any)["keyless.yaml"].(string)
			if !ok {
				t.Errorf("%s: a ConfigMap without keyless.yaml", path)
			}
			all[path] = text
		}
	}
	for _, path := range []string{"../docs/guides/serve.md", "../docs/guides/kubernetes.md"} {
		for i, block := range blocks.FindAllSubmatch(read(t, path), -1) {
			documents(t, path, block[1])
			if bytes.Contains(block[1], []byte("profiles:\n")) {
				all[path+" "+string(rune('1'+i))] = string(block[1])
			}
		}
	}
	return all
}

var blocks = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

func TestTheDocumentedConfigurationsCanBeServed(t *testing.T) {
	all := configurations(t)
	if len(all) < 6 {
		t.Fatalf("found %d", len(all))
	}
	for where, text := range all {
		if err := serves(t, text); err != nil {
			t.Errorf("%s: %v", where, err)
		}
		for old, broken := range map[string]string{
			"serve:":    "serve:\n  no_such_setting: 1",
			"role_arn:": "role_arm:",
		} {
			if twin := strings.Replace(text, old, broken, 1); twin == text || serves(t, twin) == nil {
				t.Errorf("%s: with %q it can be served as well", where, broken)
			}
		}
	}
}

// dig goes down by keys of maps and by the names of a list's members.
func dig(value any, path ...string) any {
	for _, key := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[key]
		case []any:
			at := slices.IndexFunc(v, func(member any) bool { return dig(member, "name") == key })
			if at < 0 {
				return nil
			}
			value = v[at]
		default:
			return nil
		}
	}
	return value
}

// pods are the specifications of the pods that a manifest makes, by kind.
func pods(t *testing.T, path string) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, document := range documents(t, path, read(t, path)) {
		kind, _ := document["kind"].(string)
		for _, at := range [][]string{{"spec", "template", "spec"}, {"spec"}} {
			if spec := dig(document, at...); dig(spec, "containers") != nil {
				all[kind] = spec
			}
		}
	}
	return all
}

// What the daemon looks at must be what the manifest says of the other container.
func TestTheSidecarAndTheApplicationFit(t *testing.T) {
	pod := pods(t, "kubernetes/sidecar.yaml")["Deployment"]
	for _, container := range []any{dig(pod, "initContainers", "keyless"), dig(pod, "containers", "app")} {
		if user := dig(container, "securityContext", "runAsUser"); container == nil || user != nil {
			t.Errorf("%v runs as a user of its own, %v", dig(container, "name"), user)
		}
	}
	got := map[string]any{
		"restartPolicy": dig(pod, "initContainers", "keyless", "restartPolicy"),
		"uri":           dig(pod, "containers", "app", "env", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "value"),
		"token":         dig(pod, "containers", "app", "env", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "value"),
	}
	want := map[string]any{
		"restartPolicy": "Always", "uri": "http://" + profile.DefaultListen + "/v1/credentials/app", "token": "/run/keyless/serve/tokens/app",
	}
	for key := range want {
		if got[key] != want[key] {
			t.Errorf("%s is %v, want %v", key, got[key], want[key])
		}
	}
}

func TestTheNodeDaemonAndItsPodsFit(t *testing.T) {
	text := configurations(t)["kubernetes/node-daemon.yaml"]
	config, err := profile.Parse("node-daemon", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	serve, err := config.Serve(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	pod := pods(t, "kubernetes/node-daemon.yaml")["Pod"]
	sources, _ := dig(pod, "volumes", "token", "projected", "sources").([]any)
	if len(sources) != 1 || dig(sources[0], "serviceAccountToken", "audience") != serve.Kubernetes.Audience {
		t.Errorf("the pod's token is of %v, want %s", sources, serve.Kubernetes.Audience)
	}
	if got := dig(pod, "containers", "reports", "env", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "value"); got != "http://169.254.170.23/v1/credentials" || serve.Kubernetes.Listen != "169.254.170.23:80" {
		t.Errorf("the pod asks %v, the daemon listens at %s", got, serve.Kubernetes.Listen)
	}
	if got := dig(pod, "serviceAccountName"); got != serve.Kubernetes.Pods[0].ServiceAccount {
		t.Errorf("the pod is %v, the daemon knows %v", got, serve.Kubernetes.Pods)
	}
}

// Every container gives up what it does not need.
func TestTheContainersAreConfined(t *testing.T) {
	for _, path := range append(glob(t, "kubernetes/*.yaml"), glob(t, "kubernetes/collector/*.yaml")...) {
		for kind, pod := range pods(t, path) {
			for _, list := range []string{"initContainers", "containers"} {
				all, _ := dig(pod, list).([]any)
				for _, container := range all {
					context := dig(container, "securityContext")
					drop, _ := dig(context, "capabilities", "drop").([]any)
					if dig(context, "allowPrivilegeEscalation") != false || dig(context, "readOnlyRootFilesystem") != true || !slices.Equal(drop, []any{"ALL"}) {
						t.Errorf("%s: %s: %v: %v", path, kind, dig(container, "name"), context)
					}
				}
			}
		}
	}
}

// setting is a line of a unit.
type setting struct{ section, key, value string }

// settings parses a unit, as far as ours go: no lines that continue.
func settings(t *testing.T, path string) []setting {
	t.Helper()
	var all []setting
	section := ""
	for line := range strings.Lines(string(read(t, path))) {
		line = strings.TrimSpace(line)
		key, value, found := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
		case !found || section == "" || strings.HasSuffix(line, `\`) || strings.ContainsAny(key, " \t"):
			t.Errorf("%s: %q", path, line)
		default:
			all = append(all, setting{section, key, value})
		}
	}
	return all
}

// values are those of one key.
func values(all []setting, section, key string) []string {
	var found []string
	for _, s := range all {
		if s.section == section && s.key == key {
			found = append(found, s.value)
		}
	}
	return found
}

var flags = regexp.MustCompile(`--([a-z][a-z-]*)`)

// Whatever starts keyless names flags that its commands define.
func TestWhatStartsKeylessNamesFlagsThatThereAre(t *testing.T) {
	sources := map[string]string{}
	for _, command := range []string{"serve", "status"} {
		sources[command] = string(read(t, "../cmd/keyless/"+command+".go")) + string(read(t, "../cmd/keyless/flags.go"))
	}
	lines := map[string][]string{"keyless.service": values(settings(t, "systemd/keyless.service"), "Service", "ExecStart")}
	for _, path := range []string{"container/Containerfile", "kubernetes/sidecar.yaml", "kubernetes/node-daemon.yaml"} {
		for line := range strings.Lines(string(read(t, path))) {
			if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "CMD") || strings.HasPrefix(trimmed, "args: [") || strings.Contains(trimmed, "exec: { command:") {
				lines[path] = append(lines[path], trimmed)
			}
		}
	}
	for path, all := range lines {
		if len(all) == 0 {
			t.Errorf("%s starts nothing", path)
		}
		for _, line := range all {
			command := "serve"
			if strings.Contains(line, "status") {
				command = "status"
			}
			for _, flag := range flags.FindAllStringSubmatch(line, -1) {
				if !strings.Contains(sources[command], `"`+flag[1]+`"`) {
					t.Errorf("%s: keyless %s has no --%s", path, command, flag[1])
				}
			}
		}
	}
}

// The addresses that systemd opens are those at which the daemon looks for them.
func TestTheSocketUnitListensWhereTheDaemonDoes(t *testing.T) {
	got := values(settings(t, "systemd/keyless.socket"), "Socket", "ListenStream")
	want := []string{profile.DefaultListen, "/run/" + values(settings(t, "systemd/keyless.service"), "Service", "RuntimeDirectory")[0] + "/keyless.sock"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// exposure is the most that systemd-analyze may find, in tenths. Version 252 finds 19,
// the network above all; others weigh a little differently.
const exposure = "25"

// installed is a folder with the units as on a machine where keyless is installed, and
// one drop-in or none.
func installed(t *testing.T, dropIn string) string {
	t.Helper()
	dir := t.TempDir()
	for _, path := range glob(t, "systemd/keyless*.s*") {
		if filepath.Ext(path) != ".service" && filepath.Ext(path) != ".socket" {
			continue
		}
		text := regexp.MustCompile(`/usr/bin/keyless(-collector)?`).ReplaceAll(read(t, path), []byte("/bin/true"))
		put(t, filepath.Join(dir, filepath.Base(path)), text)
	}
	if dropIn != "" {
		put(t, filepath.Join(dir, filepath.Base(filepath.Dir(dropIn)), filepath.Base(dropIn)), read(t, dropIn))
	}
	return dir
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func analyze(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.Command("systemd-analyze", args...).CombinedOutput()
	return string(out), err
}

func needsAnalyze(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not on this machine")
	}
	if _, err := os.Stat("/usr/lib/systemd/system/network-online.target"); err != nil {
		t.Skip("systemd's own units are not on this machine")
	}
}

func TestSystemdTakesTheUnits(t *testing.T) {
	needsAnalyze(t)
	for _, dropIn := range append([]string{""}, glob(t, "systemd/keyless*.service.d/*.conf")...) {
		dir := installed(t, dropIn)
		units := glob(t, filepath.Join(dir, "keyless*.s*[te]"))
		if out, err := analyze(t, append([]string{"verify", "--man=no"}, units...)...); err != nil || strings.Contains(out, dir) {
			t.Errorf("with %q: %v\n%s", dropIn, err, out)
		}
	}
	dir := installed(t, "")
	put(t, filepath.Join(dir, "keyless.service"), []byte("[Service]\nNoSuchSetting=yes\nExecStart=/no/such/program\n"))
	if out, err := analyze(t, "verify", "--man=no", filepath.Join(dir, "keyless.service")); err == nil && !strings.Contains(out, "NoSuchSetting") {
		t.Errorf("a broken unit is taken: %s", out)
	}
}

func TestTheUnitsAreHardened(t *testing.T) {
	needsAnalyze(t)
	for _, unit := range []string{"keyless.service", "keyless-collector.service"} {
		path := filepath.Join(installed(t, ""), unit)
		rated := func() (string, error) {
			return analyze(t, "security", "--offline=true", "--no-pager", "--threshold="+exposure, path)
		}
		if out, err := rated(); err != nil {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
		put(t, path, regexp.MustCompile(`(?m)^(Protect|Restrict|Private|System|Cap|Dynamic).*\n`).ReplaceAll(read(t, path), nil))
		if out, err := rated(); err == nil {
			t.Errorf("%s is taken without its walls:\n%s", unit, out)
		}
	}
}
