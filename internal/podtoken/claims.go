package podtoken

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// leeway is how far the clock of the API server may be ahead. Expiry has none: the
// kubelet replaces a token long before (at 80 % of its life).
const leeway = 30 * time.Second

// judge says whose token it is, if its claims are right at the time now.
func (v *Verifier) judge(claims jwt.MapClaims, now time.Time) (Pod, error) {
	if issuer, _ := claims["iss"].(string); issuer != v.Issuer {
		return Pod{}, refuse("its issuer is %s, want %s", quote(issuer), quote(v.Issuer))
	}
	if audiences := list(claims["aud"]); !slices.Contains(audiences, v.Audience) {
		return Pod{}, refuse("its audience is %s, want %s", quote(strings.Join(audiences, " ")), quote(v.Audience))
	}
	pod, err := bearer(claims)
	if err != nil {
		return Pod{}, err
	}
	pod.Issued, pod.Expiry, err = life(claims, now)
	return pod, err
}

// list returns aud, which is a string or a list of them (RFC 7519 section 4.1.3). If it
// is anything else, nobody is meant.
func list(claim any) []string {
	if text, ok := claim.(string); ok {
		return []string{text}
	}
	items, _ := claim.([]any)
	all := make([]string, 0, len(items))
	for _, item := range items {
		text, ok := item.(string)
		if !ok {
			return nil
		}
		all = append(all, text)
	}
	return all
}

// life returns iat, which may be absent, and exp, which may not.
func life(claims jwt.MapClaims, now time.Time) (issued, expiry time.Time, err error) {
	expiry, found, err := date(claims, "exp")
	switch {
	case err != nil:
		return issued, expiry, err
	case !found:
		return issued, expiry, refuse("it has no exp")
	case !now.Before(expiry):
		return issued, expiry, refuse("it expired")
	}
	for _, name := range []string{"nbf", "iat"} {
		issued, _, err = date(claims, name) // iat comes last
		if err != nil {
			return issued, expiry, err
		}
		if issued.After(now.Add(leeway)) {
			return issued, expiry, refuse("its %s is in the future", name)
		}
	}
	return issued, expiry, nil
}

// date reads a NumericDate (RFC 7519 section 2): seconds since 1970, cut to whole ones.
func date(claims jwt.MapClaims, name string) (at time.Time, found bool, err error) {
	claim, found := claims[name]
	if !found {
		return at, false, nil
	}
	const year10000 = 253402300800
	number, _ := claim.(json.Number)
	seconds, err := number.Float64()
	if err != nil || seconds < 0 || seconds >= year10000 {
		return at, true, refuse("its %s is no date", name)
	}
	return time.Unix(int64(seconds), 0), true, nil
}

// bearer reads the claim kubernetes.io and holds sub against it.
func bearer(claims jwt.MapClaims) (Pod, error) {
	private, _ := claims["kubernetes.io"].(map[string]any)
	account, _ := private["serviceaccount"].(map[string]any)
	pod := Pod{Namespace: name(private, "namespace"), ServiceAccount: name(account, "name")}
	if pod.Namespace == "" || pod.ServiceAccount == "" {
		return Pod{}, refuse("its claim kubernetes.io does not name a namespace and a service account")
	}
	pod.Subject = "system:serviceaccount:" + pod.Namespace + ":" + pod.ServiceAccount
	if subject, _ := claims["sub"].(string); subject != pod.Subject {
		return Pod{}, refuse("its subject is not the service account of its claim kubernetes.io")
	}
	bound, found := private["pod"]
	if !found {
		return pod, nil
	}
	object, _ := bound.(map[string]any)
	pod.Name, pod.UID = name(object, "name"), name(object, "uid")
	if pod.Name == "" || pod.UID == "" {
		return Pod{}, refuse("its claim kubernetes.io has a pod without name or uid")
	}
	return pod, nil
}

// name returns a member that is a name or UID as Kubernetes makes them, or nothing. With
// a colon in one, two service accounts could have the same subject.
func name(object map[string]any, member string) string {
	text, _ := object[member].(string)
	foreign := func(r rune) bool { return r != '.' && r != '-' && !alphanumeric(r) }
	if len(text) > 253 || strings.ContainsFunc(text, foreign) {
		return ""
	}
	return text
}
