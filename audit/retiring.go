package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/pipelines"
	"github.com/keyless-id/keyless/trust"
)

// retiring: the older issuer of Azure Pipelines ends.
func (e *entry) retiring() {
	if !isRetiring(e.issuer) {
		return
	}
	organization := strings.TrimPrefix(e.issuer.key, "vstoken.dev.azure.com/")
	e.report(issuerRetiring, e.whole(), retires(e.issuer), "trust the tenant's issuer beside it, convert the connection, then drop this statement; the subject can be computed from the ids",
		func(s *edited) {
			if !slices.ContainsFunc(s.policy.Statements, trustsPipelines) {
				s.policy.Statements = append(s.policy.Statements, successor(e.principal.ID, organization))
			}
		})
}

func isRetiring(i *issuer) bool { return strings.HasPrefix(i.key, "vstoken.dev.azure.com") }

func retires(i *issuer) string {
	return fmt.Sprintf("%s ends on %s; from then on no pipeline gets in", i.key, pipelines.VSTokenRetired().Format("2006-01-02"))
}

// trustsPipelines reports whether a statement is for the newer tokens of Azure Pipelines.
func trustsPipelines(s trust.Statement) bool {
	return slices.ContainsFunc(s.Conditions, func(c trust.Condition) bool {
		return slices.ContainsFunc(c.Values, func(v string) bool { return strings.HasPrefix(v, "/eid1/") })
	})
}

// successor is the statement for the tokens of a converted connection.
func successor(provider, organization string) trust.Statement {
	before, _, found := strings.Cut(provider, ":oidc-provider/")
	if !found {
		before = "arn:aws:iam::ACCOUNT_ID"
	}
	key := "login.microsoftonline.com/TENANT_ID/v2.0"
	return trust.Statement{
		Sid: "EntraIssuer", Effect: trust.Allow,
		Principals: []trust.Principal{{Type: trust.Federated, ID: before + ":oidc-provider/" + key}},
		Actions:    []string{trust.AssumeRoleWithWebIdentity},
		Conditions: []trust.Condition{
			{Operator: "StringEquals", Key: key + ":aud", Values: []string{pipelines.AppID}},
			{Operator: "StringEquals", Key: key + ":oaud", Values: []string{pipelines.ExchangeAudienceID}},
			{Operator: "StringEquals", Key: key + ":sub", Values: []string{"/eid1/c/pub/t/TENANT_ID_ENCODED/a/rISbSSETf0KqFyZ8ppdXmA/sc/" + organization + "/CONNECTION_ID"}},
		},
	}
}
