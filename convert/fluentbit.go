package convert

import (
	"errors"
	"fmt"
	"strings"

	"github.com/keyless-id/keyless/internal/yamltree"
)

// logsIngestion is what Fluent Bit and Vector call their outputs.
const logsIngestion = "azure_logs_ingestion"

// fluentBitClassic reads a configuration in the classic format ("Format and schema",
// Fluent Bit manual): sections in brackets, and below each a name and a value a line.
func fluentBitClassic(d *draft, file []byte) (shipments, error) {
	var sections []output
	number := 0
	for line := range strings.Lines(string(file)) {
		number++
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "@"):
		case strings.HasPrefix(line, "["):
			sections = append(sections, output{plugin: plugin{name: strings.Trim(line, "[] \t"), line: number}, at: at{line: number}})
		case len(sections) > 0:
			s := &sections[len(sections)-1]
			name, text, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
			s.settings = append(s.settings, setting{strings.ToLower(name), number, value{text: strings.TrimSpace(text)}})
		}
	}
	return fluentBit(d, sections)
}

// fluentBitYAML reads the outputs of a pipeline in YAML.
func fluentBitYAML(d *draft, file []byte) (shipments, error) {
	tree, err := parse(file)
	if err != nil {
		return nil, err
	}
	var sections []output
	if outputs := tree.Child("pipeline"); outputs != nil {
		if outputs = outputs.Child("outputs"); outputs != nil {
			for _, node := range outputs.Items {
				sections = append(sections, output{plugin: plugin{name: "OUTPUT", line: node.Line, settings: leaves(node, "")}, at: at{line: node.Line}})
			}
		}
	}
	return fluentBit(d, sections)
}

// leaves are the texts in a block, by the names on the way to each with dots between them.
func leaves(n *yamltree.Node, path string) []setting {
	var all []setting
	for i, key := range n.Keys {
		name := yamltree.Join(path, strings.ToLower(key.Value))
		switch item := n.Items[i]; item.Kind {
		case yamltree.Block:
			all = append(all, leaves(item, name)...)
		case yamltree.List:
			all = append(all, setting{name, key.Line, value{inner: true, items: texts(item)}})
		default:
			all = append(all, setting{name, key.Line, value{text: item.Value}})
		}
	}
	return all
}

func texts(n *yamltree.Node) []string {
	var all []string
	for _, item := range n.Items {
		if item.Kind == yamltree.Text {
			all = append(all, item.Value)
		}
	}
	return all
}

func fluentBit(d *draft, sections []output) (shipments, error) {
	var all shipments
	for i := range sections {
		o := &sections[i]
		if name := o.find("name"); !strings.EqualFold(o.name, "OUTPUT") || name == nil || !strings.EqualFold(name.text, logsIngestion) {
			continue
		}
		s, err := o.fluentBit(d)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	if len(all) > 0 {
		d.note(at{}, "logs_body_key names a key that no record has, so that the whole record is sent (unverified: see the output opentelemetry in the manual of your version)")
	}
	return all, nil
}

// fluentBit takes an output over. Records come by OTLP, with an answer for each chunk.
func (o *output) fluentBit(d *draft) (*shipment, error) {
	endpoint := strings.TrimRight(o.text(d, "dce_url"), "/")
	s := &shipment{
		at: o.at, endpoint: endpoint, rule: o.text(d, "dcr_id"), cloud: cloudOf(endpoint),
		intake: otlp(), client: o.fluentBitClient,
	}
	if table := o.text(d, "table_name"); table != "" {
		s.stream = "Custom-" + table
	}
	if err := s.check(o.below, [3]string{"dce_url", "dcr_id", "table_name"}); err != nil {
		return nil, err
	}
	if err := o.has("tenant_id", "client_id"); err != nil {
		return nil, err
	}
	s.source = o.application(d, s.cloud, "tenant_id", "client_id", "client_secret")
	if key := o.find("time_key"); key != nil {
		s.time = o.text(d, "time_key")
	} else {
		d.once(o.at, "wrote the time into the column @timestamp, by default; now it is TimeGenerated: see time.column")
	}
	settled(d, o.settings, fluentBitFate)
	return s, nil
}

// has reports the first of some settings that is missing.
func (o *output) has(names ...string) error {
	var all []error
	for _, name := range names {
		if o.find(name) == nil {
			all = append(all, o.below(name).wrong("", "is missing"))
		}
	}
	return errors.Join(all[:min(len(all), 1)]...)
}

func otlp() intake {
	return intake{receiver: "otlp", port: 4318, lines: []string{"protocols: {http: {endpoint: 127.0.0.1:PORT}}"}}
}

func (o *output) fluentBitClient(port int) string {
	match := "*"
	if found := o.find("match"); found != nil {
		match = found.text
	}
	return fmt.Sprintf(`# in the place of the output in line %d
[OUTPUT]
    Name           opentelemetry
    Match          %s
    Host           127.0.0.1
    Port           %d
    Logs_uri       /v1/logs
    Logs_body_key  $no_such_key
    Retry_Limit    no_limits
    Storage.total_limit_size  1G
`, o.at.line, match, port)
}

// fluentBitFate is what becomes of a setting ("Azure Logs Ingestion API", Fluent Bit
// manual).
func fluentBitFate(name string) string {
	switch name {
	case "name", "match", "match_regex", "dce_url", "dcr_id", "table_name", "tenant_id", "client_id", "client_secret", "time_key":
		if name == "match_regex" {
			return "is not carried over: write it into the new output"
		}
		return taken
	case "time_generated":
		return "is not carried over: the exporter always writes the time; see time"
	case "compress":
		return compresses
	case "retry_limit":
		return untilTaken
	case "workers":
		return ofThreads
	case "auth_url":
		return "is not carried over: keyless asks Entra ID itself"
	case "alias", "log_level", "storage.total_limit_size":
		return "is not carried over: give it to the new output"
	}
	switch {
	case strings.HasPrefix(name, "tls"):
		return tlsOfClient
	case strings.HasPrefix(name, "net."):
		return ofExporter
	}
	return unknown
}
