package awshost

import (
	"context"
	"errors"
	"net/http"
	"os/exec"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// Host is where to look for credentials.
type Host struct {
	Getenv func(string) string // the program's environment
	Client *http.Client        // for what is on the host; zero: each provider's own
	Cloud  *http.Client        // for STS, which a web-identity token is traded at; zero: a shared one that honours HTTPS_PROXY and NO_PROXY
}

// Found is what [Detect] found.
type Found struct {
	Provider keyless.CredentialsProvider
	Name     string // of the kind: environment, container, web identity, instance metadata, aws cli
	Why      string // what it was recognised by
}

// probeTimeout is for the metadata service to be there at all.
const probeTimeout = 800 * time.Millisecond

// CodeNothing says that the host offers no credentials of AWS.
const CodeNothing = "NoAWSCredentials"

// Detect finds the provider that this host offers: credentials in the environment, the
// container's endpoint, a web-identity token's file, the instance metadata service,
// else the AWS CLI. What the environment names counts before what answers, because a
// pod's own role must not be passed over for that of the machine below it. A provider
// that is there and fails is not passed over either. Only the metadata service is
// asked anything, and for less than a second.
func Detect(ctx context.Context, h Host) (Found, error) {
	if h.Getenv == nil {
		return Found{}, wrong("aws", errors.New("no environment to look into"))
	}
	for _, look := range []func(context.Context) (Found, bool){h.environment, h.container, h.webIdentity, h.metadata, h.cli} {
		if found, ok := look(ctx); ok {
			return found, nil
		}
		if err := ctx.Err(); err != nil {
			return Found{}, wrong("aws", err)
		}
	}
	return Found{}, &keyless.Error{
		Hop: keyless.HopSource, Op: "aws", Code: CodeNothing,
		Message: "no AWS credentials: not in the environment, no container endpoint, no web-identity file, no instance metadata service, no AWS CLI",
		Hint:    "give the workload a role: an instance profile, a task role, or a role for its service account",
	}
}

func (h Host) environment(context.Context) (Found, bool) {
	for _, name := range []string{envAccessKey, envSecretKey} {
		if h.Getenv(name) != "" {
			return Found{Environment{Getenv: h.Getenv}, "environment", name}, true
		}
	}
	return Found{}, false
}

func (h Host) container(context.Context) (Found, bool) {
	c := Container{
		RelativeURI: h.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), FullURI: h.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
		TokenFile: h.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"), Token: keyless.NewSecret(h.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")),
		Client: h.Client,
	}
	switch {
	case c.RelativeURI != "":
		return Found{c, "container", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"}, true
	case c.FullURI != "":
		return Found{c, "container", "AWS_CONTAINER_CREDENTIALS_FULL_URI"}, true
	}
	return Found{}, false
}

func (h Host) webIdentity(context.Context) (Found, bool) {
	w := WebIdentityFile{
		RoleARN: h.Getenv("AWS_ROLE_ARN"), File: h.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE"), SessionName: h.Getenv("AWS_ROLE_SESSION_NAME"),
		Region: h.region(), Endpoint: h.Getenv("AWS_ENDPOINT_URL_STS"), Client: h.Cloud,
	}
	return Found{w, "web identity", "AWS_WEB_IDENTITY_TOKEN_FILE"}, w.File != ""
}

func (h Host) region() string {
	if region := h.Getenv("AWS_REGION"); region != "" {
		return region
	}
	return h.Getenv("AWS_DEFAULT_REGION")
}

// metadata asks whether the service is there. One that is switched off, or has no role,
// counts as absent; one that answers that it is in trouble does not.
func (h Host) metadata(ctx context.Context) (Found, bool) {
	if strings.EqualFold(h.Getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		return Found{}, false
	}
	m := InstanceMetadata{Endpoint: h.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"), Client: h.Client}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	session, err := m.session(ctx)
	if err == nil {
		_, err = m.role(ctx, session)
	}
	if err != nil && !inTrouble(err) {
		return Found{}, false
	}
	why := m.Endpoint
	if why == "" {
		why = DefaultMetadataEndpoint
	}
	return Found{m, "instance metadata", why}, true
}

// inTrouble reports whether err is an answer that says try later.
func inTrouble(err error) bool {
	var e *keyless.Error
	return errors.As(err, &e) && e.Temporary && strings.HasPrefix(e.Code, "HTTP ")
}

func (h Host) cli(context.Context) (Found, bool) {
	if h.Getenv(InsideCLI) != "" {
		return Found{}, false
	}
	path, err := exec.LookPath("aws")
	if err != nil {
		return Found{}, false
	}
	return Found{CLI{Path: path, Profile: h.Getenv("AWS_PROFILE")}, "aws cli", path}, true
}
