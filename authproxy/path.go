package authproxy

import (
	"net/url"
	"strings"
)

// route returns the route for a path, nil if there is none, and what follows the route's
// own. An exact one goes first, then the longest.
func (p *Proxy) route(path string) (found *Route, rest string) {
	for _, r := range p.Routes {
		if path == r.Path {
			return r, ""
		}
		if after, ok := strings.CutPrefix(path, r.Path); ok && strings.HasSuffix(r.Path, "/") && (found == nil || len(r.Path) > len(found.Path)) {
			found, rest = r, after
		}
	}
	return found, rest
}

// plain reports whether everybody on the way reads the path alike, escaped as it is: no
// empty or dotted segments, which some fold, and nothing encoded that means something
// else once it is decoded, or decoded twice.
func plain(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			if i+2 >= len(path) || !harmless(path[i:i+3]) {
				return false
			}
			i += 2
		} else if c <= ' ' || c > '~' || strings.IndexByte(`\;?#`, c) >= 0 {
			return false
		}
	}
	return !strings.Contains(path, "//") && !strings.Contains(path+"/", "/./") && !strings.Contains(path+"/", "/../")
}

// harmless reports whether an encoded byte is one that has no meaning in a path.
func harmless(encoded string) bool {
	c, err := url.PathUnescape(encoded)
	return err == nil && c >= " " && c != "\x7f" && !strings.Contains(`/\.%;`, c)
}

// target is an upstream, taken apart once.
type target struct {
	whole      *url.URL // for an exact path, without a query of the client's
	path, raw  string   // the upstream's, decoded and as it is sent, ending in a slash
	parameters []string // the names that the upstream's query sets
}

func (r *Route) prepare() {
	u := *r.Upstream
	if u.Path == "" {
		u.Path = "/"
	}
	r.target = target{
		whole: &u, path: strings.TrimSuffix(u.Path, "/") + "/", raw: strings.TrimSuffix(u.EscapedPath(), "/") + "/", parameters: names(u.RawQuery),
	}
}

// address is where a request goes whose path has rest behind the route's own. The caller
// leaves it as it is: most requests share one. It is not ok with a query that not everybody
// reads alike.
func (r *Route) address(rest, query string) (address *url.URL, ok bool) {
	r.once.Do(r.prepare)
	t := &r.target
	if rest == "" && query == "" {
		return t.whole, true
	}
	if !readable(query) {
		return nil, false
	}
	u := *t.whole
	u.RawQuery = t.merge(query)
	if rest != "" {
		decoded, err := url.PathUnescape(rest)
		if err != nil {
			return nil, false
		}
		u.Path, u.RawPath = t.path+decoded, t.raw+rest
	}
	return &u, true
}

// merge adds to the upstream's query what the client's has besides.
func (t *target) merge(query string) string {
	merged := t.whole.RawQuery
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" || t.sets(name(pair)) {
			continue
		}
		if merged != "" {
			merged += "&"
		}
		merged += pair
	}
	return merged
}

// sets knows names in any case, as Azure does.
func (t *target) sets(name string) bool {
	for _, own := range t.parameters {
		if strings.EqualFold(own, name) {
			return true
		}
	}
	return false
}

// readable reports whether the query has one meaning. One with a semicolon has not: to
// some it separates parameters.
func readable(query string) bool {
	_, err := url.ParseQuery(query)
	return err == nil && strings.IndexFunc(query, func(c rune) bool { return c <= ' ' || c > '~' || c == '#' }) < 0
}

func names(query string) []string {
	var all []string
	for pair := range strings.SplitSeq(query, "&") {
		if pair != "" {
			all = append(all, name(pair))
		}
	}
	return all
}

// name is a parameter's, of a readable query.
func name(pair string) string {
	escaped, _, _ := strings.Cut(pair, "=")
	plain, err := url.QueryUnescape(escaped)
	if err != nil {
		return escaped
	}
	return plain
}
