package audit

import (
	"slices"
	"strings"

	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/pipelines"
)

const (
	// sentinelTenant is Microsoft's own, which gets the tokens of Sentinel and Defender
	// for all customers; the session's name has the customer (AWS's list of shared
	// issuers; unverified).
	sentinelTenant = "33e01921-4d64-4f8c-a055-5bdaffd5e33d"
	// consumers is the tenant of all personal accounts.
	consumers = "9188040d-6c67-4c5b-b112-36a304b66dad"
)

// isEntra reports whether host is an authority of Entra ID, of either version, in any
// cloud; those outside of the public cloud are unverified.
func isEntra(host string) bool { return isEntraV1(host) || isEntraV2(host) }

func isEntraV1(host string) bool {
	return host == "sts.windows.net" || host == "sts.chinacloudapi.cn"
}

func isEntraV2(host string) bool {
	return host == "login.microsoftonline.com" || host == "login.microsoftonline.us" || host == "login.partner.microsoftonline.cn"
}

// entra is a tenant of Entra ID. Its tokens' subjects are object ids, or paths that begin
// with /eid1 for identities that it federates.
func entra(host, path string) issuer {
	tenant, _, _ := strings.Cut(path, "/")
	i := issuer{
		name: "Entra ID", tenant: "tenant", project: "identity", shared: tenant == consumers, strict: true, keys: []string{},
		sample: "OBJECT_ID", forms: []form{{claim: "sub", template: "<project>"}},
	}
	if isEntraV1(host) && tenant == sentinelTenant {
		i.name, i.tenant, i.project, i.shared = "Microsoft Sentinel", "workspace", "workspace", true
		i.pin, i.sample = "sts:rolesessionname", "MicrosoftSentinel_WORKSPACE_ID"
		i.forms = []form{
			{claim: "sts:rolesessionname", template: "MicrosoftSentinel_<project>"},
			{claim: "sts:rolesessionname", template: "MicrosoftDefenderForClouds_<project>"},
		}
	}
	return i
}

// entraVersion is that of the issuer's tokens; zero: it is not Entra ID.
func (i *issuer) entraVersion() int {
	host, _, _ := strings.Cut(i.key, "/")
	switch {
	case isEntraV1(host):
		return 1
	case isEntraV2(host):
		return 2
	}
	return 0
}

// entraSubject reports whether the tenant could make such a subject: an application's object
// id, a path for an identity that it federates, or for a person 43 characters that differ
// from application to application ("Access token claims reference").
func entraSubject(subject string) bool {
	switch {
	case isGUID(subject):
		return subject == strings.ToLower(subject)
	case strings.HasPrefix(subject, "/eid1/"), strings.ContainsAny(subject, wildcards):
		return true
	}
	return len(subject) == 43 && !strings.ContainsAny(subject, "./:@ ")
}

// isClient reports whether the subject is an application's client id, by the audiences that
// name it: subjects are object ids.
func (e *entry) isClient(subject string) bool {
	return isGUID(subject) && slices.ContainsFunc(e.limits, func(l limit) bool {
		return (l.claim == "aud" || l.claim == "oaud") && slices.ContainsFunc(l.values, func(v string) bool {
			return strings.EqualFold(strings.TrimPrefix(v, "api://"), subject)
		})
	})
}

// entraRules judge what only Entra ID has.
func (e *entry) entraRules() {
	version := e.issuer.entraVersion()
	if version == 0 || e.issuer.pin != "sub" {
		return
	}
	for _, l := range e.limits {
		if l.claim != "aud" && l.claim != "oaud" || l.condition < 0 {
			continue
		}
		switch {
		case isExchange(l.values) && version == 1:
			e.exchangeOfV1(l)
		case version == 2 && l.claim == "aud":
			e.audienceOfV2(l)
		}
		e.firstParty(l)
	}
	if version == 2 {
		e.callerOnly()
	}
}

