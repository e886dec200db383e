package sandbox

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/keyless-id/keyless/trust"
)

// index finds the things of a World by the names that requests use.
type index struct {
	tenants  map[string]*tenant
	ordered  []*tenant // as in the world
	accounts map[string]*account
	buckets  map[string]*bucket
	issuers  map[string]*Issuer // by URL

	organizations map[string]*Organization // by name, lower case
	jobs          map[string]*job          // by access token
	pipelines     []*job                   // as in the world

	rules      map[string]*rule             // by immutable id, lower case
	workspaces map[string]*metricsWorkspace // by id

	users  map[string]*identity
	host   Host
	search SearchEngine
	made   time.Time // when everything in the world was
}

type tenant struct {
	*Tenant
	directory history[*directory]
}

type account struct {
	*Account
	iam     history[*iamState]
	regions map[string]*region
}

type bucket struct {
	Bucket
	account *account
}

// newIndex checks the world while it builds the index.
func newIndex(w World, made time.Time) (*index, error) {
	x := &index{
		made: made, search: w.Search,
		tenants: map[string]*tenant{}, accounts: map[string]*account{},
		buckets: map[string]*bucket{}, issuers: map[string]*Issuer{}, users: map[string]*identity{},
		organizations: map[string]*Organization{}, jobs: map[string]*job{},
		rules: map[string]*rule{}, workspaces: map[string]*metricsWorkspace{},
	}
	for i := range w.Tenants {
		if err := x.addTenant(&w.Tenants[i]); err != nil {
			return nil, fmt.Errorf("tenant %q: %w", w.Tenants[i].ID, err)
		}
	}
	for i := range w.Accounts {
		if err := x.addAccount(&w.Accounts[i]); err != nil {
			return nil, fmt.Errorf("account %q: %w", w.Accounts[i].ID, err)
		}
	}
	for i := range w.Issuers {
		if err := x.addIssuer(&w.Issuers[i]); err != nil {
			return nil, fmt.Errorf("issuer %q: %w", w.Issuers[i].URL, err)
		}
	}
	for i := range w.Organizations {
		if err := x.addOrganization(&w.Organizations[i]); err != nil {
			return nil, fmt.Errorf("organization %q: %w", w.Organizations[i].Name, err)
		}
	}
	if w.Host.RoleARN != "" && x.role(w.Host.RoleARN, time.Time{}) == nil {
		return nil, fmt.Errorf("host: no role %q", w.Host.RoleARN)
	}
	return x, nil
}

// put adds to one of the maps; a second thing of the same name is a mistake.
func put[V any](m map[string]V, name string, value V) error {
	if name == "" {
		return errors.New("a name or id is empty")
	}
	if _, taken := m[name]; taken {
		return fmt.Errorf("%q exists twice", name)
	}
	m[name] = value
	return nil
}

func (x *index) addTenant(data *Tenant) error {
	t := &tenant{Tenant: data}
	if err := put(x.tenants, strings.ToLower(data.ID), t); err != nil {
		return err
	}
	x.ordered = append(x.ordered, t)
	first, err := t.firstDirectory(x.made)
	if err != nil {
		return err
	}
	t.directory.begin(first)
	return x.addRules(data)
}

// resourceKey forgives the case and the trailing slash of a resource, as Entra
// does when it looks one up.
func resourceKey(resource string) string {
	return strings.ToLower(strings.TrimRight(resource, "/"))
}

func (x *index) addAccount(data *Account) error {
	if !isAccountID(data.ID) {
		return errors.New("the id is not twelve digits")
	}
	own := *data // the world is the caller's and stays as it is
	own.Partition = orText(own.Partition, "aws")
	a := &account{Account: &own, regions: map[string]*region{}}
	if err := put(x.accounts, data.ID, a); err != nil {
		return err
	}
	state, err := a.firstState(x.made)
	if err != nil {
		return err
	}
	a.iam.begin(state)
	if err := x.addIssuer(&Issuer{URL: a.outboundIssuer()}); err != nil {
		return fmt.Errorf("outbound issuer: %w", err)
	}
	return x.addContents(a)
}

// firstState is what the world says about the account's IAM.
func (a *account) firstState(made time.Time) (*iamState, error) {
	state := newIAMState()
	state.outbound = a.OutboundIssuer != ""
	for _, p := range a.Providers {
		if err := state.addProvider(a, p); err != nil {
			return nil, fmt.Errorf("provider %q: %w", p.URL, err)
		}
		state.providers[trust.ProviderKey(p.URL)].created = made
	}
	for _, data := range a.Roles {
		r, err := a.newRole(data)
		if err == nil {
			r.created = made
			err = put(state.roles, strings.ToLower(r.Name), r)
		}
		if err != nil {
			return nil, fmt.Errorf("role %q: %w", data.Name, err)
		}
	}
	return state, nil
}

func (x *index) addContents(a *account) error {
	for _, b := range a.Buckets {
		if !isBucketName(b.Name) {
			return fmt.Errorf("bucket %q: not a legal name", b.Name)
		}
		if err := put(x.buckets, b.Name, &bucket{b, a}); err != nil {
			return fmt.Errorf("bucket: %w", err)
		}
	}
	for _, m := range a.Workspaces {
		if err := put(x.workspaces, m.ID, &metricsWorkspace{m, a}); err != nil {
			return fmt.Errorf("workspace: %w", err)
		}
	}
	for _, data := range a.Regions {
		if err := a.addRegion(data, x.made); err != nil {
			return fmt.Errorf("region %q: %w", data.Name, err)
		}
	}
	for _, u := range a.Users {
		if err := put(x.users, u.AccessKeyID, a.user(u)); err != nil {
			return fmt.Errorf("user %q: %w", u.UserName, err)
		}
	}
	return nil
}

func (i *iamState) addProvider(a *account, p OIDCProvider) error {
	if !strings.HasPrefix(p.URL, "https://") && !isLoopbackURL(p.URL) {
		return errors.New("must be an https URL")
	}
	return put(i.providers, trust.ProviderKey(p.URL), &provider{OIDCProvider: p, arn: trust.ProviderARN(a.Partition, a.ID, p.URL)})
}

func (x *index) addIssuer(i *Issuer) error {
	if u, err := url.Parse(i.URL); err != nil || u.Host == "" {
		return errors.New("must be a URL")
	}
	return put(x.issuers, i.URL, i)
}
