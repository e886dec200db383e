package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// endpoint: the daemon's answers next to a static answer of nginx, and what they are like
// when the far side is out of order.
func endpoint(ctx context.Context, s settings) (section, error) {
	result := section{
		title: "Daemon",
		method: "`keyless serve`, which looks whose connection it is, compares a token and writes an audit record for each answer (to /dev/null), next to an nginx with one worker that returns a fixed answer of the " +
			"same length and logs nothing. 8 clients on connections that they keep, each server in turn; CPU is the kernel's account of the server. Goals compare the two of a round.",
		head: []string{"answer", "CPU µs an answer", "× nginx", "answers"},
	}
	for _, measure := range []func(context.Context, settings, *section) error{cost, sessions, herd, halfOpen, stalled} {
		if err := measure(ctx, s, &result); err != nil {
			return section{}, err
		}
	}
	return result, nil
}

// served is a running daemon.
type served struct {
	*world
	command             *exec.Cmd
	dir                 string
	container, instance string
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// serve starts a daemon over a far side whose clock is off by skew.
func serve(ctx context.Context, s settings, skew time.Duration, fault *sandbox.Fault) (*served, error) {
	w, err := newWorldAt(skew)
	if err != nil {
		return nil, err
	}
	if fault != nil {
		w.SetFault(sandbox.STS, *fault)
	}
	d := &served{world: w, dir: filepath.Join(w.dir, "run")}
	for _, address := range []*string{&d.container, &d.instance} {
		if *address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	config, err := os.ReadFile(w.config)
	if err != nil {
		return nil, err
	}
	config = fmt.Appendf(config, "serve: { listen: %q, directory: %q, imds: [ { listen: %q, profile: vm } ] }\n", d.container, d.dir, d.instance)
	if skew != 0 {
		config = []byte(strings.Replace(string(config), "region: "+region, "duration: 15m, region: "+region, 1))
	}
	if err := os.WriteFile(w.config, config, 0o600); err != nil {
		return nil, err
	}
	d.command = exec.CommandContext(ctx, s.program("keyless"), "serve", "--config", w.config)
	d.command.Env = w.env()
	return d, d.command.Start()
}

// running is a daemon that has something to hand out.
func running(ctx context.Context, s settings, skew time.Duration) (*served, error) {
	d, err := serve(ctx, s, skew, nil)
	if err != nil {
		return nil, err
	}
	if err := d.ready(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *served) close() {
	_ = d.command.Process.Signal(syscall.SIGTERM)
	_ = d.command.Wait()
	d.world.close()
}

// faults counts the requests that met a fault.
func (d *served) faults(hop sandbox.Hop) (n int) {
	for _, e := range d.Log() {
		if e.Hop == hop && e.Op == "fault" {
			n++
		}
	}
	return n
}

// ready waits until there is something to hand out.
func (d *served) ready() error {
	return until(func() bool { return statusOf("http://"+d.container+"/readyz") == 200 })
}

func until(happened func() bool) error {
	for end := time.Now().Add(30 * time.Second); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("it does not begin")
		}
	}
	return nil
}

func statusOf(url string) int {
	answer, err := http.Get(url)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer.StatusCode
}

func (d *served) get(clients int) (load, error) {
	token, err := os.ReadFile(filepath.Join(d.dir, "tokens", "vm"))
	return load{d.container, fmt.Appendf(nil, "GET /v1/credentials/vm HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\nAuthorization: %s\r\n\r\n", d.container, token), clients}, err
}

func (d *served) newSession(clients int) load {
	return load{d.instance, fmt.Appendf(nil, "PUT /latest/api/token HTTP/1.1\r\nHost: %s\r\nX-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\r\n", d.instance), clients}
}

// role asks for the role's credentials in a session.
func (d *served) role(clients int) (load, error) {
	request, err := http.NewRequest(http.MethodPut, "http://"+d.instance+"/latest/api/token", nil)
	if err != nil {
		return load{}, err
	}
	request.Header.Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return load{}, err
	}
	defer func() { _ = answer.Body.Close() }()
	session, err := io.ReadAll(answer.Body)
	return load{d.instance, fmt.Appendf(nil, "GET /latest/meta-data/iam/security-credentials/app HTTP/1.1\r\nHost: %s\r\nX-aws-ec2-metadata-token: %s\r\n\r\n", d.instance, session), clients}, err
}

