package interop_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// A Prometheus that knows of no cloud scrapes itself and writes to keyless on loopback.
// keyless writes to the sandbox, which judges token or signature as the service would, and
// hands on what it takes to a second Prometheus: that one must have every sample.

// prometheus is one at work.
type prometheus struct {
	url     string
	process *os.Process
	log     *lockedBuffer
}

// write is where a Prometheus takes remote writes.
func (p *prometheus) write() string { return p.url + "/api/v1/write" }

// debianPrometheus is the program of most tests.
var debianPrometheus = part("Debian's Prometheus", "debian/prometheus/usr/bin/prometheus")

// startPrometheus starts one with a configuration.
func startPrometheus(t *testing.T, program string, env environment, config string, flags ...string) *prometheus {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	write(t, filepath.Join(dir, "prometheus.yml"), strings.ReplaceAll(config, "ITSELF", address))
	command := exec.Command(program, append([]string{
		"--config.file=" + filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address, "--log.level=info",
	}, flags...)...)
	p := &prometheus{url: "http://" + address, log: &lockedBuffer{}}
	command.Env, command.Stdout, command.Stderr = bareEnvironment(t).with(env).list(), p.log, p.log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p.process = command.Process
	t.Cleanup(func() {
		_, _ = command.Process.Kill(), command.Wait()
		if t.Failed() {
			t.Logf("Prometheus at %s said:\n%s", address, p.log)
		}
	})
	eventually(t, "Prometheus is ready", func() bool { return statusOf(p.url+"/-/ready") == http.StatusOK })
	return p
}

func statusOf(address string) int {
	answer, err := http.Get(address)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// receives takes what comes late, as the managed services do (Amazon's: a minute): a keyless that is killed between
// a write and its answer has the Prometheus before it write the same samples again.
const receives = "global: { scrape_interval: 1h }\nstorage: { tsdb: { out_of_order_time_window: 30m } }\n"

// sends is a Prometheus that scrapes itself each second and writes to an address, batches
// that are not full after a deadline, with more settings for that.
func sends(to, deadline, more string) string {
	return fmt.Sprintf(`global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs:
  - { job_name: self, static_configs: [ { targets: [ ITSELF ] } ] }
remote_write:
  - { url: %q, queue_config: { batch_send_deadline: %s, max_backoff: 1s }, %s }
`, to, deadline, more)
}

// samples are all that a Prometheus has of the job, by series, until a time; of one
// metric or, if it is empty, of all.
func (p *prometheus) samples(t *testing.T, until time.Time, metric string) map[string][]string {
	t.Helper()
	query := url.Values{"query": {metric + `{job="self"}[1h]`}, "time": {fmt.Sprintf("%.3f", float64(until.UnixMilli())/1000)}}
	var result struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values []point
			}
		}
	}
	readJSON(t, p.url+"/api/v1/query?"+query.Encode(), &result)
	all := map[string][]string{}
	for _, series := range result.Data.Result {
		all[nameOf(series.Metric)] = written(series.Values, 1)
	}
	return all
}

// booked are the samples that a receiver of the sandbox took, in the same form.
func booked(t *testing.T, receiver, metric string) map[string][]string {
	t.Helper()
	var books []struct {
		Labels  map[string]string
		Samples []point
	}
	readJSON(t, receiver+"/sandbox/series/"+metric, &books)
	all := map[string][]string{}
	for _, series := range books {
		all[nameOf(series.Labels)] = written(series.Samples, 1000)
	}
	return all
}

func readJSON(t *testing.T, address string, into any) {
	t.Helper()
	body := read(t, address)
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("%v: %.300s", err, body)
	}
}

func read(t *testing.T, address string) string {
	t.Helper()
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func nameOf(labels map[string]string) string {
	name, _ := json.Marshal(labels) // whose keys are sorted
	return string(name)
}

// point is a sample: its time, and its value as a string.
type point struct {
	time  float64
	value string
}

func (p *point) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[2]any{&p.time, &p.value})
}

