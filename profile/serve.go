package profile

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyless-id/keyless/delivery/endpoint"
	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/internal/yamltree"
)

// DefaultListen is where the daemon listens unless it is told.
const DefaultListen = "127.0.0.1:9911"

// Serve is the daemon.
type Serve struct {
	Listen       string        `yaml:"listen" doc:"Address on loopback of the container endpoint, metrics and status page; 127.0.0.1:9911 if not set, none for no such address."`
	Directory    string        `yaml:"directory" doc:"Folder for the socket and for the tokens that clients show; otherwise $RUNTIME_DIRECTORY, which systemd sets, or $XDG_RUNTIME_DIR/keyless-serve."`
	Profiles     []string      `yaml:"profiles" doc:"Profiles whose credentials may be asked for; all that name a role if not set."`
	Users        []string      `yaml:"users" doc:"Users, by name or number, whose programs may ask besides the daemon's own."`
	Group        string        `yaml:"group" doc:"Group, by name or number, whose members may read the tokens and reach the socket. Which users are answered is said by users."`
	RotateTokens time.Duration `yaml:"rotate_tokens" doc:"How often the tokens that clients show are replaced; the old one is good for 5 minutes more. As long as the daemon runs if not set, because older SDKs do not read the file again."`
	IMDS         []IMDS        `yaml:"imds" doc:"Endpoints like EC2's instance metadata service, version 2, for programs that know no other way. They ask for no token: every program of the users is answered."`
	Files        []Delivery    `yaml:"files" doc:"Files that are kept fresh."`
	Proxy        []Proxy       `yaml:"proxy" doc:"Addresses at which agents send what is to go on with the token or the signature of a profile."`
	Kubernetes   *Kubernetes   `yaml:"kubernetes" doc:"On a node: credentials for pods, by their service accounts."`
}

// IMDS is one endpoint like EC2's instance metadata service.
type IMDS struct {
	Listen  string `yaml:"listen" doc:"Address on loopback, or 169.254.169.254:80."`
	Profile string `yaml:"profile" doc:"The profile whose role the instance seems to have."`
}

// Delivery is a file that is kept fresh: exactly one of its kinds.
type Delivery struct {
	Profile         string `yaml:"profile" doc:"The profile that it is of."`
	Token           string `yaml:"token" doc:"File with the profile's identity token: AWS_WEB_IDENTITY_TOKEN_FILE, or any program that reads its token from a file."`
	Assertion       string `yaml:"assertion" doc:"File with the token by which the profile's source proves itself to Entra: AZURE_FEDERATED_TOKEN_FILE. For source: aws."`
	CredentialsFile string `yaml:"credentials_file" doc:"Shared credentials file of AWS SDKs, one profile of which is kept fresh."`
	Section         string `yaml:"section" doc:"With credentials_file: the name of the profile there; the profile's own if not set."`
	Group           string `yaml:"group" doc:"Group, by name or number, whose members may read the file. Not with credentials_file."`
}

// Kubernetes is the daemon of a node, which pods ask as they would ask EKS's agent.
type Kubernetes struct {
	Listen   string    `yaml:"listen" doc:"Address at which pods ask; 169.254.170.23:80 if not set."`
	Issuer   string    `yaml:"issuer" doc:"Issuer of the cluster's service account tokens, to the letter."`
	Audience string    `yaml:"audience" doc:"Audience that the pods' tokens have."`
	KeysURL  string    `yaml:"keys_url" doc:"Where the cluster publishes the keys of its tokens; https://kubernetes.default.svc/openid/v1/jwks, asked as the daemon's own service account, if neither is set."`
	KeysFile string    `yaml:"keys_file" doc:"File with the keys (JWKS) instead."`
	CAFile   string    `yaml:"ca_file" doc:"PEM file with the certificates to trust for keys_url."`
	Pods     []PodRole `yaml:"pods" doc:"Which service account gets which role."`
}

// PodRole is the role of one service account.
type PodRole struct {
	Namespace      string `yaml:"namespace" doc:"The service account's namespace."`
	ServiceAccount string `yaml:"service_account" doc:"The service account's name."`
	Profile        string `yaml:"profile" doc:"The profile, whose source is pod: {}."`
}

// Serve reads the daemon's part of the file; it is all defaults if there is none.
func (c *Config) Serve(getenv func(string) string) (*Serve, error) {
	s := &Serve{}
	node := c.root.Child("serve")
	if node != nil {
		node = node.Copy()
		x := &expander{file: c.Path, getenv: getenv}
		if err := x.expand(node, "serve"); err != nil {
			return nil, err
		}
		if err := yamltree.Decode(node, s, "serve"); err != nil {
			return nil, fieldError(c.Path, err)
		}
	}
	if s.Listen == "" {
		s.Listen = DefaultListen
	}
	if k := s.Kubernetes; k != nil && k.Listen == "" {
		k.Listen = "169.254.170.23:80"
	}
	return s, serving{c, node}.check(s)
}

// None says that the daemon has no address of its own.
const None = "none"

// serving finds what the types of the daemon's part cannot say.
type serving struct {
	*Config
	node *yamltree.Node
}

// fail names the line of a part of serve.
func (c serving) fail(path, hint, format string, args ...any) error {
	node := c.node
	e := &Error{File: c.Path, Path: "serve." + path, Message: fmt.Sprintf(format, args...), Hint: hint}
	for _, key := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		node = below(node, key)
		if node == nil {
			break
		}
		e.Line = node.Line
	}
	return e
}

// below is one step down: by a key, or by a number in a list.
func below(node *yamltree.Node, key string) *yamltree.Node {
	if at, err := strconv.Atoi(key); err == nil && node != nil && node.Kind == yamltree.List && at < len(node.Items) {
		return node.Items[at]
	}
	return node.Child(key)
}

