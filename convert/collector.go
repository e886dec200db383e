package convert

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"

	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/profile"
)

// The beginnings by which a file is recognised that only the Collector can take over.
var (
	likeFluentBit = pattern.Lazy(`(?mi)^\s*\[OUTPUT\]`)
	likePipeline  = pattern.Lazy(`(?m)^["']?pipeline["']?\s*:`)
	likeVector    = pattern.Lazy(`(?m)^\s*\[\s*sinks\.|^["']?sinks["']?\s*:`)
	likeRsyslog   = pattern.Lazy(`(?i)\baction\s*\(`)
)

// Collector converts the outputs of an agent to the Logs Ingestion API of Azure Monitor
// into the configuration of keyless-collector: of Logstash, Fluent Bit, Vector or rsyslog,
// by the content of the file. The agent sends to the Collector from then on. Of Metricbeat
// the module aws is converted, which the Collector replaces.
func Collector(file []byte) (Result, error) {
	if err := tooLong(file); err != nil {
		return Result{}, err
	}
	if likeMetricbeat().Match(file) {
		return metricbeat(file)
	}
	read := readerOf(file)
	if read == nil {
		return Result{}, &profile.Error{
			Message: "is no configuration of Logstash, Fluent Bit, Vector, rsyslog or Metricbeat's module aws",
			Hint:    "for remote_write of Prometheus: keyless convert --to proxy",
		}
	}
	d := &draft{}
	all, err := read(d, file)
	if err != nil {
		return Result{}, err
	}
	if len(all) == 0 {
		return Result{}, &profile.Error{Message: "nothing in it writes to the Logs Ingestion API of Azure Monitor", Hint: "keyless convert --to collector takes over what writes there"}
	}
	return all.result(d), nil
}

// readerOf is what reads the outputs of a file of its kind; nil: nothing does.
func readerOf(file []byte) func(*draft, []byte) (shipments, error) {
	switch {
	case likeFluentBit().Match(file):
		return fluentBitClassic
	case likeVector().Match(file):
		return vector
	case likeLogstash().Match(file):
		return logstashShipments
	case likePipeline().Match(file):
		return fluentBitYAML
	case likeRsyslog().Match(file):
		return rsyslog
	}
	return nil
}

// shipment is one output of an agent: where its rows go, as whom, and how they look.
type shipment struct {
	at
	endpoint, rule, stream string
	cloud                  cloud
	source                 *profile.Source
	comment                string // of the source
	keep                   []string
	rename                 [][2]string
	time                   string // the column of the time; empty: TimeGenerated
	intake                 intake
	client                 func(port int) string // what the agent is told instead
}

// intake is how rows come from the agent to the Collector.
type intake struct {
	receiver string // its type
	port     int
	lines    []string // of its configuration, after the address
	json     bool     // rows come as text that is JSON
}

type shipments []*shipment

// result is the configuration of the Collector. What the agent kept in its own file as
// ${NAME} the Collector finds in its environment as ${env:NAME}.
func (all shipments) result(d *draft) Result {
	w := &writer{}
	w.comment("Written by keyless. Try it: keyless-collector validate --config FILE", 0)
	names := all.identities(d, w)
	client := all.receivers(w)
	all.exporters(w, names)
	all.service(w, d)
	config := reference().ReplaceAllStringFunc(w.String(), func(found string) string { return "${env:" + found[2:] })
	r := d.result(client)
	r.Config = []byte(config)
	return r
}

// named is the name of the component of a kind for the shipment i: the kind alone for the
// first.
func named(kind string, i int) string {
	if i == 0 {
		return kind
	}
	return fmt.Sprintf("%s/%d", kind, i+1)
}

// identities writes the extensions, and returns which of them each shipment has.
func (all shipments) identities(d *draft, w *writer) []string {
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = d.identify("keyless", s.comment, profile.Profile{Source: s.source, Scope: s.cloud.scope})
	}
	w.WriteString("extensions:\n")
	for _, i := range d.identities {
		w.WriteString("  " + extension(i.name) + ":\n")
		w.comment(i.comment, 2)
		w.keys(reflect.ValueOf(i.Profile), 2)
		if hosts := all.hosts(names, i.name); len(hosts) > 0 {
			w.WriteString("    hosts: [" + strings.Join(hosts, ", ") + "]   # where the token may go: no host of Azure's\n")
		}
	}
	w.WriteString("  health_check: {}   # http://127.0.0.1:13133\n")
	for i := range names {
		names[i] = extension(names[i])
	}
	return names
}

// hosts are those outside Azure that an identity shows its token to.
func (all shipments) hosts(names []string, name string) []string {
	var hosts []string
	for i, s := range all {
		if u, err := url.Parse(s.endpoint); names[i] == name && s.elsewhere() && err == nil {
			hosts = append(hosts, scalar(u.Host))
		}
	}
	return hosts
}

// extension is the name of a component for an identity: keyless-2 is keyless/2.
func extension(identity string) string { return strings.Replace(identity, "-", "/", 1) }

