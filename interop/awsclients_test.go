package interop_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/sandbox"
)

// far is an STS and S3 that the AWS clients can be sent to.
type far struct {
	name   string
	bucket string // what a listing shows
	start  func(t *testing.T, c *cloud) (sts, s3 string)
}

// fars are ours, and one that nobody here wrote.
var fars = []far{
	{name: "sandbox", bucket: "invoices", start: func(_ *testing.T, c *cloud) (string, string) {
		return c.URL(sandbox.STS), c.URL(sandbox.S3)
	}},
	{name: "minio", bucket: "from-minio", start: func(t *testing.T, c *cloud) (string, string) {
		t.Helper()
		minio := startMinIO(t, c, audience)
		return minio, minio
	}},
}

func TestAWSClientsListBucketsThroughCredentialProcess(t *testing.T) {
	t.Parallel()
	for _, f := range fars {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			sts, s3 := f.start(t, c)
			for _, profile := range []string{"system", "vm", "app", "cert"} {
				w := newWorkload(t, c, sts)
				if f.name == "minio" {
					makeBucket(t, w.awsProfile(t, profile), s3, f.bucket)
				}
				for _, client := range awsClients {
					t.Run(profile+"/"+client.name, func(t *testing.T) {
						wantListing(t, w.awsProfile(t, profile), client, s3, f.bucket)
					})
				}
			}
		})
	}
}

// wantListing lists the buckets with the CLI and with boto3.
func wantListing(t *testing.T, env environment, client awsClient, s3, bucket string) {
	t.Helper()
	listing := run(t, env, client.cli(t), "--endpoint-url", s3, "s3", "ls").wantSuccess(t)
	if !strings.Contains(listing.stdout, bucket) {
		t.Errorf("aws s3 ls: got %q, want a line with %s", listing.stdout, bucket)
	}
	const script = `
import boto3, sys
s3 = boto3.Session().client("s3", endpoint_url=sys.argv[1])
print(*[b["Name"] for b in s3.list_buckets()["Buckets"]])
`
	listing = run(t, env, client.python(t), "-c", script, s3).wantSuccess(t)
	if !strings.Contains(listing.stdout, bucket) {
		t.Errorf("boto3 list_buckets: got %q, want %s", listing.stdout, bucket)
	}
}

// makeBucket makes a bucket, or finds that it is there.
func makeBucket(t *testing.T, env environment, s3, bucket string) {
	t.Helper()
	const script = `
import boto3, sys
s3 = boto3.Session().client("s3", endpoint_url=sys.argv[1])
try:
    s3.create_bucket(Bucket=sys.argv[2])
except s3.exceptions.BucketAlreadyOwnedByYou:
    pass
`
	run(t, env, installed(t, "PyPI's boto3", "venv/bin/python"), "-c", script, s3, bucket).wantSuccess(t)
}

// TestAWSClientsReadAnObject goes further than a listing of buckets.
func TestAWSClientsReadAnObject(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	w := newWorkload(t, c, c.URL(sandbox.STS))
	for _, client := range awsClients {
		t.Run(client.name, func(t *testing.T) {
			env := w.awsProfile(t, "chain")
			got := run(t, env, client.cli(t), "--endpoint-url", c.URL(sandbox.S3),
				"s3", "cp", "s3://invoices/2026/01.txt", "-").wantSuccess(t)
			if got.stdout != "january" {
				t.Errorf("s3 cp: got %q, want %q", got.stdout, "january")
			}
		})
	}
}

// TestAWSClientsReportARefusal: the twin of the listing, with a role that does
// not trust the workload. The user must find the reason in what the client says.
func TestAWSClientsReportARefusal(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	w := newWorkload(t, c, c.URL(sandbox.STS))
	for _, client := range awsClients {
		t.Run(client.name, func(t *testing.T) {
			got := run(t, w.awsProfile(t, "closed"), client.cli(t), "--endpoint-url", c.URL(sandbox.S3), "s3", "ls")
			if got.code == 0 || !strings.Contains(got.stderr, "AccessDenied") {
				t.Errorf("got exit code %d and stderr %q, want a failure that says AccessDenied", got.code, got.stderr)
			}
		})
	}
}

// TestHelperRunsOnceForManyCalls: botocore runs the helper again as soon as
// less than 15 minutes are left. A session of an hour must not come near that.
func TestHelperRunsOnceForManyCalls(t *testing.T) {
	t.Parallel()
	const script = `
import boto3, sys
s3 = boto3.Session().client("s3", endpoint_url=sys.argv[1])
for _ in range(10):
    s3.list_buckets()
`
	c := newCloud(t)
	for _, client := range awsClients {
		t.Run(client.name, func(t *testing.T) {
			w := newWorkload(t, c, c.URL(sandbox.STS))
			env, calls := countedProfile(t, w, "app")
			run(t, env, client.python(t), "-c", script, c.URL(sandbox.S3)).wantSuccess(t)
			if got := calls(); got != 1 {
				t.Errorf("10 calls ran the helper %d times, want once", got)
			}
		})
	}
}

// countedProfile is awsProfile with a helper that notes each run.
func countedProfile(t *testing.T, w *workload, profile string) (env environment, calls func() int) {
	t.Helper()
	env = w.awsProfile(t, profile)
	dir := t.TempDir()
	journal, helper := filepath.Join(dir, "journal"), filepath.Join(dir, "helper")
	write(t, helper, "#!/bin/sh\necho run >> '"+journal+"'\nexec '"+keyless(t)+"' \"$@\"\n")
	if err := os.Chmod(helper, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config")
	write(t, file, "[profile under-test]\ncredential_process = \""+helper+"\" credential-process "+profile+" --config \""+w.config+"\"\n")
	return env.with(environment{"AWS_CONFIG_FILE": file}), func() int {
		lines, err := os.ReadFile(journal)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(lines), "run\n")
	}
}
