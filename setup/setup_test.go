package setup_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/keyless-id/keyless/audit"
	"github.com/keyless-id/keyless/internal/graph"
	"github.com/keyless-id/keyless/internal/iam"
	"github.com/keyless-id/keyless/pipelines"
	"github.com/keyless-id/keyless/setup"
	"github.com/keyless-id/keyless/trust"
)

const readOnly = "arn:aws:iam::aws:policy/ReadOnlyAccess"

func machine() setup.Spec {
	return setup.Spec{Name: "vm", Kind: setup.ManagedIdentity, Identity: vm, Role: "app", Policies: []string{readOnly}}
}

const (
	organization = "55555555-5555-5555-5555-555555555555"
	connection   = "66666666-6666-6666-6666-666666666666"
)

// specs are one of each kind and form.
func specs() map[string]setup.Spec {
	both := setup.Connection{ID: connection, OrganizationID: organization, Path: "org/project/conn", Issuers: []setup.Issuer{setup.IssuerEntra, setup.IssuerVSToken}}
	entra := both
	entra.Issuers = both.Issuers[:1]
	pod := setup.Pod{Issuer: "https://cluster.example/id/", Namespace: "apps", ServiceAccount: "agent"}
	return map[string]setup.Spec{
		"vm":            machine(),
		"object id":     {Name: "vm", Kind: setup.ManagedIdentity, Identity: subject},
		"client id":     {Name: "vm", Kind: setup.ManagedIdentity, Identity: caller},
		"urn":           {Name: "vm", Kind: setup.ManagedIdentity, Identity: subject, AppIDURI: "urn://vm-to-aws"},
		"version 2":     {Name: "vm", Kind: setup.ManagedIdentity, Identity: uami, TokenVersion: 2},
		"pod":           {Name: "aks", Kind: setup.ManagedIdentity, Identity: uami, Pod: pod},
		"connection":    {Name: "deploy", Kind: setup.Pipelines, Connection: entra},
		"both issuers":  {Name: "deploy", Kind: setup.Pipelines, Connection: both},
		"way back":      {Name: "agent", Kind: setup.FromAWS, Role: "ec2"},
		"back to a uai": {Name: "agent", Kind: setup.FromAWS, Role: "ec2", Identity: uami},
	}
}

