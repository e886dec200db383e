package authproxy

import (
	"net/http"
	"net/textproto"
	"strings"
)

// markOwn is the header that answers of the package's own have, and no other answer.
const markOwn = "Keyless-Error"

// outgoing are the headers that go to the upstream. Values are shared with the client's.
func outgoing(in http.Header) http.Header {
	out := make(http.Header, len(in)+1) // and Authorization
	for name, values := range in {
		if !hopByHop(name) && !fromClient(name) {
			out[name] = values
		}
	}
	dropListed(out, in)
	if _, ok := out["User-Agent"]; !ok {
		out["User-Agent"] = nil // or net/http would say that it is the agent
	}
	return out
}

// incoming puts the upstream's headers into the answer.
func incoming(out, in http.Header) {
	for name, values := range in {
		if !hopByHop(name) && name != markOwn {
			out[name] = values
		}
	}
	dropListed(out, in)
}

// dropListed takes out what the header Connection names: it is for the next hop only
// (RFC 9110, section 7.6.1).
func dropListed(out, in http.Header) {
	for _, line := range in["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			delete(out, http.CanonicalHeaderKey(textproto.TrimString(name)))
		}
	}
}

// hopByHop knows the headers that are for the next hop (RFC 9110, section 7.6.1, and the
// older RFC 2616, section 13.5.1).
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return strings.HasPrefix(name, "Proxy-")
}

// fromClient knows what a client says of itself and of its way here. The upstream is to
// hear neither: it would take the credentials for the workload's, and the addresses for
// something that somebody trustworthy wrote down.
func fromClient(name string) bool {
	switch name {
	case "Authorization", "Cookie", "Forwarded", "Via", "X-Real-Ip":
		return true
	}
	return strings.HasPrefix(name, "X-Amz-") || strings.HasPrefix(name, "X-Forwarded-")
}
