package docs_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/keyless-id/keyless/convert"
	"github.com/keyless-id/keyless/profile"
)

// file is a whole configuration file in a guide: a fenced block whose language is
// followed by the file's name.
type file struct{ name, text string }

var fenced = regexp.MustCompile("(?ms)^```[a-z]+ ([a-z.-]+)\n(.*?)^```$")

// filesOf are the files in a guide.
func filesOf(t *testing.T, guide string) []file {
	t.Helper()
	data, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	var all []file
	for _, found := range fenced.FindAllSubmatch(data, -1) {
		all = append(all, file{string(found[1]), string(found[2])})
	}
	return all
}

// proxied are the addresses at which the routes of a keyless.yaml are, after it was read as
// the daemon reads it.
func proxied(t *testing.T, text string) ([]string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyless.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	nothing := func(string) string { return "" }
	config, err := profile.Read(path)
	if err != nil {
		return nil, err
	}
	serve, err := config.Serve(nothing)
	if err != nil {
		return nil, err
	}
	for _, name := range config.Names() {
		selected, err := config.Served(serve, name, nothing)
		if err != nil {
			return nil, err
		}
		if _, err := selected.Build(nothing); err != nil {
			return nil, err
		}
	}
	var all []string
	for _, p := range serve.Proxy {
		for _, r := range p.Routes {
			all = append(all, "http://"+p.Listen+r.Path)
		}
	}
	return all, nil
}

// sent are the addresses that an agent's file sends to.
func sent(f file) ([]string, error) {
	switch f.name {
	case "prometheus.yml", "values.yaml":
		return remoteWrites([]byte(f.text))
	case "pipeline.conf":
		if _, err := convert.Logstash([]byte(f.text)); err == nil || !strings.Contains(err.Error(), "no output is") {
			return nil, fmt.Errorf("as a pipeline: %w", err)
		}
		return matches(`url => "([^"]+)"`, f.text), nil
	case "vector.yaml":
		var v struct {
			Sinks map[string]struct{ URI string }
		}
		err := yaml.Unmarshal([]byte(f.text), &v)
		return []string{v.Sinks["azure"].URI}, err
	case "fluent-bit.yaml":
		var v struct {
			Pipeline struct {
				Outputs []struct {
					Host, URI string
					Port      int
				}
			}
		}
		if err := yaml.Unmarshal([]byte(f.text), &v); err != nil || len(v.Pipeline.Outputs) != 1 {
			return nil, fmt.Errorf("%d outputs, %w", len(v.Pipeline.Outputs), err)
		}
		out := v.Pipeline.Outputs[0]
		return []string{fmt.Sprintf("http://%s:%d%s", out.Host, out.Port, out.URI)}, nil
	}
	return nil, errors.ErrUnsupported
}

// remoteWrites are the addresses in a prometheus.yml, or in the values of its chart.
func remoteWrites(text []byte) ([]string, error) {
	var v struct {
		RemoteWrite []struct{ URL string } `yaml:"remote_write"`
		Prometheus  struct {
			Spec struct {
				RemoteWrite []struct{ URL string } `yaml:"remoteWrite"`
			} `yaml:"prometheusSpec"`
		}
	}
	err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&v)
	var all []string
	for _, block := range append(v.RemoteWrite, v.Prometheus.Spec.RemoteWrite...) {
		all = append(all, block.URL)
	}
	return all, err
}

func matches(pattern, text string) []string {
	var all []string
	for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all = append(all, found[1])
	}
	return all
}

// arrives reports whether what is sent to an address comes to one of the routes.
func arrives(address string, routes []string) bool {
	address = strings.Replace(address, "//localhost:", "//127.0.0.1:", 1)
	return slices.ContainsFunc(routes, func(route string) bool {
		route = strings.Replace(route, "//:", "//127.0.0.1:", 1) // every address of the machine
		return address == route || strings.HasSuffix(route, "/") && strings.HasPrefix(address, route)
	})
}

// agents are the guides, with how many files of keyless and of the agent each has.
var agents = map[string][2]int{
	"prometheus-azure-monitor": {2, 1}, "prometheus-amp": {2, 1}, "logstash-sentinel": {2, 1}, "fluent-bit": {2, 1}, "vector": {2, 1},
	"migrate-aad-auth-proxy": {1, 0}, "migrate-prom-remotewrite-sidecar": {1, 1}, "migrate-sigv4-proxy": {1, 0},
}

// Every keyless.yaml in the guides for agents can be served, and the agent's file beside
// it sends to a route of each of them; with a spoilt file neither is so.
func TestTheFilesInTheGuidesFitTogether(t *testing.T) {
	for guide, want := range agents {
		files := filesOf(t, "guides/"+guide+".md")
		var got [2]int
		var all [][]string
		for _, f := range files {
			if f.name == "keyless.yaml" {
				got[0]++
				all = append(all, served(t, guide, f))
			}
		}
		for _, f := range files {
			if f.name != "keyless.yaml" && leads(t, guide, f, all) {
				got[1]++
			}
		}
		if got != want {
			t.Errorf("%s: %d files, want %d", guide, got, want)
		}
	}
}

// served are the routes of a guide's keyless.yaml.
func served(t *testing.T, guide string, f file) []string {
	t.Helper()
	routes, err := proxied(t, f.text)
	if err != nil || len(routes) == 0 {
		t.Errorf("%s: %v, routes %q", guide, err, routes)
	}
	if _, err := proxied(t, strings.Replace(f.text, "routes:", "rutes:", 1)); err == nil {
		t.Errorf("%s: without routes it can be served as well", guide)
	}
	return routes
}

// leads looks whether an agent's file sends to each of the configurations, and reports
// whether it sends at all.
func leads(t *testing.T, guide string, f file, all [][]string) bool {
	t.Helper()
	addresses, err := sent(f)
	if errors.Is(err, errors.ErrUnsupported) {
		var content map[string]any
		if f.name != "environment" && (yaml.Unmarshal([]byte(f.text), &content) != nil || len(content) == 0) {
			t.Errorf("%s: %s cannot be read", guide, f.name)
		}
		return false
	}
	if err != nil || len(addresses) == 0 {
		t.Errorf("%s: %s: %v, sends to %q", guide, f.name, err, addresses)
	}
	for _, address := range addresses {
		for _, routes := range all {
			if !arrives(address, routes) || arrives(address+"x", routes) {
				t.Errorf("%s: %s does not, or not only, lead to %q", guide, address, routes)
			}
		}
	}
	return true
}

// The environments in the guides become what stands there.
func TestTheEnvironmentsInTheGuidesBecomeTheFiles(t *testing.T) {
	for _, guide := range []string{"migrate-aad-auth-proxy", "migrate-prom-remotewrite-sidecar"} {
		texts := map[string]string{}
		for _, f := range filesOf(t, "guides/"+guide+".md") {
			texts[f.name] = f.text
		}
		getenv := func(name string) string {
			for line := range strings.Lines(texts["environment"]) {
				if value, ok := strings.CutPrefix(line, name+"="); ok {
					return strings.TrimSpace(value)
				}
			}
			return ""
		}
		result, known, err := convert.Environment(getenv)
		if err != nil || !known || string(result.Config) != texts["keyless.yaml"] {
			t.Errorf("%s: %v, got\n%s", guide, err, result.Config)
		}
		for line := range strings.Lines(texts["environment"]) {
			name, _, _ := strings.Cut(line, "=")
			data, _ := os.ReadFile("guides/" + guide + ".md")
			if !bytes.Contains(data, []byte("`"+name+"`")) {
				t.Errorf("%s does not say what %s means", guide, name)
			}
		}
	}
}
