package command_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/internal/command"
	"github.com/keyless-id/keyless/internal/wire"
)

// TestMain lets the test binary be the program that is asked.
func TestMain(m *testing.M) {
	switch os.Getenv("PLAY") {
	case "answer":
		os.Stdout.WriteString("answer " + strings.Join(os.Args[1:], " "))
		os.Exit(0)
	case "flood":
		os.Stdout.WriteString(strings.Repeat("x", 2*wire.MaxBody))
		os.Exit(0)
	case "refuse":
		os.Stderr.WriteString("no\nway \x1b[31mout eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.hunter2")
		os.Exit(7)
	case "hang":
		os.Stderr.WriteString("waiting")
		select {}
	}
	os.Exit(m.Run())
}

func self(t *testing.T, play string) command.Command {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return command.Command{Path: path, Args: []string{"a", "b c"}, Set: []string{"PLAY=" + play}, Timeout: time.Minute}
}

func TestTheAnswerIsWhatTheProgramWrites(t *testing.T) {
	out, err := self(t, "answer").Output(t.Context())
	if err != nil || string(out) != "answer a b c" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := self(t, "flood").Output(t.Context()); err != nil || len(out) != wire.MaxBody {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

func TestAFailureKeepsTheComplaint(t *testing.T) {
	_, err := self(t, "refuse").Output(t.Context())
	var failed *command.Error
	if !errors.As(err, &failed) || failed.TooLate || failed.Error() != "exit status 7" {
		t.Fatalf("%v", err)
	}
	if failed.Complaint != "no way [31mout [redacted]" {
		t.Errorf("%q", failed.Complaint)
	}
}

func TestAProgramThatHangsIsEnded(t *testing.T) {
	hang := self(t, "hang")
	hang.Timeout = 500 * time.Millisecond
	_, err := hang.Output(t.Context())
	var failed *command.Error
	if !errors.As(err, &failed) || !failed.TooLate || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := self(t, "hang").Output(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAProgramThatIsNotThere(t *testing.T) {
	_, err := command.Command{Path: "no-such-program-of-keyless", Timeout: time.Second}.Output(t.Context())
	if !command.Missing(err) {
		t.Errorf("%v", err)
	}
	if _, err := self(t, "refuse").Output(t.Context()); command.Missing(err) {
		t.Errorf("%v", err)
	}
}
