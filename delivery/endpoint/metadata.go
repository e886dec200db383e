package endpoint

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// Metadata is the part of the EC2 instance metadata service, version 2 only, that SDKs
// ask for credentials ("Use the Instance Metadata Service to access instance metadata",
// Amazon EC2 User Guide). It has no secret: whoever may speak to it gets credentials, so
// that it belongs behind a [Guard].
type Metadata struct {
	*Issue
	Region   string    // empty: SDKs must know it from elsewhere
	Sessions *Sessions // must be set; two endpoints with the same know each other's
}

// Headers of IMDSv2, and the bounds of a session in seconds.
const (
	ttlHeader     = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	sessionHeader = "X-Aws-Ec2-Metadata-Token"
	minSession    = 1
	maxSession    = 21600
)

// Paths of IMDS.
const (
	sessionPath  = "/latest/api/token"
	rolesPath    = "/latest/meta-data/iam/security-credentials"
	infoPath     = "/latest/meta-data/iam/info"
	regionPath   = "/latest/meta-data/placement/region"
	zonePath     = "/latest/meta-data/placement/availability-zone"
	idPath       = "/latest/meta-data/instance-id"
	identityPath = "/latest/dynamic/instance-identity/document"
)

// noInstance is the id of an instance that is none.
const noInstance = "i-00000000000000000"

func (m *Metadata) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.Path, "/") // some SDKs write it, and none follows a redirect
	switch {
	case path == sessionPath:
		m.open(w, r)
	case r.Method != http.MethodGet:
		notAllowed(w, http.MethodGet)
	case !m.Sessions.know(r.Header.Get(sessionHeader), time.Now()):
		refused(m.Audit, r, "no session", http.StatusUnauthorized)
		w.WriteHeader(http.StatusUnauthorized)
	case path == rolesPath+"/"+m.role():
		m.HandOver(w, r, m.document)
	default:
		m.describe(w, path)
	}
}

// open begins a session.
func (m *Metadata) open(w http.ResponseWriter, r *http.Request) {
	seconds, err := strconv.Atoi(r.Header.Get(ttlHeader))
	switch {
	case r.Method != http.MethodPut:
		notAllowed(w, http.MethodPut)
	case err != nil || seconds < minSession || seconds > maxSession || len(r.Header.Values(ttlHeader)) > 1:
		w.WriteHeader(http.StatusBadRequest)
	default:
		w.Header().Set(ttlHeader, strconv.Itoa(seconds))
		writeText(w, m.Sessions.begin(time.Now().Add(time.Duration(seconds)*time.Second)))
	}
}

// role is the last part of the role's name, as of the role of an instance profile.
func (m *Metadata) role() string { return m.Role[strings.LastIndexByte(m.Role, '/')+1:] }

// roleDocument is of the user guide, "Retrieve security credentials from instance
// metadata".
type roleDocument struct {
	Code            string
	LastUpdated     string
	Type            string
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Token           string
	Expiration      string
	AccountID       string `json:"AccountId,omitempty"`
}

func (m *Metadata) document(c keyless.Credentials) any {
	return roleDocument{
		Code: "Success", LastUpdated: stamp(c.Obtained), Type: "AWS-HMAC", AccessKeyID: c.AccessKeyID,
		SecretAccessKey: c.SecretAccessKey.Reveal(), Token: c.SessionToken.Reveal(), Expiration: stamp(c.Expiry), AccountID: c.AccountID,
	}
}

// describe answers what SDKs ask besides.
func (m *Metadata) describe(w http.ResponseWriter, path string) {
	switch {
	case path == rolesPath:
		writeText(w, m.role())
	case path == idPath:
		writeText(w, noInstance)
	case path == infoPath:
		write(w, http.StatusOK, []byte(`{"Code":"Success"}`))
	case m.Region == "":
		w.WriteHeader(http.StatusNotFound)
	case path == regionPath:
		writeText(w, m.Region)
	case path == zonePath:
		writeText(w, m.Region+"a") // from which SDKs take the region, and nothing else
	case path == identityPath:
		write(w, http.StatusOK, []byte(`{"instanceId":"`+noInstance+`","region":`+strconv.Quote(m.Region)+`}`))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write([]byte(text)) // who has gone needs no answer
}
