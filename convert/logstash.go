package convert

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/profile"
)

// The outputs for Microsoft Sentinel: one name for the plugin in Ruby (1.x) and the one in
// Java (2.x), and that of their predecessor.
const (
	sentinelOutput    = "microsoft-sentinel-log-analytics-logstash-output-plugin"
	predecessorOutput = "microsoft-logstash-output-azure-loganalytics"
)

// logsAPI is the version that both plugins ask for ("Logs Ingestion API").
const logsAPI = "2023-01-01"

// Logstash converts the outputs to Microsoft Sentinel in a pipeline, with the settings of
// both generations of the plugin (READMEs of versions 1.2 and 2.5). What Logstash is to do
// instead is its own output http.
func Logstash(file []byte) (Result, error) {
	if err := tooLong(file); err != nil {
		return Result{}, err
	}
	outputs, err := parsePipeline(string(file))
	if err != nil {
		return Result{}, err
	}
	d := &draft{from: "the outputs to Microsoft Sentinel of a Logstash pipeline", user: "logstash"}
	blocks := sentinels(d, outputs)
	if len(blocks) == 0 {
		return Result{}, &profile.Error{Message: "no output is " + sentinelOutput, Hint: "keyless convert is for pipelines that write to Microsoft Sentinel"}
	}
	client := ""
	for i := range blocks {
		b := &blocks[i]
		if len(blocks) > 1 {
			b.prefix = fmt.Sprintf("/%d", i+1)
		}
		if err := b.convert(d); err != nil {
			return Result{}, err
		}
		client += b.client(d)
	}
	limits(d)
	return d.result(client + timestamps), nil
}

// sentinels are the outputs that write something to Microsoft Sentinel.
func sentinels(d *draft, outputs []plugin) []sentinel {
	var all []sentinel
	for _, p := range outputs {
		where := at{p.line, p.name}
		switch p.name {
		case predecessorOutput:
			d.note(where, "is not converted: the API that it speaks, with a key of the workspace, was retired in September 2026; it wants a data collection rule first")
		case sentinelOutput:
			s := sentinel{plugin: p, at: where}
			if s.text("create_sample_file") == "true" && s.text("data_collection_endpoint") == "" {
				d.note(where, "is not converted: it writes a sample file and sends nothing")
				continue
			}
			all = append(all, s)
		}
	}
	return all
}

// sentinel is an output that is converted.
type sentinel struct {
	plugin
	at
	prefix string // of the local path, if there are others
	local  string // path
}

// renamed are the names in version 2 of the settings of version 1, which version 2 knows
// since 2.2.0.
func renamed() map[string]string {
	return map[string]string{
		"client_app_Id": "client_id", "client_app_id": "client_id", "client_app_secret": "client_secret",
		"dcr_immutable_id": "dcr_id", "dcr_stream_name": "stream_name", "key_names": "keys_to_keep",
	}
}

// find returns a setting by its name in version 2.
func (s *sentinel) find(name string) *setting {
	for i := range s.settings {
		if found := s.settings[i].name; found == name || renamed()[found] == name {
			return &s.settings[i]
		}
	}
	return nil
}

// text is the value of a setting as it stands in the pipeline.
func (s *sentinel) text(name string) string {
	if found := s.find(name); found != nil {
		return found.text
	}
	return ""
}

// below is where a setting stands, by the name that it has there.
func (s *sentinel) below(name string) at {
	if found := s.find(name); found != nil {
		return at{found.line, found.name}
	}
	return at{s.at.line, name}
}

// value is a setting with references to the environment as keyless writes them.
func (s *sentinel) value(d *draft, name string) string {
	return variable().ReplaceAllStringFunc(s.text(name), func(found string) string {
		parts := variable().FindStringSubmatch(found)
		d.note(s.below(name), "%s is looked up in the environment of keyless, which knows neither Logstash's keystore nor defaults: set it there", parts[1])
		return "${" + parts[1] + "}"
	})
}

