package transport

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
)

// maxClaims bounds a claims challenge, in bytes as encoded. Microsoft's are some hundred.
const maxClaims = 16 << 10

// claimsChallenge returns the claims that a token must have to be accepted, a JSON object;
// empty if the answer does not ask for any ("Claims challenges, claims requests and client
// capabilities", Microsoft Learn):
//
//	WWW-Authenticate: Bearer error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOns…"
//
// The base64 may be of either alphabet, padded or not. The step-up challenge of RFC 9470,
// error="insufficient_user_authentication", wants a user, whom a workload does not have: a
// new token is all that is tried.
func claimsChallenge(header http.Header) string {
	for _, line := range header.Values("WWW-Authenticate") {
		for _, c := range challenges(line) {
			if !strings.EqualFold(c.scheme, "Bearer") || c.params["error"] != "insufficient_claims" {
				continue
			}
			if claims := decodeClaims(c.params["claims"]); claims != "" {
				return claims
			}
		}
	}
	return ""
}

// decodeClaims returns nothing for what is not a JSON object: it would make a good
// request for a token a bad one.
func decodeClaims(encoded string) string {
	if len(encoded) > maxClaims {
		return ""
	}
	standard := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(encoded, "="))
	decoded, err := base64.RawStdEncoding.DecodeString(standard)
	if err != nil {
		return ""
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(decoded, &object) != nil || object == nil {
		return ""
	}
	return string(decoded)
}

// challenge is one of an answer's ways to be satisfied.
type challenge struct {
	scheme string
	params map[string]string // names in lower case; of two of one name the first
}

// challenges takes a WWW-Authenticate line apart (RFC 9110, section 11.6.1). What it does
// not understand it passes over, up to the next comma.
func challenges(line string) []challenge {
	var found []challenge
	for rest := skip(line); rest != ""; rest = skip(rest) {
		word, after := token(rest)
		value, isParam := strings.CutPrefix(strings.TrimLeft(after, " \t"), "=")
		switch {
		case word == "":
			_, rest, _ = strings.Cut(rest, ",")
		case isParam:
			value, rest = paramValue(strings.TrimLeft(value, " \t"))
			note(found, word, value)
		default:
			found, rest = append(found, challenge{word, map[string]string{}}), after
		}
	}
	return found
}

// note keeps a parameter of the latest challenge.
func note(found []challenge, name, value string) {
	if len(found) == 0 {
		return
	}
	params, name := found[len(found)-1].params, strings.ToLower(name)
	if _, ok := params[name]; !ok {
		params[name] = value
	}
}

func skip(text string) string { return strings.TrimLeft(text, " \t,") }

func token(text string) (word, rest string) {
	end := strings.IndexFunc(text, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c) })
	if end < 0 {
		return text, ""
	}
	return text[:end], text[end:]
}

// paramValue reads a quoted string, or what is there up to a blank or a comma. A string
// that does not end is none.
func paramValue(text string) (value, rest string) {
	if !strings.HasPrefix(text, `"`) {
		if end := strings.IndexAny(text, " \t,"); end >= 0 {
			return text[:end], text[end:]
		}
		return text, ""
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:]
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", ""
}
