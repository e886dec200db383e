package doctor_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"syscall"
)

// tripper is a function as a transport.
type tripper func(*http.Request) (*http.Response, error)

func (t tripper) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// instead answers some requests in the place of the far side; nil goes on to it.
func instead(answer func(*http.Request) (*http.Response, error)) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return tripper(func(r *http.Request) (*http.Response, error) {
			if response, err := answer(r); response != nil || err != nil {
				return response, err
			}
			return next.RoundTrip(r)
		})
	}
}

func says(r *http.Request, status int, header http.Header, body string) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader([]byte(body))), Request: r, ProtoMajor: 1, ProtoMinor: 1}
}

// page answers for a host as a proxy or a portal does.
func page(host string) func(http.RoundTripper) http.RoundTripper {
	return instead(func(r *http.Request) (*http.Response, error) {
		if r.URL.Hostname() != host {
			return nil, nil
		}
		return says(r, http.StatusOK, http.Header{"Content-Type": {"text/html"}, "Via": {"1.1 proxy.corp.example"}}, "<html>Welcome to the network</html>"), nil
	})
}

// refused is a host at which nobody listens.
func refused(host string) func(http.RoundTripper) http.RoundTripper {
	return instead(func(r *http.Request) (*http.Response, error) {
		if r.URL.Hostname() == host {
			return nil, syscall.ECONNREFUSED
		}
		return nil, nil
	})
}

// forwarded is a mesh that adds the header by which the metadata service knows proxies.
func forwarded(next http.RoundTripper) http.RoundTripper {
	return tripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Hostname() == "169.254.169.254" {
			r = r.Clone(r.Context())
			r.Header.Set("X-Forwarded-For", "10.0.0.1")
		}
		return next.RoundTrip(r)
	})
}

// oneHop is the metadata service of AWS for a container, when answers to PUT may pass one
// hop: PUT gets none, and GET without a session is refused.
var oneHop = instead(func(r *http.Request) (*http.Response, error) {
	if r.URL.Hostname() != "169.254.169.254" || !strings.HasPrefix(r.URL.Path, "/latest/") {
		return nil, nil
	}
	if r.Method == http.MethodPut {
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	}
	return says(r, http.StatusUnauthorized, nil, ""), nil
})
