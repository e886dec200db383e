package setup

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/keyless-id/keyless/entra"
	"github.com/keyless-id/keyless/internal/graph"
	"github.com/keyless-id/keyless/pipelines"
	"github.com/keyless-id/keyless/trust"
)

// What a plan says where only applying it will tell.
const (
	laterAppID  = "(client id, known after apply)"
	laterIssuer = "(the account's issuer, known after apply)"
)

// target is what a spec comes to in a given state.
type target struct {
	Spec
	State
}

// link is one issuer that the role is to trust, and for whom.
type link struct {
	sid       string
	issuer    string
	clientIDs []string    // of the provider
	pinned    [][2]string // claim as AWS names it, and value
}

func (t target) cloud() Cloud {
	c, _ := cloudOf(t.Cloud) // Validate has seen it
	return c
}

func (t target) issuerV2() string { return t.cloud().Authority + "/" + t.State.TenantID + "/v2.0" }

// appID is the client id of the application, as far as it is known.
func (t target) appID() string {
	switch {
	case t.App != nil:
		return t.App.AppID
	case t.AppID != "":
		return t.AppID
	}
	return laterAppID
}

// audience is the App ID URI.
func (t target) audience() string {
	uri := t.AppIDURI
	if uri == "" {
		uri = defaultURI
	}
	return strings.ReplaceAll(uri, AppIDPlace, t.appID())
}

// links are the issuers that the role is to trust.
func (t target) links() []link {
	switch {
	case t.Kind == FromAWS:
		return nil
	case t.Kind == Pipelines:
		return t.connectionLinks()
	case t.version() == 2:
		// AWS takes azp for :aud where a token has one, and aud for :oaud ("Available keys
		// for AWS OIDC federation", IAM User Guide). Which of the two it wants among the
		// provider's client ids is unverified: it gets both.
		return []link{{
			sid: "EntraV2", issuer: t.issuerV2(), clientIDs: []string{t.Principal.ClientID, t.appID()},
			pinned: [][2]string{{"aud", t.Principal.ClientID}, {"oaud", t.appID()}, {"sub", t.Principal.ObjectID}},
		}}
	}
	return []link{{
		sid: "Entra", issuer: t.cloud().IssuerV1 + t.State.TenantID + "/", clientIDs: []string{t.audience()},
		pinned: [][2]string{{"aud", t.audience()}, {"sub", t.Principal.ObjectID}},
	}}
}

func (t target) connectionLinks() []link {
	var all []link
	if t.has(IssuerEntra) {
		subject, _ := pipelines.Subject(t.State.TenantID, t.Connection.OrganizationID, t.Connection.ID) // Validate has seen the GUIDs
		all = append(all, link{
			sid: "AzurePipelines", issuer: t.issuerV2(), clientIDs: []string{pipelines.AppID},
			pinned: [][2]string{{"aud", pipelines.AppID}, {"oaud", pipelines.ExchangeAudienceID}, {"sub", subject}},
		})
	}
	if t.has(IssuerVSToken) {
		all = append(all, link{
			sid: "AzurePipelinesVSToken", issuer: "https://vstoken.dev.azure.com/" + strings.ToLower(t.Connection.OrganizationID),
			clientIDs: []string{pipelines.ExchangeAudience},
			pinned:    [][2]string{{"aud", pipelines.ExchangeAudience}, {"sub", "sc://" + t.Connection.Path}},
		})
	}
	return all
}

func (t target) providerARN(issuer string) string {
	return trust.ProviderARN(t.State.Partition, t.State.Account, issuer)
}

// trusts is the trust policy of the role: each issuer for one audience and one subject.
func (t target) trusts() *trust.Policy {
	policy := &trust.Policy{Version: trust.Version2012}
	for _, l := range t.links() {
		statement := trust.Statement{
			Sid: l.sid, Effect: trust.Allow,
			Principals: []trust.Principal{{Type: trust.Federated, ID: t.providerARN(l.issuer)}},
			Actions:    []string{trust.AssumeRoleWithWebIdentity},
		}
		for _, pin := range l.pinned {
			statement.Conditions = append(statement.Conditions, trust.Condition{
				Operator: "StringEquals", Key: trust.ProviderKey(l.issuer) + ":" + pin[0], Values: []string{pin[1]},
			})
		}
		policy.Statements = append(policy.Statements, statement)
	}
	return policy
}

// TrustPolicy is the trust policy of the role, as JSON. What is not known before the
// application is there stands in it in words.
func TrustPolicy(spec Spec, state State) ([]byte, error) {
	return target{spec, state}.trusts().MarshalJSON()
}

func (t target) trustJSON() []byte {
	policy, _ := t.trusts().MarshalJSON() // of texts only
	return policy
}

func (t target) exchangeAudience() string { return entra.ExchangeAudience(t.cloud().Authority) }

func (t target) roleARN() string {
	if t.State.Role != nil {
		return t.State.Role.ARN
	}
	return "arn:" + t.partition() + ":iam::" + t.State.Account + ":role" + t.rolePath() + t.roleName()
}

func (t target) partition() string {
	if t.State.Partition == "" {
		return "aws"
	}
	return t.State.Partition
}

// federated is what the identity is to accept for itself, if anything.
func (t target) federated() []graph.FederatedCredential {
	credential := graph.FederatedCredential{Name: t.title(), Audiences: []string{t.exchangeAudience()}}
	switch {
	case t.Kind == FromAWS:
		credential.Issuer, credential.Subject = t.Outbound, t.roleARN()
		if credential.Issuer == "" {
			credential.Issuer = laterIssuer
		}
	case t.Pod != Pod{}:
		credential.Issuer, credential.Subject = t.Pod.Issuer, "system:serviceaccount:"+t.Pod.Namespace+":"+t.Pod.ServiceAccount
	default:
		return nil
	}
	return []graph.FederatedCredential{credential}
}

// appRole is the role that the workload is assigned to. Its id follows from the name, so
// that the same plan makes the same role.
func (s Spec) appRole() graph.AppRole {
	sum := sha256.Sum256([]byte(s.entraTag()))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // a UUID of version 8 (RFC 9562)
	return graph.AppRole{
		ID:                 fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]),
		AllowedMemberTypes: []string{"Application"}, DisplayName: "Assume a role in AWS",
		Description: "Gets tokens that a role in AWS may trust", Value: "AssumeRole", IsEnabled: true,
	}
}
