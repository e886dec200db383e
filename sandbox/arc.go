package sandbox

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// serveArc is the agent of Azure Arc ("Authenticate against Azure resources with
// Azure Arc-enabled servers"): who can read a file that it has just written is
// let in. The bodies of refusals are unverified.
func (s *Sandbox) serveArc(w http.ResponseWriter, r *http.Request) {
	if strings.TrimSuffix(r.URL.Path, "/") != "/metadata/identity/oauth2/token" || s.arc.dir == "" {
		http.NotFound(w, r)
		return
	}
	if refusal := checkIMDS(r); refusal != nil {
		s.refuseArc(w, refusal)
		return
	}
	if key, found := strings.CutPrefix(r.Header.Get("Authorization"), "Basic "); !found || !s.arc.redeem(key) {
		s.challengeArc(w)
		return
	}
	q := r.URL.Query()
	m, token, refusal := s.identityToken(Arc, q)
	switch {
	case refusal != nil && refusal.message == "Identity not found":
		s.refuseArc(w, &imdsError{http.StatusNotFound, "identity_not_found", refusal.message})
		return
	case refusal != nil:
		s.refuseArc(w, refusal)
		return
	}
	answer := s.identityAnswer(m, q.Get("resource"), token)
	for _, name := range []string{"client_id", "object_id", "msi_res_id"} {
		if asked := q.Get(name); asked != "" {
			answer[name] = asked // shows that the agent is not one of those that ignore it
		}
	}
	writeJSON(w, http.StatusOK, answer)
}

func (s *Sandbox) refuseArc(w http.ResponseWriter, e *imdsError) {
	s.note(Arc, e.name)
	writeIMDSError(w, e)
}

func (s *Sandbox) challengeArc(w http.ResponseWriter) {
	path, err := s.arc.issue()
	if err != nil {
		s.refuseArc(w, &imdsError{http.StatusInternalServerError, "unknown", "The challenge could not be written."})
		return
	}
	s.note(Arc, "challenge")
	w.Header().Set("Www-Authenticate", "Basic realm="+path)
	writeIMDSError(w, &imdsError{http.StatusUnauthorized, "unauthorized", "Read the file and come again."})
}

// maxChallenges bounds the files of clients that never come again.
const maxChallenges = 1024

// challenges are the files that wait to be read, by their content.
type challenges struct {
	dir string

	mu    sync.Mutex
	keys  map[string]string // content to path
	order []string
}

func (c *challenges) issue() (path string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := randomText(48)
	path = filepath.Join(c.dir, randomGUID()+".key")
	if err := os.WriteFile(path, []byte(key), 0o640); err != nil { //nolint:gosec // as the real one: for the group himds
		return "", err
	}
	if c.keys == nil {
		c.keys = map[string]string{}
	}
	c.keys[key], c.order = path, append(c.order, key)
	if len(c.order) > maxChallenges {
		c.drop(c.order[0])
	}
	return path, nil
}

// redeem takes a key that was issued, once.
func (c *challenges) redeem(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, found := c.keys[key]
	c.drop(key)
	return found
}

// drop forgets a key and its file; the caller holds the lock.
func (c *challenges) drop(key string) {
	if path, found := c.keys[key]; found {
		_ = os.Remove(path) // somebody may have been quicker
		delete(c.keys, key)
	}
	for i, other := range c.order {
		if other == key {
			c.order = append(c.order[:i], c.order[i+1:]...)
			return
		}
	}
}

func (c *challenges) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.order) > 0 {
		c.drop(c.order[0])
	}
}
