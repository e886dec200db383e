package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"

	"github.com/keyless-id/keyless/trust"
)

// getCallerIdentity needs a signature and nothing else.
func (c *call) getCallerIdentity() (any, *awsError) {
	caller, refusal := c.caller()
	if refusal != nil {
		return nil, refusal
	}
	return &callerIdentityResult{Arn: caller.arn, UserID: caller.userID, Account: caller.account.ID}, nil
}

func (c *call) caller() (*identity, *awsError) {
	caller, refusal := c.s.verifySignature(c.request, c.body, "sts", c.now)
	if refusal != nil {
		return nil, refusal.forSTS()
	}
	c.details["caller"] = caller.arn
	return caller, nil
}

// assumeRole checks the trust policy only: permissions of the caller are not
// modelled.
func (c *call) assumeRole() (any, *awsError) {
	caller, refusal := c.caller()
	if refusal != nil {
		return nil, refusal
	}
	a, refusal := c.readAssumption()
	if refusal != nil {
		return nil, refusal
	}
	c.details["role"], c.details["session"] = a.roleARN, a.session
	if refusal := c.checkRegion(accountOf(a.roleARN)); refusal != nil {
		return nil, refusal
	}
	r, refusal := c.checkRoleTrust(caller, a)
	if refusal != nil {
		return nil, refusal
	}
	if caller.role != nil && a.duration > time.Hour {
		return nil, invalid("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	}
	if refusal := checkMaxSession(r, a); refusal != nil {
		return nil, refusal
	}
	session := c.s.newSession(r, a.session, c.now.Add(a.duration))
	session.tags = formTags(c.form)
	session.sourceIdentity = c.form.Get("SourceIdentity")
	c.s.sessions.add(session)
	return &assumeRoleResult{
		AssumedRoleUser: session.assumedRole(), Credentials: session.credentials(),
		SourceIdentity: session.sourceIdentity, PackedSize: a.packed,
	}, nil
}

func (c *call) checkRoleTrust(caller *identity, a *assumption) (*role, *awsError) {
	refused := func(action string) *awsError {
		return denied("User: %s is not authorized to perform: %s on resource: %s", caller.arn, action, a.roleARN)
	}
	r := c.s.role(a.roleARN)
	if r == nil {
		return nil, refused(trust.AssumeRole)
	}
	request := trust.Request{Principal: trust.Principal{Type: trust.AWS, ID: caller.arn}, Context: c.roleContext(caller, a)}
	if caller.role != nil {
		request.Aliases = []trust.Principal{{Type: trust.AWS, ID: caller.role.arn}}
	}
	for _, action := range c.roleActions() {
		request.Action = action
		decision := r.policy.Evaluate(request)
		if c.decision = &decision; !decision.Allowed {
			c.details["failure"] = decision.FirstFailure()
			return nil, refused(action)
		}
	}
	return r, nil
}

func (c *call) roleActions() []string {
	actions := []string{trust.AssumeRole}
	if len(formTags(c.form)) > 0 {
		actions = append(actions, trust.TagSession)
	}
	if c.form.Get("SourceIdentity") != "" {
		actions = append(actions, trust.SetSourceIdentity)
	}
	return actions
}

// roleContext has the keys of "IAM and AWS STS condition context keys" that an
// AssumeRole request carries.
func (c *call) roleContext(caller *identity, a *assumption) map[string][]string {
	principal := caller.arn
	if caller.role != nil {
		principal = caller.role.arn
	}
	context := map[string][]string{
		"sts:RoleSessionName":  {a.session},
		"aws:PrincipalArn":     {principal},
		"aws:PrincipalAccount": {caller.account.ID},
		"aws:userid":           {caller.userID},
	}
	for key, parameter := range map[string]string{"sts:ExternalId": "ExternalId", "sts:SourceIdentity": "SourceIdentity"} {
		if value := c.form.Get(parameter); value != "" {
			context[key] = []string{value}
		}
	}
	for name, value := range caller.tags {
		context["aws:PrincipalTag/"+name] = []string{value}
	}
	var names []string
	for name, value := range formTags(c.form) {
		context["aws:RequestTag/"+name] = []string{value}
		names = append(names, name)
	}
	sort.Strings(names)
	context["aws:TagKeys"] = names
	return context
}

// formTags reads Tags.member.1.Key and Tags.member.1.Value.
func formTags(form map[string][]string) map[string]string {
	tags := map[string]string{}
	for i := 1; i <= 50; i++ {
		prefix := fmt.Sprintf("Tags.member.%d.", i)
		key := form[prefix+"Key"]
		if len(key) == 0 {
			break
		}
		tags[key[0]] = strings.Join(form[prefix+"Value"], "")
	}
	return tags
}

// formList reads Name.member.1, Name.member.2 and so on, to the first that is missing.
func formList(form url.Values, name string) []string {
	var list []string
	for i := 1; form.Has(fmt.Sprintf("%s.member.%d", name, i)); i++ {
		list = append(list, form.Get(fmt.Sprintf("%s.member.%d", name, i)))
	}
	return list
}

// forSTS turns a bad signature into the words of STS.
func (e *signatureError) forSTS() *awsError {
	const help = "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	texts := map[signatureProblem]awsError{
		unsigned:         {"MissingAuthenticationToken", http.StatusForbidden, "Request is missing Authentication Token"},
		malformed:        {"IncompleteSignature", http.StatusForbidden, e.detail},
		unknownAccessKey: {"InvalidClientTokenId", http.StatusForbidden, "The security token included in the request is invalid."},
		wrongToken:       {"InvalidClientTokenId", http.StatusForbidden, "The security token included in the request is invalid"},
		sessionExpired:   {"ExpiredToken", http.StatusForbidden, "The security token included in the request is expired"},
		wrongTime:        {"SignatureDoesNotMatch", http.StatusForbidden, e.detail},
		presignExpired:   {"RequestExpired", http.StatusBadRequest, "Request has expired"}, // unverified
		wrongScope:       {"SignatureDoesNotMatch", http.StatusForbidden, e.detail},
		mismatch:         {"SignatureDoesNotMatch", http.StatusForbidden, "The request signature we calculated does not match the signature you provided. " + help},
		wrongPayload:     {"SignatureDoesNotMatch", http.StatusForbidden, e.detail}, // unverified
		notCovered:       {"SignatureDoesNotMatch", http.StatusForbidden, e.detail},
	}
	refusal := texts[e.problem]
	return &refusal
}