// furnished is a world in which a spec can be applied.
func furnished(spec setup.Spec) *world {
	w := newWorld()
	if spec.Kind == setup.FromAWS {
		w.roles["ec2"] = iam.Role{Name: "ec2", ARN: "arn:aws:iam::" + account + ":role/ec2", TrustPolicy: []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}`)}
	}
	return w
}

func observed(t *testing.T, w *world, spec setup.Spec) setup.State {
	t.Helper()
	if err := spec.Validate(); err != nil {
		t.Fatal(err)
	}
	state, err := w.clouds().Observe(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func apply(t *testing.T, w *world, spec setup.Spec) (setup.State, error) {
	t.Helper()
	return setup.Applier{Clouds: w.clouds()}.Apply(t.Context(), spec, observed(t, w, spec))
}

func applied(t *testing.T, w *world, spec setup.Spec) setup.State {
	t.Helper()
	state, err := apply(t, w, spec)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestWhatWasAppliedLeavesNothingToDo(t *testing.T) {
	for name, spec := range specs() {
		w := furnished(spec)
		if pending := setup.Pending(setup.Plan(spec, observed(t, w, spec))); len(pending) == 0 {
			t.Errorf("%s: nothing to do in an empty world", name)
		}
		applied(t, w, spec)
		if pending := setup.Pending(setup.Plan(spec, observed(t, w, spec))); len(pending) != 0 {
			t.Errorf("%s: still to do: %+v", name, pending)
		}
		writes := len(w.writes)
		applied(t, w, spec)
		if len(w.writes) != writes {
			t.Errorf("%s: applying again wrote %q", name, w.writes[writes:])
		}
	}
}

func TestPlanningChangesNothing(t *testing.T) {
	for name, spec := range specs() {
		w := furnished(spec)
		state := observed(t, w, spec)
		setup.Plan(spec, state)
		if len(w.writes) != 0 {
			t.Errorf("%s: planning wrote %q", name, w.writes)
		}
	}
}

func TestWhateverStepFailsTheNextRunDoesTheRest(t *testing.T) {
	for name, spec := range specs() {
		whole := furnished(spec)
		applied(t, whole, spec)
		for failing := 1; failing <= len(whole.writes); failing++ {
			w := furnished(spec)
			w.failAt = failing
			_, err := apply(t, w, spec)
			var step *setup.StepError
			if !errors.As(err, &step) || failing > 1 && len(step.Done) == 0 {
				t.Fatalf("%s: write %d (%s) fails: %v", name, failing, w.writes[failing-1], err)
			}
			w.failAt = 0
			applied(t, w, spec)
			if len(w.apps) != len(whole.apps) || len(w.providers) != len(whole.providers) || len(w.roles) != len(whole.roles) || len(w.assigned) != len(whole.assigned) {
				t.Errorf("%s: after write %d failed there is something else: %q", name, failing, w.writes)
			}
		}
	}
}

func TestNewThingsAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.slow = 5
		var waited []string
		a := setup.Applier{Clouds: w.clouds(), Waiting: func(what string) { waited = append(waited, what) }}
		if _, err := a.Apply(t.Context(), machine(), observed(t, w, machine())); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(waited, []string{"Entra to know the application"}) {
			t.Errorf("waited for %q, want one line", waited)
		}
		w = newWorld()
		w.slow = 1000
		if _, err := apply(t, w, machine()); err == nil {
			t.Errorf("what never comes: %v", err)
		}
	})
}

func TestARoleThatTrustsSomebodyElseIsNotOverwritten(t *testing.T) {
	other := []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}]}`)
	w := newWorld()
	w.roles["app"] = iam.Role{Name: "app", ARN: "arn:aws:iam::" + account + ":role/app", TrustPolicy: other}
	state := observed(t, w, machine())
	if _, err := (setup.Applier{Clouds: w.clouds()}).Apply(t.Context(), machine(), state); err == nil || len(w.writes) != 0 {
		t.Fatalf("without consent: %v, wrote %q", err, w.writes)
	}
	steps := setup.Plan(machine(), state)
	i := slices.IndexFunc(steps, func(s setup.Step) bool { return s.Action == setup.Replace })
	if i < 0 || !strings.Contains(steps[i].Diff, `-        "AWS": "arn:aws:iam::123456789012:root"`) || !strings.Contains(steps[i].Diff, `+        "Federated": `) {
		t.Fatalf("plan %+v", steps)
	}
	after, err := setup.Applier{Clouds: w.clouds(), Replace: true}.Apply(t.Context(), machine(), state)
	if err != nil || string(after.Role.TrustPolicy) != string(w.roles["app"].TrustPolicy) || !w.did("UpdateTrustPolicy") {
		t.Errorf("with consent: %v, wrote %q", err, w.writes)
	}
	role := w.roles["app"]
	role.TrustPolicy = other
	w.roles["app"] = role
	state = observed(t, w, machine())
	role.TrustPolicy = []byte(`{"Version":"2012-10-17","Statement":[]}`)
	w.roles["app"] = role
	if _, err := (setup.Applier{Clouds: w.clouds(), Replace: true}).Apply(t.Context(), machine(), state); err == nil || !strings.Contains(err.Error(), "changed it since") {
		t.Errorf("a policy that changed since it was shown: %v", err)
	}
}

func TestPoliciesThatSayTheSameAreTheSame(t *testing.T) {
	w := newWorld()
	applied(t, w, machine())
	role := w.roles["app"]
	var tree map[string]any
	if err := json.Unmarshal(role.TrustPolicy, &tree); err != nil {
		t.Fatal(err)
	}
	role.TrustPolicy, _ = json.MarshalIndent(tree, "", " ") // another order, other blanks
	w.roles["app"] = role
	if pending := setup.Pending(setup.Plan(machine(), observed(t, w, machine()))); len(pending) != 0 {
		t.Errorf("still to do: %+v", pending)
	}
}

// claims of the workload of a spec, as the issuer of the n-th statement signs them.
func claims(spec setup.Spec, state setup.State, n int) trust.Claims {
	switch {
	case spec.Kind == setup.Pipelines && n == 0:
		sub, _ := pipelines.Subject(tenant, organization, connection)
		return trust.Claims{"aud": pipelines.ExchangeAudienceID, "azp": pipelines.AppID, "sub": sub}
	case spec.Kind == setup.Pipelines:
		return trust.Claims{"aud": pipelines.ExchangeAudience, "sub": "sc://org/project/conn"}
	case spec.TokenVersion == 2:
		return trust.Claims{"aud": state.App.AppID, "azp": caller, "sub": subject}
	}
	return trust.Claims{"aud": state.App.IdentifierURIs[0], "sub": subject}
}

