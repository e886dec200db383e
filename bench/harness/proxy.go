package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sizes are the bodies that agents send: a few samples, a batch, and the most that the Logs
// Ingestion API takes.
var sizes = []struct {
	name  string
	bytes int
}{{"1 KB", 1 << 10}, {"100 KB", 100 << 10}, {"1 MB", 1 << 20}}

// proxies: what adding a token, or a signature, costs on the way to an upstream over TLS.
func proxies(ctx context.Context, s settings) (section, error) {
	result := section{
		title: "Proxies",
		method: "POST to a proxy on loopback that adds a token of 1.5 KB, or signs, and sends the request on over TLS to an upstream that reads it and answers 204. 8 clients on connections that they keep, each proxy in turn; " +
			"CPU is the kernel's account of the proxy alone. `sidecar` and `sigv4` do step by step what aad-auth-proxy and aws-sigv4-proxy do, with the libraries that they use, over HTTP/2, which they find by themselves; the sidecar's spans and counts go nowhere and its log to /dev/null. " +
			"The upstream needs the same core: compare CPU, not requests. Goals compare the two of a round.",
		head: []string{"proxy", "1 KB: CPU µs", "100 KB: CPU µs", "1 MB: CPU µs", "requests"},
	}
	b, err := newBay(ctx, s)
	if err != nil {
		return section{}, err
	}
	defer b.close()
	for _, measure := range []func(settings, *section) error{b.costs, b.crowd, b.allocations} {
		if err := measure(s, &result); err != nil {
			return section{}, err
		}
	}
	return result, b.roundTrippers(ctx, s, &result)
}

// bay is the upstream with all the proxies before it.
type bay struct {
	*served
	bin      string
	sink     string // host:port, TLS
	plain    string // the same without
	cert     string
	commands []*exec.Cmd
	docks    []dock
}

// dock is a proxy that is measured.
type dock struct {
	name, address, path string
	pid                 int
}

// newBay starts everything: the upstream, the proxies, and keyless with a route for each
// kind of credential.
func newBay(ctx context.Context, s settings) (*bay, error) {
	b := &bay{bin: s.program("proxies")}
	w, err := newWorld()
	if err != nil {
		return nil, err
	}
	b.served = &served{world: w, dir: filepath.Join(w.dir, "run")}
	for _, address := range []*string{&b.sink, &b.plain} {
		if *address, err = freeAddress(); err != nil {
			return b, err
		}
	}
	if b.cert, err = certificate(w.dir); err != nil {
		return b, err
	}
	if _, err = b.start(ctx, b.bin, "sink", "-listen", b.sink, "-plain", b.plain, "-cert", b.cert, "-key", b.cert); err != nil {
		return b, err
	}
	if err := b.openKeyless(ctx, s); err != nil {
		return b, err
	}
	return b, b.openOthers(ctx)
}

func (b *bay) start(ctx context.Context, program string, args ...string) (int, error) {
	command := exec.CommandContext(ctx, program, args...)
	command.Env = b.env() // and its log goes nowhere
	if err := command.Start(); err != nil {
		return 0, err
	}
	b.commands = append(b.commands, command)
	return command.Process.Pid, nil
}

func (b *bay) close() {
	for _, command := range b.commands {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
	}
	b.world.close()
}

// openKeyless starts the daemon with two routes.
func (b *bay) openKeyless(ctx context.Context, s settings) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	config, err := os.ReadFile(b.config)
	if err != nil {
		return err
	}
	config = fmt.Appendf(config, `serve:
  listen: none
  directory: %[1]q
  proxy:
    - listen: %[2]q
      routes:
        - { path: /token, upstream: "https://%[3]s/token", profile: vm, ca_file: %[4]q }
        - { path: /sign, upstream: "https://%[3]s/sign", profile: vm, ca_file: %[4]q, sigv4: { service: aps, region: eu-west-1 } }
`, b.dir, address, b.sink, b.cert)
	if err := os.WriteFile(b.config, config, 0o600); err != nil {
		return err
	}
	pid, err := b.start(ctx, s.program("keyless"), "serve", "--config", b.config)
	if err != nil {
		return err
	}
	b.docks = append(b.docks, dock{"keyless, token", address, "/token", pid}, dock{"keyless, signature", address, "/sign", pid})
	return until(func() bool { return statusOf("http://"+address+"/readyz") == 200 })
}

