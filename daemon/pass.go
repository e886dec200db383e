package daemon

import (
	"sync"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery"
	"github.com/keyless-id/keyless/delivery/endpoint"
)

// passGrace is how long the token before is good for once there is a new one: a client
// that has read the file is on its way.
const passGrace = 5 * time.Minute

// pass is the token that clients of a profile show, in a file that they read.
type pass struct {
	file delivery.File

	mu       sync.Mutex
	current  keyless.Secret
	issued   time.Time
	previous keyless.Secret
}

// renew writes a new token. It is good before it can be read.
func (p *pass) renew() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	previous, token := p.current, endpoint.NewToken()
	p.previous, p.current, p.issued = previous, token, time.Now()
	if err := p.file.Write([]byte(token.Reveal())); err != nil {
		p.current, p.previous = previous, keyless.Secret{}
		return err
	}
	return nil
}

// remove takes away what was written.
func (p *pass) remove() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current.IsZero() {
		return nil
	}
	return p.file.Remove()
}

// good are the tokens that open the door now.
func (p *pass) good() []keyless.Secret {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.previous.IsZero() || time.Since(p.issued) > passGrace {
		return []keyless.Secret{p.current}
	}
	return []keyless.Secret{p.current, p.previous}
}

// due reports whether the token is older than it is to become; every 0: never.
func (p *pass) due(every time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current.IsZero() || every > 0 && time.Since(p.issued) >= every
}
