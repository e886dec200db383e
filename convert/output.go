package convert

import (
	"strings"

	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/profile"
)

// output is one of an agent whose settings have names and texts.
type output struct {
	plugin
	at
}

func (o *output) find(name string) *setting {
	for i := range o.settings {
		if strings.EqualFold(o.settings[i].name, name) {
			return &o.settings[i]
		}
	}
	return nil
}

// below is where a setting stands.
func (o *output) below(name string) at {
	if found := o.find(name); found != nil {
		return at{found.line, found.name}
	}
	return at{o.at.line, name}
}

// fromEnvironment matches what agents take from their environment: ${NAME}, with a default
// after a colon, or after :- and such.
var fromEnvironment = pattern.Lazy(`\$\{([A-Za-z_][A-Za-z0-9_]*)(:[^}]*)?\}`)

// text is the value of a setting, with references to the environment as keyless writes them.
func (o *output) text(d *draft, name string) string {
	found := o.find(name)
	if found == nil {
		return ""
	}
	return fromEnvironment().ReplaceAllStringFunc(found.text, func(reference string) string {
		parts := fromEnvironment().FindStringSubmatch(reference)
		if parts[2] != "" {
			d.note(o.below(name), "%s is looked up in the environment of the Collector, without a default: set it there", parts[1])
		}
		return "${" + parts[1] + "}"
	})
}

// application is the app registration that an output signs in as with a secret.
func (o *output) application(d *draft, c cloud, tenant, client, secret string) *profile.Source {
	app := c.application(o.text(d, tenant), o.text(d, client))
	own := ""
	if given := o.find(secret); given != nil {
		if parts := fromEnvironment().FindStringSubmatch(given.text); parts != nil && parts[0] == given.text {
			own = parts[1]
		}
	}
	return &profile.Source{ClientSecret: &profile.ClientSecret{Application: app, ClientSecret: d.clientSecret(o.below(secret), own, app)}}
}

// cloudOf is the cloud of an endpoint, by its address; the public one if that does not say.
func cloudOf(endpoint string) cloud {
	for _, name := range []string{"azureusgovernment", "azurechinacloud"} {
		c, _ := cloudNamed(name)
		domain := strings.TrimSuffix(strings.TrimPrefix(c.scope, "https://"), "/.default")
		if strings.Contains(strings.ToLower(endpoint), "."+domain) {
			return c
		}
	}
	c, _ := cloudNamed("")
	return c
}
