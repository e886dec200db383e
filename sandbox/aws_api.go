package sandbox

import (
	"cmp"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// awsService is one of the services that are asked by operation, for what an account has
// in a region.
type awsService struct {
	hop       Hop
	name      string // in signatures and in the names of permissions
	operation func(name string) *awsOperation
	unsigned  func(*signatureError) *awsError
	denied    func(who, permission string) *awsError
	throttled *awsError
}

// awsOperation is what a service does, and how many times a second and account and region
// it does so unless Options.Rates says otherwise.
type awsOperation struct {
	run  func(*apiCall) (object, *awsError)
	rate float64
}

// apiCall is one request on its way through the checks.
type apiCall struct {
	s       *Sandbox
	service *awsService
	request *http.Request
	body    []byte
	name    string // of the operation
	in      params
	now     time.Time
	caller  *identity
	at      regionID
	details map[string]string
}

// regionID is one region of one account.
type regionID struct{ account, name string }

// serveAPI answers one request in the wire form that it came in.
func (s *Sandbox) serveAPI(service *awsService, p protocol, w http.ResponseWriter, r *http.Request) {
	c := &apiCall{s: s, service: service, request: r, now: s.now(service.hop), details: map[string]string{}}
	out, refusal := c.dispatch(p)
	event := Event{Hop: service.hop, Op: printable(c.name), Outcome: "ok", Details: c.details}
	if refusal != nil {
		event.Outcome, c.details["message"] = refusal.code, refusal.message
		s.record(event)
		p.refuse(w, refusal)
		return
	}
	s.record(event)
	p.answer(w, c.name, out)
}

func (c *apiCall) dispatch(p protocol) (object, *awsError) {
	var err error
	if c.body, err = io.ReadAll(c.request.Body); err != nil {
		return nil, &awsError{"RequestEntityTooLarge", http.StatusRequestEntityTooLarge, "The request is too large"} // unverified
	}
	content, refusal := unpacked(c.request, c.body)
	if refusal != nil {
		return nil, refusal
	}
	if c.name, c.in, refusal = p.read(c.request, content); refusal != nil {
		return nil, refusal
	}
	operation := c.service.operation(c.name)
	if operation == nil {
		return nil, unknownOperation(c.name)
	}
	if refusal := c.authorize(); refusal != nil {
		return nil, refusal
	}
	if !c.s.api.admit(apiKey{c.at, c.name}, c.rate(operation), c.now) {
		return nil, c.service.throttled
	}
	return operation.run(c)
}

// unpacked undoes the compression that newer clients use for PutMetricData; what is
// signed is the compressed body.
func unpacked(r *http.Request, body []byte) ([]byte, *awsError) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return body, nil
	}
	plain, refusal := unzip(body)
	if refusal != nil {
		return nil, &awsError{"SerializationException", http.StatusBadRequest, "The body is not gzip."} // unverified wording
	}
	return plain, nil
}

// rate is how many calls a second there may be; 0: any number.
func (c *apiCall) rate(operation *awsOperation) float64 {
	if rate, said := c.s.options.Rates[c.name]; said {
		return rate
	}
	return operation.rate
}

// authorize verifies the signature and takes the region from its scope, which at a true
// name has to be that of the name.
func (c *apiCall) authorize() *awsError {
	sig, fault := parseSignature(c.request)
	if fault != nil {
		return c.service.unsigned(fault)
	}
	if name, found := awsHost(strings.ToLower(hostOnly(c.request.Host))); found && name.region != "" && name.region != sig.region {
		return c.service.unsigned(signatureFault(wrongScope, "Credential should be scoped to a valid region. "))
	}
	if c.caller, fault = c.s.verifySignature(c.request, c.body, c.service.name, c.now); fault != nil {
		return c.service.unsigned(fault)
	}
	c.at = regionID{c.caller.account.ID, sig.region}
	c.details["caller"], c.details["region"] = c.caller.arn, printable(sig.region)
	permission := c.permission()
	if c.caller.role != nil && slices.Contains(c.caller.role.Denied, permission) {
		return c.service.denied(c.caller.arn, permission)
	}
	return nil
}

