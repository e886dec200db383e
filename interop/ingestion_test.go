package interop_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/sandbox"
)

// Azure's own clients of the Logs Ingestion API judge the sandbox's data collection
// endpoint, which judges our exporter.

// uploader is such a client; it signs in as an App Service does.
type uploader struct {
	name   string
	upload func(t *testing.T, env environment, args ...string) result
}

var uploaders = []uploader{
	{"python", func(t *testing.T, env environment, args ...string) result {
		python := installed(t, "azure-monitor-ingestion", "venv-ingestion/bin/python")
		return run(t, env, python, append([]string{script(t, "upload.py")}, args...)...)
	}},
	{"javascript", func(t *testing.T, env environment, args ...string) result {
		node, err := exec.LookPath("node")
		if err != nil {
			missing(t, "node", err.Error())
		}
		modules := installed(t, "@azure/monitor-ingestion", "js-ingestion/node_modules")
		// Node looks for packages beside the program and above it.
		program := filepath.Join(filepath.Dir(modules), "upload.mjs")
		text, err := os.ReadFile(script(t, "upload.mjs"))
		if err != nil {
			t.Fatal(err)
		}
		write(t, program, string(text))
		return run(t, env, node, append([]string{program}, args...)...)
	}},
}

func script(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("ingestion", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// appService is a sandbox, and the environment of an App Service in it.
func appService(t *testing.T, world sandbox.World) (*sandbox.Sandbox, environment) {
	t.Helper()
	s, err := sandbox.New(world, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	host, err := s.HostEnv(sandbox.HostAppService, "")
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, string(s.CAPEM()))
	env := bareEnvironment(t)
	for _, pair := range host {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return s, env.with(environment{"REQUESTS_CA_BUNDLE": ca, "NODE_EXTRA_CA_CERTS": ca})
}

func TestAzureClientsUploadToTheSandbox(t *testing.T) {
	for _, client := range uploaders {
		t.Run(client.name, func(t *testing.T) {
			s, env := appService(t, sandbox.Demo())
			const rows = 20_000 // two requests and more: the clients cut at a megabyte
			got := client.upload(t, env, s.TLSURL(sandbox.DCE), sandbox.DemoRuleID, sandbox.DemoStream, fmt.Sprint(rows), client.name).wantSuccess(t)
			if got.stdout != "uploaded\n" {
				t.Fatalf("%+v", got)
			}
			if requests := s.Requests(sandbox.DCE); requests < 2 {
				t.Errorf("%d requests", requests)
			}
			seen := map[string]int{}
			for _, row := range s.Rows(sandbox.DemoStream) {
				seen[fmt.Sprint(row["Message"])]++
			}
			for i := range rows {
				if n := seen[fmt.Sprintf("%s-%d", client.name, i)]; n != 1 {
					t.Fatalf("row %d arrived %d times", i, n)
				}
			}
		})
	}
}

func TestAzureClientsUnderstandRefusals(t *testing.T) {
	stranger := sandbox.Demo()
	for i := range stranger.Tenants {
		for r := range stranger.Tenants[i].Rules {
			stranger.Tenants[i].Rules[r].Publishers = nil
		}
	}
	for _, client := range uploaders {
		t.Run(client.name, func(t *testing.T) {
			s, env := appService(t, stranger)
			args := []string{s.TLSURL(sandbox.DCE), sandbox.DemoRuleID, sandbox.DemoStream, "1", "x"}
			if got := client.upload(t, env, args...).wantSuccess(t); !strings.HasPrefix(got.stdout, "refused: 403") {
				t.Errorf("no role: %+v", got)
			}
			s, env = appService(t, sandbox.Demo())
			args = slices.Replace(args, 0, 3, s.TLSURL(sandbox.DCE), sandbox.DemoRuleID, "Custom-Other_CL")
			if got := client.upload(t, env, args...).wantSuccess(t); !strings.HasPrefix(got.stdout, "refused: 400 InvalidStream") {
				t.Errorf("no such stream: %+v", got)
			}
			if n := s.RowCount(sandbox.DemoStream); n != 0 {
				t.Errorf("%d rows", n)
			}
		})
	}
}
