package daemon

import (
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery/endpoint"
	"github.com/keyless-id/keyless/internal/podtoken"
	"github.com/keyless-id/keyless/profile"
)

// plan is what a configuration asks for. Making it changes nothing.
type plan struct {
	path    string // of the configuration file
	serve   *profile.Serve
	dir     string
	group   int   // 0: none
	uids    []int // whose programs are answered
	keepers map[string]*keeper
	order   []string            // of the keepers, as in the file
	doors   []string            // profiles whose credentials the container endpoint has
	pods    map[string]*podRole // by the profile's name
	proxies []*outbound

	verifier *podtoken.Verifier // of pods' tokens; made when it is first wanted
}

// plan reads the configuration.
func (d *Daemon) plan() (*plan, error) {
	config, err := d.Read()
	if err != nil {
		return nil, err
	}
	serve, err := config.Serve(d.Getenv)
	if err != nil {
		return nil, err
	}
	p := &plan{path: config.Path, serve: serve, keepers: map[string]*keeper{}, pods: map[string]*podRole{}}
	if err := p.people(); err != nil {
		return nil, err
	}
	if err := p.outbounds(); err != nil {
		return nil, err
	}
	if p.dir, err = d.directory(serve); err != nil {
		return nil, err
	}
	return p, d.fill(p, config)
}

// fill builds the profiles that anything is to be had of.
func (d *Daemon) fill(p *plan, config *profile.Config) error {
	outlets, err := p.outlets(d.Audit)
	if err != nil {
		return err
	}
	for _, name := range config.Names() {
		selected, err := config.Served(p.serve, name, d.Getenv)
		if err != nil {
			if p.mentions(name) || len(p.serve.Profiles) == 0 {
				return err
			}
			continue
		}
		for _, text := range selected.Warnings {
			d.Log.Warn(text)
		}
		if err := d.add(p, selected, outlets[name]); err != nil {
			return err
		}
	}
	if len(p.keepers) == 0 && len(p.pods) == 0 {
		return &profile.Error{File: config.Path, Message: "there is nothing to serve: no profile names a role", Hint: "add aws: { role_arn: … } to one"}
	}
	return nil
}

func (d *Daemon) add(p *plan, selected *profile.Selected, outlets []*outlet) error {
	name := selected.Name
	fail := func(format string, args ...any) error {
		return &profile.Error{File: p.path, Path: "profiles." + name, Message: fmt.Sprintf(format, args...)}
	}
	door := slices.Contains(p.serve.Profiles, name) || len(p.serve.Profiles) == 0 && selected.AWS != nil && !d.ProxyOnly
	switch {
	case !door && !p.mentions(name):
		return nil
	case selected.Source.Pod != nil:
		return p.addPod(selected, d)
	case p.isPods(name):
		return fail("its source is not that of a pod: the node's own identity is never a pod's")
	}
	built, err := selected.Build(d.Getenv)
	if err != nil {
		return err
	}
	for _, o := range outlets {
		if o.kind == kindAssertion && built.Assertion == nil {
			return fail("the source proves itself with no token of another issuer, so that there is no assertion for %s", o.path())
		}
		if o.kind == kindCredentials && built.Exchanger == nil {
			return fail("names no role, and has no credentials for %s", o.path())
		}
	}
	if built.Exchanger == nil && (door || p.isInstance(name) || p.adds(name, true)) {
		return fail("names no role: add aws: { role_arn: … }")
	}
	if door {
		p.doors = append(p.doors, name)
	}
	k := newKeeper(selected, built, d.remembering(selected), outlets)
	k.serveProxies(p.adds(name, false), p.margin(name))
	p.keepers[name] = k
	p.order = append(p.order, name)
	return nil
}

// remembering is the memory of a profile, with a record of each exchange.
func (d *Daemon) remembering(selected *profile.Selected) profile.Memory {
	memory := d.Memory
	if selected.AWS == nil {
		return memory
	}
	memory.Exchanged = func(c keyless.Credentials) {
		d.Audit.Info("exchanged", slog.String("profile", selected.Name), slog.String("role", selected.AWS.FinalRole()), endpoint.Record(c))
	}
	return memory
}

// mentions reports whether anything but the container endpoint is about a profile.
func (p *plan) mentions(name string) bool {
	return slices.Contains(p.serve.Profiles, name) || p.isInstance(name) || p.isPods(name) || p.adds(name, true) || p.adds(name, false) ||
		slices.ContainsFunc(p.serve.Files, func(f profile.Delivery) bool { return f.Profile == name })
}

func (p *plan) isInstance(name string) bool {
	return slices.ContainsFunc(p.serve.IMDS, func(m profile.IMDS) bool { return m.Profile == name })
}

func (p *plan) isPods(name string) bool {
	return p.serve.Kubernetes != nil && slices.ContainsFunc(p.serve.Kubernetes.Pods, func(r profile.PodRole) bool { return r.Profile == name })
}

// outlets are the files, by profile.
func (p *plan) outlets(audit *slog.Logger) (map[string][]*outlet, error) {
	all := map[string][]*outlet{}
	for i, f := range p.serve.Files {
		group, err := groupID(f.Group)
		if err != nil {
			return nil, p.wrong(fmt.Sprintf("files[%d].group", i), err)
		}
		all[f.Profile] = append(all[f.Profile], newOutlet(f, group, audit))
	}
	return all, nil
}

// people looks up who may ask.
func (p *plan) people() (err error) {
	if p.group, err = groupID(p.serve.Group); err != nil {
		return p.wrong("group", err)
	}
	p.uids = []int{os.Geteuid()}
	for i, name := range p.serve.Users {
		uid, err := userID(name)
		if err != nil {
			return p.wrong(fmt.Sprintf("users[%d]", i), err)
		}
		p.uids = append(p.uids, uid)
	}
	return nil
}

func (p *plan) wrong(path string, err error) error {
	return &profile.Error{File: p.path, Path: "serve." + path, Message: err.Error()}
}

func userID(name string) (int, error) {
	if uid, err := strconv.Atoi(name); err == nil && uid >= 0 {
		return uid, nil
	}
	found, err := user.Lookup(name)
	if err != nil {
		return 0, fmt.Errorf("there is no user %q on this machine", name)
	}
	return strconv.Atoi(found.Uid)
}

func groupID(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	if gid, err := strconv.Atoi(name); err == nil && gid > 0 {
		return gid, nil
	}
	found, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("there is no group %q on this machine", name)
	}
	return strconv.Atoi(found.Gid)
}

// directory is where the socket and the tokens are.
func (d *Daemon) directory(serve *profile.Serve) (string, error) {
	if d.ProxyOnly {
		return "", nil
	}
	dir := serve.Directory
	if runtime := d.Getenv("RUNTIME_DIRECTORY"); dir == "" && runtime != "" {
		dir = filepath.SplitList(runtime)[0]
	}
	if runtime := d.Getenv("XDG_RUNTIME_DIR"); dir == "" && runtime != "" {
		dir = filepath.Join(runtime, "keyless-serve")
	}
	if !filepath.IsAbs(dir) {
		return "", &profile.Error{Path: "serve.directory", Message: "is missing: there is no RUNTIME_DIRECTORY and no XDG_RUNTIME_DIR", Hint: "name a folder that only this user can write to"}
	}
	return dir, nil
}
