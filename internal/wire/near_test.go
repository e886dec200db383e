package wire

import (
	"errors"
	"testing"
)

func TestPlainHTTPGoesNoFurtherThanItsEndpointsMay(t *testing.T) {
	for address, want := range map[string]struct{ local, near bool }{
		"http://127.0.0.1:1/x":          {true, true},
		"http://localhost:42356/token":  {true, true},
		"http://169.254.129.2:8081/x":   {true, true},
		"http://[::1]:1":                {true, true},
		"http://172.16.1.2:8081/x":      {false, true},
		"http://10.0.0.4:2377":          {false, true},
		"http://[fd00::1]":              {false, true},
		"http://192.0.2.1":              {false, false},
		"http://login.example":          {false, false},
		"https://login.example":         {true, true},
		"ftp://127.0.0.1":               {false, false},
		"http://127.0.0.1/?x=y":         {false, false},
		"http://u:hunter2@127.0.0.1/":   {false, false},
		"http://127.0.0.1.nip.example/": {false, false},
	} {
		_, local := Endpoint(address)
		_, near := NearEndpoint(address)
		if (local == nil) != want.local || (near == nil) != want.near {
			t.Errorf("%s: local %v, near %v", address, local, near)
		}
	}
}

func TestTheNearClientConnectsToNobodyFar(t *testing.T) {
	for address, want := range map[string]error{
		"127.0.0.1:1": nil, "10.0.0.4:1": nil, "[fd00::1]:1": nil, "169.254.129.2:1": nil, "192.0.2.1:1": ErrNotLocal, "[2001:db8::1]:1": ErrNotLocal,
	} {
		if err := onlyNear("tcp", address, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", address, err, want)
		}
	}
	if Near().Transport == Local().Transport {
		t.Error("both clients share their connections")
	}
}
