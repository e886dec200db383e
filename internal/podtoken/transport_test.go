package podtoken

import "testing"

// A proxy of the environment is never asked about loopback, so that no request of a
// test could tell.
func TestAPIHasNoProxy(t *testing.T) {
	transport, err := API{}.transport()
	if err != nil || transport.Proxy != nil {
		t.Errorf("got %v and a proxy: %t, want none", err, transport.Proxy != nil)
	}
}
