package doctor_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/keyless-id/keyless/sandbox"
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

// workspace is the query API of Log Analytics, which the sandbox does not play, and the
// token for it.
func workspace(status int, body string) func(http.RoundTripper) http.RoundTripper {
	return instead(func(r *http.Request) (*http.Response, error) {
		switch {
		case strings.Contains(r.URL.Query().Get("resource"), "api.loganalytics."):
			return says(r, http.StatusOK, nil, `{"access_token":"hunter2.of.logs","expires_in":"3600","token_type":"Bearer"}`), nil
		case r.URL.Hostname() != "api.loganalytics.azure.com":
			return nil, nil
		case r.Header.Get("Authorization") != "Bearer hunter2.of.logs" || !strings.HasPrefix(r.URL.Path, "/v1/workspaces/"):
			return says(r, http.StatusForbidden, nil, `{"error":{"code":"InsufficientAccessError","message":"not you"}}`), nil
		}
		return says(r, status, http.Header{"Content-Type": {"application/json"}}, body), nil
	})
}

const (
	noErrors   = `{"tables":[{"name":"PrimaryResult","columns":[{"name":"OperationName","type":"string"}],"rows":[]}]}`
	someErrors = `{"tables":[{"name":"PrimaryResult","columns":[{"name":"OperationName","type":"string"},{"name":"Count","type":"long"}],"rows":[["Transformation",12]]}]}`
)

// untrusted is a host whose certificate nobody vouches for.
func untrusted(host string) func(http.RoundTripper) http.RoundTripper {
	return instead(func(r *http.Request) (*http.Response, error) {
		if r.URL.Hostname() == host {
			return nil, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
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

// stsRefuses answers one action of STS with an error.
func stsRefuses(action string, status int, code, message string) func(http.RoundTripper) http.RoundTripper {
	return onAction(action, func(r *http.Request) *http.Response {
		return says(r, status, http.Header{"Content-Type": {"text/xml"}},
			"<ErrorResponse><Error><Type>Sender</Type><Code>"+code+"</Code><Message>"+message+"</Message></Error><RequestId>0f0e0d0c</RequestId></ErrorResponse>")
	})
}

// otherCaller is a far side that takes everybody for the same user.
func otherCaller(next http.RoundTripper) http.RoundTripper {
	return onAction("GetCallerIdentity", func(r *http.Request) *http.Response {
		return says(r, http.StatusOK, http.Header{"Content-Type": {"text/xml"}},
			"<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::"+sandbox.DemoAccountID+":user/somebody</Arn><Account>"+sandbox.DemoAccountID+
				"</Account><UserId>AIDA</UserId></GetCallerIdentityResult></GetCallerIdentityResponse>")
	})(next)
}

func onAction(action string, answer func(*http.Request) *http.Response) func(http.RoundTripper) http.RoundTripper {
	return instead(func(r *http.Request) (*http.Response, error) {
		if r.GetBody == nil || !strings.HasPrefix(r.URL.Hostname(), "sts.") {
			return nil, nil
		}
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		form, err := io.ReadAll(body)
		if err != nil || !strings.Contains(string(form), "Action="+action+"&") && !strings.HasPrefix(string(form), "Action="+action) {
			return nil, err
		}
		return answer(r), nil
	})
}

// retoken changes the token that a host or Entra hands out.
func retoken(change func(token string) string) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return tripper(func(r *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(r)
			if err != nil || response.StatusCode != http.StatusOK || !strings.HasSuffix(r.URL.Path, "/token") {
				return response, err
			}
			var answer map[string]any
			if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
				return nil, err
			}
			token, _ := answer["access_token"].(string)
			answer["access_token"] = change(token)
			text, err := json.Marshal(answer)
			return says(r, http.StatusOK, response.Header, string(text)), err
		})
	}
}

func opaque(next http.RoundTripper) http.RoundTripper {
	return retoken(func(string) string { return "hunter2-opaque-token" })(next)
}

// minted is a token with other claims, signed by its issuer all the same.
func minted(s *setup, change func(claims map[string]any)) func(http.RoundTripper) http.RoundTripper {
	return retoken(func(token string) string { return s.mint(token, change, sandbox.Sound) })
}

// forged is a token that is not signed as it should be.
func forged(s *setup, flaw sandbox.Flaw) func(http.RoundTripper) http.RoundTripper {
	return retoken(func(token string) string { return s.mint(token, func(map[string]any) {}, flaw) })
}

func (s *setup) mint(token string, change func(claims map[string]any), flaw sandbox.Flaw) string {
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		panic(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		panic(err)
	}
	change(claims)
	signed, err := s.played.Mint(claims, sandbox.Minting{Flaw: flaw})
	if err != nil {
		panic(err)
	}
	return signed
}

// onKey does something to the files of Azure Arc's agent before they are read.
func onKey(do func(path string) error) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return tripper(func(r *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(r)
			if err != nil {
				return nil, err
			}
			if path, found := strings.CutPrefix(response.Header.Get("Www-Authenticate"), "Basic realm="); found {
				err = do(path)
			}
			return response, err
		})
	}
}

func skewed(by time.Duration) func(*sandbox.Sandbox) {
	return func(s *sandbox.Sandbox) {
		for _, hop := range sandbox.Hops() {
			s.SetSkew(hop, by)
		}
	}
}
