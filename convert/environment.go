package convert

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/keyless-id/keyless/profile"
)

// Environment converts the environment of whichever program it is made for, and reports
// whether it is for any: aad-auth-proxy has TARGET_HOST, Azure Monitor's remote-write
// container INGESTION_URL.
func Environment(getenv func(string) string) (Result, bool, error) {
	proxy, sidecar := getenv("TARGET_HOST") != "", getenv("INGESTION_URL") != ""
	switch {
	case proxy && sidecar:
		return Result{}, true, at{path: "TARGET_HOST"}.wrong("TARGET_HOST is aad-auth-proxy's, INGESTION_URL Azure Monitor's remote-write container's", "is set beside INGESTION_URL")
	case proxy:
		result, err := AADAuthProxy(getenv)
		return result, true, err
	case sidecar:
		result, err := RemoteWriteSidecar(getenv)
		return result, true, err
	}
	return Result{}, false, nil
}

// environ is the environment that another program was given.
type environ struct {
	getenv func(string) string
	draft
}

// must is a variable that has to be there. What has failed already stays so.
func (e *environ) must(name, hint string, err *error) string {
	value := e.getenv(name)
	if value == "" && *err == nil {
		*err = at{path: name}.wrong(hint, "is not set")
	}
	return literal(value)
}

// wherever listens as both programs do: at a port of every address.
func (e *environ) wherever() error {
	var err error
	port := e.must("LISTENING_PORT", "for example LISTENING_PORT=8081", &err)
	if err != nil {
		return err
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return at{path: "LISTENING_PORT"}.wrong("a number from 1 to 65535", "is no port")
	}
	e.listen, e.public = ":"+port, true
	return nil
}

// managed is the managed identity of the host. Both programs leave it to azidentity,
// which knows App Service and Azure Arc by these variables; Arc by its files is found by
// source auto only.
func (e *environ) managed(client string) (*profile.Source, string) {
	if e.getenv("IDENTITY_ENDPOINT") != "" {
		switch {
		case e.getenv("IDENTITY_HEADER") != "":
			return &profile.Source{AppService: &profile.Choice{ClientID: client}}, ""
		case e.getenv("IMDS_ENDPOINT") != "":
			return &profile.Source{Arc: &profile.Choice{ClientID: client}}, ""
		}
	}
	return &profile.Source{ManagedIdentity: &profile.ManagedIdentity{ClientID: client}}, onVM
}

// certificate is an application with a certificate. aad-auth-proxy sends the chain, for
// subject name and issuer authentication; an application that does not use that does not mind.
func (e *environ) certificate(prefix string, c cloud, err *error) *profile.Source {
	app := c.application(e.must(prefix+"TENANT_ID", "the tenant of the app registration", err), e.must(prefix+"CLIENT_ID", "the client id of the app registration", err))
	file := e.must(prefix+"CLIENT_CERTIFICATE_PATH", "a PEM or PKCS#12 file with the certificate and its key", err)
	return &profile.Source{Certificate: &profile.Certificate{Application: app, CertificateFile: file, SendChain: true}}
}

// unused notes the variables that are set and mean nothing here.
func (e *environ) unused(why string, names ...string) {
	for _, name := range names {
		if e.getenv(name) != "" {
			e.note(at{path: name}, "%s", why)
		}
	}
}

const notPushed = "is not carried over: keyless pushes no traces and metrics; see /metrics"

// AADAuthProxy converts the environment of aad-auth-proxy (github.com/Azure/aad-auth-proxy,
// docs/getting-started/GETTING_STARTED.md and src/utils/configuration.go): every path and
// every method goes to TARGET_HOST over https, with the query that it has.
func AADAuthProxy(getenv func(string) string) (Result, error) {
	e := &environ{getenv: getenv, draft: draft{from: "the environment of aad-auth-proxy"}}
	if err := e.wherever(); err != nil {
		return Result{}, err
	}
	host, err := e.targetHost()
	if err != nil {
		return Result{}, err
	}
	p, comment, err := e.authenticated()
	if err != nil {
		return Result{}, err
	}
	r := profile.Route{Path: "/", Upstream: "https://" + host + "/", Profile: e.identify("proxy", comment, p), Methods: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}}
	if azurePreset(&url.URL{Scheme: "https", Host: host}, r.Path, p.Scope+p.Audience) == "" { // not for data that must not be lost: refusals go back as they come
		r.Pass = []int{401, 403, 408, 429}
	}
	if err := e.route(r, at{path: "TARGET_HOST"}); err != nil {
		return Result{}, err
	}
	e.unused("is not carried over: keyless renews a token after 40 to 45 % of its life", "AAD_TOKEN_REFRESH_INTERVAL_IN_PERCENTAGE", "AAD_TOKEN_REFRESH_INTERVAL_IN_MINUTES")
	e.unused(notPushed, "OTEL_SERVICE_NAME", "OTEL_GRPC_ENDPOINT")
	if headers := strings.TrimSpace(getenv("OVERRIDE_REQUEST_HEADERS")); headers != "{}" {
		e.unused("is not carried over: keyless sets no headers but the credential's; let the client send them", "OVERRIDE_REQUEST_HEADERS")
	}
	return e.result(""), nil
}

// targetHost is TARGET_HOST as that program takes it: in lower case, of whatever scheme.
func (e *environ) targetHost() (string, error) {
	var missing error
	raw := e.must("TARGET_HOST", "the host that requests go to, for example https://NAME.REGION-1.metrics.ingest.monitor.azure.com", &missing)
	if missing != nil {
		return "", missing
	}
	host := strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(raw), "https://"), "http://")
	host = strings.TrimSuffix(host, "/")
	u, err := url.Parse("https://" + host)
	if err != nil || u.Host != host || u.Hostname() == "" {
		return "", at{path: "TARGET_HOST"}.wrong("write the host only; its path goes into the client's address", "is no host")
	}
	return host, nil
}

// authenticated is whom IDENTITY_TYPE names, for AUDIENCE. Case does not matter there, and
// what that program does not know is to it as if nothing were said.
func (e *environ) authenticated() (profile.Profile, string, error) {
	var err error
	p, comment := profile.Profile{Audience: e.must("AUDIENCE", "for example https://monitor.azure.com/.default", &err)}, ""
	if strings.HasSuffix(p.Audience, "/.default") {
		p.Audience, p.Scope = "", p.Audience
	}
	switch kind := strings.ToLower(e.getenv("IDENTITY_TYPE")); kind {
	case "systemassigned":
		p.Source, comment = e.managed("")
	case "userassigned":
		p.Source, comment = e.managed(e.must("AAD_CLIENT_ID", "the client id of the managed identity", &err))
	case "aadapplication":
		p.Source = e.certificate("AAD_", cloud{}, &err)
	default:
		p.Source = &profile.Source{Auto: &profile.Choice{}}
		if kind != "" {
			e.note(at{path: "IDENTITY_TYPE"}, "is none of systemassigned, userassigned, aadapplication: keyless looks for whatever identity there is, as aad-auth-proxy does")
		}
	}
	return p, comment, err
}
