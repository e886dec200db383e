package e2e_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// missing skips the test for want of a part that make test-all installs. There every part
// must be there.
func missing(t *testing.T, part, why string) {
	t.Helper()
	if os.Getenv("INTEROP_SLOW") != "" {
		t.Fatalf("%s is missing: %s", part, why)
	}
	t.Skipf("%s is missing: %s", part, why)
}

// process is a program that can be killed and started again.
type process struct {
	name    string
	program string
	args    []string
	env     []string
	dir     string

	mu      sync.Mutex
	output  bytes.Buffer
	command *exec.Cmd
}

// Write keeps the output; of all starts together.
func (p *process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(text)
}

func (p *process) start(t *testing.T) {
	t.Helper()
	p.command = exec.Command(p.program, p.args...)
	p.command.Env, p.command.Dir, p.command.Stdout, p.command.Stderr = p.env, p.dir, p, p
	if err := p.command.Start(); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// kill gives the program no time for anything.
func (p *process) kill() { p.end(syscall.SIGKILL) }

// stop asks it to end, as an update of a pod does.
func (p *process) stop() { p.end(syscall.SIGTERM) }

func (p *process) end(signal syscall.Signal) {
	if p.command == nil {
		return
	}
	_ = p.command.Process.Signal(signal)
	_ = p.command.Wait()
	p.command = nil
}

// supervised starts the program and sees to its end.
func (p *process) supervised(t *testing.T) *process {
	t.Helper()
	p.start(t)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			t.Logf("%s said at the end:\n%s", p.name, tail(p.output.Bytes(), 4000))
		}
	})
	return p
}

func tail(text []byte, n int) []byte { return text[max(0, len(text)-n):] }

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// eventually looks ten times a second whether something is so.
func eventually(t *testing.T, within time.Duration, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("after %v still not so: %s", within, what)
		}
	}
}

// broker is a Kafka of one node, which is its own controller.
type broker struct {
	*process
	address string
}

// plaintext is a broker that asks nobody who he is.
const plaintext = "listener.security.protocol.map=CONTROLLER:PLAINTEXT,CLIENTS:PLAINTEXT\n"

// startBroker runs the broker that scripts/parts.sh installs.
func startBroker(t *testing.T, more string) *broker {
	t.Helper()
	jars, err := filepath.Abs(filepath.Join("..", "..", "..", ".tools", "kafka"))
	must(t, err)
	if found, _ := filepath.Glob(filepath.Join(jars, "kafka_*.jar")); len(found) != 1 {
		missing(t, "Kafka", jars+": scripts/parts.sh kafka")
	}
	java, err := exec.LookPath("java")
	if err != nil {
		missing(t, "Java", err.Error())
	}
	dir, address, controller := t.TempDir(), freeAddress(t), freeAddress(t)
	properties := write(t, filepath.Join(dir, "server.properties"), fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[2]s
listeners=CLIENTS://%[1]s,CONTROLLER://%[2]s
advertised.listeners=CLIENTS://%[1]s
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENTS
log.dirs=%[3]s/data
num.partitions=6
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
`, address, controller, dir)+more)
	run := func(main string, more ...string) *process {
		args := append([]string{"-Xmx384m", "-XX:+UseSerialGC", "-cp", filepath.Join(jars, "*"), main}, more...)
		return &process{name: "kafka", program: java, args: args, env: []string{"PATH=/usr/bin:/bin"}, dir: dir}
	}
	format := run("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAQACAAAAAAAAAAA", "-c", properties)
	format.start(t)
	if err := format.command.Wait(); err != nil {
		t.Fatalf("kafka's storage: %v\n%s", err, format.output.Bytes())
	}
	return &broker{run("kafka.Kafka", properties).supervised(t), address}
}
