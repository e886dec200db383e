package setup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/internal/graph"
	"github.com/keyless-id/keyless/internal/iam"
	"github.com/keyless-id/keyless/trust"
)

// Unplan says what of a set-up is to go, and why the rest stays. It needs the state of
// [Clouds.Survey], and asks nobody.
func Unplan(spec Spec, state State) []Step {
	t := target{spec, state}
	steps := t.dropCredentials()
	if spec.Kind == FromAWS {
		steps = append(steps, t.dropInline()...)
		steps = append(steps, Step{Task: TaskOutbound, Name: "account " + state.Account, Action: Keep, Why: "other roles of the account may need it"})
	} else {
		steps = append(steps, t.dropRole()...)
		steps = append(steps, t.dropProviders()...)
	}
	return append(steps, t.dropApplication()...)
}

func (t target) dropCredentials() []Step {
	var steps []Step
	for _, wanted := range t.federated() {
		for _, found := range t.Federated {
			if found.Name != wanted.Name {
				continue
			}
			step := Step{Task: TaskFederated, Name: found.Name, Action: Delete}
			if found.Subject != wanted.Subject {
				step.Action, step.Why = Keep, "it is for another subject than this set-up's"
			}
			steps = append(steps, step)
		}
	}
	return steps
}

func (t target) dropInline() []Step {
	if _, there := t.Inline[t.title()]; !there {
		return nil
	}
	step := Step{Task: TaskInline, Name: t.title(), Action: Delete}
	if !samePolicy(t.Inline[t.title()], t.outboundJSON()) {
		step.Action, step.Why = Keep, "somebody has changed it"
	}
	return []Step{step}
}

func (t target) dropRole() []Step {
	if t.State.Role == nil {
		return nil
	}
	role := Step{Task: TaskRole, Name: t.State.Role.ARN, Action: Delete}
	if !tagged(t.State.Role.Tags, t.Name) {
		role.Action, role.Why = Keep, "it has no tag "+TagKey+"="+t.Name+": this set-up has not made it"
		return []Step{role}
	}
	var steps []Step
	var others []string
	for _, arn := range t.Attached {
		if slices.Contains(t.Policies, arn) {
			steps = append(steps, Step{Task: TaskAttach, Name: arn, Action: Delete, key: arn})
		} else {
			others = append(others, arn)
		}
	}
	for name := range t.Inline {
		others = append(others, name)
	}
	if len(others) > 0 {
		slices.Sort(others)
		role.Action, role.Why = Keep, "it has policies that this set-up did not give it: "+strings.Join(others, ", ")
		return []Step{role}
	}
	return append(steps, role)
}

func (t target) dropProviders() []Step {
	var steps []Step
	for _, l := range t.links() {
		provider, there := t.Providers[l.issuer]
		if !there {
			continue
		}
		ids := t.dropClientIDs(l, provider)
		left := slices.DeleteFunc(slices.Clone(provider.ClientIDs), func(id string) bool {
			return slices.ContainsFunc(ids, func(s Step) bool { return s.Name == id && s.Action == Delete })
		})
		whole := t.dropProvider(l, provider, left)
		if whole.Action == Keep { // otherwise they go with it
			steps = append(steps, ids...)
		}
		steps = append(steps, whole)
	}
	return steps
}

func (t target) dropClientIDs(l link, provider iam.Provider) []Step {
	var steps []Step
	for _, id := range l.clientIDs {
		if !slices.Contains(provider.ClientIDs, id) {
			continue
		}
		step := Step{Task: TaskClientID, Name: id, Action: Delete, key: l.issuer}
		if user := t.userOf(l.issuer, id); user != "" {
			step.Action, step.Why = Keep, user
		}
		steps = append(steps, step)
	}
	return steps
}

// dropProvider is the step after which left are the provider's client ids.
func (t target) dropProvider(l link, provider iam.Provider, left []string) Step {
	step := Step{Task: TaskProvider, Name: l.issuer, Action: Keep, key: l.issuer}
	switch user := t.userOf(l.issuer, ""); {
	case !tagged(provider.Tags, ""):
		step.Why = "it has no tag " + TagKey + ": no set-up has made it"
	case len(left) > 0:
		step.Why = "others use it: " + strings.Join(left, ", ")
	case user != "":
		step.Why = user
	default:
		step.Action = Delete
	}
	return step
}

