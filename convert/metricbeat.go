package convert

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/internal/yamltree"
	"github.com/keyless-id/keyless/profile"
)

// likeMetricbeat is a module of AWS, in metricbeat.yml or in a file of modules.d.
var likeMetricbeat = pattern.Lazy(`(?m)^\s*-?\s*["']?module["']?\s*:\s*["']?aws["']?\s*$`)

// metricbeat converts the modules aws of a metricbeat.yml, or of a file of modules.d
// ("AWS module", Metricbeat Reference): CloudWatch is read, and Elasticsearch written,
// by the Collector.
func metricbeat(file []byte) (Result, error) {
	tree, err := parse(file)
	if err != nil {
		return Result{}, err
	}
	d := &draft{}
	modules := awsModules(tree)
	if len(modules) == 0 {
		return Result{}, &profile.Error{Message: "has no module aws", Hint: "for another output to Azure Monitor: see keyless convert --help"}
	}
	w := &writer{}
	w.comment("Written by keyless. Try it: keyless-collector estimate --config FILE, then validate", 0)
	var receivers strings.Builder
	names := make([]string, len(modules))
	for i, m := range modules {
		o := &output{plugin: plugin{name: "aws", line: m.Line, settings: leaves(m, "")}, at: at{line: m.Line}}
		names[i] = d.identify("keyless", "", o.beatIdentity(d))
		receivers.WriteString("  " + named("aws_cloudwatch_metrics", i) + ":\n    credentials_provider: " + extension(names[i]) + "\n" + o.cloudWatch(d, m))
		settled(d, o.settings, metricbeatFate)
	}
	w.WriteString("extensions:\n  health_check: {}\n")
	for _, i := range d.identities {
		w.WriteString("  " + extension(i.name) + ":\n")
		w.keys(reflect.ValueOf(i.Profile), 2)
	}
	w.WriteString("receivers:\n" + receivers.String() + "exporters:\n" + elasticsearchOf(d, tree))
	beatService(w, d, len(modules))
	r := d.result("")
	r.Config = []byte(reference().ReplaceAllStringFunc(w.String(), func(found string) string { return "${env:" + found[2:] }))
	return r, nil
}

// awsModules are those of a list of modules, wherever the file has it.
func awsModules(tree *yamltree.Node) []*yamltree.Node {
	list := tree
	for _, key := range []string{"metricbeat.modules", "modules"} {
		if found := tree.Child(key); found != nil {
			list = found
		}
	}
	if nested := tree.Child("metricbeat"); nested != nil && nested.Child("modules") != nil {
		list = nested.Child("modules")
	}
	var all []*yamltree.Node
	for _, item := range list.Items {
		if name := item.Child("module"); name != nil && name.Value == "aws" {
			all = append(all, item)
		}
	}
	return all
}

// beatIdentity is whom a module signs in as: azure_ad with role_arn is a profile as it is.
func (o *output) beatIdentity(d *draft) profile.Profile {
	region := o.text(d, "default_region")
	aws := &profile.AWS{RoleARN: o.text(d, "role_arn"), Region: region}
	if o.find("azure_ad.tenant_id") == nil {
		d.note(o.at, "has no azure_ad: the Collector takes AWS's own credentials, of this machine, unless the extension keyless gets a source")
		return profile.Profile{Source: &profile.Source{Auto: &profile.Choice{}}, Audience: "api://CHANGE-ME", AWS: aws}
	}
	c, _ := cloudNamed("")
	source := o.application(d, c, "azure_ad.tenant_id", "azure_ad.client_id", "azure_ad.client_secret")
	if o.find("azure_ad.client_secret") == nil {
		source = &profile.Source{Auto: &profile.Choice{}}
	}
	return profile.Profile{Source: source, Scope: o.text(d, "azure_ad.scope"), AWS: aws}
}

// cloudWatch is the receiver without its name.
func (o *output) cloudWatch(d *draft, m *yamltree.Node) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "    "+format+"\n", args...) }
	if regions := o.find("regions"); regions != nil && len(regions.items) > 0 {
		line("regions: [%s]", strings.Join(regions.items, ", "))
	} else {
		line(`regions: ["*"]`)
	}
	if o.listed("metricsets", "ec2") {
		line("ec2: {enabled: true, profile: metricbeat%s}", tagsOf(m.Child("tags_filter")))
	}
	line("metrics:")
	if period := o.text(d, "period"); period != "" {
		line("  collection_interval: %s", scalar(period))
		granularity := o.text(d, "data_granularity")
		if granularity == "" {
			granularity = period
		}
		line("  period: %s", scalar(granularity))
	}
	if latency := o.text(d, "latency"); latency != "" {
		line("  delay: %s", scalar(latency))
	}
	if metrics := m.Child("metrics"); metrics != nil && o.listed("metricsets", "cloudwatch") {
		line("  queries:")
		for _, item := range metrics.Items {
			for _, name := range namesOf(item) {
				line("    - {namespace: %s, metric_name: %s%s}", scalar(textOf(item, "namespace")), scalar(name), statsOf(item))
			}
		}
	}
	return b.String()
}

