package awssts

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
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

// fault is an error answer ("Common error types" of the query protocol).
type fault struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

var (
	errCutOff = errors.New("the answer is cut off")
	errNoXML  = errors.New("the answer is not what STS says: no XML of the STS API")
)

// decode reads one XML document. It tells a document that stops in the middle
// from one that is something else.
func decode(body []byte, into any) error {
	err := xml.NewDecoder(strings.NewReader(string(body))).Decode(into)
	var syntax *xml.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &syntax) && syntax.Msg == "unexpected EOF" && ours(body):
		return errCutOff
	}
	return errNoXML
}

// ours reports whether the document began as an answer of STS does; a page of
// HTML may end in the middle as well.
func ours(body []byte) bool {
	decoder := xml.NewDecoder(strings.NewReader(string(body)))
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		if start, ok := token.(xml.StartElement); ok {
			return strings.HasSuffix(start.Name.Local, "Response")
		}
	}
}

func parseCredentials(body []byte, roleARN string, obtained time.Time) (keyless.Credentials, error) {
	var answer success
	if err := decode(body, &answer); err != nil {
		return keyless.Credentials{}, err
	}
	found := answer.WebIdentity
	if found == nil {
		found = answer.AssumeRole
	}
	if found == nil {
		return keyless.Credentials{}, errNoXML
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

// parseFault reads an error answer; false: it is none.
func parseFault(body []byte) (fault, bool) {
	var f fault
	if err := decode(body, &f); err != nil {
		return fault{}, false
	}
	f.Code, f.Message = strings.TrimSpace(f.Code), strings.TrimSpace(f.Message)
	return f, f.Code != ""
}
