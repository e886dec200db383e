// Package safedefaults is a converter for the configuration of a Collector that loses
// nothing by default: what is to be sent is on disk until it was delivered, nobody gives up
// trying, and who is too fast waits. What the configuration says itself stays as it is.
//
// The stock defaults keep the queue in memory, refuse when it is full, and throw away
// after five minutes of trying, also what is on disk.
package safedefaults

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/confmap"
)

// Storage is the name of the storage that is added where none is configured.
const Storage = "file_storage"

// SynchronousLogEmitter is the feature gate without which a file's position is written down
// before its lines are handed on: a crash in between loses them.
const SynchronousLogEmitter = "stanza.synchronousLogEmitter"

// NewFactory returns the factory of the converter. The storage, where none is configured, is
// in directory; empty: its own default.
func NewFactory(directory string) confmap.ConverterFactory {
	return confmap.NewConverterFactory(func(confmap.ConverterSettings) confmap.Converter {
		return &converter{directory}
	})
}

type converter struct{ directory string }

// Convert implements [confmap.Converter].
func (c *converter) Convert(_ context.Context, conf *confmap.Conf) error {
	whole := conf.ToStringMap()
	used := false
	for id, config := range components(whole, "exporters") {
		if queued(kind(id)) {
			used = sending(config) || used
		}
	}
	for id, config := range components(whole, "receivers") {
		if readsFiles(kind(id)) {
			waiting(config)
		}
		if remembers(kind(id)) {
			used = keeping(config) || used
		}
	}
	if used {
		c.addStorage(whole)
	}
	return conf.Merge(confmap.NewFromStringMap(whole))
}

// components are the configurations of a section. One that is empty is made a map, so that
// it can be added to.
func components(whole map[string]any, section string) map[string]map[string]any {
	all := map[string]map[string]any{}
	listed, _ := whole[section].(map[string]any)
	for id, config := range listed {
		if config == nil {
			listed[id] = map[string]any{}
		}
		if config, ok := listed[id].(map[string]any); ok {
			all[id] = config
		}
	}
	return all
}

// kind is the type of a component: what stands before the slash of its name.
func kind(id string) string {
	name, _, _ := strings.Cut(id, "/")
	return strings.TrimSpace(name)
}

// queued are the exporters of this distribution that have a queue.
func queued(kind string) bool {
	return slices.Contains([]string{"azure_logs_ingestion", "azure_monitor_prometheus", "elasticsearch", "kafka", "otlp", "otlp_grpc", "otlphttp", "otlp_http"}, kind)
}

// remembers are the receivers that keep a position in what they read.
func remembers(kind string) bool { return readsFiles(kind) || kind == "aws_cloudwatch_metrics" }

func readsFiles(kind string) bool { return slices.Contains([]string{"file_log", "filelog"}, kind) }

// sending makes an exporter keep what it is to send. It reports whether the storage is used
// for that.
func sending(config map[string]any) bool {
	put(at(config, "retry_on_failure"), "max_elapsed_time", "0s")
	queue := at(config, "sending_queue")
	if queue == nil || queue["enabled"] == false {
		return false
	}
	put(queue, "block_on_overflow", true)
	put(queue, "batch", map[string]any{})
	if queue["wait_for_result"] == true { // who waits for the result keeps the data himself
		return false
	}
	put(queue, "storage", Storage)
	return queue["storage"] == Storage
}

// waiting makes a receiver wait for who cannot take more.
func waiting(config map[string]any) {
	retry := at(config, "retry_on_failure")
	put(retry, "enabled", true)
	put(retry, "max_elapsed_time", "0s")
}

// keeping makes a receiver go on where it stopped. It reports whether the storage is used for
// that.
func keeping(config map[string]any) bool {
	put(config, "storage", Storage)
	return config["storage"] == Storage
}

// at is a section of a configuration, made if it is not there; nil if it is no section.
func at(config map[string]any, name string) map[string]any {
	if config[name] == nil {
		if _, said := config[name]; said { // "sending_queue: null" turns it off
			return nil
		}
		config[name] = map[string]any{}
	}
	section, _ := config[name].(map[string]any)
	return section
}

// put sets what was not set.
func put(section map[string]any, name string, value any) {
	if _, said := section[name]; !said && section != nil {
		section[name] = value
	}
}

// addStorage configures the storage and starts it, unless the configuration does.
func (c *converter) addStorage(whole map[string]any) {
	extensions := at(whole, "extensions")
	if _, said := extensions[Storage]; !said && extensions != nil {
		extensions[Storage] = c.storage()
	}
	service := at(whole, "service")
	if service == nil {
		return
	}
	started, _ := service["extensions"].([]any)
	if !slices.Contains(started, any(Storage)) {
		service["extensions"] = append(slices.Clone(started), Storage)
	}
}

func (c *converter) storage() map[string]any {
	if c.directory == "" {
		return map[string]any{}
	}
	return map[string]any{"directory": c.directory}
}
