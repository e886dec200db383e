package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/keyless-id/keyless/sandbox"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"keyless": main})
}

// TestScripts runs testdata/script/*.txtar, each a story with a sandbox of its own.
// $SANDBOX is the sandbox's folder; the environment leads to it and to nothing else.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: setUp,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":       exits,
			"requests":    requests,
			"atleast":     atLeast,
			"appears":     appears,
			"succeeds":    succeeds,
			"fault":       fault,
			"mend":        mend,
			"parallel":    parallel,
			"replace":     replace,
			"nosecret":    noSecret,
			"certificate": writeCertificate,
			"proxy":       proxy,
		},
		Condition: condition,
	})
}

type groundKey struct{}

func setUp(env *testscript.Env) error {
	g, err := newPlayground(filepath.Join(env.WorkDir, ".sandbox"))
	if err != nil {
		return err
	}
	env.Defer(func() { _ = g.remove() })
	env.Values[groundKey{}] = g
	env.Vars = append(env.Vars, g.env...)
	env.Vars = append(env.Vars, "SANDBOX="+g.dir, "IMDS="+g.URL(sandbox.IMDS), "ENTRA="+g.URL(sandbox.Entra), "STS="+g.URL(sandbox.STS), "GRAPH="+g.URL(sandbox.Graph), "ARM="+g.URL(sandbox.ARM),
		"AUDIENCE="+sandbox.DemoAudience, "ROLE="+sandbox.DemoRoleARN, "OTHER_ROLE="+sandbox.DemoOtherARN,
		"TENANT="+sandbox.DemoTenantID, "APP="+sandbox.DemoAppClientID, "SECRET="+sandbox.DemoAppSecret,
		"VM="+sandbox.DemoVMResourceID, "ASSIGNED="+sandbox.DemoAssignedClientID, "ORGANIZATION="+sandbox.DemoOrganizationID, "CONNECTION="+sandbox.DemoConnectionID, "OLD_CONNECTION="+sandbox.DemoOldConnectionID, "CONNECTION_PATH="+sandbox.DemoOrganization+"/demo/aws-old", "VM_ID="+sandbox.DemoVMObjectID, "ASSIGNED_ID="+sandbox.DemoAssignedObjectID, "ASSIGNED_RESOURCE="+sandbox.DemoAssignedResourceID, "CLUSTER="+sandbox.DemoClusterIssuer, "APP_ID="+sandbox.DemoAppObjectID,
		"ADMIN="+sandbox.DemoAdminClientID, "ADMIN_SECRET="+sandbox.DemoAdminAppSecret, "ADMIN_KEY="+sandbox.DemoAdminKeyID, "ADMIN_KEY_SECRET="+sandbox.DemoAdminSecret)
	return nil
}

func ground(ts *testscript.TestScript) *playground {
	return ts.Value(groundKey{}).(*playground) //nolint:forcetypeassert // setUp put it there
}

// exits CODE COMMAND…: the command must end with that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		got = exited.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// requests HOP N: the far side has seen N requests.
func requests(ts *testscript.TestScript, _ bool, args []string) {
	if got := fmt.Sprint(ground(ts).Requests(sandbox.Hop(args[0]))); got != args[1] {
		ts.Fatalf("%s has seen %s requests, want %s", args[0], got, args[1])
	}
}

// atleast HOP N: the far side is going to have seen N requests.
func atLeast(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	soon(ts, "requests to "+args[0], func() bool { return ground(ts).Requests(sandbox.Hop(args[0])) >= want })
}

// appears FILE…: what a command in the background makes is going to be there.
func appears(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args {
		soon(ts, file, func() bool {
			_, err := os.Stat(ts.MkAbs(file))
			return err == nil
		})
	}
}

// succeeds COMMAND…: it is going to succeed, and what it said then is what is looked at.
func succeeds(ts *testscript.TestScript, _ bool, args []string) {
	soon(ts, strings.Join(args, " "), func() bool { return ts.Exec(args[0], args[1:]...) == nil })
}

// soon waits for what is about to happen.
func soon(ts *testscript.TestScript, what string, happened func() bool) {
	for end := time.Now().Add(30 * time.Second); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("%s: it does not come", what)
		}
	}
}

// fault SPEC: as sandbox --fault.
func fault(ts *testscript.TestScript, _ bool, args []string) { ts.Check(ground(ts).breakHop(args[0])) }

// mend ends all faults.
func mend(ts *testscript.TestScript, _ bool, _ []string) { ground(ts).ClearFaults() }

// parallel N COMMAND…: all must succeed and print the same.
func parallel(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	outputs := make([]bytes.Buffer, n)
	var failed sync.Map
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			command := exec.CommandContext(ctx, args[1], args[2:]...)
			command.Env = scriptEnv(ts)
			command.Dir = ts.MkAbs(".")
			command.Stdout, command.Stderr = &outputs[i], &outputs[i]
			if err := command.Run(); err != nil {
				failed.Store(i, err)
			}
		})
	}
	wg.Wait()
	failed.Range(func(i, err any) bool {
		ts.Fatalf("run %v: %v\n%s", i, err, outputs[i.(int)].String()) //nolint:forcetypeassert // stored above
		return false
	})
	for i := range n {
		if !bytes.Equal(outputs[i].Bytes(), outputs[0].Bytes()) {
			ts.Fatalf("run %d printed something else", i)
		}
	}
}

// scriptEnv is the script's environment for a command that testscript does not start.
func scriptEnv(ts *testscript.TestScript) []string {
	names := []string{"PATH", "HOME", "TMPDIR"}
	for _, variable := range ground(ts).env {
		name, _, _ := strings.Cut(variable, "=")
		names = append(names, name)
	}
	env := make([]string, len(names))
	for i, name := range names {
		env[i] = name + "=" + ts.Getenv(name)
	}
	return env
}

// replace FILE OLD NEW: in a file, with variables expanded.
func replace(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	if !strings.Contains(string(data), args[1]) {
		ts.Fatalf("%s does not contain %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(path, []byte(strings.ReplaceAll(string(data), args[1], args[2])), 0o600))
}

// nosecret: the last command's stderr holds no secret value that the far sides know.
func noSecret(ts *testscript.TestScript, _ bool, _ []string) {
	text := ts.ReadFile("stderr")
	for _, secret := range []string{sandbox.DemoAppSecret, "eyJ", "PRIVATE KEY", "IQoJ"} {
		if strings.Contains(text, secret) {
			ts.Fatalf("stderr shows %q:\n%s", secret, text)
		}
	}
}

// certificate FILE LIFE: a certificate with its key that Entra does not know, which
// ends after LIFE.
func writeCertificate(ts *testscript.TestScript, _ bool, args []string) {
	life, err := time.ParseDuration(args[1])
	ts.Check(err)
	file, _, err := newCertificate(time.Now().Add(life))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), file, 0o600))
}

// condition knows [namespaces]: a user may mount in a namespace of its own. Where CI
// runs it must be so.
func condition(name string) (bool, error) {
	if name != "namespaces" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	err := exec.CommandContext(context.Background(), "unshare", "-rmn", "true").Run()
	if err != nil && os.Getenv("CI") == "true" {
		return false, fmt.Errorf("unshare -rmn: %w", err)
	}
	return err == nil, nil
}