func TestThePolicyLetsInTheWorkloadAndNobodyElse(t *testing.T) {
	for name, spec := range specs() {
		if spec.Kind == setup.FromAWS {
			continue
		}
		w := furnished(spec)
		state := applied(t, w, spec)
		policy, err := trust.Parse(state.Role.TrustPolicy)
		if err != nil {
			t.Fatal(err)
		}
		for n, statement := range policy.Statements {
			provider := statement.Principals[0].ID
			if _, there := w.providers[provider]; !there {
				t.Errorf("%s: there is no provider %s", name, provider)
			}
			ask := func(provider string, change map[string]any) bool {
				c := claims(spec, state, n)
				for claim, value := range change {
					c[claim] = value
				}
				return policy.Evaluate(trust.WebIdentityRequest(provider, c, "s", state.Role.ARN)).Allowed
			}
			if !ask(provider, nil) {
				t.Errorf("%s: statement %d refuses the workload: %s", name, n, state.Role.TrustPolicy)
			}
			for what, change := range map[string]map[string]any{
				"another subject": {"sub": "99999999-9999-9999-9999-999999999999"}, "another audience": {"aud": "api://other", "azp": "other"},
				"the audience of a service of Azure": {"aud": "https://management.azure.com"}, "no subject": {"sub": nil},
			} {
				if what == "the audience of a service of Azure" && n == 1 && spec.Kind == setup.Pipelines {
					change["azp"] = nil
				}
				if ask(provider, change) {
					t.Errorf("%s: statement %d lets in %s: %s", name, n, what, state.Role.TrustPolicy)
				}
			}
			if ask(strings.ReplaceAll(strings.ReplaceAll(provider, tenant, organization), organization+"/x", ""), nil) && !strings.Contains(provider, organization) {
				t.Errorf("%s: statement %d lets in another tenant", name, n)
			}
			if !admitsClient(w.providers[provider], trust.Audience(claims(spec, state, n))[0]) {
				t.Errorf("%s: the provider does not list the audience", name)
			}
		}
	}
}

func admitsClient(p iam.Provider, audience string) bool {
	return slices.Contains(p.ClientIDs, audience)
}

func TestAuditHasNothingToSayOfWhatIsWritten(t *testing.T) {
	for name, spec := range specs() {
		if spec.Kind == setup.FromAWS {
			continue
		}
		w := furnished(spec)
		policy, err := trust.Parse(applied(t, w, spec).Role.TrustPolicy)
		if err != nil {
			t.Fatal(err)
		}
		for _, finding := range audit.Policy(policy) {
			if name == "both issuers" && strings.Contains(finding.Why, "2027") { // what --issuer both is for; the command line says it too
				continue
			}
			t.Errorf("%s: %s: %s", name, finding.Rule, finding.Why)
		}
	}
}

func TestOnlyTheAssignedGetTokens(t *testing.T) {
	w := newWorld()
	state := applied(t, w, machine())
	if !state.AppIdentity.AssignmentRequired || len(w.assigned) != 1 || w.assigned[0].PrincipalID != subject || w.assigned[0].AppRoleID != state.App.AppRoles[0].ID {
		t.Errorf("identity %+v, assigned %+v", state.AppIdentity, w.assigned)
	}
	if *state.App.API.TokenVersion != 1 || state.App.IdentifierURIs[0] != "api://"+state.App.AppID || state.App.SignInAudience != "AzureADMyOrg" {
		t.Errorf("application %+v", state.App)
	}
}

func TestDestroyTakesAwayWhatApplyMade(t *testing.T) {
	for name, spec := range specs() {
		w := furnished(spec)
		applied(t, w, spec)
		destroy(t, w, spec)
		left := len(w.apps) + len(w.providers) + len(w.assigned) + len(w.federated[uami])
		roles := len(w.roles)
		if spec.Kind == setup.FromAWS {
			roles, left = roles-1, left+len(w.inline["ec2"])
		}
		if left != 0 || roles != 0 {
			t.Errorf("%s: left %d and %d roles: %q", name, left, roles, w.writes)
		}
		writes := len(w.writes)
		destroy(t, w, spec)
		if len(w.writes) != writes {
			t.Errorf("%s: once more deletes %q", name, w.writes[writes:])
		}
	}
}

func destroy(t *testing.T, w *world, spec setup.Spec) []setup.Step {
	t.Helper()
	state, err := w.clouds().Survey(t.Context(), observed(t, w, spec))
	if err != nil {
		t.Fatal(err)
	}
	steps := setup.Unplan(spec, state)
	if _, err := (setup.Applier{Clouds: w.clouds()}).Destroy(t.Context(), spec, state); err != nil {
		t.Fatal(err)
	}
	return steps
}

