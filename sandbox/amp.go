package sandbox

import (
	"net/http"
	"slices"
	"strings"
)

// MetricsWorkspace is a workspace of Amazon Managed Service for Prometheus.
type MetricsWorkspace struct {
	ID      string   `json:"id" yaml:"id"`                               // ws-…
	Region  string   `json:"region,omitempty" yaml:"region,omitempty"`   // us-east-1 when empty
	Writers []string `json:"writers,omitempty" yaml:"writers,omitempty"` // ARNs of roles and users of the account that have aps:RemoteWrite
}

type metricsWorkspace struct {
	MetricsWorkspace
	account *account
}

func (m *metricsWorkspace) region() string { return orText(m.Region, defaultRegion) }

// serveAMP is RemoteWrite of the API reference of Amazon Managed Service for Prometheus.
// That it takes remote write 2.0 is unverified.
func (s *Sandbox) serveAMP(w http.ResponseWriter, r *http.Request) {
	event := Event{Hop: AMP, Op: "RemoteWrite", Details: map[string]string{}}
	done, refusal := s.writeAMP(r, event.Details)
	done.announce(w.Header())
	s.conclude(w, ampDialect(), event, http.StatusOK, refusal)
}

func (s *Sandbox) writeAMP(r *http.Request, details map[string]string) (written, *telemetryError) {
	id, isWrite := strings.CutSuffix(r.URL.Path, "/api/v1/remote_write")
	id, found := strings.CutPrefix(id, "/workspaces/")
	switch {
	case !isWrite || !found:
		return written{}, refuse(http.StatusNotFound, "UnknownOperationException", "No such path.") // unverified
	case r.Method != http.MethodPost:
		return written{}, refuse(http.StatusMethodNotAllowed, "", "The method is not allowed.")
	}
	details["workspace"] = printable(id)
	body, refusal := readWire(r)
	if refusal != nil {
		return written{}, refusal
	}
	at := s.index.workspaces[id]
	region := ampRegion(r, at)
	caller, fault := s.ampCaller(r, body, region)
	if fault != nil {
		return written{}, fault.forAMP()
	}
	details["caller"] = caller.arn
	if refusal := at.admit(caller, region); refusal != nil {
		return written{}, refusal
	}
	return s.takeWrite(r, body, details, func(int) *telemetryError { return nil })
}

// ampRegion is the region that a request must be signed for: that of the host's name,
// or at the sandbox's own address, which has none, that of the workspace.
func ampRegion(r *http.Request, at *metricsWorkspace) string {
	name, isAWS := awsHost(strings.ToLower(hostOnly(r.Host)))
	switch {
	case isAWS:
		return name.region
	case at != nil:
		return at.region()
	}
	return defaultRegion
}

func (s *Sandbox) ampCaller(r *http.Request, body []byte, region string) (*identity, *signatureError) {
	sig, fault := parseSignature(r)
	switch {
	case fault != nil:
		return nil, fault
	case sig.region != region:
		return nil, signatureFault(wrongScope, "Credential should be scoped to a valid region.")
	}
	return s.verifySignature(r, body, "aps", s.now(AMP))
}

// admit says the same of a workspace that does not exist, of one in another region, and
// of another account's.
func (m *metricsWorkspace) admit(caller *identity, region string) *telemetryError {
	if m == nil || m.account != caller.account || m.region() != region {
		return refuse(http.StatusNotFound, "", "Workspace not found") // unverified wording
	}
	arn := caller.arn
	if caller.role != nil {
		arn = caller.role.arn
	}
	if !slices.Contains(m.Writers, arn) {
		return refuse(http.StatusForbidden, "", "User: %s is not authorized to perform: aps:RemoteWrite on resource: arn:%s:aps:%s:%s:workspace/%s",
			caller.arn, m.account.Partition, m.region(), m.account.ID, m.ID)
	}
	return nil
}

// forAMP turns a bad signature into the words that AWS's JSON services share ("Common
// errors"); which of them this service uses is unverified.
func (e *signatureError) forAMP() *telemetryError {
	code, message := "InvalidSignatureException", orText(e.detail, "The request signature we calculated does not match the signature you provided.")
	switch e.problem {
	case unsigned:
		code, message = "MissingAuthenticationTokenException", "Missing Authentication Token"
	case malformed:
		code = "IncompleteSignatureException"
	case unknownAccessKey, wrongToken:
		code, message = "UnrecognizedClientException", "The security token included in the request is invalid."
	case sessionExpired:
		code, message = "ExpiredTokenException", "The security token included in the request is expired"
	default: // the signature itself
	}
	return refuse(http.StatusForbidden, code, "%s", message)
}
