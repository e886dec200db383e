package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/azhost"
	"github.com/keyless-id/keyless/internal/wire"
	"github.com/keyless-id/keyless/profile"
)

// source is about the workload proving who it is.
func (e *evidence) source() Finding {
	if e.buildErr != nil {
		return Finding{}
	}
	f := Finding{Check: "source", Hop: keyless.HopSource, Verdict: OK, Summary: "the source gave a token"}
	if e.found != "" {
		f.Evidence = texts("the host: " + clean(e.found))
	}
	if e.tokenErr == nil {
		return f
	}
	f.Verdict, f.Code, f.Summary = Failed, "source-refused", "the source gave no token"
	f.Evidence = append(f.Evidence, said(e.tokenErr))
	f.Fix, f.Temporary = hinted(e.tokenErr), keyless.IsTemporary(e.tokenErr)
	failed := asError(e.tokenErr)
	if failed == nil {
		return f
	}
	for _, known := range []func(*keyless.Error, *Finding) bool{
		e.intercepted, e.fileTrouble, e.hostTrouble, e.identityTrouble, e.entraRefusal, e.jobTrouble, e.awsTrouble, networkTrouble,
	} {
		if known(failed, &f) {
			break
		}
	}
	e.throughProxy(&f)
	return f
}

// throughProxy says whom requests to the clouds go through, where that may be why they fail.
func (e *evidence) throughProxy(f *Finding) {
	parsed, err := url.Parse(firstOf(e.Getenv, "HTTPS_PROXY", "https_proxy"))
	if err != nil || parsed.Host == "" {
		return
	}
	switch f.Code {
	case "unreachable", "intercepted", "certificate-untrusted":
		f.Evidence = append(f.Evidence, "HTTPS_PROXY is set: requests go through "+clean(parsed.Host))
	}
}

// intercepted knows proxies that answer in the place of an endpoint of the host.
func (e *evidence) intercepted(failed *keyless.Error, f *Finding) bool {
	host := e.identityHost()
	seen, proxied := e.seen.proxied(host)
	var redirect *wire.RedirectError
	stripped := strings.Contains(strings.ToLower(failed.Message), "metadata header")
	if host == "" || !proxied && !stripped && !errors.As(failed, &redirect) {
		return false
	}
	f.Code, f.Summary, f.Temporary = "metadata-proxied", "a proxy answers in the place of the host's identity endpoint", false
	if seen.via != "" {
		f.Evidence = append(f.Evidence, named("Via", seen.via))
	}
	f.Fix = "let requests to " + host + " leave the machine directly: take the address out of the transparent proxy or service mesh\n" +
		"sudo iptables -t nat -I OUTPUT -d " + bareHost(host) + " -j RETURN\n" +
		"# Istio: traffic.sidecar.istio.io/excludeOutboundIPRanges: \"" + bareHost(host) + "/32\""
	return true
}

// identityHost is where the host's identity endpoint is; empty: the source asks none.
func (e *evidence) identityHost() string {
	address := ""
	switch source := e.Profile.Source; {
	case source.ManagedIdentity != nil:
		address = source.ManagedIdentity.Endpoint
	case source.AppService != nil, source.Arc != nil, source.AzureML != nil, source.CloudShell != nil:
		address = firstOf(e.Getenv, "IDENTITY_ENDPOINT", "MSI_ENDPOINT")
	case source.Auto == nil:
		return ""
	}
	if address == "" {
		address = firstOf(e.Getenv, "AZURE_POD_IDENTITY_AUTHORITY_HOST")
	}
	if address == "" {
		address = azhost.DefaultEndpoint
	}
	parsed, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return parsed.Host
}

func bareHost(host string) string {
	parsed := url.URL{Host: host}
	return parsed.Hostname()
}

// opArc is what azhost calls the agent of Azure Arc.
const opArc = string(azhost.KindArc)

// fileTrouble knows files that are not there, or may not be read.
func (e *evidence) fileTrouble(failed *keyless.Error, f *Finding) bool {
	absent, forbidden := errors.Is(failed, fs.ErrNotExist), errors.Is(failed, fs.ErrPermission)
	var path *fs.PathError
	name := "the file"
	if errors.As(failed, &path) {
		name = path.Path
	}
	switch {
	case forbidden && failed.Op == opArc:
		f.Code, f.Summary = "himds-group", "this user may not read the files of Azure Arc's agent"
		f.Fix = "add the user to the group himds, and start the program anew: groups are those of its start\nsudo usermod -aG himds " + quoted(e.user())
	case absent && failed.Op == opArc:
		f.Code, f.Summary = "arc-key-elsewhere", "the file that Azure Arc's agent wrote is not on this side"
		f.Fix = "this program runs in a container and the agent does not: mount the agent's folder read-only\ndocker run -v /var/opt/azcmagent/tokens:/var/opt/azcmagent/tokens:ro …"
	case forbidden:
		f.Code, f.Summary = "file-unreadable", name+" may not be read by this user"
		f.Fix = "let the user read it, and nobody else\nsudo chown " + quoted(e.user()) + " " + quoted(name)
	case absent:
		f.Code, f.Summary = "file-missing", name+" is not there"
		f.Fix = "put it there, or correct its path; relative paths are those of the working directory\nls -l " + quoted(name)
	default:
		return false
	}
	return true
}

func (e *evidence) user() string {
	if user := firstOf(e.Getenv, "USER", "LOGNAME"); user != "" {
		return user
	}
	return "USER"
}

