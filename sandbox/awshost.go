package sandbox

import (
	"crypto/subtle"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// hostSession is how long the credentials of a host last, and hostSessionName what
// CloudTrail calls them: the id of the instance.
const (
	hostSession     = 6 * time.Hour
	hostSessionName = "i-0123456789abcdef0"
	maxMetadataTTL  = 21600
)

// metadataTokens are the session tokens of IMDSv2.
type metadataTokens struct {
	mu     sync.Mutex
	expiry map[string]time.Time
}

func (t *metadataTokens) add(token string, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.expiry == nil || len(t.expiry) > 1000 {
		t.expiry = map[string]time.Time{}
	}
	t.expiry[token] = until
}

func (t *metadataTokens) valid(token string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return now.Before(t.expiry[token])
}

// serveEC2 is the instance metadata service of AWS, version 2 only ("Use the Instance
// Metadata Service to access instance metadata", Amazon EC2 User Guide).
func (s *Sandbox) serveEC2(w http.ResponseWriter, r *http.Request) {
	const credentials = "/latest/meta-data/iam/security-credentials"
	role, path := s.role(s.index.host.RoleARN), strings.TrimSuffix(r.URL.Path, "/")
	switch {
	case role == nil:
		s.refuseEC2(w, http.StatusNotFound) // the host is not in AWS
	case path == "/latest/api/token":
		s.startMetadataSession(w, r)
	case !readOnly(w, r):
	case !s.metadata.valid(r.Header.Get("X-aws-ec2-metadata-token"), s.now(EC2)):
		s.refuseEC2(w, http.StatusUnauthorized)
	case path == credentials:
		writeBody(w, http.StatusOK, "text/plain", []byte(role.Name))
	case path == credentials+"/"+role.Name:
		answer := s.hostCredentials(EC2, role)
		answer["Code"], answer["Type"], answer["LastUpdated"] = "Success", "AWS-HMAC", s.now(EC2).UTC().Format(time.RFC3339)
		s.record(Event{Hop: EC2, Op: "credentials", Outcome: "ok", Details: map[string]string{"role": role.arn}})
		writeJSON(w, http.StatusOK, answer)
	default:
		s.refuseEC2(w, http.StatusNotFound)
	}
}

func (s *Sandbox) startMetadataSession(w http.ResponseWriter, r *http.Request) {
	const header = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	ttl, err := strconv.Atoi(r.Header.Get(header))
	switch {
	case r.Method != http.MethodPut:
		s.refuseEC2(w, http.StatusMethodNotAllowed)
	case r.Header.Get("X-Forwarded-For") != "":
		s.refuseEC2(w, http.StatusForbidden)
	case err != nil || ttl < 1 || ttl > maxMetadataTTL:
		s.refuseEC2(w, http.StatusBadRequest)
	default:
		token := randomText(42)
		s.metadata.add(token, s.now(EC2).Add(time.Duration(ttl)*time.Second))
		s.record(Event{Hop: EC2, Op: "token", Outcome: "ok"})
		w.Header().Set(header, strconv.Itoa(ttl))
		writeBody(w, http.StatusOK, "text/plain", []byte(token))
	}
}

func (s *Sandbox) refuseEC2(w http.ResponseWriter, status int) {
	s.record(Event{Hop: EC2, Op: "metadata", Outcome: strconv.Itoa(status)})
	writeEC2Error(w, status)
}

// writeEC2Error is a page, as the service's own errors are.
func writeEC2Error(w http.ResponseWriter, status int) {
	text := strconv.Itoa(status) + " - " + http.StatusText(status)
	writeBody(w, status, "text/html", []byte("<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<html><head><title>"+text+"</title></head><body><h1>"+text+"</h1></body></html>\n"))
}

// hostCredentials are a session of the host's role, in the spelling of both services.
func (s *Sandbox) hostCredentials(h Hop, r *role) map[string]string {
	session := s.newSession(r, hostSessionName, s.now(h).Add(hostSession))
	s.sessions.add(session)
	c := session.credentials()
	return map[string]string{
		"AccessKeyId": c.AccessKeyID, "SecretAccessKey": c.SecretAccessKey, "Token": c.SessionToken,
		"Expiration": c.Expiration, "AccountId": r.account.ID,
	}
}

// isContainer reports whether a path is that of the container credentials.
func isContainer(path string) bool { return strings.HasPrefix(path, "/v2/credentials") }

// serveContainer is the endpoint that Amazon ECS and EKS Pod Identity offer to
// containers ("Container credential provider", AWS SDKs and Tools Reference Guide).
func (s *Sandbox) serveContainer(w http.ResponseWriter, r *http.Request) {
	host := s.index.host
	role := s.role(host.RoleARN)
	switch {
	case !readOnly(w, r):
	case subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(host.ContainerToken)) != 1:
		s.record(Event{Hop: Container, Op: "credentials", Outcome: "AccessDenied"})
		writeContainerError(w, http.StatusUnauthorized, "AccessDenied", "The authorization token is wrong.")
	case role == nil:
		s.record(Event{Hop: Container, Op: "credentials", Outcome: "NoRole"})
		writeContainerError(w, http.StatusNotFound, "NoIdInRequest", "The task has no role.") // unverified code
	default:
		answer := s.hostCredentials(Container, role)
		answer["RoleArn"] = role.arn
		s.record(Event{Hop: Container, Op: "credentials", Outcome: "ok", Details: map[string]string{"role": role.arn}})
		writeJSON(w, http.StatusOK, answer)
	}
}

func writeContainerError(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]string{"Code": code, "Message": message})
}