// exchangeOfV1: tokens for this audience are of version 2, so they have another issuer.
func (e *entry) exchangeOfV1(l limit) {
	e.report(wrongAudienceKey, e.at(l), "tokens for "+quoted(l.values)+" are of version 2 and come from login.microsoftonline.com/TENANT/v2.0, never from "+e.issuer.key,
		"register an application of your own for AWS and pin its App ID URI; only Azure Pipelines has no other audience to offer", func(s *edited) {
			s.Conditions[l.condition].Values = []string{"api://APPLICATION_ID"}
		})
}

// audienceOfV2: azp is the client id of the caller, a GUID.
func (e *entry) audienceOfV2(l limit) {
	for _, value := range l.values {
		if isGUID(value) && value != pipelines.ExchangeAudienceID || unfilled(value) {
			return
		}
	}
	e.report(wrongAudienceKey, e.at(l), ":aud of version 2 is azp, the client id of whoever asked for the token, and never "+quoted(l.values)+"; no token passes",
		"put what the token is for into :oaud, as a GUID, and the caller's client id into :aud", func(s *edited) {
			move(s.Statement, l.condition, "StringEquals", e.key("oaud"))
			require(s.Statement, "StringEquals", e.key("oaud"), guids(l.values)...)
			require(s.Statement, "StringEquals", e.key("aud"), caller(l.values))
		})
}

// guids are audiences as version 2 has them: api://GUID is GUID.
func guids(values []string) []string {
	all := make([]string, len(values))
	for i, value := range values {
		all[i] = strings.TrimPrefix(value, "api://")
		if isExchange([]string{value}) {
			all[i] = pipelines.ExchangeAudienceID
		} else if !isGUID(all[i]) {
			all[i] = "APPLICATION_ID"
		}
	}
	return all
}

// caller is the client id of who asks for a token for one of these audiences.
func caller(values []string) string {
	if isExchange(values) {
		return pipelines.AppID
	}
	return "CALLER_CLIENT_ID"
}

// isExchange reports whether one of the audiences is that of workload identity federation.
func isExchange(values []string) bool {
	for _, value := range values {
		if strings.HasPrefix(strings.ToLower(value), "api://azureadtokenexchange") || strings.EqualFold(value, pipelines.ExchangeAudienceID) {
			return true
		}
	}
	return false
}

// callerOnly: a policy for version 2 with :aud and without :oaud takes every token of the
// caller, whatever it is for. Tokens of Azure Pipelines are for one audience only.
func (e *entry) callerOnly() {
	aud, found := e.limitOn("aud")
	if _, pinned := e.limitOn("oaud"); !found || pinned || !isGUID(aud.values[0]) || e.ofPipelines() || e.reported(wrongAudienceKey) {
		return
	}
	e.report(wrongAudienceKey, e.at(aud), ":aud of version 2 is azp, the caller; nothing says what the token is for, so every application that the caller has a token for can pass it on",
		"pin :oaud to the client id of the application that stands for AWS", func(s *edited) {
			require(s.Statement, "StringEquals", e.key("oaud"), "APPLICATION_ID")
		})
}

func (e *entry) ofPipelines() bool {
	sub, found := e.limitOn("sub")
	return found && strings.HasPrefix(sub.values[0], "/eid1/")
}

func (e *entry) firstParty(l limit) {
	for _, value := range l.values {
		azp := e.issuer.entraVersion() == 2 && l.claim == "aud" // of Azure Pipelines, for example
		if !azp && !isExchange([]string{value}) && awssts.FirstParty(value) {
			e.report(firstParty, e.at(l), "tokens for "+quoted([]string{value})+" go to Microsoft's own service, and whoever sees one there fits",
				"register an application of your own for AWS and pin its App ID URI", func(s *edited) {
					s.Conditions[l.condition].Values = []string{"api://APPLICATION_ID"}
				})
		}
	}
}
