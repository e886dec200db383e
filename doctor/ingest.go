package doctor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/sigv4"
	"github.com/keyless-id/keyless/internal/wire"
	"github.com/keyless-id/keyless/profile"
)

// probe is what an endpoint answers to a request without data.
type probe struct {
	route   profile.Route
	unknown string // why it was not asked
	status  int
	code    string
	message string
	err     error
}

const probeTimeout = 15 * time.Second

// probeBearers asks the routes that take a token.
func (e *evidence) probeBearers(ctx context.Context) []probe {
	token := e.token.Value.Reveal()
	bearer := func(r *http.Request, _ []byte) { r.Header.Set("Authorization", "Bearer "+token) }
	var all []probe
	for _, route := range e.Routes {
		if route.SigV4 == nil {
			all = append(all, e.probe(ctx, route, bearer, token))
		}
	}
	return all
}

// probeSigners asks the routes that take a signature.
func (e *evidence) probeSigners(ctx context.Context) []probe {
	var all []probe
	for _, route := range e.Routes {
		if route.SigV4 != nil {
			all = append(all, e.probe(ctx, route, e.signer(*route.SigV4), e.credentials.SessionToken.Reveal(), e.credentials.SecretAccessKey.Reveal()))
		}
	}
	return all
}

func (e *evidence) signer(scope profile.SigV4) func(*http.Request, []byte) {
	keys := sigv4.Keys{AccessKeyID: e.credentials.AccessKeyID, SecretAccessKey: e.credentials.SecretAccessKey.Reveal(), SessionToken: e.credentials.SessionToken.Reveal()}
	return func(r *http.Request, body []byte) {
		sigv4.Sign(r, body, keys, sigv4.Scope{Service: scope.Service, Region: scope.Region, Time: time.Now()})
	}
}

// probe sends what the endpoint takes for nothing: an empty array of rows, or a
// remote-write request without series. The secrets are those of the proof.
func (e *evidence) probe(ctx context.Context, route profile.Route, prove func(*http.Request, []byte), secrets ...string) probe {
	p := probe{route: route}
	body, header := emptyRequest(route.Preset)
	switch {
	case body == nil:
		p.unknown = "nobody knows what " + cmp.Or(clean(route.Preset), "an upstream without a preset") + " takes for an empty request"
		return p
	case strings.HasSuffix(route.Path, "/"):
		p.unknown = "agents say the rest of the address"
		return p
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, route.Upstream, bytes.NewReader(body))
	if err != nil {
		p.err = errors.New("the upstream is no address")
		return p
	}
	request.Header = header
	prove(request, body)
	answer, err := wire.Do(e.upstream(route), request)
	if err != nil {
		p.err = err
		return p
	}
	p.status = answer.Status
	p.code, p.message = refusalOf(answer, secrets...)
	return p
}

// upstream is a client for one route, which may trust a certificate authority of its own.
func (e *evidence) upstream(route profile.Route) *http.Client {
	if route.UpstreamCAFile == "" {
		return e.cloud
	}
	return e.seen.client(wire.NewCloud(route.UpstreamCAFile))
}

// emptyRequest is a request without data; nil: what the service takes is not known. One
// byte of zero is an empty message in snappy's block format.
func emptyRequest(preset string) ([]byte, http.Header) {
	switch preset {
	case logsPreset:
		return []byte("[]"), http.Header{"Content-Type": {"application/json"}}
	case "azure-monitor-workspace", "amazon-managed-prometheus":
		return []byte{0}, http.Header{
			"Content-Type": {"application/x-protobuf"}, "Content-Encoding": {"snappy"}, "X-Prometheus-Remote-Write-Version": {"0.1.0"},
		}
	}
	return nil, nil
}

// refusalOf reads the error of Azure Monitor, or of AWS.
func refusalOf(answer *wire.Answer, secrets ...string) (code, message string) {
	if answer.Status < http.StatusMultipleChoices {
		return "", ""
	}
	var body struct {
		Error struct{ Code, Message string }
		Type  string `json:"__type"`
		Text  string `json:"message"`
	}
	decoder := json.NewDecoder(io.LimitReader(bytes.NewReader(answer.Body), wire.MaxBody))
	if decoder.Decode(&body) != nil {
		return "", answer.Excerpt(secrets...)
	}
	code = cmp.Or(body.Error.Code, answer.Header.Get("X-Amzn-Errortype"), body.Type)
	return wire.Quote(code, secrets...), wire.Quote(cmp.Or(body.Error.Message, body.Text), secrets...)
}

// ingestion is about what agents send with the profile's identity.
func (e *evidence) ingestion() []Finding {
	var all []Finding
	for _, p := range append(e.bearing, e.signing...) {
		all = append(all, e.judgeProbe(p))
	}
	return all
}