func (b *bay) openOthers(ctx context.Context) error {
	for _, name := range []string{"default", "tuned", "sidecar", "sigv4"} {
		address, err := freeAddress()
		if err != nil {
			return err
		}
		pid, err := b.start(ctx, b.bin, name, "-listen", address, "-upstream", b.sink, "-ca", b.cert)
		if err != nil {
			return err
		}
		b.docks = append(b.docks, dock{name, address, "/", pid})
	}
	address, pid, err := b.nginx(ctx)
	if err != nil {
		return err
	}
	b.docks = append(b.docks, dock{"nginx", address, "/", pid})
	for _, d := range b.docks {
		if err := until(func() bool { c, err := net.Dial("tcp", d.address); _ = closed(c); return err == nil }); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return nil
}

func closed(c net.Conn) error {
	if c == nil {
		return nil
	}
	return c.Close()
}

// nginx adds a fixed header.
func (b *bay) nginx(ctx context.Context) (string, int, error) {
	address, err := freeAddress()
	if err != nil {
		return "", 0, err
	}
	file := filepath.Join(b.world.dir, "nginx.conf")
	text := fmt.Sprintf(nginxHead+`upstream sink { server %[2]s; keepalive 512; keepalive_requests 100000000; }
server { listen %[3]s; client_max_body_size 8m; client_body_buffer_size 2m; location / {
proxy_pass https://sink; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Authorization "Bearer %[4]s"; } } }
`, b.world.dir, b.sink, address, strings.Repeat("x", 1500))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", 0, err
	}
	pid, err := b.start(ctx, "nginx", "-c", file, "-p", b.world.dir)
	return address, pid, err
}

// post is the load of a proxy.
func (d dock) post(size, clients int) load {
	head := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\nUser-Agent: Prometheus/3\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\nContent-Length: %d\r\n\r\n", d.path, d.address, size)
	return load{d.address, append(head, bytes.Repeat([]byte{'x'}, size)...), clients}
}

// costs measures each proxy with each size in turn.
func (b *bay) costs(s settings, result *section) error {
	each := make([][][]float64, len(b.docks)) // by dock, size, round
	answers := make([]int, len(b.docks))
	for i := range each {
		each[i] = make([][]float64, len(sizes))
	}
	span := time.Duration(float64(time.Second) * min(1, s.scale*10))
	for range s.rounds(7) {
		for size := range sizes {
			for i, d := range b.docks {
				before := cpuOf(d.pid)
				got, err := d.post(sizes[size].bytes, 8).run(span, 0)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", d.name, sizes[size].name, err)
				}
				each[i][size] = append(each[i][size], float64((cpuOf(d.pid)-before).Microseconds())/float64(got.answers))
				answers[i] += got.answers
			}
		}
	}
	for i, d := range b.docks {
		row := []string{d.name}
		for size := range sizes {
			row = append(row, number(median(each[i][size])))
		}
		result.rows = append(result.rows, append(row, strconv.Itoa(answers[i])))
	}
	result.goals = append(result.goals, b.ratios(each)...)
	return nil
}

// ratios are the goals, round by round.
func (b *bay) ratios(each [][][]float64) []goal {
	var goals []goal
	for _, g := range []struct {
		ours, theirs, what string
		limits             [3]float64
	}{
		{"keyless, token", "tuned", "a tuned ReverseProxy", [3]float64{1.1, 1.1, 1.1}},
		{"keyless, token", "sidecar", "the sidecar over HTTP/2", [3]float64{0.5, 0.8, 0.65}},
		{"keyless, signature", "sigv4", "aws-sigv4-proxy's way", [3]float64{0.65, 0.45, 0.45}},
	} {
		ours, theirs := each[b.index(g.ours)], each[b.index(g.theirs)]
		for size := range sizes {
			ratios := make([]float64, len(ours[size]))
			for round := range ratios {
				ratios[round] = ours[size][round] / theirs[size][round]
			}
			goals = append(goals, goal{what: fmt.Sprintf("%s, %s: CPU a request, to %s", g.ours, sizes[size].name, g.what), got: median(ratios), limit: g.limits[size], unit: "×"})
		}
	}
	return goals
}

