package convert

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

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
	var receivers strings.Builder
	for i, m := range modules {
		o := &output{plugin: plugin{name: "aws", line: m.Line, settings: leaves(m, "")}, at: at{line: m.Line}}
		receivers.WriteString("  " + named("aws_cloudwatch_metrics", i) + ":\n" + o.beatCredentials(d) + o.cloudWatch(d, m))
		settled(d, o.settings, metricbeatFate)
	}
	w := &writer{}
	w.comment("Written by keyless. Try it: keyless-collector estimate --config FILE, then validate", 0)
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
		if textOf(item, "module") == "aws" && textOf(item, "enabled") != "false" {
			all = append(all, item)
		}
	}
	return all
}

// beatCredentials are the receiver's: those of a profile if the module signs in to Entra ID,
// or else those that AWS's own chain finds, with the role on top.
func (o *output) beatCredentials(d *draft) string {
	if o.find("azure_ad.tenant_id") != nil {
		return "    credentials_provider: " + extension(d.identify("keyless", "", o.beatProfile(d))) + "\n"
	}
	d.note(o.at, "has no azure_ad: the Collector asks AWS's own chain for credentials; for others write credentials_provider, and an extension keyless")
	role := o.text(d, "role_arn")
	if role == "" {
		return ""
	}
	text := "    accounts:\n      - role_arns: [" + scalar(role) + "]\n"
	if id := o.text(d, "external_id"); id != "" {
		text += "        external_id: " + scalar(id) + "\n"
	}
	return text
}

// beatProfile is azure_ad with role_arn, as it is.
func (o *output) beatProfile(d *draft) profile.Profile {
	p := profile.Profile{
		Source: &profile.Source{Auto: &profile.Choice{}}, Scope: o.text(d, "azure_ad.scope"),
		AWS: &profile.AWS{RoleARN: o.text(d, "role_arn"), Region: o.text(d, "default_region")},
	}
	c, _ := cloudNamed("")
	if o.find("azure_ad.client_secret") != nil {
		p.Source = o.application(d, c, "azure_ad.tenant_id", "azure_ad.client_id", "azure_ad.client_secret")
	}
	if p.Scope == "" {
		p.Audience = "api://CHANGE-ME"
		d.note(o.below("azure_ad.tenant_id"), "has no scope: write the application's in place of api://CHANGE-ME")
	}
	if o.find("external_id") != nil {
		d.note(o.below("external_id"), "is not carried over: AssumeRoleWithWebIdentity has none")
	}
	return p
}

// cloudWatch is the receiver without its name and credentials.
func (o *output) cloudWatch(d *draft, m *yamltree.Node) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "    "+format+"\n", args...) }
	if regions := words(m.Child("regions")); len(regions) > 0 {
		line("regions: %s", flow(regions))
	} else {
		line(`regions: ["*"]`)
	}
	if slices.Contains(metricsetsOf(m), "ec2") {
		line("ec2: {enabled: true, profile: metricbeat%s}", tagsOf(m.Child("tags_filter")))
	}
	if strings.EqualFold(o.text(d, "fips_enabled"), "true") {
		line("fips: true")
	}
	if proxy := o.text(d, "proxy_url"); proxy != "" {
		line("proxy_url: %s", scalar(proxy))
		d.note(o.below("proxy_url"), "is for CloudWatch and EC2; for Entra ID and STS set HTTPS_PROXY")
	}
	line("metrics:")
	o.beatTimes(d, line)
	if queries := o.beatQueries(d, m); len(queries) > 0 {
		line("  queries:")
		for _, q := range queries {
			line("    - {%s}", q)
		}
	}
	return b.String()
}

// beatTimes are how often is polled, for points of which length, and how much later.
func (o *output) beatTimes(d *draft, line func(string, ...any)) {
	if period := o.text(d, "period"); period != "" {
		granularity := o.text(d, "data_granularity")
		line("  collection_interval: %s", scalar(period))
		line("  period: %s", scalar(cmp.Or(granularity, period)))
		if every, err := time.ParseDuration(period); err == nil && every < 15*time.Minute {
			d.note(o.below("period"), "is kept, and it is what AWS bills: collection_interval: 15m brings the same points later, and for less")
		}
	}
	if latency := o.text(d, "latency"); latency != "" {
		line("  delay: %s", scalar(latency))
	}
}

// beatQueries are what the metricsets other than ec2 ask for.
func (o *output) beatQueries(d *draft, m *yamltree.Node) []string {
	var all []string
	if metrics := m.Child("metrics"); metrics != nil && slices.Contains(metricsetsOf(m), "cloudwatch") {
		for _, item := range metrics.Items {
			for _, name := range namesOf(item) {
				all = append(all, queryOf(item, name, m.Child("tags_filter")))
			}
		}
	}
	where := o.below("metricsets")
	for _, set := range metricsetsOf(m) {
		namespaces := namespacesOf(set)
		for _, namespace := range namespaces {
			all = append(all, "namespace: "+namespace+`, metric_name: "*", stats: [Average, Sum]`)
		}
		switch {
		case len(namespaces) > 0:
			d.note(where, "%s: asks for all metrics of %s; name those that you need, each is paid for", set, strings.Join(namespaces, ", "))
		case set != "ec2" && set != "cloudwatch":
			d.note(where, "%s: is not read from CloudWatch, and not carried over", set)
		}
	}
	return all
}

