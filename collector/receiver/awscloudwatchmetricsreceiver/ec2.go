package awscloudwatchmetricsreceiver

import (
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ec2 is EC2 for an account in a region. Its three operations cost nothing. The SDK's client
// would be larger than the rest of the receiver.
type ec2 struct{ *service }

const ec2Version = "2016-11-15"

// instance is what the receiver wants to know of an instance.
type instance struct {
	ID    string        `xml:"instanceId"`
	Type  string        `xml:"instanceType"`
	Image string        `xml:"imageId"`
	Zone  string        `xml:"placement>availabilityZone"`
	Tags  []instanceTag `xml:"tagSet>item"`
}

type instanceTag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// The names of the roots tell an answer of EC2 from a page of whoever else answers with 200:
// no instances would be read from that without an error.
type instancesAnswer struct {
	XMLName   xml.Name   `xml:"DescribeInstancesResponse"`
	Instances []instance `xml:"reservationSet>item>instancesSet>item"`
	Next      string     `xml:"nextToken"`
}

type statusAnswer struct {
	XMLName  xml.Name         `xml:"DescribeInstanceStatusResponse"`
	Statuses []instanceStatus `xml:"instanceStatusSet>item"`
	Next     string           `xml:"nextToken"`
}

type instanceStatus struct {
	ID       string `xml:"instanceId"`
	System   string `xml:"systemStatus>status"`
	Instance string `xml:"instanceStatus>status"`
	EBS      string `xml:"attachedEbsStatus>status"`
}

type regionsAnswer struct {
	XMLName xml.Name `xml:"DescribeRegionsResponse"`
	Regions []string `xml:"regionInfo>item>regionName"`
}

// instances are those with the tags and in the states, which EC2 picks.
func (e ec2) instances(ctx context.Context, tags map[string][]string, states []string) ([]instance, error) {
	var all []instance
	err := e.pages(ctx, opInstances, filters(tags, states), func(body []byte) (string, error) {
		var page instancesAnswer
		err := xml.Unmarshal(body, &page) //nolint:gosec // texts and lists of them, which encoding/xml bounds
		all = append(all, page.Instances...)
		return page.Next, err
	})
	return all, err
}

// statuses are the status checks of instances that run.
func (e ec2) statuses(ctx context.Context) ([]instanceStatus, error) {
	var all []instanceStatus
	err := e.pages(ctx, opInstanceStatus, url.Values{}, func(body []byte) (string, error) {
		var page statusAnswer
		err := xml.Unmarshal(body, &page) //nolint:gosec // texts and lists of them, which encoding/xml bounds
		all = append(all, page.Statuses...)
		return page.Next, err
	})
	return all, err
}

// regions are those that the account has not turned off.
func (e ec2) regions(ctx context.Context) ([]string, error) {
	body, err := e.call(ctx, queryMessage(opRegions, ec2Version, url.Values{}))
	if err != nil {
		return nil, err
	}
	var answer regionsAnswer
	if err := xml.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("%s: %w", e.op(opRegions), err)
	}
	return answer.Regions, nil
}

