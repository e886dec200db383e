package awssts

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
)

const actionCaller = "GetCallerIdentity"

// Caller is whom AWS takes somebody for.
type Caller struct {
	ARN       string
	AccountID string
	UserID    string
}

// Caller asks the STS of w whose credentials from are ("GetCallerIdentity", AWS STS API
// Reference). No permission is needed for that, and none can forbid it.
func (w WebIdentity) Caller(ctx context.Context, from keyless.Credentials) (Caller, error) {
	if from.AccessKeyID == "" || from.SecretAccessKey.IsZero() {
		return Caller{}, wrong(actionCaller, errors.New("no credentials to ask with"))
	}
	return ask(ctx, w.callerCall(from), parseCaller)
}

func (w WebIdentity) callerCall(from keyless.Credentials) call {
	signer := AssumeRole{RoleARN: w.RoleARN, Region: w.Region, Endpoint: w.Endpoint}
	return call{
		role: w.role(), action: actionCaller, client: w.Client,
		form:    url.Values{"Action": {actionCaller}, "Version": {"2011-06-15"}},
		secrets: []string{from.SecretAccessKey.Reveal(), from.SessionToken.Reveal()},
		sign:    func(request *http.Request, body []byte) { signer.sign(request, body, from) },
		hint:    w.callerHint,
	}
}

func (w WebIdentity) callerHint(e *keyless.Error) string {
	switch e.Code {
	case "ExpiredToken", "InvalidClientTokenId":
		return "the credentials are no longer valid"
	case "SignatureDoesNotMatch":
		return hintSignature
	}
	return commonHint(e, w.Region)
}

func parseCaller(body []byte, _ time.Time) (Caller, error) {
	var answer struct {
		XMLName xml.Name
		Result  *struct {
			ARN     string `xml:"Arn"`
			Account string `xml:"Account"`
			UserID  string `xml:"UserId"`
		} `xml:"GetCallerIdentityResult"`
	}
	if err := decode(body, &answer); err != nil {
		return Caller{}, err
	}
	if answer.Result == nil || answer.Result.ARN == "" {
		return Caller{}, errNoXML
	}
	return Caller{strings.TrimSpace(answer.Result.ARN), strings.TrimSpace(answer.Result.Account), strings.TrimSpace(answer.Result.UserID)}, nil
}
