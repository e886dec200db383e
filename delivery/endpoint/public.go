package endpoint

import (
	"net/http"
	"slices"
)

// Public lets through whoever is on this machine, browsers included, for what is no
// secret. A page of another site is not let through, whatever name it has for this
// machine (DNS rebinding).
type Public struct {
	Hosts []string // what the server may be called, ports included
	Next  http.Handler
}

// ServeHTTP answers what is refused itself.
func (p Public) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	harden(w.Header())
	switch {
	case !isUnix(r) && (!isFromHere(r) || !slices.Contains(p.Hosts, r.Host)), isCrossSite(r):
		writeError(w, http.StatusForbidden, "AccessDenied", "Access denied.")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		notAllowed(w, http.MethodGet)
	default:
		p.Next.ServeHTTP(w, r)
	}
}

// isCrossSite knows what browsers say of a request that another site's page makes
// ("Fetch Metadata Request Headers", W3C).
func isCrossSite(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site != "" && site != "same-origin" && site != "none" || r.Header.Get("Origin") != ""
}
