package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/keyless-id/keyless/trust"
)

// iamState is what IAM knows of an account at one moment. It does not change, and
// neither does what it holds: a write makes copies.
type iamState struct {
	roles     map[string]*role     // by name, lower case: two names must differ in more than that
	providers map[string]*provider // by issuer without scheme
	policies  map[string]*managedPolicy
	outbound  bool // tokens for others are given out
}

// role is an IAM role with what the world does not say about it.
type role struct {
	Role
	account *account
	arn     string
	id      string // another one when a role of the same name is made again
	created time.Time
	policy  *trust.Policy
}

// provider is an IAM OIDC provider.
type provider struct {
	OIDCProvider
	arn     string
	created time.Time
}

// managedPolicy is a policy of the customer's own. Who has it attached is in the roles.
type managedPolicy struct {
	name, path, arn, id string
	description         string
	document            string
	tags                map[string]string
	created             time.Time
}

func newIAMState() *iamState {
	return &iamState{roles: map[string]*role{}, providers: map[string]*provider{}, policies: map[string]*managedPolicy{}}
}

func (i *iamState) clone() *iamState {
	return &iamState{roles: maps.Clone(i.roles), providers: maps.Clone(i.providers), policies: maps.Clone(i.policies), outbound: i.outbound}
}

// role finds a role by its ARN: one of the same name below another path is another.
func (i *iamState) role(arn string) *role {
	name := arn[strings.LastIndexAny(arn, "/:")+1:]
	if r := i.roles[strings.ToLower(name)]; r != nil && r.arn == arn {
		return r
	}
	return nil
}

func (i *iamState) provider(arn string) *provider {
	_, key, _ := strings.Cut(arn, ":oidc-provider/")
	if p := i.providers[key]; p != nil && p.arn == arn {
		return p
	}
	return nil
}

// role finds a role of any account as it was at a time.
func (x *index) role(arn string, at time.Time) *role {
	a := x.accounts[accountOf(arn)]
	if a == nil {
		return nil
	}
	return a.iam.at(at).role(arn)
}

// effective is the time whose state the services act on that check what others have
// written.
func (s *Sandbox) effective() time.Time { return s.options.Now().Add(-s.options.Propagation) }

// role finds a role that is in force.
func (s *Sandbox) role(arn string) *role { return s.index.role(arn, s.effective()) }

// newRole checks a role of the world, or one that is made.
func (a *account) newRole(data Role) (*role, error) {
	policy, err := trust.Parse([]byte(data.TrustPolicy))
	if err != nil {
		return nil, err
	}
	if data.Name == "" {
		return nil, errors.New("the name is empty")
	}
	data.Path = orText(data.Path, "/")
	arn := a.arn("role" + data.Path + data.Name)
	return &role{Role: data, account: a, arn: arn, id: uniqueID("AROA", arn), policy: policy}, nil
}

// arn is the ARN of a resource of IAM in the account.
func (a *account) arn(resource string) string {
	return fmt.Sprintf("arn:%s:iam::%s:%s", a.Partition, a.ID, resource)
}

// outboundIssuer is the issuer of the account, also while nobody gets tokens from it.
func (a *account) outboundIssuer() string {
	if a.OutboundIssuer != "" {
		return a.OutboundIssuer
	}
	return "https://" + namedGUID("outbound", a.ID) + ".tokens.sts.global.api.aws"
}
