package setup

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyless-id/keyless/internal/graph"
	"github.com/keyless-id/keyless/internal/iam"
)

// Action says what becomes of a thing.
type Action string

// The actions.
const (
	Keep    Action = "keep"
	Create  Action = "create"
	Change  Action = "change"
	Replace Action = "replace" // what somebody else may have written goes
	Delete  Action = "delete"
)

// Task names what a step is about.
type Task string

// The tasks, in the order in which a plan has them.
const (
	TaskApplication Task = "application"
	TaskURI         Task = "app id uri"
	TaskIdentity    Task = "service principal"
	TaskRequire     Task = "assignment required"
	TaskAssign      Task = "role assignment"
	TaskOutbound    Task = "outbound federation"
	TaskProvider    Task = "oidc provider"
	TaskClientID    Task = "client id"
	TaskRole        Task = "role"
	TaskTrust       Task = "trust policy"
	TaskSession     Task = "longest session"
	TaskAttach      Task = "attached policy"
	TaskInline      Task = "inline policy"
	TaskFederated   Task = "federated credential"
)

// Step is one thing as it is to be. It is plain data, and says all that it changes.
type Step struct {
	Task   Task    `json:"task"`
	Name   string  `json:"name"` // of the thing, at its far side
	Action Action  `json:"action"`
	Why    string  `json:"why,omitempty"`
	Values []Value `json:"values,omitempty"`
	Diff   string  `json:"diff,omitempty"` // of a policy, in the unified format

	key string // what there may be several of: issuer, ARN or client id
}