func (c serving) check(s *Serve) error {
	if s.Listen != None {
		if _, err := endpoint.Address(s.Listen); err != nil {
			return c.fail("listen", "", "%s", err.Error())
		}
	}
	if s.RotateTokens != 0 && s.RotateTokens < time.Minute {
		return c.fail("rotate_tokens", "", "want 1m or more")
	}
	for i, name := range s.Profiles {
		if err := c.profile(fmt.Sprintf("profiles[%d]", i), name); err != nil {
			return err
		}
	}
	for _, rule := range []func(*Serve) error{c.imds, c.files, c.proxies, c.kubernetes, c.addresses} {
		if err := rule(s); err != nil {
			return err
		}
	}
	return nil
}

// word is a profile's name as a part of an address and as a file's name.
var word = pattern.Lazy(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

func (c serving) profile(path, name string) error {
	switch all := c.Names(); {
	case name == "":
		return c.fail(path, "", "no profile is named")
	case !slices.Contains(all, name):
		return c.fail(path, didYouMean(name, all), "there is no profile %q", name)
	case !word().MatchString(name):
		return c.fail(path, "letters, digits, _ . -", "the name %q cannot be part of an address", name)
	}
	return nil
}

func (c serving) imds(s *Serve) error {
	for i, m := range s.IMDS {
		at := fmt.Sprintf("imds[%d]", i)
		if _, err := endpoint.Address(m.Listen); err != nil {
			return c.fail(at+".listen", "", "%s", err.Error())
		}
		if err := c.profile(at+".profile", m.Profile); err != nil {
			return err
		}
	}
	return nil
}

func (c serving) files(s *Serve) error {
	seen := map[string]bool{}
	for i, f := range s.Files {
		at := fmt.Sprintf("files[%d]", i)
		if err := c.profile(at+".profile", f.Profile); err != nil {
			return err
		}
		kinds := slices.DeleteFunc([]string{f.Token, f.Assertion, f.CredentialsFile}, func(path string) bool { return path == "" })
		switch {
		case len(kinds) != 1:
			return c.fail(at, "one of token, assertion, credentials_file", "names %d files", len(kinds))
		case !filepath.IsAbs(kinds[0]):
			return c.fail(at, "", "%q is not an absolute path", kinds[0])
		case f.CredentialsFile == "" && f.Section != "":
			return c.fail(at+".section", "", "goes with credentials_file only")
		case f.CredentialsFile != "" && f.Group != "":
			return c.fail(at+".group", "", "does not go with credentials_file")
		case strings.ContainsAny(f.Section, "[]\r\n"):
			return c.fail(at+".section", "", "%q cannot be the name of a profile", f.Section)
		case seen[kinds[0]+"\n"+f.SectionName()]:
			return c.fail(at, "", "%q is written already", kinds[0])
		}
		seen[kinds[0]+"\n"+f.SectionName()] = true
	}
	return nil
}

// SectionName is the name of the profile in a shared credentials file; empty for the
// other kinds.
func (f Delivery) SectionName() string {
	if f.CredentialsFile == "" {
		return ""
	}
	return first(f.Section, f.Profile)
}

func (c serving) kubernetes(s *Serve) error {
	k := s.Kubernetes
	if k == nil {
		return nil
	}
	_, err := endpoint.Address(k.Listen)
	switch {
	case err != nil:
		return c.fail("kubernetes.listen", "", "%s", err.Error())
	case k.Issuer == "":
		return c.fail("kubernetes.issuer", "kubectl get --raw /.well-known/openid-configuration", "is missing")
	case k.Audience == "":
		return c.fail("kubernetes.audience", "the audience of the pods' projected tokens, for example sts.amazonaws.com", "is missing")
	case k.KeysURL != "" && k.KeysFile != "":
		return c.fail("kubernetes.keys_file", "keep one of them", "stands beside keys_url")
	case len(k.Pods) == 0:
		return c.fail("kubernetes.pods", "", "names no service account")
	}
	return c.pods(k)
}

func (c serving) pods(k *Kubernetes) error {
	seen := map[[2]string]bool{}
	for i, p := range k.Pods {
		at := fmt.Sprintf("kubernetes.pods[%d]", i)
		if err := c.profile(at+".profile", p.Profile); err != nil {
			return err
		}
		switch key := [2]string{p.Namespace, p.ServiceAccount}; {
		case p.Namespace == "" || p.ServiceAccount == "":
			return c.fail(at, "there is no pattern: a role is for one service account", "wants namespace and service_account")
		case seen[key]:
			return c.fail(at, "", "%s/%s has a profile already", p.Namespace, p.ServiceAccount)
		default:
			seen[key] = true
		}
	}
	return nil
}

// addresses finds two that are the same.
func (c serving) addresses(s *Serve) error {
	seen := map[string]bool{s.Listen: s.Listen != None}
	taken := func(path, address string) error {
		if parsed, err := netip.ParseAddrPort(address); err == nil {
			address = parsed.String()
		}
		if seen[address] {
			return c.fail(path, "each wants an address of its own", "%s is in use already", address)
		}
		seen[address] = true
		return nil
	}
	for i, m := range s.IMDS {
		if err := taken(fmt.Sprintf("imds[%d].listen", i), m.Listen); err != nil {
			return err
		}
	}
	for i, p := range s.Proxy {
		if err := taken(fmt.Sprintf("proxy[%d].listen", i), p.Listen); err != nil {
			return err
		}
	}
	if k := s.Kubernetes; k != nil {
		return taken("kubernetes.listen", k.Listen)
	}
	return nil
}
