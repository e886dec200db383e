// Package awsquery reads what the services of AWS that speak the query protocol answer:
// STS and IAM ("AWS query protocol", Smithy 2.0).
package awsquery

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strings"
)

// What an answer is that cannot be read.
var (
	ErrCutOff = errors.New("the answer is cut off")
	ErrNoXML  = errors.New("the answer is not what STS or IAM says: no XML of the API")
)

// Fault is an error answer ("Common error types" of the query protocol).
type Fault struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

// Decode reads one XML document. It tells a document that stops in the middle, of
// which the error is [ErrCutOff], from one that is something else, [ErrNoXML].
func Decode(body []byte, into any) error {
	err := xml.NewDecoder(strings.NewReader(string(body))).Decode(into)
	var syntax *xml.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &syntax) && syntax.Msg == "unexpected EOF" && ours(body):
		return ErrCutOff
	}
	return ErrNoXML
}

// ours reports whether the document began as an answer of such a service does; a page
// of HTML may end in the middle as well.
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

// ParseFault reads an error answer; false: it is none.
func ParseFault(body []byte) (Fault, bool) {
	var f Fault
	if err := Decode(body, &f); err != nil {
		return Fault{}, false
	}
	f.Code, f.Message = strings.TrimSpace(f.Code), strings.TrimSpace(f.Message)
	return f, f.Code != ""
}

// Temporary reports whether asking again can help with a refusal of this status and
// code ("Common errors" of the API references).
func Temporary(status int, code string) bool {
	switch code {
	case "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
		"RequestThrottledException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown",
		"ServiceUnavailable", "InternalFailure", "InternalError", "RequestTimeout":
		return true
	}
	return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500
}
