package sandbox

import (
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const iamNamespace = "https://iam.amazonaws.com/doc/2010-05-08/"

// iamCall is one IAM request on its way through the checks.
type iamCall struct {
	*call
	account *account
	state   *iamState // for a write: a copy that becomes the next state
}

type iamAction func(*iamCall) (any, *awsError)

// serveIAM is the AWS query protocol again: "AWS Identity and Access Management API
// Reference", version 2010-05-08.
func (s *Sandbox) serveIAM(w http.ResponseWriter, r *http.Request) {
	c := &iamCall{call: &call{s: s, request: r, now: s.now(IAM), details: map[string]string{}}}
	result, refusal := c.dispatch()
	event := Event{Hop: IAM, Op: printable(c.form.Get("Action")), Outcome: "ok", Details: c.details}
	if refusal != nil {
		event.Outcome, c.details["message"] = refusal.code, refusal.message
		s.record(event)
		writeIAMError(w, refusal)
		return
	}
	s.record(event)
	id := randomGUID()
	w.Header().Set("x-amzn-RequestId", id)
	writeXML(w, http.StatusOK, newEnvelope(iamNamespace, c.form.Get("Action"), result, id))
}

func (c *iamCall) dispatch() (any, *awsError) {
	if refusal := c.read(); refusal != nil {
		return nil, refusal
	}
	name := c.form.Get("Action")
	action := findIAMAction(name)
	switch {
	case name == "":
		return nil, &awsError{"MissingAction", http.StatusBadRequest, "The request is missing an Action parameter"}
	case action == nil || c.form.Get("Version") != "2010-05-08":
		return nil, &awsError{"InvalidAction", http.StatusBadRequest, "Could not find operation " + printable(name) + " for version " + orText(printable(c.form.Get("Version")), "NO_VERSION_SPECIFIED")}
	}
	if refusal := c.authorize(name); refusal != nil {
		return nil, refusal
	}
	if isIAMRead(name) {
		c.state = c.account.iam.latest()
		return action(c)
	}
	return c.write(action)
}

func findIAMAction(name string) iamAction {
	for _, actions := range []map[string]iamAction{roleActions(), rolePolicyActions(), providerActions(), accountActions()} {
		if action := actions[name]; action != nil {
			return action
		}
	}
	return nil
}

func isIAMRead(action string) bool {
	return strings.HasPrefix(action, "Get") || strings.HasPrefix(action, "List")
}

// write makes the next state of the account, if the action is not refused.
func (c *iamCall) write(action iamAction) (result any, refusal *awsError) {
	c.account.iam.change(c.s.options.Now(), c.s.effective(), func(latest *iamState) (*iamState, bool) {
		c.state = latest.clone()
		result, refusal = action(c)
		return c.state, refusal == nil
	})
	return result, refusal
}

// authorize verifies the signature and asks whether the account obeys its owner.
// Permissions are all or nothing here.
func (c *iamCall) authorize(action string) *awsError {
	caller, fault := c.s.verifySignature(c.request, c.body, "iam", c.now)
	if fault != nil {
		return fault.forSTS()
	}
	c.account, c.details["caller"] = caller.account, caller.arn
	if sig, fault := parseSignature(c.request); fault != nil || sig.region != caller.account.iamRegion() {
		return &awsError{"SignatureDoesNotMatch", http.StatusForbidden, "Credential should be scoped to a valid region. "} // the region is that of the partition
	}
	who := caller.arn
	if caller.role != nil {
		who = caller.role.arn
	}
	if !slices.Contains(c.account.Administrators, who) {
		return denied("User: %s is not authorized to perform: iam:%s on resource: %s because no identity-based policy allows the iam:%s action", caller.arn, action, c.resource(), action)
	}
	return nil
}

// resource is what a refusal names.
func (c *iamCall) resource() string {
	for _, parameter := range []string{"OpenIDConnectProviderArn", "PolicyArn"} {
		if arn := c.form.Get(parameter); arn != "" {
			return printable(arn)
		}
	}
	if name := c.form.Get("RoleName"); name != "" {
		return c.account.arn("role" + orText(printable(c.form.Get("Path")), "/") + printable(name))
	}
	return "*"
}

// iamRegion is where the IAM of a partition says it is ("AWS Identity and Access
// Management endpoints and quotas").
func (a *account) iamRegion() string {
	switch a.Partition {
	case "aws-us-gov":
		return "us-gov-west-1"
	case "aws-cn":
		return "cn-north-1"
	}
	return defaultRegion
}

func writeIAMError(w http.ResponseWriter, e *awsError) { writeQueryError(w, iamNamespace, e) }

func iamError(code, message string) *awsError { return &awsError{code, iamStatus(code), message} }

// iamStatus returns the status that belongs to a code, as the service's model has it.
func iamStatus(code string) int {
	switch code {
	case "EntityAlreadyExists", "DeleteConflict", "LimitExceeded", "ConcurrentModification", "EntityTemporarilyUnmodifiable", "FeatureEnabled":
		return http.StatusConflict
	case "NoSuchEntity", "FeatureDisabled":
		return http.StatusNotFound
	case "ServiceFailure":
		return http.StatusInternalServerError
	}
	return stsStatus(code)
}

// iamFault makes an error of what a test asked for.
func iamFault(f *Fault) *awsError {
	e := stsFault(f)
	if f.Status == 0 {
		e.status = iamStatus(e.code)
	}
	switch e.code {
	case "AccessDenied":
		e.message = "User is not authorized to perform this action"
	case "InternalFailure":
		e.code, e.message = "ServiceFailure", "The request processing has failed because of an unknown error, exception or failure."
	case "ConcurrentModification":
		e.message = "The request was rejected because multiple requests to change this object were submitted simultaneously. Wait a few minutes and submit your request again."
	}
	return e
}

// members is a list in an answer; an empty one is there, too.
type members[T any] struct {
	Member []T `xml:"member"`
}

type xmlTag struct{ Key, Value string }

func xmlTags(tags map[string]string) members[xmlTag] {
	var list []xmlTag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, xmlTag{key, tags[key]})
	}
	return members[xmlTag]{list}
}

func iamTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// xmlPolicy is how IAM gives documents back: percent-encoded (RFC 3986).
func xmlPolicy(document string) string { return uriEncode(document, true) }

// listPart is the part of a list that a request asks for.
type listPart struct {
	IsTruncated bool
	Marker      string `xml:",omitempty"`
}

// maxItems is how much a list shows at most, and standardItems how much unless asked.
const (
	maxItems      = 1000
	standardItems = 100
)

// paged cuts a sorted list of names. The marker is the last name of the page before,
// which clients must not take apart.
func (c *iamCall) paged(names []string) ([]string, listPart, *awsError) {
	size, err := strconv.Atoi(orText(c.form.Get("MaxItems"), strconv.Itoa(standardItems)))
	if err != nil || size < 1 || size > maxItems {
		return nil, listPart{}, constraint("maxItems", "Member must have value between 1 and 1000") // unverified wording
	}
	after, err := base64.RawURLEncoding.DecodeString(c.form.Get("Marker"))
	if err != nil {
		return nil, listPart{}, invalid("Invalid Marker.") // unverified wording
	}
	start, found := slices.BinarySearch(names, string(after))
	if found {
		start++
	}
	names = names[start:]
	if len(names) <= size {
		return names, listPart{}, nil
	}
	return names[:size], listPart{true, base64.RawURLEncoding.EncodeToString([]byte(names[size-1]))}, nil
}

// tagged checks the tags of a request ("Tagging IAM resources": at most 50).
func (c *iamCall) tagged() (map[string]string, *awsError) {
	tags := formTags(c.form)
	if c.form.Has("Tags.member.51.Key") {
		return nil, iamError("LimitExceeded", "Cannot exceed quota for TagsPerResource: 50") // unverified wording
	}
	for key := range tags {
		if key == "" || len(key) > 128 || strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, iamError("InvalidInput", "The tag key is empty, longer than 128 characters or begins with aws:") // unverified wording
		}
	}
	return tags, nil
}

// withTags returns the tags with more, and without some.
func withTags(tags, more map[string]string, without []string) (map[string]string, *awsError) {
	next := map[string]string{}
	maps.Copy(next, tags)
	maps.Copy(next, more)
	for _, key := range without {
		delete(next, key)
	}
	if len(next) > 50 {
		return nil, iamError("LimitExceeded", "Cannot exceed quota for TagsPerResource: 50") // unverified wording
	}
	return next, nil
}