// userOf says which other role trusts the provider, with this audience if one is given; a
// policy that cannot be read may.
func (t target) userOf(issuer, clientID string) string {
	arn := t.providerARN(issuer)
	for _, role := range t.Roles {
		if role.Name == t.roleName() && t.goes() {
			continue
		}
		policy, err := trust.Parse(role.TrustPolicy)
		if err != nil {
			if strings.Contains(string(role.TrustPolicy), trust.ProviderKey(issuer)) {
				return fmt.Sprintf("role %s names it in a policy that cannot be read", role.Name)
			}
			continue
		}
		if slices.ContainsFunc(policy.Statements, func(s trust.Statement) bool { return admits(s, arn, clientID) }) {
			return "role " + role.Name + " trusts it"
		}
	}
	return ""
}

// goes reports whether the role of this set-up is to be deleted, or is already.
func (t target) goes() bool {
	steps := t.dropRole()
	return len(steps) == 0 || steps[len(steps)-1].Action == Delete
}

// admits reports whether a statement is for a provider, and for an audience of it: one
// that pins no audience is for all.
func admits(s trust.Statement, arn, audience string) bool {
	names := slices.ContainsFunc(s.Principals, func(p trust.Principal) bool { return p.Type == trust.Federated && p.ID == arn })
	if !names && !s.NotPrincipal {
		return false
	}
	pinned := false
	for _, c := range s.Conditions {
		if strings.HasSuffix(c.Key, ":aud") && strings.HasPrefix(c.Operator, "StringEquals") {
			pinned = true
			if slices.Contains(c.Values, audience) {
				return true
			}
		}
	}
	return audience == "" || !pinned
}

func (t target) dropApplication() []Step {
	if t.App == nil {
		return nil
	}
	var steps []Step
	if own := t.assignment(); own != nil && t.throughEntra() {
		steps = append(steps, Step{Task: TaskAssign, Name: own.PrincipalID, Action: Delete})
	}
	step := Step{Task: TaskApplication, Name: t.App.DisplayName + " (" + t.App.AppID + ")", Action: Delete}
	others := slices.ContainsFunc(t.Assignments, func(a graph.Assignment) bool { return a.PrincipalID != t.Principal.ObjectID })
	switch {
	case !t.ours(*t.App):
		step.Action, step.Why = Keep, "it has no tag "+t.entraTag()+": this set-up has not made it"
	case others:
		step.Action, step.Why = Keep, "other identities are assigned to it"
	}
	return append(steps, step)
}

func (w *work) undo(ctx context.Context, step Step) error {
	switch step.Task {
	case TaskFederated:
		return w.undoFederated(ctx, step.Name)
	case TaskInline:
		delete(w.Inline, w.title())
		return gone(w.Amazon.DeleteRolePolicy(ctx, w.roleName(), w.title()))
	case TaskAttach:
		w.Attached = slices.DeleteFunc(w.Attached, func(arn string) bool { return arn == step.key })
		return gone(w.Amazon.DetachPolicy(ctx, w.roleName(), step.key))
	case TaskRole:
		w.State.Role = nil
		return gone(w.Amazon.DeleteRole(ctx, w.roleName()))
	case TaskClientID:
		provider := w.Providers[step.key]
		provider.ClientIDs = slices.DeleteFunc(slices.Clone(provider.ClientIDs), func(id string) bool { return id == step.Name })
		w.Providers[step.key] = provider
		return gone(w.Amazon.RemoveClientID(ctx, provider.ARN, step.Name))
	case TaskProvider:
		arn := w.Providers[step.key].ARN
		delete(w.Providers, step.key)
		return gone(w.Amazon.DeleteProvider(ctx, arn))
	case TaskAssign:
		own := *w.assignment()
		w.Assignments = slices.DeleteFunc(w.Assignments, func(a graph.Assignment) bool { return a.ID == own.ID })
		return gone(w.Directory.Unassign(ctx, w.AppIdentity.ID, own.ID))
	case TaskApplication:
		id := w.App.ID
		w.App, w.AppIdentity = nil, nil
		return gone(w.Directory.DeleteApplication(ctx, id))
	}
	return fmt.Errorf("there is no way to delete %q", step.Task)
}

func (w *work) undoFederated(ctx context.Context, name string) error {
	w.Federated = slices.DeleteFunc(w.Federated, func(f graph.FederatedCredential) bool { return f.Name == name })
	if w.Principal.ResourceID != "" {
		return gone(w.Resources.DeleteFederatedCredential(ctx, w.Principal.ResourceID, name))
	}
	return gone(w.Directory.DeleteFederatedCredential(ctx, w.holder(), name))
}

// gone takes what is not there for what has been deleted.
func gone(err error) error {
	if iam.Is(err, iam.CodeNoSuchEntity) || graph.Missing(err) {
		return nil
	}
	return err
}
