package convert

import (
	"fmt"
	"strings"
)

// logstashShipments are the outputs to Microsoft Sentinel of a pipeline. Logstash sends to
// the Collector by its output lumberjack, with an acknowledgement for each batch.
func logstashShipments(d *draft, file []byte) (shipments, error) {
	outputs, err := parsePipeline(string(file))
	if err != nil {
		return nil, err
	}
	var all shipments
	for _, b := range sentinels(d, outputs) {
		s, err := b.shipment(d)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	if len(all) > 0 {
		d.note(at{}, "lumberjack wants TLS, and Logstash trusts exactly the certificate that it is given: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=keyless-collector -keyout collector.key -out collector.pem makes one")
		d.note(at{}, "the time of a row is @timestamp, in the column TimeGenerated: keep a transformation of ls_timestamp in the data collection rule, or drop it")
	}
	return all, nil
}

func (b *sentinel) shipment(d *draft) (*shipment, error) {
	c, known := cloudNamed(b.text("azure_cloud"))
	if !known {
		return nil, b.below("azure_cloud").wrong("AzureCloud, AzureUSGovernment or AzureChinaCloud; AzureGermanyCloud was closed in 2021", "names a cloud that is not known here")
	}
	s := &shipment{
		at: b.at, endpoint: strings.TrimRight(b.value(d, "data_collection_endpoint"), "/"), rule: b.value(d, "dcr_id"), stream: b.value(d, "stream_name"), cloud: c,
		rename: [][2]string{{"@timestamp", "ls_timestamp"}, {"@version", "ls_version"}},
		intake: intake{receiver: "lumberjack", port: 5044, lines: []string{
			"endpoint: 127.0.0.1:PORT", "body: map   # the time of an event stands anywhere in it", "tls: {cert_file: /etc/keyless-collector/collector.pem, key_file: /etc/keyless-collector/collector.key}",
		}},
		client: b.lumberjack,
	}
	if err := s.check(b.below, [3]string{"data_collection_endpoint", "dcr_id", "stream_name"}); err != nil {
		return nil, err
	}
	if keep := b.find("keys_to_keep"); keep != nil {
		s.keep = logstashNames(keep.items)
	}
	s.source, s.comment = b.source(d, c)
	b.settle(d)
	return s, nil
}

// logstashNames are those that the events have: the plugin counts by what it makes of them.
func logstashNames(sent []string) []string {
	names := make([]string, len(sent))
	for i, name := range sent {
		switch name {
		case "ls_timestamp":
			name = "@timestamp"
		case "ls_version":
			name = "@version"
		}
		names[i] = name
	}
	return names
}

func (b *sentinel) lumberjack(port int) string {
	return fmt.Sprintf(`# output: in the place of the block in line %d
lumberjack {
  hosts => ["127.0.0.1"]
  port => %d
  ssl_certificate => "/etc/keyless-collector/collector.pem"
  codec => "json"
}
`, b.at.line, port)
}

func (b *sentinel) settle(d *draft) {
	if b.conditional {
		d.note(b.at, "stands in a condition: write the lumberjack output in its place there")
	}
	newer := renamed()
	settled(d, b.settings, func(name string) string {
		if newer[name] != "" {
			name = newer[name]
		}
		return sentinelFate(name)
	})
}

// sentinelFate is what becomes of a setting by its name in version 2 of the plugin.
func sentinelFate(name string) string {
	switch name {
	case "data_collection_endpoint", "dcr_id", "stream_name", "client_id", "client_secret", "tenant_id", "managed_identity",
		"managed_identity_object_id", "azure_cloud", "keys_to_keep":
		return taken
	case "compress_data":
		return compresses
	case "id":
		return "is not carried over: give it to the output lumberjack if it matters"
	case "proxy", "proxy_aad", "proxy_endpoint":
		return environProxy
	case "plugin_flush_interval", "decrease_factor", "amount_resizing", "max_items", "max_batch_size",
		"max_waiting_time_for_batch_seconds", "max_waiting_for_unifier_time_seconds":
		return byCollector
	case "retransmission_time", "retransmission_delay", "max_retries_num", "initial_wait_time_seconds":
		return untilTaken
	case "connect_timeout_seconds", "write_timeout_seconds":
		return ofExporter
	case "max_graceful_shutdown_time_seconds", "input_queue_capacity", "internal_queue_capacity":
		return onDisk
	case "worker_sleep_time_millis", "batcher_workers_count", "sender_workers_count", "unifier_workers_count":
		return ofThreads
	case "create_sample_file", "sample_file_path":
		return sampled
	case "codec":
		return "is not carried over: the output lumberjack sends JSON"
	}
	return unknown
}
