package setup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/graph"
	"github.com/keyless-id/keyless/internal/iam"
	"github.com/keyless-id/keyless/internal/wire"
)

// CodeReplace is of a plan that would overwrite what somebody else may have written.
const CodeReplace = "WouldReplace"

// Applier makes what a plan says. Applying again does what is left to do.
type Applier struct {
	Clouds

	Replace  bool              // overwrite what is there and says something else
	Progress func(Step)        // told of each step before it is done; may be nil
	Waiting  func(what string) // told once of each thing that is waited for; may be nil
}

// StepError is a step that failed.
type StepError struct {
	Step Step
	Done []Step
	Left []Step // without the one that failed
	Err  error
}

func (e *StepError) Error() string {
	return fmt.Sprintf("%s %s %s: %s", e.Step.Action, e.Step.Task, e.Step.Name, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// Apply does what [Plan] says step by step, and returns what there is then. It plans
// anew after each step: the next ones may depend on what the far side chose. An error
// of a step is a [*StepError].
func (a Applier) Apply(ctx context.Context, spec Spec, state State) (State, error) {
	if err := a.check(Plan(spec, state)); err != nil {
		return state, err
	}
	state, err := a.run(ctx, spec, state, Plan)
	if err != nil {
		return state, err
	}
	return state, a.settled(ctx, spec, state)
}

// Destroy takes away what a set-up made, as [Unplan] says.
func (a Applier) Destroy(ctx context.Context, spec Spec, state State) (State, error) {
	if state.Roles == nil {
		return state, &keyless.Error{Hop: Hop, Op: "destroy", Err: errUnsurveyed}
	}
	return a.run(ctx, spec, state, Unplan)
}

func (a Applier) check(steps []Step) error {
	if a.Replace {
		return nil
	}
	for _, step := range steps {
		if step.Action == Replace {
			return &keyless.Error{
				Hop: Hop, Op: "apply", Code: CodeReplace, Message: fmt.Sprintf("%s %s is there and says something else", step.Task, step.Name),
				Hint: "look at the difference that the plan shows; --replace overwrites it, another name leaves it alone",
			}
		}
	}
	return nil
}

func (a Applier) run(ctx context.Context, spec Spec, state State, plan func(Spec, State) []Step) (State, error) {
	state = state.clone()
	var done []Step
	for {
		left := Pending(plan(spec, state))
		if len(left) == 0 {
			return state, nil
		}
		step := left[0]
		if a.Progress != nil {
			a.Progress(step)
		}
		w := &work{Applier: a, target: target{spec, state}}
		err := w.do(ctx, step)
		state = w.State
		if err == nil && len(done) > 0 && done[len(done)-1].same(step) {
			err = errors.New("it was done, and is still to do")
		}
		if err != nil {
			return state, &StepError{Step: step, Done: done, Left: left[1:], Err: err}
		}
		done = append(done, step)
	}
}

func (s Step) same(other Step) bool {
	return s.Task == other.Task && s.key == other.key && s.Name == other.Name && s.Action == other.Action
}

// work is one step under way.
type work struct {
	Applier
	target
}

func (w *work) do(ctx context.Context, step Step) error {
	if step.Action == Delete {
		return w.undo(ctx, step)
	}
	switch step.Task {
	case TaskApplication:
		return w.makeApplication(ctx)
	case TaskURI:
		return w.makeURI(ctx)
	case TaskIdentity:
		return w.makeIdentity(ctx)
	case TaskRequire:
		return w.makeRequired(ctx)
	case TaskAssign:
		return w.makeAssignment(ctx)
	case TaskOutbound:
		return w.makeOutbound(ctx)
	case TaskProvider:
		return w.makeProvider(ctx, step.key)
	case TaskClientID:
		return w.makeClientID(ctx, step.key, step.Name)
	case TaskRole:
		return w.makeRole(ctx)
	case TaskTrust:
		return w.makeTrust(ctx)
	case TaskSession:
		return w.makeSession(ctx)
	case TaskAttach:
		return w.makeAttachment(ctx, step.key)
	case TaskInline:
		return w.makeInline(ctx)
	case TaskFederated:
		return w.makeFederated(ctx, step)
	}
	return fmt.Errorf("there is no task %q", step.Task)
}

// patience is how long the directory is given to make known what was created in it.
func patience() wire.Backoff {
	return wire.Backoff{Tries: 40, First: time.Second, Max: 5 * time.Second}
}

// until asks again for as long as something is not known yet.
func (w *work) until(ctx context.Context, what string, try func(context.Context) error) error {
	told := false
	return patience().Retry(ctx, try, func(err error) wire.Verdict {
		if !unknownYet(err) {
			return wire.Verdict{}
		}
		if !told && w.Waiting != nil {
			w.Waiting(what)
		}
		told = true
		return wire.Verdict{Again: true}
	})
}

// unknownYet knows how the far sides put that something is not there. Graph says it of an
// application for which a service principal is wanted as a bad request (unverified).
func unknownYet(err error) bool {
	return graph.Missing(err) || graph.Is(err, "NoBackingApplicationObject", "Request_UnsupportedQuery") || iam.Is(err, iam.CodeNoSuchEntity) || errors.Is(err, errNotYet)
}

var errNotYet = errors.New("what was written is not what is read yet")

// settled waits until AWS tells what was made. Its STS may still take some seconds more.
func (a Applier) settled(ctx context.Context, spec Spec, state State) error {
	w := &work{Applier: a, target: target{spec, state}}
	if spec.Kind == FromAWS || state.Role == nil {
		return nil
	}
	return w.until(ctx, "IAM to know the role", func(ctx context.Context) error {
		found, err := a.Amazon.Role(ctx, state.Role.Name)
		if err == nil && !samePolicy(found.TrustPolicy, w.trustJSON()) {
			return errNotYet
		}
		return err
	})
}

func (w *work) makeApplication(ctx context.Context) error {
	if w.App != nil {
		return w.changeApplication(ctx)
	}
	wanted := graph.Application{DisplayName: w.title(), SignInAudience: signInAudience, Tags: []string{w.entraTag()}}
	if w.throughEntra() {
		version := w.version()
		wanted.API, wanted.AppRoles = &graph.API{TokenVersion: &version}, []graph.AppRole{w.appRole()}
	}
	created, err := w.Directory.CreateApplication(ctx, wanted)
	if err != nil {
		return err
	}
	w.App = &created
	return w.until(ctx, "Entra to know the application", func(ctx context.Context) error {
		// By its tag, for that is how the next run looks for it: it must not make another.
		found, err := w.Directory.Tagged(ctx, w.entraTag())
		if err == nil && len(found) == 0 {
			err = errNotYet
		}
		return err
	})
}

func (w *work) changeApplication(ctx context.Context) error {
	version := w.version()
	change := graph.Application{API: &graph.API{TokenVersion: &version}}
	if w.assignable() == "" {
		change.AppRoles = append(slices.Clone(w.App.AppRoles), w.appRole()) // Graph takes the list whole
	}
	err := w.update(ctx, change)
	if err != nil {
		return err
	}
	w.App.API = change.API
	if change.AppRoles != nil {
		w.App.AppRoles = change.AppRoles
	}
	return nil
}

func (w *work) update(ctx context.Context, change graph.Application) error {
	app := *w.App
	w.App = &app
	return w.until(ctx, "Entra to know the application", func(ctx context.Context) error {
		return w.Directory.UpdateApplication(ctx, app.ID, change)
	})
}

func (w *work) makeURI(ctx context.Context) error {
	all := append(slices.Clone(w.App.IdentifierURIs), w.audience())
	err := w.update(ctx, graph.Application{IdentifierURIs: all})
	var refused *keyless.Error
	if errors.As(err, &refused) && (refused.Code == "Request_BadRequest" || refused.Code == "HostNameNotOnVerifiedDomain") && w.AppIDURI != "" {
		refused.Hint = "the tenant's app management policy may refuse this App ID URI, or another application has it; api://{appId} is always allowed"
	}
	if err == nil {
		w.App.IdentifierURIs = all
	}
	return err
}

func (w *work) makeIdentity(ctx context.Context) error {
	return w.until(ctx, "Entra to know the application", func(ctx context.Context) error {
		identity, err := w.Directory.ServicePrincipalOf(ctx, w.App.AppID)
		if graph.Missing(err) {
			identity, err = w.Directory.CreateServicePrincipal(ctx, w.App.AppID)
		}
		if err == nil {
			w.AppIdentity = &identity
		}
		return err
	})
}

func (w *work) makeRequired(ctx context.Context) error {
	err := w.until(ctx, "Entra to know the service principal", func(ctx context.Context) error {
		return w.Directory.RequireAssignment(ctx, w.AppIdentity.ID)
	})
	if err == nil {
		identity := *w.AppIdentity
		identity.AssignmentRequired = true
		w.AppIdentity = &identity
	}
	return err
}

func (w *work) makeAssignment(ctx context.Context) error {
	wanted := graph.Assignment{PrincipalID: w.Principal.ObjectID, ResourceID: w.AppIdentity.ID, AppRoleID: w.assignable()}
	return w.until(ctx, "Entra to know the service principal", func(ctx context.Context) error {
		made, err := w.Directory.Assign(ctx, wanted)
		if err == nil {
			w.Assignments = append(w.Assignments, made)
			return nil
		}
		all, other := w.Directory.Assignments(ctx, w.AppIdentity.ID) // somebody may have been faster
		if other == nil && slices.ContainsFunc(all, func(a graph.Assignment) bool { return a.PrincipalID == wanted.PrincipalID }) {
			w.Assignments = all
			return nil
		}
		return err
	})
}

func (w *work) makeFederated(ctx context.Context, step Step) error {
	wanted := w.federated()[0]
	err := w.until(ctx, "Entra to know the identity", func(ctx context.Context) error {
		switch holder := w.holder(); {
		case w.Principal.ResourceID != "":
			return w.Resources.PutFederatedCredential(ctx, w.Principal.ResourceID, wanted)
		case step.Action == Replace:
			return w.Directory.UpdateFederatedCredential(ctx, holder, wanted)
		default:
			return w.Directory.AddFederatedCredential(ctx, holder, wanted)
		}
	})
	if err == nil {
		w.Federated = append(slices.DeleteFunc(w.Federated, func(f graph.FederatedCredential) bool { return f.Name == wanted.Name }), wanted)
	}
	return err
}

func (w *work) makeOutbound(ctx context.Context) (err error) {
	w.Outbound, err = w.Amazon.EnableOutbound(ctx)
	return err
}

func (w *work) linkOf(issuer string) link {
	links := w.links()
	i := slices.IndexFunc(links, func(l link) bool { return l.issuer == issuer })
	return links[i]
}

func (w *work) makeProvider(ctx context.Context, issuer string) error {
	l := w.linkOf(issuer)
	wanted := iam.Provider{URL: issuer, ClientIDs: l.clientIDs, Thumbprints: w.Thumbprints, Tags: w.tags()}
	arn, err := w.Amazon.CreateProvider(ctx, wanted)
	wanted.ARN = arn
	if iam.Is(err, iam.CodeAlreadyExists) { // somebody was faster; the next plan adds what it lacks
		wanted, err = w.Amazon.Provider(ctx, w.providerARN(issuer))
	}
	if err == nil {
		w.Providers[issuer] = wanted
	}
	return err
}

func (w *work) makeClientID(ctx context.Context, issuer, id string) error {
	provider := w.Providers[issuer]
	if err := w.Amazon.AddClientID(ctx, provider.ARN, id); err != nil {
		return err
	}
	provider.ClientIDs = append(slices.Clone(provider.ClientIDs), id)
	w.Providers[issuer] = provider
	return nil
}

func (w *work) makeRole(ctx context.Context) error {
	wanted := iam.Role{
		Name: w.roleName(), Path: w.rolePath(), Description: "Trusted by keyless setup " + w.Name, TrustPolicy: w.trustJSON(),
		MaxSession: w.MaxSession, PermissionsBoundary: w.PermissionsBoundary, Tags: w.tags(),
	}
	created, err := w.Amazon.CreateRole(ctx, wanted)
	if iam.Is(err, iam.CodeAlreadyExists) {
		return fmt.Errorf("somebody else has made it just now; plan again: %w", err)
	}
	if err == nil {
		w.State.Role = &created
	}
	return err
}

// makeTrust looks once more: a policy that somebody has changed since it was shown is
// not overwritten.
func (w *work) makeTrust(ctx context.Context) error {
	found, err := w.Amazon.Role(ctx, w.State.Role.Name)
	if err != nil {
		return err
	}
	if !samePolicy(found.TrustPolicy, w.State.Role.TrustPolicy) {
		return errors.New("somebody has changed it since it was looked at; plan again")
	}
	if err := w.Amazon.UpdateTrustPolicy(ctx, found.Name, w.trustJSON()); err != nil {
		return err
	}
	found.TrustPolicy = w.trustJSON()
	w.State.Role = &found
	return nil
}

func (w *work) makeSession(ctx context.Context) error {
	role := *w.State.Role
	if err := w.Amazon.UpdateMaxSession(ctx, role.Name, w.MaxSession); err != nil {
		return err
	}
	role.MaxSession = w.MaxSession
	w.State.Role = &role
	return nil
}

func (w *work) makeAttachment(ctx context.Context, arn string) error {
	if err := w.Amazon.AttachPolicy(ctx, w.roleName(), arn); err != nil {
		return err
	}
	w.Attached = append(w.Attached, arn)
	return nil
}

func (w *work) makeInline(ctx context.Context) error {
	if err := w.Amazon.PutRolePolicy(ctx, w.roleName(), w.title(), w.outboundJSON()); err != nil {
		return err
	}
	w.Inline[w.title()] = w.outboundJSON()
	return nil
}
