package endpoint

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"testing"
)

// Item 1: there is no way to say all addresses.
func TestOnlyThisMachinesAddressesAreTaken(t *testing.T) {
	for text, want := range map[string]bool{
		"127.0.0.1:9911": true, "127.0.0.2:80": true, "[::1]:9911": true, "169.254.169.254:80": true, "169.254.170.2:80": true, "169.254.170.23:80": true, "[fd00:ec2::23]:80": true,
		"0.0.0.0:9911": false, "[::]:9911": false, ":9911": false, "localhost:9911": false, "10.0.0.1:80": false, "169.254.1.1:80": false, "[::ffff:10.0.0.1]:80": false, "127.0.0.1": false, "": false,
	} {
		if _, err := Address(text); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAServerIsCalledByItsAddress(t *testing.T) {
	for address, want := range map[string][]string{
		"127.0.0.1:9911":     {"127.0.0.1:9911", "localhost:9911"},
		"[::1]:80":           {"[::1]:80", "[::1]", "localhost:80", "localhost"},
		"169.254.169.254:80": {"169.254.169.254:80", "169.254.169.254"},
	} {
		if got := Hosts(netip.MustParseAddrPort(address)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}

// Item 6: beyond the limit the connection goes that has been silent longest, and never
// one that is being answered.
func TestWhoIsSilentLongestGoesFirst(t *testing.T) {
	c := &crowd{limit: 2}
	ends := make([]net.Conn, 5)
	for i := range ends {
		ends[i], _ = net.Pipe()
	}
	if c.count(ends[0], http.StateNew) != nil || c.count(ends[1], http.StateNew) != nil {
		t.Fatal("there is room")
	}
	if got := c.count(ends[2], http.StateNew); got != ends[0] {
		t.Error("not the oldest")
	}
	c.count(ends[0], http.StateClosed)
	c.count(ends[1], http.StateActive)
	if got := c.count(ends[3], http.StateNew); got != ends[2] {
		t.Error("not the oldest that is silent")
	}
	c.count(ends[2], http.StateClosed)
	c.count(ends[1], http.StateIdle)
	if got := c.count(ends[4], http.StateNew); got != ends[3] {
		t.Error("who was answered a moment ago has waited less long")
	}
	for _, end := range []net.Conn{ends[1], ends[3], ends[4]} {
		c.count(end, http.StateClosed)
	}
	if c.open != 0 || c.silent.Len() != 0 || len(c.at) != 0 {
		t.Errorf("%d open, %d silent, %d known", c.open, c.silent.Len(), len(c.at))
	}
}

// Item 2: an address of this machine that is outside of loopback can be reached by
// others, who have another one.
func TestOnlyThisMachineIsHere(t *testing.T) {
	for remote, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "169.254.169.254:1": true, "10.0.0.7:1": false, "169.254.169.253:1": false, "nobody": false, "": false} {
		r := &http.Request{RemoteAddr: remote}
		local := &net.TCPAddr{IP: net.ParseIP("169.254.169.254"), Port: 80}
		if got := isFromHere(r.WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, local))); got != want {
			t.Errorf("%q: %v", remote, got)
		}
	}
}