// nginxHead begins a configuration: one worker, no log of requests, files in the folder that
// is the first argument.
const nginxHead = "user root root; daemon off; master_process off; worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log; events { worker_connections 512; }\n" +
	"http { client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e; access_log off; keepalive_requests 100000000;\n"

// nginx starts one that answers with so many bytes.
func nginx(ctx context.Context, dir string, length int) (address string, command *exec.Cmd, err error) {
	if address, err = freeAddress(); err != nil {
		return "", nil, err
	}
	config := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(nginxHead+"server { listen %[2]s; location / { default_type application/json; return 200 '%[3]s'; } } }\n", dir, address, strings.Repeat("x", length))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return "", nil, err
	}
	command = exec.CommandContext(ctx, "nginx", "-c", config, "-p", dir)
	if err := command.Start(); err != nil {
		return "", nil, err
	}
	return address, command, until(func() bool { return statusOf("http://"+address+"/") == 200 })
}

// answerBytes is how long the body of the daemon's answer is.
const answerBytes = 900

// cost compares the CPU of an answer.
func cost(ctx context.Context, s settings, result *section) error {
	d, err := running(ctx, s, 0)
	if err != nil {
		return err
	}
	defer d.close()
	address, command, err := nginx(ctx, d.dir, answerBytes)
	if err != nil {
		return err
	}
	defer func() { _, _ = command.Process.Signal(syscall.SIGTERM), command.Wait() }()
	container, err := d.get(8)
	if err != nil {
		return err
	}
	role, err := d.role(8)
	if err != nil {
		return err
	}
	static := load{address, fmt.Appendf(nil, "GET / HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\n\r\n", address), 8}
	contestants := []struct {
		name string
		load load
		pid  int
	}{
		{"nginx, fixed", static, command.Process.Pid},
		{"container endpoint", container, d.command.Process.Pid},
		{"IMDSv2, credentials", role, d.command.Process.Pid},
		{"IMDSv2, session", d.newSession(8), d.command.Process.Pid},
	}
	each := make([][]float64, len(contestants))
	answers := make([]int, len(contestants))
	for range s.rounds(9) {
		for i, c := range contestants {
			before := cpuOf(c.pid)
			got, err := c.load.run(time.Duration(float64(time.Second)*min(1, s.scale*10)), 0)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			each[i] = append(each[i], float64((cpuOf(c.pid)-before).Microseconds())/float64(got.answers))
			answers[i] += got.answers
		}
	}
	for i, c := range contestants {
		ratios := make([]float64, len(each[i]))
		for round := range ratios {
			ratios[round] = each[i][round] / each[0][round]
		}
		result.rows = append(result.rows, []string{c.name, number(median(each[i])), number(median(ratios)), strconv.Itoa(answers[i])})
		if i > 0 {
			result.goals = append(result.goals, goal{what: c.name + ": CPU an answer, to nginx", got: median(ratios), limit: 4, unit: "×"})
		}
	}
	return nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// cpuOf is what a process and its children have used, by the kernel's clock ticks.
func cpuOf(pid int) time.Duration {
	total := ticksOf(pid)
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, child := range strings.Fields(string(children)) {
		if number, err := strconv.Atoi(child); err == nil {
			total += ticksOf(number)
		}
	}
	return time.Duration(total) * 10 * time.Millisecond // USER_HZ is 100 on all of Linux's common machines
}

func ticksOf(pid int) (ticks int) {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	for _, field := range fields[11:13] { // utime, stime
		n, _ := strconv.Atoi(field)
		ticks += n
	}
	return ticks
}

// sessions: no number of them takes memory.
func sessions(ctx context.Context, s settings, result *section) error {
	d, err := running(ctx, s, 0)
	if err != nil {
		return err
	}
	defer d.close()
	tokens := max(8, int(450_000*s.scale))
	if _, err := d.newSession(8).run(time.Hour, tokens/10); err != nil {
		return err
	}
	before := residentOf(d.command.Process.Pid)
	if _, err := d.newSession(8).run(time.Hour, tokens); err != nil {
		return err
	}
	grown := float64(residentOf(d.command.Process.Pid)-before) / 1024
	result.goals = append(result.goals, goal{what: fmt.Sprintf("memory that %d IMDS sessions take (resident)", tokens), got: max(0, grown), limit: 2, unit: " MiB"})
	return nil
}

// residentOf is in KiB.
func residentOf(pid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmRSS:" {
			kib, _ := strconv.Atoi(fields[1])
			return kib
		}
	}
	return 0
}

