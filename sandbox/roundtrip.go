package sandbox

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// RoundTripper returns a transport that hands requests for the real host names
// (login.microsoftonline.com, 169.254.169.254, sts.eu-west-1.amazonaws.com, …)
// to the far sides, without sockets. It also knows the addresses of
// [Sandbox.Listen]. Any other host is an error: nothing leaves the process.
func (s *Sandbox) RoundTripper() http.RoundTripper { return inProcess{s} }

type inProcess struct{ s *Sandbox }

// RoundTrip is part of http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	handler := t.s.handlerFor(r.URL)
	if handler == nil {
		return nil, fmt.Errorf("sandbox: no host %q here", r.URL.Host)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	answer := newRecorder()
	if err := serveInProcess(handler, answer, serverRequest(r)); err != nil {
		if ctxErr := r.Context().Err(); ctxErr != nil {
			return nil, ctxErr
		}
		return nil, err
	}
	return answer.response(r), nil
}

// serveInProcess makes of a handler that gives up what a client would see.
func serveInProcess(h http.Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch cause := recover(); cause {
		case nil:
		case http.ErrAbortHandler:
			err = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
		default:
			panic(cause)
		}
	}()
	h.ServeHTTP(w, r)
	return nil
}

// serverRequest is the request as a server would have read it.
func serverRequest(r *http.Request) *http.Request {
	in := r.Clone(r.Context())
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	in.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	if in.URL.Path == "" {
		in.URL.Path = "/"
	}
	in.RequestURI = in.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:1"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if r.URL.Scheme == "https" {
		in.TLS = &tls.ConnectionState{HandshakeComplete: true, ServerName: r.URL.Hostname()}
	}
	return in
}

func (r *recorder) response(to *http.Request) *http.Response {
	body := r.body.Bytes()
	if to.Method == http.MethodHead {
		body = nil
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", r.status, http.StatusText(r.status)), StatusCode: r.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.header, Body: io.NopCloser(strings.NewReader(string(body))), ContentLength: int64(len(body)), Request: to,
	}
}

// handlerFor returns who answers for a URL, nil when nobody does.
func (s *Sandbox) handlerFor(u *url.URL) http.Handler {
	if h, found := s.network.hopAt(u.Host); found {
		return s.Handler(h)
	}
	if s.playsIssuer(u) {
		return http.HandlerFunc(s.serveIssuer)
	}
	if h, found := hostHop(u.Host); found {
		return s.Handler(h)
	}
	if h, found := realHop(u.Hostname()); found {
		return s.Handler(h)
	}
	return nil
}

// isEntraHost knows the authorities of all clouds and the hosts that their
// discovery documents name.
func isEntraHost(host string) bool {
	switch host {
	case "login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net",
		"login.microsoftonline.us", "login.usgovcloudapi.net",
		"login.chinacloudapi.cn", "login.partner.microsoftonline.cn", "sts.chinacloudapi.cn":
		return true
	}
	return false
}

// Where hosts offer their identities on loopback: a Container App, and the agent
// of Azure Arc.
const (
	appServiceHost = "localhost:42356"
	arcHost        = "127.0.0.1:40342"
)

// hostHop says which far side an address on loopback belongs to.
func hostHop(host string) (Hop, bool) {
	switch host {
	case appServiceHost:
		return AppService, true
	case arcHost, "localhost:40342":
		return Arc, true
	}
	return "", false
}

// realHop says which far side a real host name belongs to.
func realHop(host string) (Hop, bool) {
	host = strings.ToLower(host)
	switch {
	case isEntraHost(host):
		return Entra, true
	case host == "dev.azure.com":
		return Pipelines, true
	case isGraphHost(host):
		return Graph, true
	case isManagement(host):
		return ARM, true
	case host == "169.254.169.254", host == "fd00:ec2::254":
		return IMDS, true
	case host == "169.254.170.2", host == "169.254.170.23", host == "fd00:ec2::23":
		return Container, true
	}
	if h, found := telemetryHop(host); found {
		return h, true
	}
	name, isAWS := awsHost(host)
	return name.hop, isAWS
}

// awsName is a host name of AWS taken apart.
type awsName struct {
	hop    Hop
	region string // empty for the global endpoint
	bucket string // of a virtual-hosted S3 name
}

// awsHost reads names such as sts.eu-west-1.amazonaws.com, sts-fips.us-east-1.…
// and bucket.s3.dualstack.eu-west-1.….
func awsHost(host string) (awsName, bool) {
	for _, domain := range []string{".amazonaws.com.cn", ".amazonaws.com", ".amazonaws.eu", ".api.aws"} {
		rest, found := strings.CutSuffix(host, domain)
		if !found {
			continue
		}
		labels := strings.Split(rest, ".")
		if h, found := regionalHop(labels[0]); found && len(labels) > 1 {
			return awsName{hop: h, region: regionLabel(labels[1:])}, true
		}
		if labels[0] == "iam" || labels[0] == "iam-fips" { // it has no regions, but partitions: iam.us-gov, iam.cn-north-1, iam.global
			return awsName{hop: IAM}, true
		}
		if labels[0] == "sts" || labels[0] == "sts-fips" {
			return awsName{hop: STS, region: regionLabel(labels[1:])}, true
		}
		for i, label := range labels {
			if label == "s3" || label == "s3-fips" {
				return awsName{S3, regionLabel(labels[i+1:]), strings.Join(labels[:i], ".")}, true
			}
		}
	}
	return awsName{}, false
}

// regionalHop knows the first labels of the services whose names have a region.
func regionalHop(label string) (Hop, bool) {
	switch label {
	case "aps-workspaces":
		return AMP, true
	case "monitoring", "monitoring-fips":
		return CloudWatch, true
	case "ec2", "ec2-fips":
		return EC2API, true
	case "tagging":
		return Tagging, true
	}
	return "", false
}

func regionLabel(labels []string) string {
	for _, label := range labels {
		if label != "dualstack" {
			return label
		}
	}
	return ""
}

// errNotHere says that a fetch would have left the machine.
var errNotHere = errors.New("the sandbox fetches from itself and from loopback only")

// outward is the transport with which STS and Entra fetch an issuer's keys: the
// real names lead to the sandbox itself, and an issuer on loopback is someone
// else's and fetched for real.
type outward struct {
	s    *Sandbox
	real http.RoundTripper
}

// RoundTrip is part of http.RoundTripper.
func (t outward) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.s.handlerFor(r.URL) != nil {
		return inProcess{t.s}.RoundTrip(r)
	}
	if !isLoopbackURL(r.URL.String()) {
		return nil, errNotHere
	}
	return t.real.RoundTrip(r)
}

// isLoopbackURL reports whether a URL leads to this machine.
func isLoopbackURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	return isLoopbackHost(u.Hostname())
}

func isLoopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