// Value is a property before and after.
type Value struct {
	Name   string `json:"name"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Pending are the steps of a plan that change something.
func Pending(steps []Step) []Step {
	return slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return s.Action == Keep })
}

// Plan compares what is wanted with what there is, and asks nobody.
func Plan(spec Spec, state State) []Step {
	t := target{spec, state}
	var steps []Step
	switch {
	case spec.throughEntra():
		steps = append(steps, t.application(), t.uri(), t.identity(), t.require(), t.assign())
	case spec.Kind == FromAWS:
		if state.Principal.ResourceID == "" {
			steps = append(steps, t.application(), t.identity())
		}
		steps = append(steps, t.outbound(), t.inline())
	}
	if spec.Kind != FromAWS {
		steps = append(steps, t.providers()...)
		steps = append(steps, t.role()...)
	}
	steps = append(steps, t.attachments()...)
	return append(steps, t.credentials()...)
}

// createUnless is for what only has to be there.
func createUnless(there bool) Action {
	if there {
		return Keep
	}
	return Create
}

func (t target) application() Step {
	step := Step{Task: TaskApplication, Name: t.title(), Action: Create}
	if t.App == nil {
		step.Values = []Value{{Name: "sign-in audience", After: signInAudience}, {Name: "tag", After: t.entraTag()}}
		if t.throughEntra() {
			step.Values = append(step.Values, Value{Name: "token version", After: strconv.Itoa(t.version())}, Value{Name: "app role", After: t.appRole().Value})
		}
		return step
	}
	step.Action, step.Name = Keep, t.App.DisplayName+" ("+t.App.AppID+")"
	if !t.throughEntra() {
		return step
	}
	if got := tokenVersion(*t.App); got != t.version() {
		step.Action = Change
		step.Values = append(step.Values, Value{"token version", strconv.Itoa(got), strconv.Itoa(t.version())})
		if !t.ours(*t.App) { // others may get tokens of it as well
			step.Action = Replace
		}
	}
	if t.assignable() == "" {
		if step.Action == Keep {
			step.Action = Change
		}
		step.Values = append(step.Values, Value{Name: "app role", After: t.appRole().Value})
	}
	return step
}

const signInAudience = "AzureADMyOrg"

// tokenVersion is 1 where an application does not say ("apiApplication resource type",
// Microsoft Graph).
func tokenVersion(a graph.Application) int {
	if a.API == nil || a.API.TokenVersion == nil {
		return 1
	}
	return *a.API.TokenVersion
}

func (s Spec) ours(a graph.Application) bool { return slices.Contains(a.Tags, s.entraTag()) }

// assignable is the id of a role of the application that identities can be assigned to.
func (t target) assignable() string {
	for _, role := range t.App.AppRoles {
		if role.IsEnabled && role.Value == t.appRole().Value && slices.Contains(role.AllowedMemberTypes, "Application") {
			return role.ID
		}
	}
	return ""
}

func (t target) uri() Step {
	there := t.App != nil && slices.Contains(t.App.IdentifierURIs, t.audience())
	return Step{Task: TaskURI, Name: t.audience(), Action: createUnless(there)}
}

func (t target) identity() Step {
	return Step{Task: TaskIdentity, Name: t.appName(), Action: createUnless(t.AppIdentity != nil)}
}

func (t target) appName() string {
	if t.App == nil {
		return t.title()
	}
	return t.App.DisplayName
}

func (t target) require() Step {
	step := Step{Task: TaskRequire, Name: t.appName(), Action: Change, Values: []Value{{"assignment required", "false", "true"}}}
	if t.AppIdentity != nil && t.AppIdentity.AssignmentRequired {
		step.Action, step.Values = Keep, nil
	} else if t.AppIdentity != nil && t.App != nil && !t.ours(*t.App) { // who is not assigned gets no tokens any more
		step.Action, step.Why = Replace, "whoever gets tokens of this application unassigned will not any more"
	}
	return step
}

func (t target) assign() Step {
	return Step{Task: TaskAssign, Name: t.Principal.ObjectID, Action: createUnless(t.assignment() != nil), Values: []Value{{Name: "app role", After: t.appRole().Value}}}
}

// assignment is the workload's own, to whichever role.
func (t target) assignment() *graph.Assignment {
	i := slices.IndexFunc(t.Assignments, func(a graph.Assignment) bool { return a.PrincipalID == t.Principal.ObjectID })
	if i < 0 {
		return nil
	}
	return &t.Assignments[i]
}

func (t target) outbound() Step {
	return Step{Task: TaskOutbound, Name: "account " + t.State.Account, Action: createUnless(t.Outbound != ""), Why: "the account issues tokens to roles that may ask for them"}
}

func (t target) inline() Step {
	step := Step{Task: TaskInline, Name: t.title(), Action: Create}
	before, there := t.Inline[t.title()]
	switch {
	case there && samePolicy(before, t.outboundJSON()):
		step.Action = Keep
		return step
	case there:
		step.Action = Replace
	}
	step.Diff = policyDiff(t.title(), before, t.outboundJSON())
	return step
}

func (t target) providers() []Step {
	var steps []Step
	for _, l := range t.links() {
		found, there := t.Providers[l.issuer]
		step := Step{Task: TaskProvider, Name: l.issuer, Action: createUnless(there), key: l.issuer}
		if !there {
			step.Values = []Value{{Name: "client ids", After: strings.Join(l.clientIDs, ", ")}}
			if len(t.Thumbprints) > 0 {
				step.Values = append(step.Values, Value{Name: "thumbprints", After: strings.Join(t.Thumbprints, ", ")})
			}
		}
		steps = append(steps, step)
		for _, id := range l.clientIDs {
			if there && !slices.Contains(found.ClientIDs, id) {
				steps = append(steps, Step{Task: TaskClientID, Name: id, Action: Create, Why: "of the provider " + l.issuer, key: l.issuer})
			}
		}
	}
	return steps
}

func (t target) role() []Step {
	step := Step{Task: TaskRole, Name: t.roleARN(), Action: Create}
	if t.State.Role == nil {
		step.Values, step.Diff = t.roleValues(), policyDiff("trust policy", nil, t.trustJSON())
		return []Step{step}
	}
	step.Action = Keep
	steps := []Step{step}
	if !samePolicy(t.State.Role.TrustPolicy, t.trustJSON()) {
		steps = append(steps, Step{
			Task: TaskTrust, Name: t.State.Role.Name, Action: Replace, Why: "the role is there and trusts somebody else",
			Diff: policyDiff("trust policy", t.State.Role.TrustPolicy, t.trustJSON()),
		})
	}
	if t.MaxSession != 0 && t.MaxSession != t.State.Role.MaxSession {
		steps = append(steps, Step{Task: TaskSession, Name: t.State.Role.Name, Action: Change, Values: []Value{{"longest session", short(t.State.Role.MaxSession), short(t.MaxSession)}}})
	}
	return steps
}

func (t target) roleValues() []Value {
	values := []Value{{Name: "tag", After: TagKey + "=" + t.Name}}
	if t.MaxSession != 0 {
		values = append(values, Value{Name: "longest session", After: short(t.MaxSession)})
	}
	if t.PermissionsBoundary != "" {
		values = append(values, Value{Name: "permissions boundary", After: t.PermissionsBoundary})
	}
	return values
}

// short is 12h for twelve hours.
func short(d time.Duration) string {
	text := strings.TrimSuffix(d.String(), "0s")
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func (t target) attachments() []Step {
	var steps []Step
	for _, arn := range t.Policies {
		steps = append(steps, Step{Task: TaskAttach, Name: arn, Action: createUnless(slices.Contains(t.Attached, arn)), key: arn})
	}
	return steps
}

func (t target) credentials() []Step {
	var steps []Step
	for _, wanted := range t.federated() {
		step := Step{Task: TaskFederated, Name: wanted.Name, Action: Create}
		after := []Value{{Name: "issuer", After: wanted.Issuer}, {Name: "subject", After: wanted.Subject}, {Name: "audience", After: wanted.Audiences[0]}}
		for _, found := range t.Federated {
			switch {
			case found.Issuer == wanted.Issuer && found.Subject == wanted.Subject && slices.Equal(found.Audiences, wanted.Audiences):
				step.Action, step.Name = Keep, found.Name
			case found.Name == wanted.Name:
				step.Action = Replace
				after[0].Before, after[1].Before, after[2].Before = found.Issuer, found.Subject, strings.Join(found.Audiences, ", ")
			}
		}
		if step.Action != Keep {
			step.Values = after
		}
		steps = append(steps, step)
	}
	return steps
}

// tagged reports whether a set-up has made it; an empty name stands for any set-up.
func tagged(tags map[string]string, name string) bool {
	value, there := tags[TagKey]
	return there && (name == "" || value == name)
}

// clone lets a state be changed without the caller's.
func (s State) clone() State {
	s.Providers, s.Inline = maps.Clone(s.Providers), maps.Clone(s.Inline)
	s.Assignments, s.Federated, s.Attached = slices.Clone(s.Assignments), slices.Clone(s.Federated), slices.Clone(s.Attached)
	if s.Providers == nil {
		s.Providers = map[string]iam.Provider{}
	}
	if s.Inline == nil {
		s.Inline = map[string][]byte{}
	}
	return s
}
