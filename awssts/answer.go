package awssts

import (
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/awsquery"
)

// result is the part of either answer that is of use.
type result struct {
	Credentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string `xml:"SecretAccessKey"`
		SessionToken    string `xml:"SessionToken"`
		Expiration      string `xml:"Expiration"`
	} `xml:"Credentials"`
	User struct {
		ARN string `xml:"Arn"`
	} `xml:"AssumedRoleUser"`
	Subject  string `xml:"SubjectFromWebIdentityToken"`
	Audience string `xml:"Audience"`
	Provider string `xml:"Provider"`
}

type success struct {
	XMLName     xml.Name
	WebIdentity *result `xml:"AssumeRoleWithWebIdentityResult"`
	AssumeRole  *result `xml:"AssumeRoleResult"`
	RequestID   string  `xml:"ResponseMetadata>RequestId"`
}

func parseCredentials(body []byte, roleARN string, obtained time.Time) (keyless.Credentials, error) {
	var answer success
	if err := awsquery.Decode(body, &answer); err != nil {
		return keyless.Credentials{}, err
	}
	found := answer.WebIdentity
	if found == nil {
		found = answer.AssumeRole
	}
	if found == nil {
		return keyless.Credentials{}, awsquery.ErrNoXML
	}
	credentials, err := found.credentials(roleARN, obtained)
	if err == nil {
		credentials.Receipt = found.receipt(answer.RequestID)
	}
	return credentials, err
}

func (r result) receipt(requestID string) *keyless.Receipt {
	receipt := keyless.Receipt{RequestID: requestID, Session: r.User.ARN, Issuer: r.Provider, Audience: r.Audience, Subject: r.Subject}
	for _, value := range []*string{&receipt.RequestID, &receipt.Session, &receipt.Issuer, &receipt.Audience, &receipt.Subject} {
		*value = strings.TrimSpace(*value)
	}
	return &receipt
}

func (r result) credentials(roleARN string, obtained time.Time) (keyless.Credentials, error) {
	keys := r.Credentials
	for _, value := range []*string{&keys.AccessKeyID, &keys.SecretAccessKey, &keys.SessionToken, &keys.Expiration} {
		*value = strings.TrimSpace(*value) // the examples of the API reference break lines here
	}
	for name, value := range map[string]string{"AccessKeyId": keys.AccessKeyID, "SecretAccessKey": keys.SecretAccessKey, "SessionToken": keys.SessionToken} {
		if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return keyless.Credentials{}, fmt.Errorf("the answer has no usable %s", name)
		}
	}
	expiry, err := time.Parse(time.RFC3339, keys.Expiration)
	if err != nil {
		return keyless.Credentials{}, errors.New("the answer has no usable Expiration")
	}
	credentials := keyless.Credentials{
		AccessKeyID:     keys.AccessKeyID,
		SecretAccessKey: keyless.NewSecret(keys.SecretAccessKey),
		SessionToken:    keyless.NewSecret(keys.SessionToken),
		Obtained:        obtained,
		Expiry:          expiry.UTC(),
		AccountID:       account(r.User.ARN),
	}
	if credentials.AccountID == "" { // MinIO leaves the ARN of the user empty
		credentials.AccountID = account(roleARN)
	}
	return credentials, nil
}
