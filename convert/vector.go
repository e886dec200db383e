package convert

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/keyless-id/keyless/profile"
)

// vector reads the sinks of a configuration of Vector, in TOML or YAML
// ("azure_logs_ingestion", Vector reference). Events come by OTLP.
func vector(d *draft, file []byte) (shipments, error) {
	read := vectorYAML
	if strings.Contains(string(file), "[sinks.") {
		read = vectorTOML
	}
	sinks, err := read(file)
	if err != nil {
		return nil, err
	}
	var all shipments
	for i := range sinks {
		o := &sinks[i]
		if kind := o.find("type"); kind == nil || kind.text != logsIngestion {
			continue
		}
		s, err := o.vector(d)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	if len(all) > 0 {
		d.note(at{}, "the sink opentelemetry sends one event a request, with an answer (unverified: newer versions of Vector batch with the codec otlp)")
	}
	return all, nil
}

func vectorYAML(file []byte) ([]output, error) {
	tree, err := parse(file)
	if err != nil {
		return nil, err
	}
	sinks := tree.Child("sinks")
	if sinks == nil {
		return nil, nil
	}
	var all []output
	for i, key := range sinks.Keys {
		all = append(all, output{plugin: plugin{name: key.Value, line: key.Line, settings: leaves(sinks.Items[i], "")}, at: at{key.Line, key.Value}})
	}
	return all, nil
}

func vectorTOML(file []byte) ([]output, error) {
	var config struct {
		Sinks map[string]map[string]any `toml:"sinks"`
	}
	if _, err := toml.Decode(string(file), &config); err != nil {
		var wrong toml.ParseError
		if errors.As(err, &wrong) {
			return nil, at{line: wrong.Position.Line}.wrong("", "is no TOML: %s", oneLine(errors.New(wrong.Message)))
		}
		return nil, &profile.Error{Message: oneLine(err)}
	}
	var all []output
	for name, sink := range config.Sinks {
		line := lineWith(file, "[sinks."+name+"]")
		all = append(all, output{plugin: plugin{name: name, line: line, settings: tomlLeaves(sink, "", line)}, at: at{line, name}})
	}
	slices.SortFunc(all, func(a, b output) int { return cmp.Or(cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.name, b.name)) })
	return all, nil
}

// lineWith is where a text stands first; zero: nowhere.
func lineWith(file []byte, text string) int {
	before, _, found := strings.Cut(string(file), text)
	if !found {
		return 0
	}
	return strings.Count(before, "\n") + 1
}

func tomlLeaves(table map[string]any, path string, line int) []setting {
	var all []setting
	for name, item := range table {
		name = strings.TrimPrefix(path+"."+name, ".")
		switch item := item.(type) {
		case map[string]any:
			all = append(all, tomlLeaves(item, name, line)...)
		case []any:
			v := value{inner: true}
			for _, text := range item {
				v.items = append(v.items, fmt.Sprint(text))
			}
			all = append(all, setting{name, line, v})
		default:
			all = append(all, setting{name, line, value{text: fmt.Sprint(item)}})
		}
	}
	slices.SortFunc(all, func(a, b setting) int { return cmp.Compare(a.name, b.name) })
	return all
}

func (o *output) vector(d *draft) (*shipment, error) {
	endpoint := strings.TrimRight(o.text(d, "endpoint"), "/")
	s := &shipment{
		at: o.at, endpoint: endpoint, rule: o.text(d, "dcr_immutable_id"), stream: o.text(d, "stream_name"), cloud: cloudOf(endpoint),
		intake: otlp(), client: o.vectorClient, time: o.text(d, "timestamp_field"),
	}
	s.intake.json = true
	if err := s.check(o.below, [3]string{"endpoint", "dcr_immutable_id", "stream_name"}); err != nil {
		return nil, err
	}
	if only := o.find("encoding.only_fields"); only != nil {
		s.keep = only.items
	}
	var err error
	s.source, s.comment, err = o.vectorSource(d, s.cloud)
	if err == nil {
		settled(d, o.settings, vectorFate)
	}
	return s, err
}

