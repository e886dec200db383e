package sandbox

import (
	"bytes"
	"encoding/xml"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/keyless-id/keyless/trust"
)

// call is one STS request on its way through the checks.
type call struct {
	s        *Sandbox
	request  *http.Request
	body     []byte
	form     url.Values
	region   string
	now      time.Time
	decision *trust.Decision // of the role's trust policy, once it was asked
	details  map[string]string
}

// serveSTS is the AWS query protocol, by POST form or GET query: "AWS Security
// Token Service API Reference".
func (s *Sandbox) serveSTS(w http.ResponseWriter, r *http.Request) {
	c := &call{s: s, request: r, now: s.now(STS), details: map[string]string{}}
	result, refusal := c.dispatch()
	event := Event{Hop: STS, Op: printable(c.form.Get("Action")), Outcome: "ok", Details: c.details, Decision: c.decision}
	if refusal != nil {
		event.Outcome = refusal.code
		c.details["message"] = refusal.message
		s.record(event)
		writeSTSError(w, refusal)
		return
	}
	s.record(event)
	id := randomGUID()
	w.Header().Set("x-amzn-RequestId", id)
	writeXML(w, http.StatusOK, newEnvelope(stsNamespace, c.form.Get("Action"), result, id))
}

func (c *call) dispatch() (any, *awsError) {
	if refusal := c.read(); refusal != nil {
		return nil, refusal
	}
	action := map[string]func() (any, *awsError){
		"AssumeRoleWithWebIdentity": c.assumeRoleWithWebIdentity,
		"AssumeRole":                c.assumeRole,
		"GetCallerIdentity":         c.getCallerIdentity,
		"GetWebIdentityToken":       c.getWebIdentityToken,
	}[c.form.Get("Action")]
	switch {
	case c.form.Get("Action") == "":
		return nil, &awsError{"MissingAction", http.StatusBadRequest, "The request is missing an Action parameter"}
	case action == nil || c.form.Get("Version") != "2011-06-15":
		return nil, &awsError{"InvalidAction", http.StatusBadRequest, "Could not find operation " + printable(c.form.Get("Action")) + " for version " + orText(printable(c.form.Get("Version")), "NO_VERSION_SPECIFIED")}
	}
	return action()
}

// read takes the parameters from the query of a GET and from the form of a
// POST, and says in which region the request is.
func (c *call) read() *awsError {
	r := c.request
	c.form = url.Values{}
	c.region = defaultRegion
	if name, found := awsHost(strings.ToLower(hostOnly(r.Host))); found && name.region != "" {
		c.region = name.region
	}
	var err error
	if c.body, err = io.ReadAll(r.Body); err != nil {
		return &awsError{"RequestEntityTooLarge", http.StatusRequestEntityTooLarge, "The request is too large"} // unverified
	}
	query := r.URL.RawQuery
	switch r.Method {
	case http.MethodPost:
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/x-www-form-urlencoded" {
			query += "&" + string(c.body)
		}
	case http.MethodGet:
	default:
		return &awsError{"InvalidAction", http.StatusBadRequest, "The method is not GET or POST"} // unverified
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return &awsError{"MalformedQueryString", http.StatusBadRequest, "The query string contains a syntax error"}
	}
	c.form = values
	return nil
}

func hostOnly(hostport string) string {
	u := url.URL{Host: hostport}
	return u.Hostname()
}

// envelope wraps a result as the query protocol does.
type envelope struct {
	XMLName  xml.Name
	Result   *outcome
	Metadata struct {
		RequestID string `xml:"RequestId"`
	} `xml:"ResponseMetadata"`
}

// outcome is an element that is named after the action.
type outcome struct {
	name  xml.Name
	value any
}

// MarshalXML is part of xml.Marshaler.
func (o *outcome) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	return e.EncodeElement(o.value, xml.StartElement{Name: o.name})
}

const stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

func newEnvelope(namespace, action string, result any, id string) envelope {
	e := envelope{XMLName: xml.Name{Space: namespace, Local: action + "Response"}}
	if result != nil {
		e.Result = &outcome{xml.Name{Local: action + "Result"}, result}
	}
	e.Metadata.RequestID = id
	return e
}

// xmlCredentials and the other results have the members of the service model.
type xmlCredentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string
}

type xmlAssumedRole struct {
	AssumedRoleID string `xml:"AssumedRoleId"`
	Arn           string
}

type webIdentityResult struct {
	Subject         string         `xml:"SubjectFromWebIdentityToken"`
	Audience        string         `xml:"Audience"`
	AssumedRoleUser xmlAssumedRole `xml:"AssumedRoleUser"`
	Credentials     xmlCredentials `xml:"Credentials"`
	Provider        string         `xml:"Provider"`
	SourceIdentity  string         `xml:"SourceIdentity,omitempty"`
	PackedSize      int            `xml:"PackedPolicySize,omitempty"`
}

