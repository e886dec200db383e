package awshost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
)

const opWebIdentity = "web identity file"

var _ keyless.CredentialsProvider = WebIdentityFile{}

// WebIdentityFile is a role that a token in a file stands for, as in a pod of EKS
// ("IAM roles for service accounts", Amazon EKS User Guide). The file is read for each
// request, because the kubelet rotates it.
type WebIdentityFile struct {
	RoleARN     string // AWS_ROLE_ARN
	File        string // AWS_WEB_IDENTITY_TOKEN_FILE
	SessionName string // AWS_ROLE_SESSION_NAME; zero: made from the token

	Region   string       // zero: the default region of the role's partition
	Endpoint string       // another address than the region's own
	Client   *http.Client // zero: a shared one that honours HTTPS_PROXY and NO_PROXY
}

func (w WebIdentityFile) exchange() awssts.WebIdentity {
	return awssts.WebIdentity{RoleARN: w.RoleARN, SessionName: w.SessionName, Region: w.Region, Endpoint: w.Endpoint, Client: w.Client}
}

// Validate checks the fields, and reads no file.
func (w WebIdentityFile) Validate() error {
	if w.File == "" {
		return errors.New("no token file")
	}
	return w.exchange().Validate()
}

// Credentials trades the token at STS.
func (w WebIdentityFile) Credentials(ctx context.Context) (keyless.Credentials, error) {
	if err := w.Validate(); err != nil {
		return keyless.Credentials{}, wrong(opWebIdentity, err)
	}
	return keyless.Federate(keyless.TokenSourceFunc(w.token), w.exchange()).Credentials(ctx)
}

func (w WebIdentityFile) token(context.Context) (keyless.Token, error) {
	text, err := readSmall(w.File)
	if err != nil {
		return keyless.Token{}, wrong(opWebIdentity, fmt.Errorf("token: %w", err))
	}
	return keyless.Token{Value: keyless.NewSecret(strings.TrimSpace(text))}, nil
}