func (e *evidence) judgeProbe(p probe) Finding {
	f := Finding{
		Check: "ingestion " + clean(p.route.Path), Hop: keyless.HopDelivery, Verdict: OK, Summary: "the endpoint takes what agents send",
		Evidence: texts(named("upstream", withoutQuery(p.route.Upstream)), p.line()),
	}
	switch {
	case p.unknown != "":
		f.Verdict, f.Code, f.Summary = Skipped, "not-probed", "the endpoint was not asked: "+p.unknown
	case p.err != nil:
		e.unreachableEndpoint(p, &f)
	case p.status >= http.StatusMultipleChoices:
		f.Verdict, f.Code, f.Summary = Failed, "ingestion-refused", fmt.Sprintf("the endpoint answers %d", p.status)
		e.refusedEndpoint(p, &f)
	}
	return f
}

func (p probe) line() string {
	if p.status == 0 {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("it answers %d %s %s", p.status, p.code, p.message))
}

func withoutQuery(address string) string {
	before, _, _ := strings.Cut(address, "?")
	return before
}

func (e *evidence) unreachableEndpoint(p probe, f *Finding) {
	host := ""
	if parsed, err := url.Parse(p.route.Upstream); err == nil {
		host = parsed.Host
	}
	f.Verdict, f.Code, f.Summary, f.Temporary = Failed, "endpoint-unreachable", clean(host)+" cannot be reached", true
	f.Evidence = append(f.Evidence, clean(p.err.Error()))
	f.Fix = lines("is the endpoint's name right, does it still exist, and is it private (a private link scope) where this machine is not?",
		"nslookup "+quoted(bareHost(host)), "az monitor data-collection endpoint list --query '[].[name,logsIngestion.endpoint]' --output table")
	if wire.Untrusted(p.err) {
		f.Code, f.Summary, f.Temporary = "certificate-untrusted", "the endpoint's certificate is not trusted", false
		f.Fix = "a private CA goes into the route's ca_file"
	}
}

func (e *evidence) refusedEndpoint(p probe, f *Finding) {
	azure := p.route.SigV4 == nil
	switch {
	case p.status == http.StatusUnauthorized && azure:
		f.Code, f.Summary = "ingestion-audience", "the endpoint does not take the token"
		f.Evidence = append(f.Evidence, named("aud", strings.Join(e.claims.Audience, ", ")))
		f.Fix = lines("tokens for Azure Monitor are for its own audience, that of the cloud in the endpoint's name", e.setting("scope", cmp.Or(p.route.Scope(), "https://monitor.azure.com/.default")))
	case p.status == http.StatusForbidden && azure:
		e.noPublisher(f)
	case p.status == http.StatusForbidden:
		f.Code, f.Summary = "ingestion-denied", "the role may not write there"
		f.Fix = lines("let the role do it", "aws iam attach-role-policy --role-name "+quoted(splitARN(e.Profile.AWS.FinalRole()).roleName())+" --policy-arn arn:"+splitARN(e.built.STS.RoleARN).partition+":iam::aws:policy/AmazonPrometheusRemoteWriteAccess")
	case p.status == http.StatusNotFound && azure:
		f.Code, f.Summary = "rule-unknown", "there is no such data collection rule behind this endpoint"
		f.Fix = lines("the address has the rule's immutable id (dcr- and 32 digits) and an endpoint of the rule's region", "az monitor data-collection rule show --name RULE --resource-group GROUP --query immutableId")
	case p.code == "InvalidStream":
		f.Code, f.Summary = "stream-unknown", "the data collection rule has no such stream"
		f.Fix = lines("streams of custom tables begin with Custom-", "az monitor data-collection rule show --name RULE --resource-group GROUP --query 'streamDeclarations'")
	case p.status == http.StatusNotFound:
		f.Code, f.Summary = "workspace-unknown", "there is no such workspace in this region"
		f.Fix = "aws amp list-workspaces --query 'workspaces[].[alias,workspaceId]' --output table"
	case p.status == http.StatusTooManyRequests || p.status >= http.StatusInternalServerError:
		f.Code, f.Summary, f.Temporary = "busy", "the endpoint is busy or out of order", true
		f.Fix = "agents keep their data while keyless proxy answers 503; try again later"
	}
}

// noPublisher cannot tell a role that is missing from one that does not work yet: both are
// a 403, for up to half an hour after the assignment.
func (e *evidence) noPublisher(f *Finding) {
	f.Code, f.Summary = "publisher-missing", "the identity does not have the role Monitoring Metrics Publisher on the data collection rule, or not yet"
	f.Evidence = append(f.Evidence, named("object id", e.claims.ObjectID), "an assignment takes up to 30 minutes to work")
	f.Fix = lines("assign the role, then wait; keyless proxy has agents keep their data meanwhile (forbidden_for)",
		"az role assignment create --role 'Monitoring Metrics Publisher' --assignee-principal-type ServicePrincipal --assignee-object-id "+quoted(e.claims.ObjectID)+" --scope RULE_RESOURCE_ID")
}
