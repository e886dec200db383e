package iam

import (
	"context"
	"errors"
	"net/http"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
)

// Caller is whose credentials they are.
type Caller struct {
	Account   string
	Partition string // aws, aws-cn, …
	ARN       string
}

// STS asks STS whose credentials they are; see [STS.Caller].
type STS struct {
	Credentials keyless.CredentialsProvider
	Region      string       // zero: us-east-1
	Endpoint    string       // another address than the region's own
	HTTPClient  *http.Client // zero: a shared one that honours HTTPS_PROXY and NO_PROXY
}

// Caller asks whose credentials they are, which nobody can be denied
// ("GetCallerIdentity", AWS STS API Reference).
func (s STS) Caller(ctx context.Context) (Caller, error) {
	const action = "GetCallerIdentity"
	region := s.Region
	if region == "" {
		region = globalRegion
	}
	endpoint, err := s.Endpoint, error(nil)
	if endpoint == "" {
		endpoint, err = awssts.Endpoint(region, "", false, false)
	}
	if err != nil {
		return Caller{}, wrong(action, err)
	}
	var answer struct {
		ARN     string `xml:"GetCallerIdentityResult>Arn"`
		Account string `xml:"GetCallerIdentityResult>Account"`
	}
	sts := service{name: "sts", version: "2011-06-15", credentials: s.Credentials, endpoint: endpoint, region: region, client: s.HTTPClient}
	if err := sts.ask(ctx, action, nil, &answer); err != nil {
		return Caller{}, err
	}
	parts := strings.SplitN(answer.ARN, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" || answer.Account == "" {
		return Caller{}, wrong(action, errors.New("the answer has no account or no ARN"))
	}
	return Caller{Account: answer.Account, Partition: parts[1], ARN: answer.ARN}, nil
}