// namespacesOf is where a metricset that is made of cloudwatch reads ("AWS module",
// Metricbeat Reference).
func namespacesOf(metricset string) []string {
	switch metricset {
	case "dynamodb":
		return []string{"AWS/DynamoDB"}
	case "ebs":
		return []string{"AWS/EBS"}
	case "elb":
		return []string{"AWS/ELB", "AWS/ApplicationELB", "AWS/NetworkELB"}
	case "kinesis":
		return []string{"AWS/Kinesis"}
	case "lambda":
		return []string{"AWS/Lambda"}
	case "natgateway":
		return []string{"AWS/NATGateway"}
	case "rds":
		return []string{"AWS/RDS"}
	case "s3_daily_storage", "s3_request":
		return []string{"AWS/S3"}
	case "sns":
		return []string{"AWS/SNS"}
	case "sqs":
		return []string{"AWS/SQS"}
	case "transitgateway":
		return []string{"AWS/TransitGateway"}
	case "usage":
		return []string{"AWS/Usage"}
	case "vpn":
		return []string{"AWS/VPN"}
	}
	return nil
}

// queryOf is a metric of an entry. Tags pick among resources, of which the kind must be known.
func queryOf(item *yamltree.Node, name string, filter *yamltree.Node) string {
	q := "namespace: " + scalar(textOf(item, "namespace")) + ", metric_name: " + scalar(name)
	if dimensions := item.Child("dimensions"); dimensions != nil {
		var pairs []string
		for _, one := range dimensions.Items {
			pairs = append(pairs, scalar(textOf(one, "name"))+": "+scalar(cmp.Or(textOf(one, "value"), "*")))
		}
		q += ", dimensions: {" + strings.Join(pairs, ", ") + "}"
	}
	if kind := textOf(item, "resource_type"); kind != "" {
		q += ", resource_type: " + scalar(kind) + tagsOf(filter)
	}
	return q + statsOf(item)
}

// metricsetsOf are those of a module; cloudwatch if it names none.
func metricsetsOf(m *yamltree.Node) []string {
	if sets := words(m.Child("metricsets")); len(sets) > 0 {
		return sets
	}
	return []string{"cloudwatch"}
}

// tagsOf is the filter of EC2: all keys, and of each any value.
func tagsOf(filter *yamltree.Node) string {
	if filter == nil {
		return ""
	}
	var pairs []string
	for _, item := range filter.Items {
		values := words(item.Child("value"))
		if len(values) == 0 {
			continue
		}
		pairs = append(pairs, scalar(textOf(item, "key"))+": "+flow(values))
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
	if names := words(item.Child("name")); len(names) > 0 {
		return names
	}
	return []string{"*"}
}

// statsOf are all five if none is named, as with Metricbeat.
func statsOf(item *yamltree.Node) string {
	if stats := words(item.Child("statistic")); len(stats) > 0 {
		return ", stats: " + flow(stats)
	}
	return ", stats: [Average, Maximum, Minimum, Sum, SampleCount]"
}

// flow writes a list on one line.
func flow(list []string) string {
	return "[" + strings.Join(scalars(reflect.ValueOf(list)), ", ") + "]"
}

// words are the texts of a list; Beats take a single text for a list of one.
func words(n *yamltree.Node) []string {
	switch {
	case n == nil:
		return nil
	case n.Kind == yamltree.Text:
		return []string{n.Value}
	}
	return texts(n)
}

// elasticsearchOf is the exporter: that of the file's output, if it has one.
func elasticsearchOf(d *draft, tree *yamltree.Node) string {
	hosts, user := tree.Child("output.elasticsearch"), ""
	if hosts == nil && tree.Child("output") != nil {
		hosts = tree.Child("output").Child("elasticsearch")
	}
	address := "https://CHANGE-ME:9200"
	if hosts != nil {
		if list := words(hosts.Child("hosts")); len(list) > 0 {
			address = list[0]
			if len(list) > 1 {
				d.note(at{hosts.Child("hosts").Line, "hosts"}, "the Collector writes to one address: put a load balancer before the others")
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
		"azure_ad.tenant_id", "azure_ad.client_id", "azure_ad.client_secret", "azure_ad.scope", "tags_filter", "metrics",
		"external_id", "fips_enabled", "proxy_url", "enabled":
		return taken
	case "access_key_id", "secret_access_key", "session_token", "credential_profile_name", "shared_credential_file":
		return "is not carried over: a key is what keyless is there to get rid of"
	case "include_linked_accounts":
		return "is not carried over: name the accounts with a role in each; see accounts of the receiver"
	case "assume_role.duration", "assume_role.expiry_window":
		return "is not carried over: see aws.duration of the extension keyless, which asks for new credentials by itself"
	case "endpoint":
		return "is not carried over: see endpoint and endpoints of the receiver"
	}
	if strings.HasPrefix(name, "ssl.") {
		return tlsOfClient
	}
	return unknown
}