// vectorSource is whom a sink signs in as.
func (o *output) vectorSource(d *draft, c cloud) (*profile.Source, string, error) {
	kind := o.text(d, "auth.azure_credential_kind")
	switch kind {
	case "", "client_secret_credential":
		if err := o.has("auth.azure_tenant_id", "auth.azure_client_id", "auth.azure_client_secret"); err != nil {
			return nil, "", err
		}
		return o.application(d, c, "auth.azure_tenant_id", "auth.azure_client_id", "auth.azure_client_secret"), "", nil
	case "managed_identity":
		return &profile.Source{ManagedIdentity: o.assigned(d)}, onVM, nil
	case "workload_identity":
		return &profile.Source{WorkloadIdentity: &profile.WorkloadIdentity{Application: c.application(o.text(d, "auth.tenant_id"), o.text(d, "auth.client_id")), File: o.text(d, "auth.token_file_path")}}, "In a pod of AKS.", nil
	case "azure_cli":
		return &profile.Source{AzureCLI: &profile.AzureCLI{}}, "Who is signed in with az; for a server, take its own identity instead.", nil
	}
	return nil, "", o.below("auth.azure_credential_kind").wrong("client_secret_credential, managed_identity, workload_identity and azure_cli are; write the source by hand for the others", "%q is not converted", kind)
}

func (o *output) assigned(d *draft) *profile.ManagedIdentity {
	id := o.text(d, "auth.user_assigned_managed_identity_id")
	switch o.text(d, "auth.user_assigned_managed_identity_id_type") {
	case "object_id":
		return &profile.ManagedIdentity{ObjectID: id}
	case "resource_id":
		return &profile.ManagedIdentity{ResourceID: id}
	}
	return &profile.ManagedIdentity{ClientID: id}
}

func (o *output) vectorClient(port int) string {
	inputs := `"…"`
	if found := o.find("inputs"); found != nil {
		inputs = `"` + strings.Join(found.items, `", "`) + `"`
	}
	return fmt.Sprintf(`# in the place of [sinks.%[1]s]
[transforms.%[1]s_otlp]
type = "remap"
inputs = [%[2]s]
source = '''
row = encode_json(.)
. = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": to_string(to_unix_timestamp(to_timestamp(.timestamp) ?? now(), unit: "nanoseconds")), "body": {"stringValue": row}}]}]}]}
'''

[sinks.%[1]s]
type = "opentelemetry"
inputs = ["%[1]s_otlp"]
protocol.type = "http"
protocol.uri = "http://127.0.0.1:%[3]d/v1/logs"
protocol.method = "post"
protocol.encoding.codec = "json"
protocol.framing.method = "newline_delimited"
protocol.request.headers.content-type = "application/json"
protocol.batch.max_events = 1
`, o.name, inputs, port)
}

func vectorFate(name string) string {
	switch name {
	case "type", "inputs", "endpoint", "dcr_immutable_id", "stream_name", "timestamp_field", "encoding.only_fields", "token_scope",
		"auth.azure_credential_kind", "auth.azure_tenant_id", "auth.azure_client_id", "auth.azure_client_secret", "auth.client_id", "auth.tenant_id", "auth.token_file_path",
		"auth.user_assigned_managed_identity_id", "auth.user_assigned_managed_identity_id_type":
		return taken
	}
	for _, group := range []struct{ prefix, why string }{
		{"batch.", byCollector},
		{"request.", untilTaken},
		{"retry_strategy", untilTaken},
		{"tls.", tlsOfClient},
		{"buffer.", "is not carried over: give it to the new sink"},
		{"acknowledgements", "is not carried over: give it to the new sink"},
		{"proxy.", environProxy},
		{"healthcheck", "is not carried over: see the extension health_check"},
		{"encoding.", "is not carried over: do it in the transform"},
	} {
		if strings.HasPrefix(name, group.prefix) {
			return group.why
		}
	}
	return unknown
}
