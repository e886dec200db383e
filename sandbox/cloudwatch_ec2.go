package sandbox

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

const ec2Namespace = "AWS/EC2"

// instance is an Instance in its place.
type instance struct {
	Instance
	region *region
}

func (r *region) instance(id string) *instance {
	at, found := slices.BinarySearchFunc(r.instances, id, func(i *instance, id string) int { return cmp.Compare(i.ID, id) })
	if !found {
		return nil
	}
	return r.instances[at]
}

// vended is a metric that EC2 sends by itself: "CloudWatch metrics that are available for
// your instances", Amazon EC2 User Guide.
type vended struct {
	name, unit string
	step       time.Duration // zero: as the instance is monitored
	curve      curve
}

// metrics are those that an instance of its type has. The aggregates by image, type and
// Auto Scaling group are not played.
func (i *instance) metrics() []vended {
	kind := classOf(i.Type)
	list := slices.Concat(coreMetrics(), i.statusMetrics(kind))
	if kind.burstable {
		list = append(list, creditMetrics()...)
	}
	if kind.store {
		list = append(list, volumeMetrics("Disk")...)
	}
	if kind.nitro {
		list = append(list, volumeMetrics("EBS")...)
	}
	if kind.nitro && kind.small {
		list = append(list, vended{"EBSIOBalance%", "Percent", 5 * time.Minute, percent}, vended{"EBSByteBalance%", "Percent", 5 * time.Minute, percent})
	}
	return list
}

func coreMetrics() []vended {
	return []vended{
		{"CPUUtilization", "Percent", 0, percent},
		{"NetworkIn", "Bytes", 0, upTo(5e7)},
		{"NetworkOut", "Bytes", 0, upTo(5e7)},
		{"NetworkPacketsIn", "Count", 0, upTo(5e4)},
		{"NetworkPacketsOut", "Count", 0, upTo(5e4)},
		{"MetadataNoToken", "Count", 0, upTo(3)},
	}
}

// statusMetrics come every minute, at no charge.
func (i *instance) statusMetrics(kind class) []vended {
	check := failsFrom(i.Impaired)
	list := []vended{
		{"StatusCheckFailed", "Count", time.Minute, check},
		{"StatusCheckFailed_Instance", "Count", time.Minute, check},
		{"StatusCheckFailed_System", "Count", time.Minute, failsFrom(time.Time{})},
	}
	if kind.nitro {
		list = append(list, vended{"StatusCheckFailed_AttachedEBS", "Count", time.Minute, failsFrom(time.Time{})})
	}
	return list
}

func creditMetrics() []vended {
	const every = 5 * time.Minute
	return []vended{
		{"CPUCreditUsage", "Count", every, upTo(10)},
		{"CPUCreditBalance", "Count", every, upTo(576)},
		{"CPUSurplusCreditBalance", "Count", every, upTo(2)},
		{"CPUSurplusCreditsCharged", "Count", every, upTo(2)},
	}
}

func volumeMetrics(kind string) []vended {
	return []vended{
		{kind + "ReadOps", "Count", 0, upTo(2e4)},
		{kind + "WriteOps", "Count", 0, upTo(2e4)},
		{kind + "ReadBytes", "Bytes", 0, upTo(2e8)},
		{kind + "WriteBytes", "Bytes", 0, upTo(2e8)},
	}
}

// source is one of the instance's series; nil: it has none of the name.
func (i *instance) source(name string) pointSource {
	for _, v := range i.metrics() {
		if v.name == name {
			return i.made(v)
		}
	}
	return nil
}

func (i *instance) made(v vended) pointSource {
	m := &made{
		seed: seedOf(i.region.account.ID, i.region.Name, i.ID, v.name), step: seconds(cmp.Or(v.step, i.period())),
		born: i.Launched.Unix(), curve: v.curve, unitName: v.unit, delivery: &i.region.Delivery,
	}
	switch {
	case i.State != stateRunning:
		m.died = m.born // who does not run sends nothing
	case !i.Terminated.IsZero():
		m.died = i.Terminated.Unix()
	}
	return m
}

func (i *instance) period() time.Duration {
	if i.Detailed {
		return time.Minute
	}
	return 5 * time.Minute
}

func (i *instance) metric(name string) Metric {
	return Metric{ec2Namespace, name, []Dimension{{"InstanceId", i.ID}}}
}

// class is what the type of an instance says about its metrics.
type class struct {
	burstable bool // has CPU credits
	nitro     bool // sends the metrics of its volumes
	store     bool // has volumes of its own
	small     bool // may use more of its volumes than it can keep up
}

// classOf takes a type such as m5d.xlarge apart: letters, the generation and what is special.
func classOf(instanceType string) class {
	family, size, _ := strings.Cut(instanceType, ".")
	at := strings.IndexFunc(family, isDigit)
	if at < 0 {
		return class{nitro: true}
	}
	series, generation, special := family[:at], family[at], family[at+1:]
	return class{
		burstable: series == "t",
		nitro:     !isXen(series, generation, special),
		store:     strings.Contains(special, "d") || hasVolumes(series, generation),
		small:     slices.Contains([]string{"nano", "micro", "small", "medium", "large", "xlarge"}, size),
	}
}

// isXen knows the generations before Nitro: "Instances built on the AWS Nitro System".
func isXen(series string, generation byte, special string) bool {
	switch series {
	case "t", "d":
		return generation <= '2'
	case "m", "c", "r":
		return generation <= '4'
	case "i":
		return generation <= '3' && special != "en"
	case "p":
		return generation <= '3' && special != "dn"
	case "g":
		return generation <= '3'
	case "f", "h", "x", "cc", "cr", "hs":
		return generation == '1'
	}
	return false
}

// hasVolumes knows the families that have volumes without a d in their names.
func hasVolumes(series string, generation byte) bool {
	switch series {
	case "i", "d", "h", "f", "im", "is", "hs", "trn":
		return true
	case "m", "c", "r":
		return generation <= '3'
	case "x":
		return generation == '1'
	case "g":
		return generation == '2' || generation >= '5'
	}
	return false
}