func (all shipments) receivers(w *writer) (client string) {
	w.WriteString("receivers:\n")
	for i, s := range all {
		port := s.intake.port + i
		w.WriteString("  " + named(s.intake.receiver, i) + ":\n")
		for _, line := range s.intake.lines {
			w.WriteString("    " + strings.ReplaceAll(line, "PORT", fmt.Sprint(port)) + "\n")
		}
		client += s.client(port)
	}
	return client
}

func (all shipments) exporters(w *writer, identities []string) {
	w.WriteString("exporters:\n")
	for i, s := range all {
		w.WriteString("  " + named("azure_logs_ingestion", i) + ":\n")
		s.exporter(w, identities[i])
	}
}

func (s *shipment) exporter(w *writer, identity string) {
	line := func(format string, args ...any) { w.WriteString("    " + fmt.Sprintf(format, args...) + "\n") }
	line("endpoint: %s", scalar(s.endpoint))
	if s.elsewhere() {
		line("allow_endpoint: true   # no host of Azure's")
	}
	if name := collectorCloud(s.cloud); name != "" {
		line("cloud: %s", name)
	}
	line("dcr: %s", scalar(s.rule))
	line("stream: %s", scalar(s.stream))
	line("auth: {authenticator: %s}", identity)
	if s.intake.json {
		line("body: {json: true}")
	}
	line("columns:")
	if len(s.keep) > 0 {
		line("  keep: [%s]", strings.Join(scalars(reflect.ValueOf(s.keep)), ", "))
	}
	if len(s.rename) > 0 {
		line("  rename: {%s}", pairs(s.rename))
	}
	for _, kind := range []string{"attributes", "scope", "resource"} {
		line("  %s: {enabled: false}", kind)
	}
	if s.time != "" {
		line("time: {column: %s}", scalar(s.time))
	}
	line("# dead_letter: {path: /var/lib/keyless-collector/dead-letter.jsonl}   # rows that Azure refuses for good")
}

func pairs(all [][2]string) string {
	spelled := make([]string, len(all))
	for i, p := range all {
		spelled[i] = scalar(p[0]) + ": " + scalar(p[1])
	}
	return strings.Join(spelled, ", ")
}

// elsewhere reports whether the endpoint is not one of Azure's in its cloud, as far as that
// can be seen.
func (s *shipment) elsewhere() bool {
	if reference().MatchString(s.endpoint) {
		return false
	}
	u, err := url.Parse(s.endpoint)
	domain := strings.TrimSuffix(strings.TrimPrefix(s.cloud.scope, "https://monitor"), "/.default")
	return err != nil || u.Scheme != "https" || !strings.HasSuffix(strings.ToLower(u.Hostname()), ".ingest.monitor"+domain)
}

// collectorCloud is what the exporter calls a cloud; empty: its default.
func collectorCloud(c cloud) string {
	if c.name == "usgov" {
		return "usgovernment"
	}
	return c.name
}

func (all shipments) service(w *writer, d *draft) {
	extensions := []string{"health_check"}
	for _, i := range d.identities {
		extensions = append(extensions, extension(i.name))
	}
	w.WriteString("service:\n  extensions: [" + strings.Join(extensions, ", ") + "]\n  pipelines:\n")
	for i, s := range all {
		fmt.Fprintf(w, "    %s: {receivers: [%s], exporters: [%s]}\n", named("logs", i), named(s.intake.receiver, i), named("azure_logs_ingestion", i))
	}
}

// check reports what is missing or malformed, by what the agent calls endpoint, rule and
// stream.
func (s *shipment) check(where func(string) at, names [3]string) error {
	for i, value := range []string{s.endpoint, s.rule, s.stream} {
		if value == "" {
			return where(names[i]).wrong("", "is missing")
		}
	}
	switch {
	case !segment().MatchString(s.rule):
		return where(names[1]).wrong("it looks like dcr- and 32 digits and letters", "is no id of a data collection rule")
	case !segment().MatchString(s.stream):
		return where(names[2]).wrong("it looks like Custom-NAME", "is no name of a stream")
	}
	return nil
}

// What became of a setting: a text says why it is not carried over.
const (
	taken   = "it is"
	unknown = ""

	byCollector  = "is not carried over: the Collector fills requests up to Azure's limit; see sending_queue.batch"
	untilTaken   = "is not carried over: the Collector tries until Azure has taken the rows; see retry_on_failure"
	onDisk       = "is not carried over: rows wait on the disk; see sending_queue.queue_size"
	ofExporter   = "is not carried over: see timeout of the exporter"
	ofThreads    = "is not carried over: see sending_queue.num_consumers and max_in_flight of the exporter"
	compresses   = "is not carried over: the Collector always compresses"
	environProxy = "is not carried over: the Collector uses HTTPS_PROXY and NO_PROXY of its environment, and never for the machine's own identity"
	tlsOfClient  = "is not carried over: see tls of the exporter"
	sampled      = "is not carried over: the exporter debug shows what is sent (verbosity: detailed)"
)

// settled notes what became of each setting of an output.
func settled(d *draft, settings []setting, fate func(name string) string) {
	for _, found := range settings {
		where := at{found.line, found.name}
		switch became := fate(found.name); became {
		case taken:
		case unknown:
			d.note(where, "is not known here and not carried over")
		default:
			d.note(where, "%s", became)
		}
	}
}
