package awscloudwatchmetricsreceiver

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/transport"
)

// The operations of AWS that the receiver knows.
const (
	opMetricData       = "GetMetricData"
	opMetricStatistics = "GetMetricStatistics"
	opListMetrics      = "ListMetrics"
	opInstances        = "DescribeInstances"
	opInstanceStatus   = "DescribeInstanceStatus"
	opRegions          = "DescribeRegions"
	opResources        = "GetResources"
	opCaller           = "GetCallerIdentity"
)

// The services, by the names that their hosts and signatures have.
const (
	serviceCloudWatch = "monitoring"
	serviceEC2        = "ec2"
	serviceTagging    = "tagging"
	serviceSTS        = "sts"
)

// service is one of AWS's services, for one account in one region.
type service struct {
	Client   *http.Client // signs
	Endpoint string
	Account  string
	Region   string
	Limits   map[string]*limiter // by operation; set before the first call
	Report   *report
}

// endpointOf is the address of a service in a region, next to that of STS.
func endpointOf(name, region string, fips bool) (string, error) {
	sts, err := awssts.Endpoint(region, "", fips, false)
	if err != nil {
		return "", err
	}
	return strings.Replace(sts, "https://sts", "https://"+name, 1), nil
}

// signing is a client that signs for a service.
func signing(base *http.Client, from keyless.CredentialsProvider, region, name, endpoint string) (*http.Client, error) {
	at, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout:       base.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &transport.SigV4{Provider: from, Region: region, Service: name, Hosts: []string{at.Host}, Base: base.Transport},
	}, nil
}

// message is a request in one of AWS's protocols.
type message struct {
	Operation string
	Path      string
	Header    map[string]string
	Body      []byte
}

func queryMessage(operation, version string, fields url.Values) message {
	fields.Set("Action", operation)
	fields.Set("Version", version)
	return message{
		Operation: operation, Path: "/", Body: []byte(fields.Encode()),
		Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
	}
}

// jsonMessage is in "AWS JSON", of version 1.0 or 1.1.
func jsonMessage(operation, version, target string, fields any) (message, error) {
	body, err := json.Marshal(fields)
	return message{
		Operation: operation, Path: "/", Body: body,
		Header: map[string]string{"Content-Type": "application/x-amz-json-" + version, "X-Amz-Target": target + "." + operation},
	}, err
}

const (
	attempts     = 6
	maxAnswer    = 64 << 20
	firstBackoff = 250 * time.Millisecond
	lastBackoff  = 20 * time.Second
)

// call sends a request until it is answered, refused for good, or has failed often enough: the
// next poll reads again what this one did not get.
func (s *service) call(ctx context.Context, m message) ([]byte, error) {
	for n := 1; ; n++ {
		if err := s.Limits[m.Operation].wait(ctx); err != nil {
			return nil, err
		}
		s.Report.called(ctx, s, m.Operation)
		body, err := s.once(ctx, m)
		if err == nil {
			s.Limits[m.Operation].answered()
			return body, nil
		}
		if isThrottle(err) {
			s.Limits[m.Operation].throttled()
			s.Report.throttled(ctx, s, m.Operation)
		}
		if n == attempts || !keyless.IsTemporary(err) || ctx.Err() != nil {
			return nil, err
		}
		if err := sleep(ctx, backoff(n)); err != nil {
			return nil, err
		}
		s.Report.retried(ctx, m.Operation)
	}
}

// backoff grows and has jitter, so that those who were throttled together do not come back
// together.
func backoff(n int) time.Duration {
	most := min(lastBackoff, firstBackoff<<n)
	return most/2 + rand.N(most/2) //nolint:gosec // jitter is no secret
}

func (s *service) once(ctx context.Context, m message) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(s.Endpoint, "/")+m.Path, bytes.NewReader(m.Body))
	if err != nil {
		return nil, err
	}
	for name, value := range m.Header {
		r.Header.Set(name, value)
	}
	answer, err := s.Client.Do(r)
	if err != nil {
		return nil, s.unreachable(m.Operation, err)
	}
	defer answer.Body.Close()
	body, err := bodyOf(answer)
	switch {
	case err != nil:
		return nil, s.unreachable(m.Operation, err)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("%s in %s: the answer is longer than %d bytes", m.Operation, s.Region, maxAnswer)
	case answer.StatusCode != http.StatusOK:
		return nil, s.refusal(m.Operation, answer, body)
	}
	return body, nil
}

