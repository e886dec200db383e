package azurepipelines_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type step struct {
	Bash      string            `yaml:"bash"`
	Task      string            `yaml:"task"`
	Condition string            `yaml:"condition"`
	Env       map[string]string `yaml:"env"`
}

func steps(t *testing.T, file string) []step {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Steps []step `yaml:"steps"`
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	return template.Steps
}

// signIn runs the step as the agent would, with a program in keyless's place.
func signIn(t *testing.T, program string) (stdout, stderr string, err error) {
	t.Helper()
	all := steps(t, "sign-in.yml")
	bash := all[len(all)-1]
	path := filepath.Join(t.TempDir(), "keyless")
	if err := os.WriteFile(path, []byte("#!/bin/bash\n"+program+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(context.Background(), "bash", "-x", "-c", bash.Bash)
	command.Env = append(os.Environ(), "KEYLESS="+path, "CONNECTION=id", "ROLE=arn", "REGION=eu-west-1", "DURATION=1h")
	var out, complaint strings.Builder
	command.Stdout, command.Stderr = &out, &complaint
	err = command.Run()
	return out.String(), complaint.String(), err
}

func TestSignInHandsOverSecretVariablesAndPrintsNothingElse(t *testing.T) {
	stdout, stderr, err := signIn(t, `[ "$*" = "credential-process --no-cache --source azure_pipelines --service-connection-id id --role-arn arn --region eu-west-1 --duration 1h" ] || exit 9
echo '{"Version":1,"AccessKeyId":"ASIA","SecretAccessKey":"hunter2+/=","SessionToken":"hunter3+/=","Expiration":"2100-01-01T00:00:00Z"}'`)
	want := `##vso[task.setvariable variable=AWS_ACCESS_KEY_ID;issecret=true]ASIA
##vso[task.setvariable variable=AWS_SECRET_ACCESS_KEY;issecret=true]hunter2+/=
##vso[task.setvariable variable=AWS_SESSION_TOKEN;issecret=true]hunter3+/=
##vso[task.setvariable variable=AWS_REGION]eu-west-1
`
	if err != nil || stdout != want {
		t.Errorf("%v, got %q, want %q", err, stdout, want)
	}
	if strings.Contains(stderr, "hunter") {
		t.Errorf("a secret is in %q", stderr)
	}
}

func TestSignInFailsWithItsProgram(t *testing.T) {
	for name, program := range map[string]string{
		"an error": "echo 'keyless: error: no' >&2; exit 3", "nothing": "true", "half": `echo '{"AccessKeyId":"ASIA","SecretAccessKey":"hunter2"}'`,
	} {
		stdout, _, err := signIn(t, program)
		var failed *exec.ExitError
		if !errors.As(err, &failed) || strings.Contains(stdout, "setvariable") {
			t.Errorf("%s: %v, printed %q", name, err, stdout)
		}
	}
}

// TestSecretsAreMappedByNameOnly: a value in a script would be written to disk and log.
func TestSecretsAreMappedByNameOnly(t *testing.T) {
	for _, file := range []string{"sign-in.yml", "run.yml", "terraform.yml"} {
		for _, s := range steps(t, file) {
			if strings.Contains(s.Bash, "$(AWS_") || strings.Contains(s.Bash, "$(System.") || strings.Contains(s.Bash, "${{") && file != "run.yml" {
				t.Errorf("%s: a macro in the script", file)
			}
			if s.Task != "" && s.Condition != "false" {
				t.Errorf("%s: the task that names the connection runs", file)
			}
			if _, ok := s.Env["SYSTEM_ACCESSTOKEN"]; ok != (file == "sign-in.yml" && s.Bash != "") {
				t.Errorf("%s: SYSTEM_ACCESSTOKEN: %v", file, ok)
			}
		}
	}
}
