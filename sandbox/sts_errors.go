package sandbox

import (
	"encoding/xml"
	"fmt"
	"net/http"
)

// awsError is a refusal by STS or S3: "AWS STS API Reference: Common errors"
// and the errors of each action.
type awsError struct {
	code    string
	status  int
	message string
}

func invalid(format string, args ...any) *awsError {
	return &awsError{"ValidationError", http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// constraint is a ValidationError in the words of the service.
func constraint(member, rule string) *awsError {
	return invalid("1 validation error detected: Value at '%s' failed to satisfy constraint: %s", member, rule)
}

func invalidToken(message string) *awsError {
	return &awsError{"InvalidIdentityToken", http.StatusBadRequest, message}
}

func denied(format string, args ...any) *awsError {
	return &awsError{"AccessDenied", http.StatusForbidden, fmt.Sprintf(format, args...)}
}

// The two texts of InvalidIdentityToken by which clients tell what may pass from
// what will not.
const (
	noVerificationKey = "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements"
	incorrectAudience = "Incorrect token audience"
)

func notAJWT() *awsError {
	return invalidToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
}

func unreachableProvider() *awsError {
	return &awsError{"IDPCommunicationError", http.StatusBadRequest, "Unable to reach the identity provider; please try again later."} // unverified wording
}

// stsStatus returns the status that belongs to a code.
func stsStatus(code string) int {
	switch code {
	case "AccessDenied", "IDPRejectedClaim", "RegionDisabledException", "ExpiredToken",
		"InvalidClientTokenId", "SignatureDoesNotMatch", "MissingAuthenticationToken":
		return http.StatusForbidden
	case "InternalFailure":
		return http.StatusInternalServerError
	case "ServiceUnavailable":
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// stsFault makes an error of what a test asked for.
func stsFault(f *Fault) *awsError {
	e := &awsError{f.Code, f.Status, "The request was refused."}
	if e.code == "" {
		e.code = codeOfStatus(f.Status)
	}
	if e.status == 0 {
		e.status = stsStatus(e.code)
	}
	texts := map[string]string{
		"ExpiredTokenException": "Token expired: the token is expired or not valid.",
		"InvalidIdentityToken":  noVerificationKey,
		"AccessDenied":          "Not authorized to perform sts:AssumeRoleWithWebIdentity",
		"IDPCommunicationError": unreachableProvider().message,
		"Throttling":            "Rate exceeded",
		"IDPRejectedClaim":      "The identity provider rejected the claim.",
	}
	if text := texts[e.code]; text != "" {
		e.message = text
	}
	return e
}

func codeOfStatus(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return "Throttling"
	case status == http.StatusServiceUnavailable:
		return "ServiceUnavailable"
	case status >= 500:
		return "InternalFailure"
	case status == http.StatusForbidden:
		return "AccessDenied"
	}
	return "ValidationError"
}

func writeSTSError(w http.ResponseWriter, e *awsError) { writeQueryError(w, stsNamespace, e) }

// writeQueryError is the error form of the AWS query protocol.
func writeQueryError(w http.ResponseWriter, namespace string, e *awsError) {
	kind := "Sender"
	if e.status >= 500 {
		kind = "Receiver"
	}
	id := randomGUID()
	w.Header().Set("x-amzn-RequestId", id)
	writeXML(w, e.status, struct {
		XMLName xml.Name
		Type    string `xml:"Error>Type"`
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
		ID      string `xml:"RequestId"`
	}{XMLName: xml.Name{Space: namespace, Local: "ErrorResponse"}, Type: kind, Code: e.code, Message: e.message, ID: id})
}

func writeXML(w http.ResponseWriter, status int, value any) {
	body, err := xml.Marshal(value)
	if err != nil { // structs of plain values: cannot happen
		http.Error(w, "no answer", http.StatusInternalServerError)
		return
	}
	writeBody(w, status, "text/xml", append([]byte(xml.Header), body...))
}