// bodyOf reads one byte more than the most, so that it shows. It makes room at once: to grow
// by and by is to copy again and again.
func bodyOf(answer *http.Response) ([]byte, error) {
	room := bytes.NewBuffer(make([]byte, 0, min(max(0, answer.ContentLength), maxAnswer)+bytes.MinRead))
	_, err := room.ReadFrom(io.LimitReader(answer.Body, maxAnswer+1))
	return room.Bytes(), err
}

// unreachable keeps what keyless says about credentials, and tries again what the network did.
func (s *service) unreachable(operation string, err error) error {
	var known *keyless.Error
	if errors.As(err, &known) {
		return fmt.Errorf("%s of %s in %s: %w", operation, s.Account, s.Region, known)
	}
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err // without the address, which is in the operation and the region
	}
	return &keyless.Error{Hop: keyless.HopDelivery, Op: s.op(operation), Message: err.Error(), Temporary: true, Err: err}
}

func (s *service) op(operation string) string {
	return operation + " of " + s.Account + " in " + s.Region
}

func (s *service) refusal(operation string, answer *http.Response, body []byte) error {
	code, text := explain(answer.Header, body)
	if code == "" {
		code = http.StatusText(answer.StatusCode)
	}
	e := &keyless.Error{Hop: keyless.HopDelivery, Op: s.op(operation), Code: code, Message: text}
	e.Temporary = answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests || isThrottleCode(code)
	if isDenied(e) {
		e.Hint = "the role needs the action " + actionOf(operation)
	}
	return e
}

func actionOf(operation string) string {
	switch operation {
	case opInstances, opInstanceStatus, opRegions:
		return "ec2:" + operation
	case opResources:
		return "tag:" + operation
	case opCaller:
		return "sts:" + operation
	}
	return "cloudwatch:" + operation
}

// awsError is an error in the XML of the Query protocol (STS), or that of EC2, or JSON.
type awsError struct {
	Type    string `json:"__type" xml:"-"`
	Text    string `json:"message" xml:"-"`
	Code    string `json:"-" xml:"Error>Code"`
	Message string `json:"Message" xml:"Error>Message"`
	EC2     struct {
		Code    string `xml:"Code"`
		Message string `xml:"Message"`
	} `json:"-" xml:"Errors>Error"`
}

// explain finds the code and the words of an error, in whichever protocol it is.
func explain(header http.Header, body []byte) (code, text string) {
	var e awsError
	switch kind := header.Get("Content-Type"); {
	case strings.Contains(kind, "cbor"):
		e = rpcCBOR{}.errorOf(body)
	case strings.Contains(kind, "json"), bytes.HasPrefix(body, []byte("{")): // moto says text
		_ = json.Unmarshal(body, &e)
	default:
		_ = xml.Unmarshal(body, &e)
	}
	// In query mode the code of the older protocol is in a header.
	query, _, _ := strings.Cut(header.Get("X-Amzn-Query-Error"), ";")
	code = firstOf(query, e.Code, e.EC2.Code, lastPart(e.Type, '#'))
	return oneLine(code), oneLine(firstOf(e.Text, e.Message, e.EC2.Message))
}

func firstOf(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

// oneLine is what a far side said, short enough for a log.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return s[:min(len(s), 500)]
}

func isThrottle(err error) bool {
	var e *keyless.Error
	return errors.As(err, &e) && isThrottleCode(e.Code)
}

// isThrottleCode knows the codes that the SDKs take for throttling.
func isThrottleCode(code string) bool {
	switch code {
	case "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
		"RequestLimitExceeded", "TooManyRequestsException", "LimitExceeded", "LimitExceededException", "SlowDown", http.StatusText(http.StatusTooManyRequests):
		return true
	}
	return false
}

// isInvalid reports whether a request was refused for what is in it.
func isInvalid(err error) bool {
	var e *keyless.Error
	return errors.As(err, &e) && (strings.HasPrefix(e.Code, "InvalidParameter") || strings.HasPrefix(e.Code, "Validation"))
}

func isDenied(err error) bool {
	var e *keyless.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthFailure", "OptInRequired", http.StatusText(http.StatusForbidden):
		return true
	}
	return e.Hop != keyless.HopDelivery // no credentials
}