func (b *bay) index(name string) int {
	for i, d := range b.docks {
		if d.name == name {
			return i
		}
	}
	return 0
}

// crowd: a thousand connections cost what they cost once, however much they send. What is
// resident goes up and down with the collector: peaks are compared.
func (b *bay) crowd(s settings, result *section) error {
	clients := max(8, int(1000*min(1, s.scale*10)))
	before, answers, err := b.docks[0].peak(s, clients)
	if err != nil {
		return err
	}
	after, _, err := b.docks[0].peak(s, clients)
	if err != nil {
		return err
	}
	result.goals = append(result.goals, goal{
		what: fmt.Sprintf("memory that %d requests of 100 KB on %d connections take, after as many before (resident, at its peak)", answers, clients), got: max(0, float64(after-before)/1024), limit: 8, unit: " MiB",
	})
	return nil
}

// peak is the most that is resident, in KiB, while the clients send.
func (d dock) peak(s settings, clients int) (most, answers int, err error) {
	for range 10 {
		got, err := d.post(100<<10, clients).run(time.Hour, max(1, int(5*s.scale))*clients)
		if err != nil {
			return 0, 0, err
		}
		most, answers = max(most, residentOf(d.pid)), answers+got.answers
	}
	return most, answers, nil
}

// allocated is a result of the proxy's own benchmark, in which the upstream's memory is
// counted too.
var allocated = regexp.MustCompile(`(?m)^BenchmarkProxy/(bearer|sigv4)/\S+\s.*\s(\d+) B/op`)

// allocations: no body is so long that it takes more.
func (b *bay) allocations(s settings, result *section) error {
	count := max(10, int(1000*s.scale))
	cmd := exec.Command("go", "test", "-C", "..", "-run", "^$", "-bench", "^BenchmarkProxy$/^(bearer|sigv4)$", "-benchtime", fmt.Sprintf("%dx", count), "./authproxy")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	most := map[string]float64{}
	for _, line := range allocated.FindAllStringSubmatch(string(out), -1) {
		bytes, err := strconv.ParseFloat(line[2], 64)
		if err != nil {
			return err
		}
		most[line[1]] = max(most[line[1]], bytes/1024)
	}
	for _, name := range []string{"bearer", "sigv4"} {
		if most[name] == 0 {
			return fmt.Errorf("no result of %s: %s", name, out)
		}
		result.goals = append(result.goals, goal{what: "bytes allocated for a request of 1 KB to 1 MB, the most (" + name + ")", got: most[name], limit: 48, unit: " KiB"})
	}
	return nil
}

// roundTrippers: the same inside a program, next to what Prometheus has.
func (b *bay) roundTrippers(ctx context.Context, s settings, result *section) error {
	results := map[string]*cacheResult{}
	for range s.rounds(7) {
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkSend", "-benchtime", s.cacheBy, ".")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if err := collect(results, string(out)); err != nil {
			return err
		}
	}
	theirs := results["SendPrometheusAzureAD/1"]
	ours := results["SendKeyless/1"]
	result.goals = append(result.goals,
		goal{what: "RoundTripper, a copy of the request: time, to Prometheus's azuread", got: ours.median() / theirs.median(), limit: 0.6, unit: "×"},
		goal{what: "the same: bytes allocated", got: float64(ours.bytes) / float64(theirs.bytes), limit: 0.4, unit: "×"},
		goal{what: "RoundTripper in place: allocations", got: float64(results["SendKeylessInPlace/1"].allocs), limit: 0})
	return nil
}

// certificate makes one for loopback, with its key, in one file.
func certificate(dir string) (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "upstream"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "upstream.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	return file, os.WriteFile(file, text, 0o600)
}