func (o *output) listed(name, item string) bool {
	found := o.find(name)
	if found == nil {
		return item == "cloudwatch"
	}
	for _, one := range found.items {
		if one == item {
			return true
		}
	}
	return false
}

// tagsOf is the filter of EC2: all keys, and of each any value.
func tagsOf(filter *yamltree.Node) string {
	if filter == nil {
		return ""
	}
	var pairs []string
	for _, item := range filter.Items {
		values := item.Child("value")
		if values == nil {
			continue
		}
		listed := texts(values)
		if values.Kind == yamltree.Text {
			listed = []string{values.Value}
		}
		pairs = append(pairs, scalar(textOf(item, "key"))+": ["+strings.Join(scalars(reflect.ValueOf(listed)), ", ")+"]")
	}
	return ", tags: {" + strings.Join(pairs, ", ") + "}"
}

func textOf(n *yamltree.Node, key string) string {
	if child := n.Child(key); child != nil {
		return child.Value
	}
	return ""
}

// namesOf are the metrics of an entry; none: all of the namespace.
func namesOf(item *yamltree.Node) []string {
	if names := item.Child("name"); names != nil {
		return texts(names)
	}
	return []string{"*"}
}

// statsOf leaves out what Metricbeat asks for by itself: all five, of which most are paid for
// in vain.
func statsOf(item *yamltree.Node) string {
	if stats := item.Child("statistic"); stats != nil {
		return ", stats: [" + strings.Join(texts(stats), ", ") + "]"
	}
	return ", stats: [Average, Maximum, Minimum, Sum, SampleCount]"
}

// elasticsearchOf is the exporter: that of the file's output, if it has one.
func elasticsearchOf(d *draft, tree *yamltree.Node) string {
	hosts, user := tree.Child("output.elasticsearch"), ""
	if hosts == nil && tree.Child("output") != nil {
		hosts = tree.Child("output").Child("elasticsearch")
	}
	address := "https://CHANGE-ME:9200"
	if hosts != nil {
		if list := hosts.Child("hosts"); list != nil && len(texts(list)) > 0 {
			address = texts(list)[0]
			if len(texts(list)) > 1 {
				d.note(at{list.Line, "hosts"}, "the Collector writes to one address: put a load balancer before the others")
			}
		}
		user = textOf(hosts, "username")
	}
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	text := "  elasticsearch:\n    endpoint: " + scalar(address) + "\n    mapping: metricbeat\n"
	if user != "" {
		return text + "    user: " + scalar(user) + "\n    password: \"${ELASTICSEARCH_PASSWORD}\"\n"
	}
	return text + "    api_key: \"${ELASTICSEARCH_API_KEY}\"\n"
}

func beatService(w *writer, d *draft, modules int) {
	extensions, receivers := []string{"health_check"}, []string{}
	for _, i := range d.identities {
		extensions = append(extensions, extension(i.name))
	}
	for i := range modules {
		receivers = append(receivers, named("aws_cloudwatch_metrics", i))
	}
	fmt.Fprintf(w, "service:\n  extensions: [%s]\n  pipelines:\n    metrics: {receivers: [%s], exporters: [elasticsearch]}\n", strings.Join(extensions, ", "), strings.Join(receivers, ", "))
}

func metricbeatFate(name string) string {
	switch name {
	case "module", "period", "data_granularity", "metricsets", "regions", "latency", "role_arn", "default_region",
		"azure_ad.tenant_id", "azure_ad.client_id", "azure_ad.client_secret", "azure_ad.scope", "tags_filter", "metrics":
		return taken
	case "access_key_id", "secret_access_key", "session_token", "credential_profile_name", "shared_credential_file":
		return "is not carried over: a key is what keyless is there to get rid of"
	case "include_linked_accounts":
		return "is not carried over: name the accounts with a role in each; see accounts of the receiver"
	case "external_id", "assume_role.duration", "assume_role.expiry_window":
		return "is not carried over: see aws.chain and aws.duration of the extension keyless"
	case "endpoint", "fips_enabled":
		return "is not carried over: see endpoint and fips of the receiver"
	case "proxy_url":
		return environProxy
	case "enabled":
		return taken
	}
	if strings.HasPrefix(name, "ssl.") {
		return tlsOfClient
	}
	return unknown
}