type assumeRoleResult struct {
	AssumedRoleUser xmlAssumedRole `xml:"AssumedRoleUser"`
	Credentials     xmlCredentials `xml:"Credentials"`
	SourceIdentity  string         `xml:"SourceIdentity,omitempty"`
	PackedSize      int            `xml:"PackedPolicySize,omitempty"`
}

type callerIdentityResult struct {
	Arn     string
	UserID  string `xml:"UserId"`
	Account string
}

// assumption is what the two AssumeRole actions have in common.
type assumption struct {
	roleARN  string
	session  string
	duration time.Duration
	packed   int // per cent of the room for session policies
}

// Limits of "AssumeRoleWithWebIdentity" and "AssumeRole".
const (
	minDuration     = 900
	maxDuration     = 43200
	defaultDuration = 3600
	maxPolicy       = 2048
	maxPolicyARNs   = 10
)

// readAssumption checks the common parameters in the order of the reference.
func (c *call) readAssumption() (*assumption, *awsError) {
	a := &assumption{roleARN: c.form.Get("RoleArn"), session: c.form.Get("RoleSessionName")}
	switch {
	case len(a.roleARN) < 20:
		return nil, constraint("roleArn", "Member must have length greater than or equal to 20")
	case len(a.roleARN) > 2048:
		return nil, constraint("roleArn", "Member must have length less than or equal to 2048")
	case !isRoleARN(a.roleARN):
		return nil, invalid("Request ARN is invalid")
	case len(a.session) < 2:
		return nil, constraint("roleSessionName", "Member must have length greater than or equal to 2")
	case len(a.session) > 64:
		return nil, constraint("roleSessionName", "Member must have length less than or equal to 64")
	case !isSessionName(a.session):
		return nil, constraint("roleSessionName", `Member must satisfy regular expression pattern: [\w+=,.@-]*`)
	}
	if refusal := a.readDuration(c.form.Get("DurationSeconds")); refusal != nil {
		return nil, refusal
	}
	return a, a.readPolicies(c.form)
}

func (a *assumption) readDuration(text string) *awsError {
	seconds := defaultDuration
	if text != "" {
		var err error
		if seconds, err = strconv.Atoi(text); err != nil {
			return &awsError{"MalformedInput", http.StatusBadRequest, "durationSeconds is not an integer"} // unverified
		}
	}
	switch {
	case seconds < minDuration:
		return constraint("durationSeconds", "Member must have value greater than or equal to 900")
	case seconds > maxDuration:
		return constraint("durationSeconds", "Member must have value less than or equal to 43200")
	}
	a.duration = time.Duration(seconds) * time.Second
	return nil
}

// readPolicies checks the size and form of session policies; what they allow is
// not modelled.
func (a *assumption) readPolicies(form url.Values) *awsError {
	policy, total, arns := form.Get("Policy"), len(form.Get("Policy")), 0
	for name, values := range form {
		if strings.HasPrefix(name, "PolicyArns.member.") && strings.HasSuffix(name, ".arn") {
			arns++
			total += len(values[0])
		}
	}
	switch {
	case len(policy) > maxPolicy:
		return constraint("policy", "Member must have length less than or equal to 2048")
	case policy != "" && !isPolicyText(policy):
		return constraint("policy", `Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u00FF]+`)
	case policy != "" && !isJSONObject(policy):
		return &awsError{"MalformedPolicyDocument", http.StatusBadRequest, "This policy contains invalid Json"}
	case arns > maxPolicyARNs:
		return constraint("policyArns", "Member must have length less than or equal to 10")
	case total > maxPolicy:
		return &awsError{"PackedPolicyTooLarge", http.StatusBadRequest, "Packed size of session policies exceeds the limit"} // unverified wording
	}
	if total > 0 {
		a.packed = max(1, total*100/maxPolicy)
	}
	return nil
}

// checkRegion refuses what happens in a region that the account has switched off.
func (c *call) checkRegion(accountID string) *awsError {
	if a := c.s.index.accounts[accountID]; a != nil {
		for _, region := range a.DisabledRegions {
			if region == c.region {
				return &awsError{"RegionDisabledException", http.StatusForbidden, "STS is not activated in this region for account:" + accountID + ". Your account administrator can activate STS in this region using the IAM Console."}
			}
		}
	}
	return nil
}

// maxSession is the role's MaxSessionDuration.
func (r *role) maxSession() time.Duration {
	if r.MaxSession == 0 {
		return time.Hour
	}
	return r.MaxSession
}

func checkMaxSession(r *role, a *assumption) *awsError {
	if a.duration > r.maxSession() {
		return invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return nil
}

func accountOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}

func isJSONObject(text string) bool {
	trimmed := bytes.TrimSpace([]byte(text))
	return len(trimmed) > 0 && trimmed[0] == '{' && validJSON(trimmed)
}
