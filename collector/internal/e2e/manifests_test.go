package e2e_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// configurations are those in the manifests and in the guide, by where they are.
func configurations(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	paths, err := filepath.Glob("../../../deploy/kubernetes/collector/*.yaml")
	must(t, err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		must(t, err)
		for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; {
			var document struct {
				Kind string
				Data map[string]string
			}
			if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
				break
			} else if document.Kind == "ConfigMap" {
				all[filepath.Base(path)] = document.Data["collector.yaml"]
			}
		}
	}
	guide, err := os.ReadFile("../../../docs/guides/two-tiers.md")
	must(t, err)
	for _, block := range regexp.MustCompile("(?ms)^```yaml ([a-z-]+\\.yaml)\n(.*?)^```$").FindAllSubmatch(guide, -1) {
		all["two-tiers.md "+string(block[1])] = string(block[2])
	}
	return all
}

func TestTheDocumentedConfigurationsAreValid(t *testing.T) {
	program := collector(t)
	all := configurations(t)
	if len(all) < 4 {
		t.Fatalf("found %d", len(all))
	}
	for where, text := range all {
		if output, err := validate(t, program, text); err != nil {
			t.Errorf("%s: %s", where, output)
		}
		broken := strings.Replace(text, "exporters:\n", "exporters:\n  no_such_exporter: {}\n", 1)
		if output, err := validate(t, program, broken); err == nil || !strings.Contains(output, "no_such_exporter") {
			t.Errorf("%s: with an exporter that does not exist: %v, %s", where, err, output)
		}
	}
}

func validate(t *testing.T, program, text string) (string, error) {
	t.Helper()
	command := exec.Command(program, "validate", "--config", write(t, filepath.Join(t.TempDir(), "collector.yaml"), text))
	command.Env = []string{
		"HOME=" + t.TempDir(), "POD_NAME=gateway-0", "POD_IP=127.0.0.1", "NODE_NAME=node", "KAFKA_USER=u", "KAFKA_PASSWORD=p",
		"AZURE_CLIENT_ID=c", "AZURE_TENANT_ID=t", "AZURE_FEDERATED_TOKEN_FILE=/dev/null",
	}
	output, err := command.CombinedOutput()
	return string(output), err
}
