package wire

import "testing"

func TestPlainHTTPStaysOnThisMachineAndItsLink(t *testing.T) {
	for address, allowed := range map[string]bool{
		"http://127.0.0.1:1": true, "http://[::1]": true, "http://localhost": true, "http://169.254.170.2": true,
		"http://[fd00:ec2::23]": true, "http://[fd00:ec2::254]": true,
		"http://[fd00:ec2::24]": false, "http://[fd00::23]": false, "http://10.0.0.1": false, "http://example.com": false,
	} {
		if _, err := Endpoint(address); allowed != (err == nil) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
