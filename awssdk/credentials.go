package awssdk

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/hop"
)

const opSDK = "aws sdk"

// lasting is what credentials that never expire are taken for: they are read again
// then, and may be others.
const lasting = time.Hour

var _ keyless.CredentialsProvider = Credentials{}

// Credentials are any of the SDK's own credentials for keyless, for example to ask AWS
// for the token that makes a workload in AWS an application in Entra
// (awssts.GetWebIdentityToken).
type Credentials struct {
	Provider aws.CredentialsProvider // for example the Credentials of an aws.Config
}

// Credentials asks the provider. Those that cannot expire are said to last an hour.
func (c Credentials) Credentials(ctx context.Context) (keyless.Credentials, error) {
	if c.Provider == nil {
		return keyless.Credentials{}, hop.Foreign(keyless.HopSource, opSDK, errors.New("no provider"))
	}
	obtained := time.Now()
	got, err := c.Provider.Retrieve(ctx)
	if err != nil {
		return keyless.Credentials{}, failed(err)
	}
	switch {
	case !got.HasKeys():
		err = errors.New("the provider returned empty credentials")
	case got.Expired():
		err = errors.New("the provider returned credentials that have expired")
	}
	if err != nil {
		return keyless.Credentials{}, hop.Foreign(keyless.HopSource, opSDK, err)
	}
	expiry := obtained.Add(lasting)
	if got.CanExpire {
		expiry = got.Expires.UTC()
	}
	return keyless.Credentials{
		AccessKeyID: got.AccessKeyID, SecretAccessKey: keyless.NewSecret(got.SecretAccessKey), SessionToken: keyless.NewSecret(got.SessionToken),
		Obtained: obtained, Expiry: expiry, AccountID: got.AccountID,
	}, nil
}

// failed takes the SDK's word for what may pass.
func failed(err error) error {
	e := hop.Foreign(keyless.HopSource, opSDK, err)
	e.Temporary = e.Temporary || retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
	if e.Hint == "" {
		e.Hint = "the AWS SDK found no usable credentials; its message says where it looked"
	}
	return e
}
