package sandbox

import (
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// serveEC2API is "Amazon EC2 API Reference", version 2016-11-15.
func (s *Sandbox) serveEC2API(w http.ResponseWriter, r *http.Request) {
	s.serveAPI(ec2API(), ec2Protocol{}, w, r)
}

// ec2API has the refill rates of "Request throttling for the Amazon EC2 API".
func ec2API() *awsService {
	return &awsService{
		hop: EC2API, name: "ec2",
		operation: func(name string) *awsOperation {
			switch name {
			case "DescribeInstances":
				return &awsOperation{unlessDry((*apiCall).describeInstances), 20}
			case "DescribeInstanceStatus":
				return &awsOperation{unlessDry((*apiCall).describeInstanceStatus), 20}
			case "DescribeRegions":
				return &awsOperation{unlessDry((*apiCall).describeRegions), 20}
			}
			return nil
		},
		unsigned: (*signatureError).forEC2,
		denied: func(who, permission string) *awsError {
			return &awsError{"UnauthorizedOperation", http.StatusForbidden, "You are not authorized to perform this operation. User: " + who +
				" is not authorized to perform: " + permission + " because no identity-based policy allows the " + permission + " action"}
		},
		throttled: ec2Throttled(),
	}
}

// unlessDry stops before the parameters are looked at, for callers who want to know
// whether they may.
func unlessDry(run func(*apiCall) (object, *awsError)) func(*apiCall) (object, *awsError) {
	return func(c *apiCall) (object, *awsError) {
		if c.in.flag("DryRun") {
			return nil, &awsError{"DryRunOperation", http.StatusPreconditionFailed, "Request would have succeeded, but DryRun flag is set."}
		}
		return run(c)
	}
}

func ec2Throttled() *awsError {
	return &awsError{"RequestLimitExceeded", http.StatusServiceUnavailable, "Request limit exceeded."}
}

// forEC2 turns a bad signature into the words of EC2 ("Error codes for the Amazon EC2
// API"); which code goes with what is unverified.
func (e *signatureError) forEC2() *awsError {
	refusal := e.forSTS()
	switch e.problem {
	case unknownAccessKey, wrongToken:
		return &awsError{"AuthFailure", http.StatusUnauthorized, "AWS was not able to validate the provided access credentials"}
	case sessionExpired:
		return &awsError{"RequestExpired", http.StatusBadRequest, "Request has expired."}
	}
	return refusal
}

// The states of an instance that are asked for most.
const (
	stateRunning    = "running"
	stateTerminated = "terminated"
)

// remembered is how long a terminated instance is still described.
const remembered = time.Hour

// state is that of a time; none: the instance is not there.
func (i *instance) state(now time.Time) string {
	switch {
	case now.Before(i.Launched), !i.Terminated.IsZero() && now.After(i.Terminated.Add(remembered)):
		return ""
	case !i.Terminated.IsZero() && !now.Before(i.Terminated):
		return stateTerminated
	}
	return i.State
}

// stateCode is "InstanceState".
func stateCode(state string) int {
	switch state {
	case stateRunning:
		return 16
	case "shutting-down":
		return 32
	case stateTerminated:
		return 48
	case "stopping":
		return 64
	case "stopped":
		return 80
	}
	return 0 // pending
}

func (c *apiCall) describeInstances() (object, *awsError) {
	page, next, refusal := c.instancePage(func(i *instance, filters []ec2Filter) bool { return i.state(c.now) != "" && i.matches(filters, c.now) })
	if refusal != nil {
		return nil, refusal
	}
	reservations := []object{}
	for _, i := range page {
		reservations = append(reservations, object{
			"reservationId": i.reservation(), "ownerId": c.at.account, "groupSet": []object{}, "instancesSet": []object{i.describe(c.now)},
		})
	}
	return withToken(object{"reservationSet": reservations}, next), nil
}

// describeInstanceStatus shows those that run, unless all are asked for.
func (c *apiCall) describeInstanceStatus() (object, *awsError) {
	all := c.in.flag("IncludeAllInstances")
	page, next, refusal := c.instancePage(func(i *instance, filters []ec2Filter) bool {
		state := i.state(c.now)
		return (state == stateRunning || all && state != "") && i.matches(filters, c.now)
	})
	if refusal != nil {
		return nil, refusal
	}
	statuses := []object{}
	for _, i := range page {
		statuses = append(statuses, i.status(c.now))
	}
	return withToken(object{"instanceStatusSet": statuses}, next), nil
}

func withToken(answer object, next string) object {
	if next != "" {
		answer["nextToken"] = next
	}
	return answer
}

// instancePage is the part of the instances that a request asks for. Without MaxResults it
// is all of them.
func (c *apiCall) instancePage(shown func(*instance, []ec2Filter) bool) (page []*instance, next string, refusal *awsError) {
	filters, refusal := c.readFilters()
	if refusal != nil {
		return nil, "", refusal
	}
	ids, refusal := c.instanceIDs()
	if refusal != nil {
		return nil, "", refusal
	}
	size, after, refusal := c.readPage(len(ids) > 0)
	if refusal != nil {
		return nil, "", refusal
	}
	for _, i := range c.region().instances {
		if i.ID <= after || len(ids) > 0 && !slices.Contains(ids, i.ID) || !shown(i, filters) {
			continue
		}
		if len(page) == size {
			return page, base64.StdEncoding.EncodeToString([]byte(page[size-1].ID)), nil
		}
		page = append(page, i)
	}
	return page, "", nil
}

func (c *apiCall) readPage(named bool) (size int, after string, refusal *awsError) {
	text, err := base64.StdEncoding.DecodeString(c.in.text("NextToken"))
	if err != nil {
		return 0, "", &awsError{"InvalidNextToken", http.StatusBadRequest, "The token is not valid."} // unverified wording
	}
	if !c.in.has("MaxResults") {
		return -1, string(text), nil
	}
	most, ok := c.in.integer("MaxResults")
	switch {
	case named:
		return 0, "", combination("The parameter instancesSet cannot be used with the parameter maxResults")
	case !ok || most < 5:
		return 0, "", invalidValue("Value ( %s ) for parameter maxResults is invalid. Expecting a value greater than 5.", printable(c.in.text("MaxResults")))
	}
	return int(min(most, 1000)), string(text), nil
}

func (c *apiCall) instanceIDs() ([]string, *awsError) {
	ids := c.in.texts("InstanceId")
	for _, id := range ids {
		if !strings.HasPrefix(id, "i-") {
			return nil, &awsError{"InvalidInstanceID.Malformed", http.StatusBadRequest, `Invalid id: "` + printable(id) + `"`}
		}
		if i := c.region().instance(id); i == nil || i.state(c.now) == "" {
			return nil, &awsError{"InvalidInstanceID.NotFound", http.StatusBadRequest, "The instance ID '" + printable(id) + "' does not exist"}
		}
	}
	return ids, nil
}

// describeRegions has those of the world, or the one where everything is that does not
// say: not all that there are, which would be many to poll.
func (c *apiCall) describeRegions() (object, *awsError) {
	names := slices.Sorted(maps.Keys(c.caller.account.regions))
	if len(names) == 0 {
		names = []string{defaultRegion}
	}
	asked := c.in.texts("RegionName")
	for _, name := range asked {
		if !slices.Contains(names, name) {
			return nil, invalidValue("Invalid region provided: %s", printable(name)) // unverified wording
		}
	}
	regions := []object{}
	for _, name := range names {
		if len(asked) == 0 || slices.Contains(asked, name) {
			regions = append(regions, object{"regionName": name, "regionEndpoint": "ec2." + name + ".amazonaws.com", "optInStatus": "opt-in-not-required"})
		}
	}
	return object{"regionInfo": regions}, nil
}

// describe has the members of Instance that this world knows.
func (i *instance) describe(now time.Time) object {
	state := i.state(now)
	answer := object{
		"instanceId": i.ID, "imageId": i.Image, "instanceType": i.Type, "launchTime": i.Launched, "instanceState": object{"code": stateCode(state), "name": state},
		"placement": object{"availabilityZone": i.Zone, "tenancy": "default", "groupName": ""}, "monitoring": object{"state": i.monitoring()},
		"amiLaunchIndex": 0, "architecture": "x86_64", "hypervisor": "xen", "virtualizationType": "hvm", "rootDeviceType": "ebs", "rootDeviceName": "/dev/xvda",
		"platformDetails": "Linux/UNIX", "cpuOptions": object{"coreCount": 1, "threadsPerCore": 2}, "privateDnsName": "", "dnsName": "", "tagSet": i.tagSet(),
	}
	if state != stateTerminated { // it has no addresses any more
		answer["privateIpAddress"], answer["privateDnsName"] = i.PrivateIP, i.privateName()
		if i.PublicIP != "" {
			answer["ipAddress"], answer["dnsName"] = i.PublicIP, "ec2-"+dashed(i.PublicIP)+"."+i.region.Name+".compute.amazonaws.com"
		}
	}
	return answer
}

func dashed(address string) string { return strings.ReplaceAll(address, ".", "-") }

func (i *instance) privateName() string {
	return "ip-" + dashed(i.PrivateIP) + "." + i.region.Name + ".compute.internal"
}

func (i *instance) reservation() string { return "r-" + strings.TrimPrefix(i.ID, "i-") }

func (i *instance) monitoring() string {
	if i.Detailed {
		return "enabled"
	}
	return "disabled"
}

func (i *instance) tagSet() []object {
	set := []object{}
	for _, key := range slices.Sorted(maps.Keys(i.Tags)) {
		set = append(set, object{"key": key, "value": i.Tags[key]})
	}
	return set
}

func (i *instance) status(now time.Time) object {
	state := i.state(now)
	check := func(failed bool) object {
		switch {
		case state != stateRunning:
			return object{"status": "not-applicable"}
		case failed:
			return object{"status": "impaired", "details": []object{{"name": "reachability", "status": "failed", "impairedSince": i.Impaired}}}
		}
		return object{"status": "ok", "details": []object{{"name": "reachability", "status": "passed"}}}
	}
	return object{
		"instanceId": i.ID, "availabilityZone": i.Zone, "instanceState": object{"code": stateCode(state), "name": state},
		"systemStatus": check(false), "instanceStatus": check(!i.Impaired.IsZero() && !now.Before(i.Impaired)),
	}
}

// ec2Filter lets through what has one of the values; * and ? stand for anything.
type ec2Filter struct {
	name   string
	values []string
}

func (c *apiCall) readFilters() ([]ec2Filter, *awsError) {
	var filters []ec2Filter
	for _, in := range c.in.structures("Filter") {
		f := ec2Filter{in.text("Name"), in.texts("Value")}
		if _, known := (&instance{region: c.region()}).property(f.name, c.now); !known {
			return nil, invalidValue("The filter '%s' is invalid", printable(f.name))
		}
		if len(f.values) > 200 {
			return nil, &awsError{"FilterLimitExceeded", http.StatusBadRequest, "The maximum number of filter values specified on a single call is 200"} // unverified wording
		}
		filters = append(filters, f)
	}
	return filters, nil
}

func (i *instance) matches(filters []ec2Filter, now time.Time) bool {
	for _, f := range filters {
		values, _ := i.property(f.name, now)
		if !slices.ContainsFunc(values, f.lets) {
			return false
		}
	}
	return true
}

func (f ec2Filter) lets(value string) bool {
	return slices.ContainsFunc(f.values, func(pattern string) bool { return isLike(value, pattern) })
}

// property is what a filter compares; known says whether there is such a filter.
func (i *instance) property(name string, now time.Time) (values []string, known bool) {
	if key, found := strings.CutPrefix(name, "tag:"); found {
		if value, has := i.Tags[key]; has {
			values = []string{value}
		}
		return values, true
	}
	switch name {
	case "tag-key":
		return slices.Collect(maps.Keys(i.Tags)), true
	case "tag-value":
		return slices.Collect(maps.Values(i.Tags)), true
	}
	value, known := i.attribute(name, now)
	return []string{value}, known
}

func (i *instance) attribute(name string, now time.Time) (value string, known bool) {
	switch name {
	case "instance-id":
		return i.ID, true
	case "instance-state-name":
		return i.state(now), true
	case "instance-type":
		return i.Type, true
	case "image-id":
		return i.Image, true
	case "availability-zone":
		return i.Zone, true
	case "private-ip-address":
		return i.PrivateIP, true
	case "private-dns-name":
		return i.privateName(), true
	case "ip-address":
		return i.PublicIP, true
	case "monitoring-state":
		return i.monitoring(), true
	case "owner-id":
		return i.region.account.ID, true
	case "reservation-id":
		return i.reservation(), true
	}
	return "", false
}

// isLike matches * and ? as filters do; a backslash takes their meaning away. It goes back
// to the last star only, so that no pattern takes long.
func isLike(text, pattern string) bool {
	star, retry, at, p := -1, 0, 0, 0
	for at < len(text) {
		one, wild := pattern[p:], byte(0)
		if one != "" && (one[0] == '*' || one[0] == '?') {
			wild = one[0]
		}
		literal := strings.TrimPrefix(one, `\`)
		switch {
		case wild == '*':
			star, retry = p, at
			p++
		case wild == '?':
			at, p = at+1, p+1
		case literal != "" && literal[0] == text[at]:
			at, p = at+1, p+1+len(one)-len(literal)
		case star >= 0:
			retry++
			at, p = retry, star+1
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
