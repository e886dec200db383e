package audit

import (
	"encoding/json"
	"fmt"

	"github.com/keyless-id/keyless/trust"
)

// The parts of "JSON Output Format" (developer.hashicorp.com/terraform/internals/json-format),
// version 1, that roles and providers are in.
type (
	tfValues struct {
		RootModule tfModule `json:"root_module"`
	}
	tfModule struct {
		Resources    []tfResource `json:"resources"`
		ChildModules []tfModule   `json:"child_modules"`
	}
	tfResource struct {
		Address string       `json:"address"`
		Mode    string       `json:"mode"`
		Type    string       `json:"type"`
		Values  tfAttributes `json:"values"`
	}
	tfAttributes struct {
		AssumeRolePolicy *string `json:"assume_role_policy"`
		URL              string  `json:"url"`
	}

	tfConfig struct {
		RootModule tfConfigModule `json:"root_module"`
	}
	tfConfigModule struct {
		Resources []struct {
			Address     string `json:"address"`
			Type        string `json:"type"`
			Expressions struct {
				ThumbprintList *struct {
					ConstantValue []string `json:"constant_value"`
					References    []string `json:"references"`
				} `json:"thumbprint_list"`
			} `json:"expressions"`
		} `json:"resources"`
		ModuleCalls map[string]struct {
			Module tfConfigModule `json:"module"`
		} `json:"module_calls"`
	}
)

const (
	tfRole     = "aws_iam_role"
	tfProvider = "aws_iam_openid_connect_provider"
)

// terraform adds what a plan would leave, or what a state has.
func (v *Inventory) terraform(d document, f *finder) {
	written := map[string]bool{}
	if d.Configuration != nil {
		d.Configuration.RootModule.thumbprints("", written)
	}
	for _, values := range []*tfValues{d.PlannedValues, d.Values} {
		if values != nil {
			v.module(values.RootModule, written, f)
		}
	}
}

func (v *Inventory) module(m tfModule, written map[string]bool, f *finder) {
	for _, r := range m.Resources {
		switch {
		case r.Type == tfRole && r.Values.AssumeRolePolicy != nil:
			policy := *r.Values.AssumeRolePolicy
			v.Roles = append(v.Roles, Role{Name: r.Address, File: f.file, Line: f.lineOf(r.Address), Document: []byte(policy), apart: true})
		case r.Type == tfRole:
			v.Unjudged = append(v.Unjudged, Unjudged{f.file, r.Address, "its trust policy is known only after apply; judge the state then, or create the provider first"})
		case r.Type == tfProvider && r.Mode == "managed":
			v.provider(Provider{
				Name: r.Address, Issuer: trust.ProviderName(r.Values.URL), File: f.file, Line: f.lineOf(r.Address), written: written[withoutKeys(r.Address)],
			})
		}
	}
	for _, child := range m.ChildModules {
		v.module(child, written, f)
	}
}

// thumbprints collects the addresses of providers whose configuration has some.
func (m tfConfigModule) thumbprints(prefix string, written map[string]bool) {
	for _, r := range m.Resources {
		list := r.Expressions.ThumbprintList
		if r.Type == tfProvider && list != nil && len(list.ConstantValue)+len(list.References) > 0 {
			written[prefix+r.Address] = true
		}
	}
	for name, call := range m.ModuleCalls {
		call.Module.thumbprints(fmt.Sprintf("%smodule.%s.", prefix, name), written)
	}
}

// withoutKeys drops the keys of for_each and count from an address: a configuration has
// none.
func withoutKeys(address string) string {
	var kept []byte
	depth, quoted := 0, false
	for i := range len(address) {
		switch c := address[i]; {
		case c == '"' && (i == 0 || address[i-1] != '\\'):
			quoted = !quoted
		case c == '[' && !quoted:
			depth++
		case c == ']' && !quoted:
			depth--
		case depth == 0 && !quoted:
			kept = append(kept, c)
		}
	}
	return string(kept)
}

// lineOf is the line of a resource's address.
func (f *finder) lineOf(address string) int {
	text, err := json.Marshal(address)
	if err != nil {
		return 0
	}
	return f.line(text)
}