// written writes all samples the same way, which their sources do not for large numbers.
func written(points []point, perSecond float64) []string {
	var all []string
	for _, p := range points {
		value, _ := strconv.ParseFloat(p.value, 64) // one that cannot be read is missed at the other end
		all = append(all, fmt.Sprintf("%.3f %g", p.time/perSecond, value))
	}
	return all
}

// gaveUp is how many samples a Prometheus tried to send and will not try again.
func (p *prometheus) gaveUp(t *testing.T) int {
	t.Helper()
	total := 0.0
	for line := range strings.Lines(read(t, p.url+"/metrics")) {
		if strings.HasPrefix(line, "prometheus_remote_storage_samples_failed_total{") {
			fields := strings.Fields(line)
			n, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				t.Fatal(err)
			}
			total += n
		}
	}
	return int(total)
}

// compare says how many samples one has, and how many of them the other has not.
func compare(have, want map[string][]string) (all, lost int) {
	for series, samples := range want {
		for _, sample := range samples {
			all++
			if _, found := slices.BinarySearch(have[series], sample); !found && !slices.Contains(have[series], sample) {
				lost++
			}
		}
	}
	return all, lost
}

// shipment is both Prometheus with everything between them.
type shipment struct {
	*sandbox.Sandbox
	kind     sandbox.HostKind // of what keyless runs on
	from, to *prometheus      // to is nil where the sandbox's own books tell what arrived
	keyless  *agent
	began    time.Time
}

// agent is a keyless that is started anew as often as a test likes.
type agent struct {
	command []string
	env     environment
	url     string
	log     *lockedBuffer
	process *exec.Cmd
}

func (a *agent) start(t *testing.T) {
	t.Helper()
	a.process = exec.Command(a.command[0], a.command[1:]...)
	a.process.Env, a.process.Stdout, a.process.Stderr = a.env.list(), io.Discard, a.log
	if err := a.process.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "keyless answers", func() bool { return statusOf(a.url+"/healthz") == http.StatusOK })
}

// kill leaves it no time to say farewell.
func (a *agent) kill() {
	_, _ = a.process.Process.Kill(), a.process.Wait()
}

// ship starts everything but the Prometheus that scrapes.
func ship(t *testing.T, kind sandbox.HostKind, route string) *shipment {
	t.Helper()
	s := &shipment{to: startPrometheus(t, debianPrometheus(t), nil, receives, "--web.enable-remote-write-receiver"), kind: kind}
	s.listen(t, sandbox.Options{ArcTokenDir: arcTokens, Forward: s.to.write()})
	s.keyless = s.agent(t, route)
	s.keyless.start(t)
	return s
}

// listen starts the sandbox.
func (s *shipment) listen(t *testing.T, options sandbox.Options) {
	t.Helper()
	var err error
	if s.Sandbox, err = sandbox.New(sandbox.Demo(), options); err != nil {
		t.Fatal(err)
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
}

// host is what the machine tells programs on it.
func (s *shipment) host(t *testing.T, dir string) environment {
	t.Helper()
	variables, err := s.HostEnv(s.kind, dir)
	if err != nil {
		t.Fatal(err)
	}
	return environmentOf(variables)
}

func environmentOf(variables []string) environment {
	env := environment{}
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		env[name] = value
	}
	return env
}

// arrived are the samples of the job at the other end until a time, as of samples.
func (s *shipment) arrived(t *testing.T, until time.Time, metric string) map[string][]string {
	t.Helper()
	if s.to == nil {
		return booked(t, s.URL(sandbox.Workspace), metric)
	}
	return s.to.samples(t, until, metric)
}

