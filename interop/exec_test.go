package interop_test

import (
	"strings"
	"testing"

	"github.com/keyless-id/keyless/sandbox"
)

// Every client gets the credentials of exec, whichever way, although its own files and
// variables have others that do not work.
func TestAWSClientsRunUnderExec(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	w := newWorkload(t, c, c.URL(sandbox.STS))
	home := t.TempDir()
	write(t, home+"/credentials", "[default]\naws_access_key_id = "+staticID+"\naws_secret_access_key = hunter2-wrong\n")
	write(t, home+"/config", "[default]\noutput = json\ncredential_process = /nowhere\n")
	env := w.env.with(environment{
		"KEYLESS_CONFIG": w.config, "AWS_CONFIG_FILE": home + "/config", "AWS_SHARED_CREDENTIALS_FILE": home + "/credentials",
		"AWS_ACCESS_KEY_ID": staticID, "AWS_SECRET_ACCESS_KEY": "hunter2-wrong", "AWS_PROFILE": "nobody",
	})
	script := `import boto3; print([b["Name"] for b in boto3.client("s3", endpoint_url="` + c.URL(sandbox.S3) + `").list_buckets()["Buckets"]])`
	for _, client := range awsClients {
		for way, flags := range map[string][]string{"environment": {"exec", "app", "--"}, "endpoint": {"exec", "app", "--endpoint", "--"}} {
			t.Run(client.name+"/"+way, func(t *testing.T) {
				cli := run(t, env, keyless(t), append(flags, client.cli(t), "--endpoint-url", c.URL(sandbox.S3), "s3", "ls")...).wantSuccess(t)
				python := run(t, env, keyless(t), append(flags, client.python(t), "-c", script)...).wantSuccess(t)
				if !strings.Contains(cli.stdout, "invoices") || !strings.Contains(python.stdout, "invoices") {
					t.Errorf("%s\n%s", cli.stdout, python.stdout)
				}
			})
		}
		t.Run(client.name+"/refused", func(t *testing.T) {
			refused := run(t, env, keyless(t), "exec", "closed", "--", client.cli(t), "--endpoint-url", c.URL(sandbox.S3), "s3", "ls")
			if refused.code != 4 || !strings.Contains(refused.stderr, "AccessDenied") {
				t.Errorf("%+v", refused)
			}
		})
	}
}
