package awshost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/oauth"
	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/internal/wire"
)

// DefaultMetadataEndpoint is where the instance metadata service of AWS is.
const DefaultMetadataEndpoint = "http://169.254.169.254"

const (
	opMetadata      = "instance metadata"
	tokenPath       = "latest/api/token"
	credentialsPath = "latest/meta-data/iam/security-credentials/"

	// sessionSeconds is longer than the three requests take.
	sessionSeconds = "300"
)

var _ keyless.CredentialsProvider = InstanceMetadata{}

// InstanceMetadata is the role of the EC2 instance that the program runs on ("Use the
// Instance Metadata Service to access instance metadata", Amazon EC2 User Guide). It
// speaks version 2 only: whoever can make version 1 answer can answer in its place.
type InstanceMetadata struct {
	Role     string       // zero: the one that the instance has
	Endpoint string       // zero: [DefaultMetadataEndpoint]; a path in it is kept
	Client   *http.Client // zero: a shared one without a proxy, for this host and its link only
}

var roleName = pattern.Lazy(`^[\w+=,.@-]{1,64}$`)

// Validate checks the fields.
func (m InstanceMetadata) Validate() error {
	if m.Role != "" && !roleName().MatchString(m.Role) {
		return fmt.Errorf("role %q: want a role's name", wire.Quote(m.Role))
	}
	_, err := m.address(tokenPath)
	return err
}

// Credentials asks the service.
func (m InstanceMetadata) Credentials(ctx context.Context) (keyless.Credentials, error) {
	if err := m.Validate(); err != nil {
		return keyless.Credentials{}, wrong(opMetadata, err)
	}
	return retry(ctx, m.try)
}

func (m InstanceMetadata) address(path ...string) (string, error) {
	base := m.Endpoint
	if base == "" {
		base = DefaultMetadataEndpoint
	}
	u, err := wire.Endpoint(base)
	if err != nil {
		return "", fmt.Errorf("endpoint: %w", err)
	}
	return u.JoinPath(path...).String(), nil
}

func (m InstanceMetadata) endpoint(secrets ...string) endpoint {
	client := m.Client
	if client == nil {
		client = wire.Local()
	}
	return endpoint{op: opMetadata, client: client, secrets: secrets, hint: metadataHint}
}

func metadataHint(status int) string {
	switch {
	case status == http.StatusNotFound:
		return "the instance has no role; attach an instance profile"
	case status == http.StatusForbidden:
		return "the metadata service is switched off for this instance, or is asked through a proxy"
	case status == http.StatusUnauthorized:
		return "the metadata service does not accept its own token; is something between here and there answering?"
	case status == http.StatusTooManyRequests || status >= 500:
		return "the metadata service is busy or out of order; it was asked several times, and may answer later"
	}
	return ""
}

// session starts a session of version 2.
func (m InstanceMetadata) session(ctx context.Context) (string, error) {
	address, err := m.address(tokenPath)
	if err != nil {
		return "", wrong(opMetadata, err)
	}
	answer, err := m.endpoint().ask(ctx, http.MethodPut, address, http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {sessionSeconds}})
	var failed *keyless.Error
	if errors.As(err, &failed) && errors.Is(err, context.DeadlineExceeded) {
		failed.Hint = "the instance metadata service does not answer; is this an EC2 instance? In a container its hop limit must be 2 (aws ec2 modify-instance-metadata-options)"
	}
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(answer.Body))
	if !printable(token) || strings.HasPrefix(token, "<") || len(token) > 1024 {
		return "", oauth.Garbage(opMetadata, answer, errors.New("the answer is no session token"))
	}
	return token, nil
}

func (m InstanceMetadata) try(ctx context.Context) (keyless.Credentials, error) {
	session, err := m.session(ctx)
	if err != nil {
		return keyless.Credentials{}, err
	}
	role := m.Role
	if role == "" {
		if role, err = m.role(ctx, session); err != nil {
			return keyless.Credentials{}, err
		}
	}
	obtained := time.Now()
	answer, err := m.get(ctx, session, credentialsPath, role)
	if err != nil {
		return keyless.Credentials{}, err
	}
	return m.endpoint(session).read(answer, obtained)
}

func (m InstanceMetadata) get(ctx context.Context, session string, path ...string) (*wire.Answer, error) {
	address, err := m.address(path...)
	if err != nil {
		return nil, wrong(opMetadata, err)
	}
	return m.endpoint(session).ask(ctx, http.MethodGet, address, http.Header{"X-Aws-Ec2-Metadata-Token": {session}})
}

// role is the first that the service names; there is one at most.
func (m InstanceMetadata) role(ctx context.Context, session string) (string, error) {
	answer, err := m.get(ctx, session, credentialsPath)
	if err != nil {
		return "", err
	}
	role, _, _ := strings.Cut(strings.TrimSpace(string(answer.Body)), "\n")
	if role = strings.TrimSpace(role); !roleName().MatchString(role) {
		return "", oauth.Garbage(opMetadata, answer, errors.New("the answer is no name of a role"), session)
	}
	return role, nil
}
