package setup

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/keyless-id/keyless/internal/textdiff"
	"github.com/keyless-id/keyless/trust"
)

// permission is a policy of a role: what it may do, and not who it is for.
type permission struct {
	Version   string
	Statement []allowance
}

type allowance struct {
	Sid       string
	Effect    string
	Action    string
	Resource  string
	Condition map[string]map[string]string
}

// outboundJSON lets a role ask for tokens for Entra, and for no one else ("Condition keys
// for AWS STS": sts:IdentityTokenAudience, sts:SigningAlgorithm). The key has several
// values where a token has several audiences; Null keeps ForAllValues from passing a
// request that has none.
func (t target) outboundJSON() []byte {
	document, _ := json.Marshal(permission{Version: trust.Version2012, Statement: []allowance{{
		Sid: "TokensForEntra", Effect: "Allow", Action: "sts:GetWebIdentityToken", Resource: "*",
		Condition: map[string]map[string]string{
			"ForAllValues:StringEquals": {"sts:IdentityTokenAudience": t.exchangeAudience()},
			"Null":                      {"sts:IdentityTokenAudience": "false"},
			"StringEquals":              {"sts:SigningAlgorithm": "RS256"},
		},
	}}}) // of texts only
	return document
}

// samePolicy reports whether both say the same: IAM keeps a policy as it was sent, so
// that order and blanks may differ.
func samePolicy(a, b []byte) bool {
	return canonical(a) != "" && canonical(a) == canonical(b)
}

// canonical is the policy with its members in order and lists of one as a plain value.
func canonical(policy []byte) string {
	var tree any
	if err := json.Unmarshal(policy, &tree); err != nil {
		return ""
	}
	text, err := json.Marshal(plain(tree))
	if err != nil {
		return ""
	}
	return string(text)
}

func plain(tree any) any {
	switch v := tree.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = plain(value)
		}
	case []any:
		for i, item := range v {
			v[i] = plain(item)
		}
		if len(v) == 1 {
			return v[0]
		}
	}
	return tree
}

// policyDiff shows what a change does to a policy; before may be empty.
func policyDiff(name string, before, after []byte) string {
	return textdiff.Unified(name, laidOut(before), laidOut(after))
}

func laidOut(policy []byte) []string {
	if len(policy) == 0 {
		return nil
	}
	var text bytes.Buffer
	if err := json.Indent(&text, policy, "", "  "); err != nil {
		return []string{string(policy)}
	}
	return strings.Split(text.String(), "\n")
}
