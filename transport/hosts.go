package transport

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
)

// guard knows where credentials may go.
type guard struct {
	once  sync.Once
	rules []rule
	err   error
	last  atomic.Pointer[place]
}

// place is where a request went that was let through; most of the next ones go there, too.
type place struct{ scheme, host string }

// rule is one entry of a list of hosts, in lower case.
type rule struct {
	host   string // of a suffix with its leading dot
	port   string // empty: any
	suffix bool
}

// check returns why credentials must not go with the request, an [*keyless.Error] that
// names no more of the address than the host.
func (g *guard) check(op string, hosts []string, r *http.Request) error {
	if last := g.last.Load(); last != nil && r.URL != nil && r.URL.Host == last.host && r.URL.Scheme == last.scheme && r.URL.User == nil && (r.Host == last.host || r.Host == "") {
		return nil
	}
	if err := g.judge(op, hosts, r); err != nil {
		return err
	}
	g.last.Store(&place{r.URL.Scheme, r.URL.Host})
	return nil
}

func (g *guard) judge(op string, hosts []string, r *http.Request) error {
	g.once.Do(func() { g.rules, g.err = parseRules(hosts) })
	switch {
	case g.err != nil:
		return &keyless.Error{Hop: keyless.HopDelivery, Op: op, Err: g.err}
	case r.URL == nil:
		return refusal(op, "the request has no address", "")
	case r.URL.User != nil:
		return refusal(op, "the address of host "+quote(r.URL)+" names a user", "credentials belong into headers, not into addresses")
	case !Encrypted(r.URL):
		return refusal(op, "host "+quote(r.URL)+" is not asked over https", "plain http is for loopback only: others on the way could take the credentials")
	case !g.allows(r.URL):
		return stranger(op, r.URL)
	case r.Host != "" && r.Host != r.URL.Host: // where a proxy or a gateway would send it
		if named := (&url.URL{Scheme: r.URL.Scheme, Host: r.Host}); !g.allows(named) {
			return stranger(op, named)
		}
	}
	return nil
}

func stranger(op string, u *url.URL) error {
	return refusal(op, "host "+quote(u)+" is not one that the credentials may go to", "add it to Hosts if they are meant for it; a redirect may have led there")
}

func refusal(op, message, hint string) error {
	return &keyless.Error{Hop: keyless.HopDelivery, Op: op, Message: message, Hint: hint}
}

func quote(u *url.URL) string { return fmt.Sprintf("%q", wire.Quote(u.Hostname())) }

// Encrypted reports whether nobody on the way can read what is sent to the address: by https,
// or by http to this machine. Credentials go nowhere else.
func Encrypted(u *url.URL) bool { return u.Scheme == "https" || u.Scheme == "http" && Loopback(u) }

// Loopback reports whether the address is one of this machine.
func Loopback(u *url.URL) bool {
	host := strings.TrimSuffix(u.Hostname(), ".")
	if equalFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

func (g *guard) allows(u *url.URL) bool {
	host := strings.TrimSuffix(u.Hostname(), ".")
	for i := range g.rules {
		if g.rules[i].matches(host, u) {
			return true
		}
	}
	return false
}

func (r *rule) matches(host string, u *url.URL) bool {
	if r.port != "" && r.port != port(u) {
		return false
	}
	if !r.suffix {
		return equalFold(host, r.host)
	}
	label := len(host) - len(r.host)
	return label > 0 && equalFold(host[label:], r.host) && isName(host[:label])
}

// port is the one that the address leads to, named or not.
func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

func parseRules(hosts []string) ([]rule, error) {
	if len(hosts) == 0 {
		return nil, errors.New("the list of hosts is empty: nothing may be sent anywhere")
	}
	rules := make([]rule, len(hosts))
	for i, entry := range hosts {
		parsed, ok := parseRule(entry)
		if !ok {
			return nil, fmt.Errorf("hosts: %q: want a host name, *.suffix, or either with :port", wire.Quote(entry))
		}
		rules[i] = parsed
	}
	return rules, nil
}

func parseRule(entry string) (rule, bool) {
	host, port := splitPort(strings.ToLower(entry))
	parsed := rule{host: strings.TrimSuffix(host, "."), port: port}
	if rest, ok := strings.CutPrefix(parsed.host, "*"); ok {
		parsed.host, parsed.suffix = rest, true
		return parsed, len(rest) > 1 && rest[0] == '.' && isName(rest[1:])
	}
	_, err := netip.ParseAddr(parsed.host)
	return parsed, err == nil || isName(parsed.host)
}

// splitPort leaves what it does not understand in host, where it is no name.
func splitPort(entry string) (host, port string) {
	colon := strings.LastIndexByte(entry, ':')
	if bracket := strings.IndexByte(entry, ']'); entry != "" && entry[0] == '[' && bracket > 0 {
		if rest := entry[bracket+1:]; rest == "" {
			return entry[1:bracket], ""
		}
		if colon == bracket+1 && digits(entry[colon+1:]) {
			return entry[1:bracket], entry[colon+1:]
		}
		return entry, ""
	}
	if strings.Count(entry, ":") == 1 && digits(entry[colon+1:]) {
		return entry[:colon], entry[colon+1:]
	}
	return entry, "" // an IPv6 address without brackets, too
}

func digits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// isName reports whether text can be a host's name or the beginning of one. What is beyond
// ASCII is left as it is.
func isName(text string) bool {
	for i := range len(text) {
		if !inName(lower(text[i])) {
			return false
		}
	}
	return text != "" && text[0] != '.'
}

func inName(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c >= 0x80
}

// equalFold compares whatever the case, of ASCII letters only: for strings.EqualFold the
// Kelvin sign is a k.
func equalFold(a, b string) bool {
	if len(a) != len(b) || a == b { // most are written alike, and a comparison is quicker than a loop
		return a == b
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
