package elasticsearchexporter

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/pmetric"
)

// shaper makes documents of metrics.
type shaper struct {
	config *Config
}

func (s shaper) metrics(metrics pmetric.Metrics) ([]document, error) {
	var all []document
	for _, g := range groups(metrics) {
		d, err := s.document(g)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

func (s shaper) document(g *group) (document, error) {
	dataset := s.dataset(g)
	d := document{Stream: s.stream("metrics", dataset)}
	body := object{"@timestamp": timestamp(g.first().at)}
	if s.config.Index == "" {
		body["data_stream"] = object{"type": "metrics", "dataset": dataset, "namespace": s.config.DataStream.Namespace}
	}
	if s.config.timeSeries() {
		body[namesHash] = g.series()
		d.Late, d.LateID = s.stream("metrics", dataset+late), g.id()
	} else {
		d.ID = g.id()
	}
	if s.config.Mapping == OTel {
		g.writeOTel(body)
	} else {
		g.writeBeats(body, s.config.Mapping, dataset)
	}
	source, err := json.Marshal(body)
	d.Source = source
	return d, err
}

const (
	// namesHash is a dimension of the time series, called as in the mapping otel of
	// Elasticsearch: it lets documents stand side by side that have different metrics of the
	// same time. Ours is that of all dimensions, so that none can be missing in a template.
	namesHash = "_metric_names_hash"

	// late ends the dataset of what a time series does not take any more.
	late = ".late"
)

func (s shaper) stream(kind, dataset string) string {
	if s.config.Index != "" {
		return s.config.Index
	}
	return fmt.Sprintf("%s-%s-%s", kind, dataset, s.config.DataStream.Namespace)
}

func (s shaper) dataset(g *group) string {
	name := s.config.DataStream.Dataset
	if name == "" {
		name = datasetOf(g.first())
	}
	if s.config.Mapping == OTel {
		return name + ".otel"
	}
	return name
}

// The datasets of the integration aws.
const (
	datasetEC2        = "aws.ec2_metrics"
	datasetCloudWatch = "aws.cloudwatch_metrics"
	datasetOther      = "generic"
)

func datasetOf(p *point) string {
	switch {
	case p.namespace == namespaceEC2:
		return datasetEC2
	case p.isCloudWatch():
		return datasetCloudWatch
	}
	return datasetOther
}

const namespaceEC2 = "AWS/EC2"

// writeOTel is the shape of OpenTelemetry in Elasticsearch ("mapping mode otel" of contrib's
// elasticsearchexporter; the metrics of a document are in its object metrics).
func (g *group) writeOTel(body object) {
	p := g.first()
	body["resource"], body["attributes"] = object{"attributes": g.resource}, p.dimensions
	body["scope"] = object{"name": g.scope}
	if p.period > 0 {
		body["start_timestamp"] = timestamp(p.at.Add(-p.period))
	}
	values := object{}
	for i := range g.points {
		one := &g.points[i]
		values[joined(one.full, one.stat)] = one.value // dots are part of these names
		if one.unit != "" {
			body["unit"] = one.unit
		}
	}
	body["metrics"] = values
}

func joined(name, stat string) string {
	if stat == "" {
		return name
	}
	return name + "." + stat
}

// writeBeats is the shape of the module aws of Metricbeat and of the integration aws of
// Elastic Agent ("AWS Fields" in the references of both).
func (g *group) writeBeats(body object, mapping Mapping, dataset string) {
	p := g.first()
	body.set("ecs.version", "8.0.0")
	if p.isCloudWatch() {
		g.writeCloudWatch(body, mapping, dataset)
	} else {
		body.set("labels", p.dimensions)
	}
	g.writeCloud(body)
	for _, one := range g.beatsPoints() {
		switch {
		case !one.isCloudWatch():
			body.set("metrics."+fieldName(one.full)+"."+orText(one.stat, "value"), one.value)
		case mapping == Metricbeat && one.namespace == namespaceEC2:
			body.set(metricbeatField(&one), one.metricbeatValue())
		default:
			one.writeAgent(body)
		}
	}
}

// beatsPoints are the points, and the status checks that EC2 itself has told a second time: of
// one value the largest is the average, which is what Beats has and dashboards ask for.
func (g *group) beatsPoints() []point {
	all := slices.Clone(g.points)
	for _, p := range g.points {
		isAverage := func(other point) bool { return other.name == p.name && other.stat == "avg" }
		if p.isStatusCheck() && p.stat == "max" && !slices.ContainsFunc(g.points, isAverage) {
			p.stat = "avg"
			all = append(all, p)
		}
	}
	return all
}

func (p *point) isStatusCheck() bool {
	return p.namespace == namespaceEC2 && strings.HasPrefix(p.name, "StatusCheckFailed")
}

func (g *group) writeCloudWatch(body object, mapping Mapping, dataset string) {
	p := g.first()
	body.set("aws.cloudwatch.namespace", p.namespace)
	for name, value := range p.dimensions {
		body.set("aws.dimensions."+fieldName(name), value)
	}
	set := "cloudwatch"
	if mapping == Metricbeat && p.namespace == namespaceEC2 {
		set, dataset = "ec2", "aws.ec2"
	}
	body.set("metricset.name", set)
	if p.period > 0 {
		body.set("metricset.period", p.period.Milliseconds())
	}
	body.set("event.module", "aws")
	body.set("event.dataset", dataset)
	body.set("service.type", "aws")
}

// writeCloud says whose the points are. Only an instance is a host: those of a group of them,
// or of an image, are not.
func (g *group) writeCloud(body object) {
	text := func(name string) string { value, _ := g.resource[name].(string); return value }
	body.setText("cloud.provider", text("cloud.provider"))
	body.setText("cloud.account.id", text("cloud.account.id"))
	body.setText("cloud.account.name", text("cloud.account.name"))
	body.setText("cloud.region", text("cloud.region"))
	body.setText("cloud.availability_zone", text("cloud.availability_zone"))
	g.writeTags(body)
	p := g.first()
	if p.namespace == namespaceEC2 && p.dimensions["InstanceId"] == nil {
		return
	}
	body.setText("host.id", text("host.id"))
	body.setText("host.name", text("host.name"))
	if p.namespace != namespaceEC2 {
		return
	}
	body.setText("cloud.instance.id", orText(text("host.id"), fmt.Sprint(p.dimensions["InstanceId"])))
	body.setText("cloud.instance.name", text("host.name"))
	body.setText("cloud.machine.type", text("host.type"))
	body.setText("aws.ec2.instance.image.id", text("host.image.id"))
}

// writeTags takes attributes of the resource that begin with aws.tag. or ec2.tag. for tags.
func (g *group) writeTags(body object) {
	for name, value := range g.resource {
		for _, prefix := range []string{"aws.tag.", "aws.tags.", "ec2.tag."} {
			if key, found := strings.CutPrefix(name, prefix); found && key != "" {
				body.set("aws.tags."+fieldName(key), value)
			}
		}
	}
}

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// writeAgent writes aws.ec2.metrics.CPUUtilization.avg, and what ECS has for the same.
func (p *point) writeAgent(body object) {
	service := strings.ToLower(p.namespace[strings.LastIndexByte(p.namespace, '/')+1:])
	field := "aws." + fieldName(orText(service, "custom")) + ".metrics." + fieldName(p.name) + "."
	body.set(field+orText(p.stat, "value"), p.value)
	if p.namespace != namespaceEC2 || p.dimensions["InstanceId"] == nil {
		return
	}
	if p.stat == "sum" && p.period > 0 {
		body.set(field+"rate", p.value/p.period.Seconds())
	}
	if ecs := hostField(p.name, p.stat); ecs == "host.cpu.usage" {
		body.set(ecs, p.value/100)
	} else if ecs != "" {
		body.set(ecs, p.value)
	}
}

// hostField is the field of the Elastic Common Schema for a metric of EC2; empty: none.
func hostField(name, stat string) string {
	switch name + " " + stat {
	case "CPUUtilization avg":
		return "host.cpu.usage"
	case "DiskReadBytes sum":
		return "host.disk.read.bytes"
	case "DiskWriteBytes sum":
		return "host.disk.write.bytes"
	case "NetworkIn sum":
		return "host.network.ingress.bytes"
	case "NetworkOut sum":
		return "host.network.egress.bytes"
	case "NetworkPacketsIn sum":
		return "host.network.ingress.packets"
	case "NetworkPacketsOut sum":
		return "host.network.egress.packets"
	}
	return ""
}

// metricbeatField is what the metricset ec2 calls a metric. One that it does not know, or not
// with this statistic, is called as by the integration.
func metricbeatField(p *point) string {
	if field := metricbeatName(p.name); field != "" && p.stat == metricbeatStat(field) && (p.stat != "sum" || isRate(field) == (p.period > 0)) {
		return "aws.ec2." + field
	}
	return "aws.ec2.metrics." + fieldName(p.name) + "." + orText(p.stat, "value")
}

func metricbeatName(metric string) string {
	names := []string{
		"CPUUtilization", "cpu.total.pct",
		"CPUCreditUsage", "cpu.credit_usage",
		"CPUCreditBalance", "cpu.credit_balance",
		"CPUSurplusCreditBalance", "cpu.surplus_credit_balance",
		"CPUSurplusCreditsCharged", "cpu.surplus_credits_charged",
		"StatusCheckFailed", "status.check_failed",
		"StatusCheckFailed_Instance", "status.check_failed_instance",
		"StatusCheckFailed_System", "status.check_failed_system",
		"NetworkIn", "network.in.bytes_per_sec",
		"NetworkOut", "network.out.bytes_per_sec",
		"NetworkPacketsIn", "network.in.packets_per_sec",
		"NetworkPacketsOut", "network.out.packets_per_sec",
		"DiskReadBytes", "diskio.read.bytes_per_sec",
		"DiskWriteBytes", "diskio.write.bytes_per_sec",
		"DiskReadOps", "diskio.read.count_per_sec",
		"DiskWriteOps", "diskio.write.count_per_sec",
	}
	if i := slices.Index(names, metric); i >= 0 && i%2 == 0 {
		return names[i+1]
	}
	return ""
}

func isRate(field string) bool { return strings.HasSuffix(field, "_per_sec") }

func metricbeatStat(field string) string {
	if isRate(field) {
		return "sum"
	}
	return "avg"
}

func (p *point) metricbeatValue() float64 {
	if isRate(metricbeatField(p)) {
		return p.value / p.period.Seconds()
	}
	return p.value
}
