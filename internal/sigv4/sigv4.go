// Package sigv4 signs requests for AWS ("AWS Signature Version 4 for API
// requests", IAM User Guide), with the signer of the AWS SDK.
package sigv4

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Keys are the credentials that a request is signed with.
type Keys struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // empty for long-lived keys
}

// Scope is what a signature is good for.
type Scope struct {
	Service string // for example "sts"
	Region  string
	Time    time.Time // STS takes signatures that are less than 15 minutes old
}

// Sign adds the headers Authorization, X-Amz-Date and, with a session token,
// X-Amz-Security-Token to request, whose body is to be body.
func Sign(ctx context.Context, request *http.Request, body []byte, keys Keys, scope Scope) error {
	sum := sha256.Sum256(body)
	if scope.Service == "s3" { // which alone wants the hash as a header too
		request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	}
	credentials := aws.Credentials{AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey, SessionToken: keys.SessionToken}
	return v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), scope.Service, scope.Region, scope.Time)
}