// hostTrouble knows hosts that are not what the profile takes them for.
func (e *evidence) hostTrouble(failed *keyless.Error, f *Finding) bool {
	other, isOther := otherHost(failed)
	switch {
	case isOther:
		f.Code, f.Summary = "other-host", fmt.Sprintf("this host is: %s; the profile is for: %s", clean(string(other)), clean(failed.Op))
		f.Fix = lines("choose the source of this host", e.setting("source", "{ "+sourceFor(other)+" }"))
	case failed.Code == azhost.CodeNoHost && strings.Contains(failed.Message, "set, but not"):
		f.Code, f.Summary = "half-environment", "half of what the host's identity needs is set"
		f.Fix = lines("pass on both variables: a service unit, sudo or a container drops the environment", hinted(failed))
	case failed.Code == azhost.CodeNoHost:
		f.Code, f.Summary = "no-host", "nothing here gives the program an identity"
	case failed.Code == azhost.CodeAbsent && failed.Op == opArc:
		f.Code, f.Summary = "arc-agent-absent", "the agent of Azure Arc does not answer"
		f.Fix = lines(hinted(failed), "sudo systemctl restart himdsd", "azcmagent show")
	case failed.Code == azhost.CodeAbsent:
		f.Code, f.Summary = "metadata-absent", "the host's identity endpoint does not answer"
		f.Fix = hinted(failed)
		if failed.Op == string(azhost.KindVM) {
			f.Fix = lines(f.Fix, "curl --noproxy '*' -s -H Metadata:true 'http://169.254.169.254/metadata/instance?api-version=2021-02-01'")
		}
	default:
		return false
	}
	return true
}

// otherHost is the kind of host that was found, where the profile looks for another.
func otherHost(failed *keyless.Error) (azhost.Kind, bool) {
	_, rest, found := strings.Cut(failed.Message, "which makes it: ")
	kind, _, ends := strings.Cut(rest, ", which is not looked for")
	return azhost.Kind(kind), failed.Code == azhost.CodeNoHost && found && ends
}

// identityTrouble knows the refusals of hosts that have no such identity.
func (e *evidence) identityTrouble(failed *keyless.Error, f *Finding) bool {
	text := strings.ToLower(failed.Code + " " + failed.Message)
	missing := strings.Contains(text, "identity not found") || strings.Contains(text, "identity_not_found")
	selector, value := e.selector()
	switch {
	case missing && selector != "":
		f.Code, f.Summary = "identity-unknown", "the host has no identity with this "+selector
		f.Evidence = append(f.Evidence, named(selector, value))
		f.Fix = "correct " + selector + ", or assign that identity to the host\n" + e.assignCommand() + " --identities RESOURCE_ID"
	case missing:
		f.Code, f.Summary = "identity-missing", "the host has no identity"
		f.Fix = "switch it on; it takes effect within a minute\n" + e.assignCommand()
	case strings.Contains(text, "multiple user assigned identities"):
		f.Code, f.Summary = "identity-ambiguous", "the host has several identities, and the profile does not say which"
		f.Fix = "name one by client_id, object_id or resource_id\n" + e.setting("source.managed_identity.client_id", "CLIENT_ID")
	default:
		return false
	}
	return true
}

// assignCommand gives the host an identity.
func (e *evidence) assignCommand() string {
	if e.Profile.Source.AppService != nil {
		return "az webapp identity assign --name APP --resource-group GROUP"
	}
	return "az vm identity assign --name VM --resource-group GROUP"
}

// selector is how the profile chooses an identity of the host.
func (e *evidence) selector() (name, value string) {
	m := e.Profile.Source.ManagedIdentity
	if m == nil {
		return e.choice()
	}
	return chosen(m.ClientID, m.ObjectID, m.ResourceID)
}

func (e *evidence) choice() (name, value string) {
	for _, c := range []*profile.Choice{e.Profile.Source.Auto, e.Profile.Source.AppService, e.Profile.Source.Arc} {
		if c != nil {
			return chosen(c.ClientID, c.ObjectID, c.ResourceID)
		}
	}
	return "", ""
}

func chosen(clientID, objectID, resourceID string) (name, value string) {
	switch {
	case clientID != "":
		return "client_id", clientID
	case objectID != "":
		return "object_id", objectID
	case resourceID != "":
		return "resource_id", resourceID
	}
	return "", ""
}

// setting is a line of the configuration file, in the form in which flags and messages
// name it.
func (e *evidence) setting(path, value string) string {
	prefix := ""
	if e.Profile.Name != "" {
		prefix = "profiles." + e.Profile.Name + "."
	}
	return prefix + path + ": " + clean(value)
}

// networkTrouble knows far sides that could not be asked, or that somebody else answers for.
func networkTrouble(failed *keyless.Error, f *Finding) bool {
	var redirect *wire.RedirectError
	var out *wire.Error
	switch {
	case wire.Untrusted(failed):
		f.Code, f.Summary = "certificate-untrusted", "the far side's certificate is not trusted"
		f.Fix = lines(hinted(failed), "export SSL_CERT_FILE=/path/to/the/private-ca.pem")
	case errors.As(failed, &redirect), strings.Contains(failed.Message, "page that begins"), strings.Contains(failed.Message, `the answer is "text/html`):
		f.Code, f.Summary, f.Temporary = "intercepted", "a page answers in the place of the far side", false
		f.Fix = lines(hinted(failed), "curl -sI https://login.microsoftonline.com/ https://sts.amazonaws.com/", "env | grep -i proxy")
	case errors.As(failed, &out):
		f.Code, f.Summary = "unreachable", clean(out.Host)+" cannot be reached"
		f.Fix = lines(hinted(failed), "curl -sv https://"+quoted(out.Host)+"/ -o /dev/null")
	case failed.Temporary:
		f.Code, f.Summary = "busy", "the far side is busy or out of order"
		f.Fix = lines(hinted(failed), "it was asked several times; try again later")
	default:
		return false
	}
	return true
}