// herd: 200 who ask before anything is there make one request.
func herd(ctx context.Context, s settings, result *section) error {
	d, err := serve(ctx, s, 0, &sandbox.Fault{Delay: 500 * time.Millisecond, Times: 1})
	if err != nil {
		return err
	}
	defer d.close()
	if err := until(func() bool { return statusOf("http://"+d.container+"/healthz") == 200 }); err != nil {
		return err
	}
	cold, err := d.get(1)
	if err != nil {
		return err
	}
	errs := make(chan error)
	for range 200 {
		go func() {
			errs <- until(func() bool { _, err := cold.run(time.Hour, 1); return err == nil })
		}()
	}
	for range 200 {
		err = errors.Join(err, <-errs)
	}
	result.goals = append(result.goals,
		goal{what: "requests to IMDS that 200 cold clients make", got: float64(d.Requests(sandbox.IMDS)), limit: 1},
		goal{what: "requests to STS that 200 cold clients make", got: float64(d.Requests(sandbox.STS)), limit: 1})
	return err
}

// halfOpen: who opens connections and says nothing does not keep others waiting.
func halfOpen(ctx context.Context, s settings, result *section) error {
	d, err := running(ctx, s, 0)
	if err != nil {
		return err
	}
	defer d.close()
	good, err := d.get(1)
	if err != nil {
		return err
	}
	var slowest time.Duration
	for range s.rounds(5) {
		for range 500 {
			connection, err := net.Dial("tcp", d.container)
			if err != nil {
				return err
			}
			defer func() { _ = connection.Close() }()
			if _, err := io.WriteString(connection, "GET /v1/credentials/vm HTTP/1.1\r\nHost: "); err != nil {
				return err
			}
		}
		for range 50 {
			got, err := good.run(time.Hour, 1)
			if err != nil {
				return err
			}
			slowest = max(slowest, got.percentile(1))
		}
	}
	result.goals = append(result.goals, goal{
		what: "slowest of 250 answers, each on a new connection, beside 500 to 2,500 half-open ones (what the SDKs wait)", got: float64(slowest.Microseconds()) / 1000, limit: 500, unit: " ms",
	})
	return nil
}

// stalled: clients do not notice that STS does not answer. The far side's clock is behind,
// so that its sessions of 15 minutes are due after one, and a request hangs while the
// clients ask.
func stalled(ctx context.Context, s settings, result *section) error {
	const clients = 64
	d, err := running(ctx, s, -12*time.Minute-30*time.Second)
	if err != nil {
		return err
	}
	defer d.close()
	began := time.Now()
	ask, err := d.get(clients)
	if err != nil {
		return err
	}
	window := time.Duration(float64(12*time.Second) * min(1, s.scale*5))
	healthy, err := ask.run(window, 0)
	if err != nil {
		return err
	}
	d.SetFault(sandbox.STS, sandbox.Fault{Delay: 30 * time.Second})
	time.Sleep(time.Until(began.Add(70 * time.Second)))
	hanging, err := ask.run(window, 0)
	if err != nil {
		return err
	}
	if faults := d.faults(sandbox.STS); faults < 1 {
		return fmt.Errorf("no request hung at STS: %d requests", d.Requests(sandbox.STS))
	}
	result.rows = append(result.rows,
		[]string{fmt.Sprintf("p99 of %d clients, STS healthy", clients), ms(healthy.percentile(0.99)) + " ms", "", strconv.Itoa(healthy.answers)},
		[]string{fmt.Sprintf("p99 of %d clients, a refresh hanging at STS for 30 s", clients), ms(hanging.percentile(0.99)) + " ms", "", strconv.Itoa(hanging.answers)})
	result.goals = append(result.goals, goal{
		what: "p99 while STS is stalled, to p99 while it is healthy", got: float64(hanging.percentile(0.99)) / float64(healthy.percentile(0.99)), limit: 1.5, unit: "×",
	})
	return nil
}