func TestDestroyLeavesWhatOthersUse(t *testing.T) {
	spec, arn := machine(), trust.ProviderARN("aws", account, issuer)
	for name, furnish := range map[string]func(*world, setup.State){
		"provider with another client id": func(w *world, _ setup.State) {
			p := w.providers[arn]
			p.ClientIDs = append(p.ClientIDs, "api://other")
			w.providers[arn] = p
		},
		"provider that another role names": func(w *world, _ setup.State) {
			w.roles["other"] = iam.Role{Name: "other", TrustPolicy: []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"` + arn + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"sts.windows.net/` + tenant + `/:aud":"api://gone"}}}]}`)}
		},
		"provider that nobody has tagged": func(w *world, _ setup.State) {
			p := w.providers[arn]
			p.Tags = nil
			w.providers[arn] = p
		},
		"provider that a policy nobody can read names": func(w *world, _ setup.State) {
			w.roles["other"] = iam.Role{Name: "other", TrustPolicy: []byte(`{"Statement":"` + arn + `"`)}
		},
	} {
		w := newWorld()
		furnish(w, applied(t, w, spec))
		destroy(t, w, spec)
		if _, there := w.providers[arn]; !there || w.did("DeleteProvider") {
			t.Errorf("%s: it is gone", name)
		}
		if _, there := w.roles["app"]; there {
			t.Errorf("%s: the role is still there", name)
		}
	}
}

func TestAClientIDThatAnotherRolePinsStays(t *testing.T) {
	spec := specs()["connection"]
	second := spec
	second.Name = "second"
	w := newWorld()
	applied(t, w, spec)
	applied(t, w, second)
	destroy(t, w, spec)
	if w.did("RemoveClientID") || w.did("DeleteProvider") {
		t.Errorf("the second connection lost its way: %q", w.writes)
	}
	destroy(t, w, second)
	if len(w.providers)+len(w.roles) != 0 {
		t.Errorf("the last one left %v %v", w.providers, w.roles)
	}
}

func TestDestroyLeavesWhatItDidNotMake(t *testing.T) {
	spec := machine()
	w := newWorld()
	state := applied(t, w, spec)
	role := w.roles["app"]
	role.Tags = nil
	w.roles["app"], w.apps[0].Tags = role, nil
	spec.AppID = state.App.AppID
	steps := destroy(t, w, spec)
	if len(w.roles) != 1 || len(w.apps) != 1 {
		t.Errorf("gone: %q", w.writes)
	}
	for _, s := range steps {
		if s.Action == setup.Keep && s.Why == "" {
			t.Errorf("%s stays and nobody says why", s.Task)
		}
	}
	w = newWorld()
	applied(t, w, machine())
	w.attached["app"] = append(w.attached["app"], "arn:aws:iam::aws:policy/Other")
	destroy(t, w, machine())
	if len(w.roles) != 1 {
		t.Error("a role with somebody else's policy is gone")
	}
}

func TestAnotherAccountOrTenantIsAnErrorBeforeAnythingIsLookedAt(t *testing.T) {
	for want, change := range map[string]func(*setup.Spec){
		"account": func(s *setup.Spec) { s.Account = "999999999999" },
		"tenant":  func(s *setup.Spec) { s.TenantID = organization },
	} {
		spec := machine()
		change(&spec)
		if _, err := newWorld().clouds().Observe(t.Context(), spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestThePlanSaysWhatItChangesOfAnApplicationThatIsThere(t *testing.T) {
	two := 2
	w := newWorld()
	w.apps = []graph.Application{{ID: "app-x", AppID: organization, DisplayName: "shared", API: &graph.API{TokenVersion: &two}}}
	w.spns = append(w.spns, graph.ServicePrincipal{ID: "sp-x", AppID: organization})
	spec := machine()
	spec.AppID = organization
	steps := setup.Plan(spec, observed(t, w, spec))
	for i, want := range []setup.Action{setup.Replace, setup.Create, setup.Keep, setup.Replace, setup.Create} {
		if steps[i].Action != want {
			t.Errorf("%s: %s, want %s", steps[i].Task, steps[i].Action, want)
		}
	}
	if _, err := (setup.Applier{Clouds: w.clouds()}).Apply(t.Context(), spec, observed(t, w, spec)); err == nil || len(w.writes) > 0 {
		t.Errorf("somebody's application was changed: %v", err)
	}
}