func (s *sentinel) convert(d *draft) error {
	for _, name := range []string{"data_collection_endpoint", "dcr_id", "stream_name"} {
		if s.text(name) == "" {
			return s.below(name).wrong("", "is missing")
		}
	}
	call, err := s.call(d)
	if err != nil {
		return err
	}
	c, known := cloudNamed(s.text("azure_cloud"))
	if !known {
		return s.below("azure_cloud").wrong("AzureCloud, AzureUSGovernment or AzureChinaCloud; AzureGermanyCloud was closed in 2021", "names a cloud that is not known here")
	}
	s.local = s.prefix + call
	r := profile.Route{Path: s.local}
	address := strings.TrimRight(s.value(d, "data_collection_endpoint"), "/") + call + "?api-version=" + logsAPI
	if r.Upstream = address; !reference().MatchString(address) {
		u, err := d.upstream(address, s.below("data_collection_endpoint"))
		if err != nil {
			return err
		}
		r.Upstream, r.Preset = u.String(), azurePreset(u, r.Path, c.scope)
	}
	source, comment := s.source(d, c)
	r.Profile = d.identify("azure-monitor", comment, profile.Profile{Source: source, Scope: c.scope})
	s.say(d)
	return d.route(r, s.below("data_collection_endpoint"))
}

// segment matches what can stand in a path, and be written into both files, as it is.
var segment = pattern.Lazy(`^(?:[A-Za-z0-9_.-]|\$\{[A-Za-z_][A-Za-z0-9_]*\})+$`)

// call is the path at Azure Monitor that the output sends to.
func (s *sentinel) call(d *draft) (string, error) {
	rule, stream := s.value(d, "dcr_id"), s.value(d, "stream_name")
	switch {
	case !segment().MatchString(rule):
		return "", s.below("dcr_id").wrong("it looks like dcr- and 32 digits and letters", "is no id of a data collection rule")
	case !segment().MatchString(stream):
		return "", s.below("stream_name").wrong("it looks like Custom-NAME", "is no name of a stream")
	}
	return "/dataCollectionRules/" + rule + "/streams/" + stream, nil
}

const onWhichHost = "What the machine has: auto looks for a pod of AKS, Azure Arc and a VM, as the plugin does, and for more."

// source is what the plugin proves itself with: version 2 takes the managed identity if
// there is no application.
func (s *sentinel) source(d *draft, c cloud) (*profile.Source, string) {
	if id := s.value(d, "managed_identity_object_id"); id != "" {
		return &profile.Source{ManagedIdentity: &profile.ManagedIdentity{ObjectID: id}}, onVM
	}
	if s.text("managed_identity") == "true" || s.find("client_id") == nil && s.find("client_secret") == nil {
		return &profile.Source{Auto: &profile.Choice{}}, onWhichHost
	}
	app := c.application(s.value(d, "tenant_id"), s.value(d, "client_id"))
	return &profile.Source{ClientSecret: &profile.ClientSecret{
		Application: app, ClientSecret: d.clientSecret(s.below("client_secret"), s.variable("client_secret"), app),
	}}, ""
}

// variable is the environment variable that a setting is taken from; empty: from none.
func (s *sentinel) variable(name string) string {
	if own := variable().FindStringSubmatch(s.text(name)); own != nil && own[0] == s.text(name) {
		return own[1]
	}
	return ""
}

const (
	batching = "is not carried over: Logstash's http output sends each batch of the pipeline at once (pipeline.batch.size, pipeline.batch.delay)"
	retrying = "is not carried over: Logstash's http output repeats 429, 500, 502, 503 and 504 for as long as it takes"
	queueing = "is not carried over: nothing is kept outside of Logstash's own queue any more (queue.type: persisted)"
	workers  = "is not carried over: workers of the pipeline send (pipeline.workers)"
	sampling = "is not carried over: a sample is what the output file { path => … codec => json_lines } writes"
)