// agent is keyless with one route, in which WORKSPACE and AMP stand for the receivers.
func (s *shipment) agent(t *testing.T, route string) *agent {
	t.Helper()
	address, dir := freeAddress(t), t.TempDir()
	config := filepath.Join(dir, "keyless.yaml")
	route = strings.NewReplacer("WORKSPACE", s.workspace(), "AMP", s.URL(sandbox.AMP)+"/workspaces/"+sandbox.DemoWorkspaceID+"/api/v1/remote_write", "DCE", s.dce()).Replace(route)
	write(t, config, fmt.Sprintf(`profiles:
  monitor: { source: { auto: {} }, scope: "https://monitor.azure.com/.default" }
  amp: { source: { auto: {} }, audience: %q, aws: { role_arn: %q, region: us-east-1 } }
serve:
  listen: none
  directory: %s/run
  profiles: [ amp ]
  proxy: [ { listen: %q, routes: [ %s ] } ]
`, sandbox.DemoAudience, sandbox.DemoRoleARN, dir, address, route))
	env := bareEnvironment(t).with(environment{"KEYLESS_CACHE_DIR": filepath.Join(dir, "cache")}).with(environmentOf(s.Env())).with(s.host(t, dir))
	a := &agent{command: []string{keyless(t), "serve", "--config", config}, env: env, url: "http://" + address, log: &lockedBuffer{}}
	t.Cleanup(func() {
		a.kill()
		if t.Failed() {
			t.Logf("keyless said:\n%s", a.log)
		}
	})
	return a
}

func (s *shipment) workspace() string {
	return s.URL(sandbox.Workspace) + "/dataCollectionRules/" + sandbox.DemoMetricsRuleID + "/streams/" + sandbox.MetricsStream + "/api/v1/write?api-version=2023-04-24"
}

func (s *shipment) dce() string {
	return s.URL(sandbox.DCE) + "/dataCollectionRules/" + sandbox.DemoRuleID + "/streams/" + sandbox.DemoStream + "?api-version=2023-01-01"
}

// scrape starts the Prometheus that has something to send.
func (s *shipment) scrape(t *testing.T) {
	t.Helper()
	s.from, s.began = startPrometheus(t, debianPrometheus(t), nil, sends(s.keyless.url+"/api/v1/write", "3s", "")), time.Now() // a batch spans several scrapes
}

// flows waits until samples arrive that were scraped after now.
func (s *shipment) flows(t *testing.T) {
	t.Helper()
	since := time.Now().Unix()
	eventually(t, "samples arrive", func() bool {
		for _, values := range s.arrived(t, time.Now(), "up") {
			if at, err := strconv.ParseFloat(strings.Fields(values[len(values)-1])[0], 64); err == nil && int64(at) > since {
				return true
			}
		}
		return false
	})
}

// allArrived wants every sample that was scraped until now at the other end.
func (s *shipment) allArrived(t *testing.T, atLeast int) {
	t.Helper()
	until := time.Now()
	var all, lost int
	eventually(t, "every sample arrives", func() bool {
		all, lost = compare(s.arrived(t, until, ""), s.from.samples(t, until, ""))
		return lost == 0
	})
	if all < atLeast {
		t.Errorf("only %d samples in %s: the test says little", all, time.Since(s.began))
	}
	t.Logf("%d samples in %s, all arrived", all, time.Since(s.began).Round(time.Second))
	if n := s.from.gaveUp(t); n != 0 || strings.Contains(s.from.log.String(), "non-recoverable error") {
		t.Errorf("Prometheus gave %d samples up:\n%s", n, s.from.log)
	}
	if series := s.Series("up"); len(series) != 1 || series[0].OutOfOrder != 0 {
		t.Errorf("%+v", series)
	}
}

const (
	toWorkspace = `{ path: /api/v1/write, upstream: "WORKSPACE", profile: monitor }`
	toAMP       = `{ path: /api/v1/write, upstream: "AMP", profile: amp, sigv4: { service: aps, region: us-east-1 } }`
)

// badWeather is all that a proxy is there to hide from a Prometheus.
func (s *shipment) badWeather(t *testing.T, hop sandbox.Hop) {
	t.Helper()
	for _, fault := range weather {
		s.meets(t, hop, fault)
	}
	s.keyless.kill()
	time.Sleep(3 * time.Second) // of scrapes that cannot be sent
	s.SetFault(hop, sandbox.Fault{Truncate: true, Times: 1})
	s.keyless.start(t) // and loses the answer to the first write: it comes once more
	s.flows(t)
}

// weather is what a far side does for two seconds each.
var weather = []sandbox.Fault{{Status: 403}, {Status: 429, RetryAfter: time.Second}, {Status: 408}, {Status: 500}, {Status: 401}, {Reset: true}}