// filters are those of EC2: one for each key, with the values of which any will do.
func filters(tags map[string][]string, states []string) url.Values {
	fields := url.Values{}
	n := 0
	add := func(name string, values []string) {
		n++
		prefix := "Filter." + strconv.Itoa(n) + "."
		fields.Set(prefix+"Name", name)
		for i, value := range values {
			fields.Set(prefix+"Value."+strconv.Itoa(i+1), value)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if len(tags[key]) == 0 {
			add("tag-key", []string{key})
			continue
		}
		add("tag:"+key, tags[key])
	}
	if len(states) > 0 {
		add("instance-state-name", states)
	}
	return fields
}

// pages goes through all pages of the longest length; without a length EC2 may refuse, or
// leave instances out.
func (e ec2) pages(ctx context.Context, operation string, fields url.Values, take func([]byte) (string, error)) error {
	fields.Set("MaxResults", "1000")
	for range maxPages {
		body, err := e.call(ctx, queryMessage(operation, ec2Version, fields))
		if err != nil {
			return err
		}
		next, err := take(body)
		if err != nil {
			return fmt.Errorf("%s: the answer is no XML: %w", e.op(operation), err)
		}
		if next == "" {
			return nil
		}
		if next == fields.Get("NextToken") {
			break
		}
		fields.Set("NextToken", next)
	}
	return fmt.Errorf("%s: the pages have no end", e.op(operation))
}

// class is what is known of an instance by its type alone.
type class struct{ Burstable, Store, Nitro bool }

// classOf reads an instance type: a family, a generation, attributes and a size, as in
// m5dn.large ("Amazon EC2 instance type naming conventions"). A d stands for an instance
// store, which families for storage have in any case. Only old families are not Nitro.
func classOf(kind string) class {
	family, _, _ := strings.Cut(kind, ".")
	digits := strings.IndexAny(family, "0123456789")
	if digits <= 0 {
		return class{Nitro: true}
	}
	letters, rest := family[:digits], strings.TrimLeft(family[digits:], "0123456789")
	return class{
		Burstable: letters == "t",
		Store:     strings.Contains(rest, "d") || hasStore(letters, family),
		Nitro:     !isXen(family) || strings.HasSuffix(kind, ".metal"),
	}
}

func hasStore(letters, family string) bool {
	switch letters {
	case "i", "im", "is", "d", "h", "f", "hs", "x":
		return family != "x2g"
	}
	switch family {
	case "m1", "m2", "m3", "c1", "c3", "r3", "g2", "g5", "g6", "g6e", "gr6", "p5", "p5e", "p5en", "p6", "trn1", "trn1n", "x2idn", "x2iedn":
		return true
	}
	return false
}

func isXen(family string) bool {
	switch family {
	case "t1", "t2", "m1", "m2", "m3", "m4", "c1", "c3", "c4", "cc1", "cc2", "cr1", "r3", "r4", "x1", "x1e", "i2", "i3", "d2", "h1", "hs1", "f1", "g2", "g3", "g3s", "p2", "p3":
		return true
	}
	return false
}

// profileOf says which metrics are read of an instance.
func profileOf(profile, kind string) []metricOf {
	if profile == profileMetricbeat {
		return metricbeatProfile(classOf(kind))
	}
	out := append(withStat(statAverage, false, "CPUUtilization"), withStat(statSum, false, "NetworkIn", "NetworkOut", "NetworkPacketsIn", "NetworkPacketsOut")...)
	if profile == profileMinimal {
		return out
	}
	of := classOf(kind)
	if of.Nitro {
		out = append(out, withStat(statSum, true, "EBSReadBytes", "EBSWriteBytes", "EBSReadOps", "EBSWriteOps")...)
	}
	if of.Burstable {
		out = append(out, withStat(statAverage, true, creditNames()...)...)
	}
	if of.Store {
		out = append(out, withStat(statSum, true, diskNames()...)...)
	}
	return out
}

// metricbeatProfile is what the ec2 metricset of Metricbeat asks for: sixteen metrics of a
// burstable instance, twelve of another.
func metricbeatProfile(of class) []metricOf {
	out := withStat(statAverage, false, "CPUUtilization")
	if of.Burstable {
		out = append(out, withStat(statAverage, true, creditNames()...)...)
	}
	out = append(out, withStat(statAverage, true, "StatusCheckFailed", "StatusCheckFailed_Instance", "StatusCheckFailed_System")...)
	out = append(out, withStat(statSum, true, diskNames()...)...)
	return append(out, withStat(statSum, false, "NetworkIn", "NetworkOut", "NetworkPacketsIn", "NetworkPacketsOut")...)
}

func creditNames() []string {
	return []string{"CPUCreditUsage", "CPUCreditBalance", "CPUSurplusCreditBalance", "CPUSurplusCreditsCharged"}
}

func diskNames() []string {
	return []string{"DiskReadBytes", "DiskWriteBytes", "DiskReadOps", "DiskWriteOps"}
}

func withStat(stat string, optional bool, names ...string) []metricOf {
	out := make([]metricOf, len(names))
	for i, name := range names {
		out[i] = metricOf{Name: name, Stats: []string{stat}, Optional: optional}
	}
	return out
}
