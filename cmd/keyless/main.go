// Command keyless trades the identity that a workload already has for short-lived
// credentials of another cloud, and hands them to programs that know nothing of it.
package main

import (
	"context"
	"io"
	"os"
	"strings"

	_ "github.com/keyless-id/keyless/internal/warm" // answers from the cache before main starts
)

//go:generate go test -run ^TestReferenceIsCurrent$ . -update

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program. Nothing below it reads the environment or exits.
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{args: args, environ: environ, stdin: stdin, stdout: stdout, stderr: stderr}
	root := newRoot(p)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		return p.fail(ctx, err)
	}
	return exitOK
}

// program is what a subcommand may touch of the world.
type program struct {
	args    []string
	environ []string
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	oneLine bool // errors are one line: an SDK may be reading them
}

// getenv returns a variable of the program's environment, or "".
func (p *program) getenv(name string) string {
	value := ""
	for _, variable := range p.environ {
		if found, ok := strings.CutPrefix(variable, name+"="); ok {
			value = found
		}
	}
	return value
}