func (c *apiCall) permission() string {
	if c.service.hop == Tagging {
		return "tag:" + c.name
	}
	return c.service.hop.prefix() + ":" + c.name
}

// prefix is what permissions begin with.
func (h Hop) prefix() string {
	switch h {
	case CloudWatch:
		return "cloudwatch"
	case EC2API:
		return "ec2"
	}
	return string(h)
}

// region is what the caller's account has where the request is; it is never nil.
func (c *apiCall) region() *region {
	if r := c.s.region(c.at.account, c.at.name); r != nil {
		return r
	}
	return &region{Region: Region{Name: c.at.name}, account: c.caller.account}
}

// apiKey is what calls are counted by.
type apiKey struct {
	at        regionID
	operation string
}

// apiLedger counts the calls of all services, and holds their token buckets.
type apiLedger struct {
	mu        sync.Mutex
	calls     map[apiKey]int
	throttled map[apiKey]int
	queries   map[regionID]int
	buckets   map[apiKey]tokens
}

type tokens struct {
	left float64
	at   time.Time
}

// admit counts a call, or takes it for one too many: a second's worth of calls may come at
// once, and then one for each that has been earned.
func (l *apiLedger) admit(key apiKey, rate float64, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls == nil {
		l.calls, l.throttled, l.queries, l.buckets = map[apiKey]int{}, map[apiKey]int{}, map[regionID]int{}, map[apiKey]tokens{}
	}
	if rate > 0 && !l.take(key, rate, now) {
		l.throttled[key]++
		return false
	}
	l.calls[key]++
	return true
}

func (l *apiLedger) take(key apiKey, rate float64, now time.Time) bool {
	most := max(rate, 1)
	bucket, known := l.buckets[key]
	if !known {
		bucket = tokens{most, now}
	}
	bucket.left = min(most, bucket.left+rate*max(now.Sub(bucket.at).Seconds(), 0))
	bucket.at = now
	enough := bucket.left >= 1
	if enough {
		bucket.left--
	}
	l.buckets[key] = bucket
	return enough
}

func (l *apiLedger) bill(at regionID, queries int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queries[at] += queries
}

// Calls returns how many calls of an operation of CloudWatch, EC2 or tagging were served or
// refused on their merits: not those that were throttled, that met a fault, or whose
// signature was wrong.
func (s *Sandbox) Calls(account, region, operation string) int {
	s.api.mu.Lock()
	defer s.api.mu.Unlock()
	return s.api.calls[apiKey{regionID{account, region}, operation}]
}

// Throttled returns how many calls of an operation came too fast.
func (s *Sandbox) Throttled(account, region, operation string) int {
	s.api.mu.Lock()
	defer s.api.mu.Unlock()
	return s.api.throttled[apiKey{regionID{account, region}, operation}]
}

// MetricsBilled returns how many metrics GetMetricData was asked for, which is what
// CloudWatch charges by: one a query and call, further pages included (unverified).
func (s *Sandbox) MetricsBilled(account, region string) int {
	s.api.mu.Lock()
	defer s.api.mu.Unlock()
	return s.api.queries[regionID{account, region}]
}

// apiFault makes an error of what a test asked for.
func apiFault(f *Fault, throttled *awsError) *awsError {
	e := &awsError{f.Code, f.Status, "The request was refused."}
	switch {
	case e.code == "" && f.Status == http.StatusTooManyRequests, e.code == throttled.code:
		*e = awsError{throttled.code, cmp.Or(f.Status, throttled.status), throttled.message}
	case e.code == "":
		e.code = codeOfStatus(f.Status)
	}
	e.status = cmp.Or(e.status, stsStatus(e.code))
	return e
}