// meets waits until a fault was met and is over.
func (s *shipment) meets(t *testing.T, hop sandbox.Hop, fault sandbox.Fault) {
	t.Helper()
	fault.For = 2 * time.Second
	before := s.Requests(hop)
	s.SetFault(hop, fault)
	eventually(t, "the fault is met", func() bool { return s.Requests(hop) > before })
	s.flows(t)
}

// withoutToken is a keyless that has begun while no token was to be had.
func withoutToken(t *testing.T) *shipment {
	t.Helper()
	s := ship(t, sandbox.HostVM, toWorkspace)
	s.keyless.kill()
	s.SetFault(sandbox.IMDS, sandbox.Fault{Status: 500})
	if err := os.RemoveAll(s.keyless.env["KEYLESS_CACHE_DIR"]); err != nil {
		t.Fatal(err)
	}
	s.keyless.start(t)
	return s
}

func TestPrometheusWritesToAzureMonitorThroughThickAndThin(t *testing.T) {
	s := withoutToken(t)
	s.scrape(t)
	eventually(t, "Prometheus is told to wait", func() bool { return strings.Contains(s.from.log.String(), "503") })
	s.ClearFaults()
	s.flows(t)
	s.badWeather(t, sandbox.Workspace)
	s.allArrived(t, 5000)
}

func TestPrometheusWritesToAmazonThroughThickAndThin(t *testing.T) {
	s := ship(t, sandbox.HostVM, toAMP)
	s.scrape(t)
	s.flows(t)
	s.badWeather(t, sandbox.AMP)
	s.allArrived(t, 5000)
}

// On a server that Azure Arc connects the agent's folder of keys must be the true one.
func TestPrometheusWritesToAzureMonitorFromArc(t *testing.T) {
	if !withArcTokens(t) {
		return
	}
	s := ship(t, sandbox.HostArc, toWorkspace)
	s.scrape(t)
	s.flows(t)
	s.badWeather(t, sandbox.Workspace)
	s.allArrived(t, 5000)
	if s.Requests(sandbox.Arc) == 0 || s.Requests(sandbox.IMDS) != 0 {
		t.Errorf("the agent was asked %d times, the instance metadata service %d times", s.Requests(sandbox.Arc), s.Requests(sandbox.IMDS))
	}
}

// longOutage is what the WAL of a Prometheus must bridge in the tests of the slow tier.
const longOutage = 10 * time.Minute

// The outage goes on beside the tests that follow: only what comes after it waits.
func TestPrometheusOutlivesTenMinutesWithoutAToken(t *testing.T) {
	if os.Getenv("INTEROP_SLOW") == "" {
		t.Skip("it takes ten minutes; make test-all runs it")
	}
	s := withoutToken(t)
	s.scrape(t)
	t.Parallel()
	time.Sleep(time.Until(s.began.Add(longOutage)))
	if n := s.Samples("up"); n != 0 {
		t.Fatalf("%d samples arrived without a token", n)
	}
	s.ClearFaults()
	s.flows(t)
	s.allArrived(t, 100_000)
}

// The deny twin: an identity without the role is refused for as long as the route waits,
// then Prometheus hears of it, and nothing arrives.
func TestPrometheusHearsOfARefusalThatStays(t *testing.T) {
	s := ship(t, sandbox.HostVM, `{ path: /api/v1/write, upstream: "WORKSPACE", profile: monitor, forbidden_for: 3s }`)
	s.SetFault(sandbox.Workspace, sandbox.Fault{Status: 403})
	s.scrape(t)
	eventually(t, "it is told to wait", func() bool { return strings.Contains(s.from.log.String(), "503") })
	eventually(t, "it is refused", func() bool { return strings.Contains(s.from.log.String(), "server returned HTTP status 403") })
	if n := s.Samples("up"); n != 0 {
		t.Errorf("%d samples arrived", n)
	}
	if !strings.Contains(s.keyless.log.String(), "403") {
		t.Errorf("keyless says nothing of it:\n%s", s.keyless.log)
	}
}
