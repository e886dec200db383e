package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery/endpoint"
	"github.com/keyless-id/keyless/internal/podtoken"
	"github.com/keyless-id/keyless/profile"
)

// podWait bounds how long a pod's first request waits: SDKs give up after 2 s and ask
// again, and the answer is there by then.
const podWait = 1500 * time.Millisecond

// Where a pod finds the cluster's keys, and what it shows for them ("Service account
// issuer discovery", Kubernetes documentation).
const (
	clusterKeys  = "https://kubernetes.default.svc/openid/v1/jwks"
	accountToken = "/var/run/secrets/kubernetes.io/serviceaccount/token" //nolint:gosec // a path
	accountCA    = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
)

// podRole is the role of one profile for pods. Its subject token is the one that a pod
// has brought; the node has none.
type podRole struct {
	name, role string
	identity   string // another one is another role
	provider   *keyless.CachedProvider

	mu    sync.Mutex
	token keyless.Token // the one that ends last
}

// addPod wires a profile whose tokens pods bring.
func (p *plan) addPod(selected *profile.Selected, d *Daemon) error {
	fail := func(hint, message string) error {
		return &profile.Error{File: p.path, Path: "profiles." + selected.Name, Message: message, Hint: hint}
	}
	switch {
	case !p.isPods(selected.Name):
		return fail("name it in serve.kubernetes.pods only", "its tokens come from pods, and nobody else can have its credentials")
	case selected.Audience != p.serve.Kubernetes.Audience:
		return fail("", "its audience is not that of serve.kubernetes")
	}
	built, err := selected.Build(d.Getenv)
	if err != nil {
		return err
	}
	if built.Exchanger == nil {
		return fail("add aws: { role_arn: … }", "names no role")
	}
	r := &podRole{name: selected.Name, role: selected.AWS.FinalRole(), identity: identify(built, nil)}
	r.provider = keyless.CachedCredentials(keyless.Federate(keyless.TokenSourceFunc(r.subject), built.Exchanger))
	p.pods[selected.Name] = r
	return nil
}

// keepPods takes over what an earlier plan has of pods, and of the cluster's keys: an
// outage of the API server is no better for a reload.
func (p *plan) keepPods(before *plan) {
	for name, r := range p.pods {
		if old := before.pods[name]; old != nil && old.identity == r.identity {
			p.pods[name] = old
		}
	}
	if k, old := p.serve.Kubernetes, before.serve.Kubernetes; k != nil && old != nil &&
		k.Issuer == old.Issuer && k.Audience == old.Audience && k.KeysURL == old.KeysURL && k.KeysFile == old.KeysFile && k.CAFile == old.CAFile {
		p.verifier = before.verifier
	}
}

func (r *podRole) subject(context.Context) (keyless.Token, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.token, nil
}

// bring keeps the token that is good for longest.
func (r *podRole) bring(token string, pod podtoken.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if pod.Expiry.After(r.token.Expiry) {
		r.token = keyless.Token{Value: keyless.NewSecret(token), Obtained: pod.Issued, Expiry: pod.Expiry}
	}
}

// node answers the pods of a node.
type node struct {
	verifier *podtoken.Verifier
	roles    map[[2]string]*podRole // by namespace and service account
	audit    *slog.Logger
}

// forPods is the endpoint of EKS's agent. A pod is another machine to the network, and
// its user says nothing here: its token alone tells who asks.
func (d *Daemon) forPods(p *plan) http.Handler {
	k := p.serve.Kubernetes
	if p.verifier == nil {
		p.verifier = &podtoken.Verifier{Issuer: k.Issuer, Audience: k.Audience, Keys: keysOf(k)}
	}
	n := &node{verifier: p.verifier, roles: map[[2]string]*podRole{}, audit: d.Audit}
	for _, pod := range k.Pods {
		n.roles[[2]string{pod.Namespace, pod.ServiceAccount}] = p.pods[pod.Profile]
	}
	return endpoint.Direct{Hosts: endpoint.Hosts(netip.MustParseAddrPort(k.Listen)), Audit: d.Audit, Next: n}
}

func keysOf(k *profile.Kubernetes) func(context.Context) ([]byte, error) {
	switch {
	case k.KeysFile != "":
		return podtoken.File(k.KeysFile)
	case k.KeysURL != "":
		return podtoken.API{URL: k.KeysURL, CAFile: k.CAFile}.Keys
	}
	return podtoken.API{URL: clusterKeys, TokenFile: accountToken, CAFile: accountCA}.Keys
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := r.Header.Get("Authorization")
	switch {
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case r.URL.Path != endpoint.Path || r.URL.RawQuery != "":
		w.WriteHeader(http.StatusNotFound)
		return
	case token == "":
		endpoint.Refuse(w, r, n.audit, "no token")
		return
	}
	pod, err := n.verifier.Verify(r.Context(), token)
	role := n.roles[[2]string{pod.Namespace, pod.ServiceAccount}]
	switch {
	case errors.Is(err, podtoken.ErrKeys):
		(&endpoint.Issue{Audit: n.audit}).SayWhyNot(w, r, &keyless.Error{
			Hop: keyless.HopSource, Op: "cluster keys", Err: err, Temporary: true, Hint: "can the daemon reach serve.kubernetes.keys_url?",
		})
	case err != nil:
		endpoint.Refuse(w, r, n.audit, err.Error())
	case role == nil:
		endpoint.Refuse(w, r, n.audit, "no profile for "+pod.Subject)
	default:
		role.bring(token, pod)
		n.serve(w, r, role, pod)
	}
}

func (n *node) serve(w http.ResponseWriter, r *http.Request, role *podRole, pod podtoken.Pod) {
	audit := n.audit.With(slog.String("subject", pod.Subject), slog.String("pod", pod.Name))
	latest := func() (keyless.Credentials, error) {
		ctx, cancel := context.WithTimeout(r.Context(), podWait)
		defer cancel()
		c, err := role.provider.Credentials(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = &keyless.Error{Hop: keyless.HopExchange, Op: "endpoint", Err: err, Temporary: true}
		}
		return c, err
	}
	door := endpoint.Door{Issue: &endpoint.Issue{Latest: latest, Name: role.name, Role: role.role, Audit: audit}}
	door.HandOver(w, r)
}