// leftOut are the settings that are not carried over, and why.
func leftOut() map[string]string {
	return map[string]string{
		"keys_to_keep": "is not carried over: put filter { prune { whitelist_names => [\"^NAME$\"] } } before the output, or let the data collection rule drop columns",
		"proxy":        viaProxy, "proxy_aad": viaProxy, "proxy_endpoint": viaProxy,
		"plugin_flush_interval": batching, "decrease_factor": batching, "amount_resizing": batching, "max_items": batching, "max_batch_size": batching,
		"max_waiting_time_for_batch_seconds": batching, "max_waiting_for_unifier_time_seconds": batching,
		"retransmission_time": retrying, "retransmission_delay": retrying, "max_retries_num": retrying, "initial_wait_time_seconds": retrying,
		"connect_timeout_seconds": "is not carried over: see connect_timeout of the http output", "write_timeout_seconds": "is not carried over: see timeout of the route",
		"max_graceful_shutdown_time_seconds": queueing, "input_queue_capacity": queueing, "internal_queue_capacity": queueing,
		"worker_sleep_time_millis": workers, "batcher_workers_count": workers, "sender_workers_count": workers, "unifier_workers_count": workers,
		"create_sample_file": sampling, "sample_file_path": sampling,
		"codec": "is not carried over: the http output writes JSON without a codec",
	}
}

// used are the settings that went to the configuration or to the http output.
func used() []string {
	return []string{
		"data_collection_endpoint", "dcr_id", "stream_name", "client_id", "client_secret", "tenant_id", "managed_identity",
		"managed_identity_object_id", "azure_cloud", "compress_data", "id",
	}
}

func (s *sentinel) say(d *draft) {
	if s.conditional {
		d.note(s.at, "stands in a condition: write the http output in its place there")
	}
	for _, found := range s.settings {
		name, where := found.name, at{found.line, found.name}
		if newer := renamed()[name]; newer != "" {
			name = newer
		}
		why := leftOut()[name]
		switch {
		case name == "create_sample_file" && found.text == "false" || slices.Contains(used(), name):
		case why != "":
			d.note(where, "%s", why)
		default:
			d.note(where, "is not known here and not carried over")
		}
	}
}

// client is the http output in the place of the block.
func (s *sentinel) client(d *draft) string {
	id := ""
	if text := s.text("id"); text != "" && !strings.ContainsAny(text, `"\`) {
		id = fmt.Sprintf("  id => \"%s\"\n", text)
	}
	return fmt.Sprintf(`# output: in the place of the block in line %d
http {
%s  url => "%s"
  http_method => "post"
  format => "json_batch"
  http_compression => true
  socket_timeout => 70    # longer than keyless waits for Azure (60 s): who gives up earlier sends twice
  request_timeout => 70
  # headers => { "Authorization" => "Bearer ${KEYLESS_CLIENT_TOKEN}" }   # if the proxy has a client_token_file
}
`, s.at.line, id, d.address(s.local))
}

// timestamps does what the plugin did to every event: it sent @timestamp and @version by
// other names, because a column's name begins with a letter.
const timestamps = `# filter: at its end; the plugin sent these two names, and the data collection rule knows them
mutate { copy => { "@timestamp" => "ls_timestamp" "@version" => "ls_version" } }
`

// limits says what is different from now on ("Azure Monitor service limits", Logs Ingestion
// API; "Http output plugin", Logstash Reference).
func limits(d *draft) {
	for _, text := range []string{
		"Azure takes 1 MB in one call, and keyless neither splits nor compresses: a batch of the pipeline is one call, so keep pipeline.batch.size (125 by default) times the size of an event below that. http_compression, for batches since version 5.2.2 of the http output, helps if the limit is on what is sent (unverified: the documentation says both)",
		"Logstash repeats 503 for ever, which is what keyless makes of 401, 403 (for 35 minutes), 408 and 429; what is answered with 400, 404 or 413 it logs and drops",
		"a table's time is TimeGenerated: the data collection rule's transformation must make it of ls_timestamp, or of what the event has",
	} {
		d.note(at{}, "%s", text)
	}
}
