package sandbox

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// protocol is one of the wire forms in which services of AWS are asked.
type protocol interface {
	// read says what is asked; the name may be one that nobody knows.
	read(r *http.Request, body []byte) (operation string, in params, refusal *awsError)
	answer(w http.ResponseWriter, operation string, out object)
	refuse(w http.ResponseWriter, e *awsError)
}

// queryProtocol is the AWS query protocol: a form, and XML.
type queryProtocol struct{ namespace, version string }

func (p queryProtocol) read(r *http.Request, body []byte) (string, params, *awsError) {
	return readQuery(r, body, p.version)
}

// readQuery takes parameters from the body of a POST and from the query.
func readQuery(r *http.Request, body []byte, version string) (string, params, *awsError) {
	form, err := url.ParseQuery(r.URL.RawQuery + "&" + string(body))
	action := form.Get("Action")
	switch {
	case err != nil:
		return "", nil, &awsError{"MalformedQueryString", http.StatusBadRequest, "The query string contains a syntax error"}
	case action == "":
		return "", nil, &awsError{"MissingAction", http.StatusBadRequest, "The request is missing an Action parameter"}
	case form.Get("Version") != version:
		return action, nil, unknownOperation(action)
	}
	return action, queryParams(form), nil
}

func unknownOperation(name string) *awsError {
	return &awsError{"InvalidAction", http.StatusBadRequest, "The action " + printable(name) + " is not valid for this web service."}
}

func (p queryProtocol) answer(w http.ResponseWriter, operation string, out object) {
	id := randomGUID()
	w.Header().Set("x-amzn-RequestId", id)
	var result any
	if out != nil {
		result = xmlTree{out, "member"}
	}
	writeXML(w, http.StatusOK, newEnvelope(p.namespace, operation, result, id))
}

func (p queryProtocol) refuse(w http.ResponseWriter, e *awsError) { writeQueryError(w, p.namespace, e) }

// ec2Protocol is the query protocol of EC2, which has another form of answers: "Query
// requests for the Amazon EC2 API".
type ec2Protocol struct{}

const (
	ec2Version  = "2016-11-15"
	ec2Document = "http://ec2.amazonaws.com/doc/" + ec2Version + "/"
)

func (ec2Protocol) read(r *http.Request, body []byte) (string, params, *awsError) {
	return readQuery(r, body, ec2Version)
}

func (ec2Protocol) answer(w http.ResponseWriter, operation string, out object) {
	answer := object{"requestId": randomGUID()}
	for name, value := range out {
		answer[name] = value
	}
	writeXML(w, http.StatusOK, &outcome{xml.Name{Space: ec2Document, Local: operation + "Response"}, xmlTree{answer, "item"}})
}

func (ec2Protocol) refuse(w http.ResponseWriter, e *awsError) {
	writeXML(w, e.status, struct {
		XMLName xml.Name `xml:"Response"`
		Code    string   `xml:"Errors>Error>Code"`
		Message string   `xml:"Errors>Error>Message"`
		ID      string   `xml:"RequestID"`
	}{Code: e.code, Message: e.message, ID: randomGUID()})
}

// cborProtocol is Smithy's RPC v2 with CBOR, as AWS's SDKs have asked CloudWatch since the
// end of 2025. The codes of the query protocol are in a header.
type cborProtocol struct{ service string }

func (p cborProtocol) read(r *http.Request, body []byte) (string, params, *awsError) {
	name, found := strings.CutPrefix(r.URL.Path, "/service/"+p.service+"/operation/")
	if !found || name == "" || r.Method != http.MethodPost {
		return "", nil, &awsError{"UnknownOperationException", http.StatusNotFound, "No such operation."} // unverified
	}
	in, err := cborParams(body)
	if err != nil {
		return name, nil, &awsError{"SerializationException", http.StatusBadRequest, "The body is not CBOR of the operation."} // unverified wording
	}
	return name, in, nil
}

func (p cborProtocol) answer(w http.ResponseWriter, _ string, out object) {
	p.header(w)
	if out == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	writeBody(w, http.StatusOK, "application/cbor", cbor.Encode(toCBOR(out)))
}

func (p cborProtocol) header(w http.ResponseWriter) {
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	w.Header().Set("x-amzn-RequestId", randomGUID())
}

func (p cborProtocol) refuse(w http.ResponseWriter, e *awsError) {
	p.header(w)
	w.Header().Set("x-amzn-query-error", e.code+";"+e.side())
	writeBody(w, e.status, "application/cbor", cbor.Encode(cbor.Map{
		"__type": cbor.String("com.amazonaws.cloudwatch#" + shapeOf(e.code)), "message": cbor.String(e.message), "Message": cbor.String(e.message),
	}))
}

// side is who is to blame.
func (e *awsError) side() string {
	if e.status >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}

// shapeOf is what the model of CloudWatch calls an error that has this code in the query
// protocol; those that are in no model are unverified.
func shapeOf(code string) string {
	switch code {
	case "MissingParameter":
		return "MissingRequiredParameterException"
	case "InternalServiceError":
		return "InternalServiceFault"
	case "InvalidParameterValue", "InvalidParameterCombination", "Throttling", "AccessDenied":
		return code + "Exception"
	case "SignatureDoesNotMatch":
		return "InvalidSignatureException"
	case "InvalidClientTokenId":
		return "UnrecognizedClientException"
	}
	return code
}

// jsonProtocol is AWS JSON, in which a header names the operation.
type jsonProtocol struct{ target, contentType string }

func (p jsonProtocol) read(r *http.Request, body []byte) (string, params, *awsError) {
	name, found := strings.CutPrefix(r.Header.Get("X-Amz-Target"), p.target+".")
	if !found || r.Method != http.MethodPost {
		return "", nil, &awsError{"UnknownOperationException", http.StatusBadRequest, ""} // unverified
	}
	in, err := jsonParams(body)
	if err != nil {
		return name, nil, &awsError{"SerializationException", http.StatusBadRequest, "The body is no JSON object."} // unverified wording
	}
	return name, in, nil
}

func (p jsonProtocol) answer(w http.ResponseWriter, _ string, out object) {
	p.write(w, http.StatusOK, out)
}

func (p jsonProtocol) refuse(w http.ResponseWriter, e *awsError) {
	w.Header().Set("x-amzn-query-error", e.code+";"+e.side())
	p.write(w, e.status, object{"__type": shapeOf(e.code), "message": e.message})
}

func (p jsonProtocol) write(w http.ResponseWriter, status int, out object) {
	body, err := json.Marshal(withEpochs(out))
	if err != nil { // trees of plain values: cannot happen
		http.Error(w, "no answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("x-amzn-RequestId", randomGUID())
	writeBody(w, status, p.contentType, body)
}

// withEpochs makes of times the seconds since 1970 that AWS JSON has.
func withEpochs(value any) any {
	switch value := value.(type) {
	case time.Time:
		return float64(value.UnixMilli()) / 1000
	case []time.Time:
		return eachOf(value, func(t time.Time) any { return withEpochs(t) })
	case []object:
		return eachOf(value, func(o object) any { return withEpochs(o) })
	case object:
		plain := object{}
		for name, inner := range value {
			plain[name] = withEpochs(inner)
		}
		return plain
	}
	return value
}

// eachOf is never nil: an empty list is one in JSON, too.
func eachOf[T any](list []T, convert func(T) any) []any {
	values := make([]any, len(list))
	for i, item := range list {
		values[i] = convert(item)
	}
	return values
}
