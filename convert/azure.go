package convert

import (
	"net/url"
	"strings"

	"github.com/keyless-id/keyless/authproxy"
	"github.com/keyless-id/keyless/profile"
)

// presetOf is the name of the preset that knows an upstream by its address, and fits;
// empty: there is none.
func presetOf(u *url.URL, path string, fits func(authproxy.Preset) bool) string {
	for _, name := range authproxy.PresetNames() {
		if known, _ := authproxy.PresetNamed(name); known.Check(u, path) == nil && fits(known) {
			return name
		}
	}
	return ""
}

// azurePreset is the one whose upstream takes tokens for an audience or scope.
func azurePreset(u *url.URL, path, audience string) string {
	return presetOf(u, path, func(p authproxy.Preset) bool { return sameAudience(p.Scope(u), audience) })
}

// cloud is one of Azure's, by what this package needs of it.
type cloud struct {
	name  string // as profile knows it; empty: public
	scope string // of Azure Monitor's ingestion
}

// clouds are known by the names that Prometheus, Logstash and Azure Monitor's container
// have for them, in lower case and without underscores.
func clouds() map[string]cloud {
	public := cloud{"", "https://monitor.azure.com/.default"}
	usgov := cloud{"usgov", "https://monitor.azure.us/.default"}
	china := cloud{"china", "https://monitor.azure.cn/.default"}
	return map[string]cloud{
		"": public, "azurepublic": public, "azurecloud": public, "azurepubliccloud": public,
		"azuregovernment": usgov, "azureusgovernment": usgov,
		"azurechina": china, "azurechinacloud": china,
	}
}

func cloudNamed(name string) (cloud, bool) {
	c, ok := clouds()[strings.ReplaceAll(strings.ToLower(name), "_", "")]
	return c, ok
}

// upstream reads the address that credentials are to be sent to. It can have a password
// in it, so errors do not show it.
func (d *draft) upstream(raw string, where at) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return nil, where.wrong("for example https://NAME.ingest.monitor.azure.com/…", "is no address")
	}
	if u.User != nil {
		d.note(where, "the user and password in the address are left out: keyless adds the credential")
		u.User = nil
	}
	return u, nil
}

// route adds a route whose upstream stands at a place, if the proxy would take it.
func (d *draft) route(r profile.Route, where at) error {
	if err := r.Built().Validate(); err != nil && !reference().MatchString(r.Upstream) {
		return where.wrong("", "%s", oneLine(err))
	}
	d.routes = append(d.routes, r)
	return nil
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// sameAudience knows that Entra ID takes https://monitor.azure.com for the same with and
// without a slash.
func sameAudience(a, b string) bool {
	trim := func(text string) string { return strings.TrimRight(strings.TrimSuffix(text, "/.default"), "/") }
	return trim(a) == trim(b)
}
