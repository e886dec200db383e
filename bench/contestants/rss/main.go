// Command rss runs a command and writes its peak resident memory, in KiB, to
// stderr. A child's peak begins with that of the process that forked it, so the
// parent must be small.
package main

import (
	"os"
	"strconv"
	"syscall"
)

func main() {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		os.Exit(1)
	}
	child, err := os.StartProcess(os.Args[1], os.Args[1:], &os.ProcAttr{Files: []*os.File{null, null, null}})
	if err != nil {
		os.Exit(1)
	}
	state, err := child.Wait()
	if err != nil || !state.Success() {
		os.Exit(1)
	}
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		os.Exit(1)
	}
	_, _ = os.Stderr.WriteString(strconv.FormatInt(usage.Maxrss, 10) + "\n")
}
