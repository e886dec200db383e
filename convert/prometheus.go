package convert

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyless-id/keyless/internal/yamltree"
	"github.com/keyless-id/keyless/profile"
)

// Prometheus converts the remote_write blocks of a Prometheus configuration that have
// azuread, azure_ad_auth (its name in the first proposal, Prometheus issue 11733) or sigv4.
// The other blocks need no credential of a cloud and stay. Keys are those of Prometheus
// 3.15 ("Configuration", remote_write).
func Prometheus(file []byte) (Result, error) {
	if err := tooLong(file); err != nil {
		return Result{}, err
	}
	root, err := parse(file)
	if err != nil {
		return Result{}, err
	}
	d := &draft{from: "the remote_write of a Prometheus configuration", user: "prometheus"}
	blocks, err := remoteWrites(d, root)
	if err != nil {
		return Result{}, err
	}
	source := &excerpts{lines: strings.Split(string(file), "\n")}
	client := "remote_write:\n"
	for i := range blocks {
		b := &blocks[i]
		local := "/api/v1/write"
		if len(blocks) > 1 {
			local = fmt.Sprintf("/%d%s", i+1, local)
		}
		if err := b.convert(d, local); err != nil {
			return Result{}, err
		}
		client += b.client(source, d.address(local))
	}
	return d.result(client), nil
}

// parse reads YAML as this package's errors.
func parse(file []byte) (*yamltree.Node, error) {
	root, err := yamltree.Parse(file)
	var syntax *yamltree.SyntaxError
	if errors.As(err, &syntax) {
		return nil, at{line: syntax.Line}.wrong("", "%s", syntax.Message)
	}
	return root, err
}

// remoteWrite is a block that is converted.
type remoteWrite struct {
	at
	node *yamltree.Node
	end  int // the line after it
}

// remoteWrites are the blocks with a credential of a cloud.
func remoteWrites(d *draft, root *yamltree.Node) ([]remoteWrite, error) {
	list := root.Child("remote_write")
	if list == nil || list.Kind != yamltree.List {
		return nil, at{path: "remote_write"}.wrong("keyless convert is for configurations that write to Azure Monitor or Amazon Managed Service for Prometheus", "is not there, or is no list")
	}
	var all []remoteWrite
	for i, node := range list.Items {
		b := remoteWrite{at: at{node.Line, fmt.Sprintf("remote_write[%d]", i)}, node: node, end: after(root, "remote_write")}
		if i+1 < len(list.Items) {
			b.end = list.Items[i+1].Line
		}
		if node.Kind != yamltree.Block {
			return nil, b.wrong("", "want a block of keys, not %s", node.Kind)
		}
		if len(b.credentials()) == 0 {
			d.note(b.at, "has neither azuread nor sigv4: it stays as it is")
			continue
		}
		all = append(all, b)
	}
	if len(all) == 0 {
		return nil, at{list.Line, "remote_write"}.wrong("without a credential of a cloud there is nothing to convert", "no block has azuread, azure_ad_auth or sigv4")
	}
	return all, nil
}

// after is the line of the key behind another; zero: there is none.
func after(block *yamltree.Node, key string) int {
	which := slices.IndexFunc(block.Keys, func(k *yamltree.Node) bool { return k.Value == key })
	if which+1 < len(block.Keys) {
		return block.Keys[which+1].Line
	}
	return 0
}

// credentials lists the keys that say which credential of a cloud a block sends.
func (b *remoteWrite) credentials() []string {
	return slices.DeleteFunc([]string{"azuread", "azure_ad_auth", "sigv4"}, func(key string) bool { return b.node.Child(key) == nil })
}

// below is where a key stands, which others lead to.
func (b *remoteWrite) below(keys ...string) at {
	where, node := b.at, b.node
	for _, key := range keys {
		where.path += "." + key
		if line := lineOf(node, key); line > 0 {
			where.line = line
		}
		node = node.Child(key)
	}
	return where
}

// lineOf is where a key of a block stands; zero: it is not there.
func lineOf(block *yamltree.Node, key string) int {
	if block == nil || block.Kind != yamltree.Block {
		return 0
	}
	for _, k := range block.Keys {
		if k.Value == key {
			return k.Line
		}
	}
	return 0
}

// text is the value of a key that is a text; empty: it is not there.
func (b *remoteWrite) text(key string) string {
	if child := b.node.Child(key); child != nil && child.Kind == yamltree.Text {
		return child.Value
	}
	return ""
}

func (b *remoteWrite) convert(d *draft, local string) error {
	which := b.credentials()
	if len(which) > 1 {
		return b.wrong("Prometheus takes one of them", "has %s", strings.Join(which, " and "))
	}
	if err := twice(b.node, b.path); err != nil {
		return err
	}
	u, err := d.upstream(b.text("url"), b.below("url"))
	if err != nil {
		return err
	}
	r := profile.Route{Path: local, Upstream: literal(u.String())}
	if which[0] == "sigv4" {
		err = b.sigv4(d, &r, u)
	} else {
		err = b.azure(d, &r, u)
	}
	if err != nil {
		return err
	}
	b.transport(d, &r)
	b.say(d)
	return d.route(r, b.below("url"))
}

// twice finds a key that stands twice, of which the second would be overlooked.
func twice(block *yamltree.Node, path string) error {
	seen := map[string]bool{}
	for _, key := range block.Keys {
		if seen[key.Value] {
			return at{key.Line, yamltree.Join(path, key.Value)}.wrong("", "stands here twice")
		}
		seen[key.Value] = true
	}
	return nil
}

// transport carries over what concerns the connection to the upstream.
func (b *remoteWrite) transport(d *draft, r *profile.Route) {
	// Prometheus tries again when this is over; a request that goes on would be there twice.
	r.Timeout = 30 * time.Second
	if given := b.text("remote_timeout"); given != "" {
		var err error
		if r.Timeout, err = time.ParseDuration(given); err != nil {
			d.note(b.below("remote_timeout"), "is no time span that keyless knows: write timeout: for the route")
		}
	}
	r.HTTP2 = b.text("enable_http2") == "true"
	tls := b.node.Child("tls_config")
	if r.UpstreamCAFile = literal(valueOf(tls.Child("ca_file"))); r.UpstreamCAFile != "" && !filepath.IsAbs(r.UpstreamCAFile) {
		d.note(b.below("tls_config", "ca_file"), "Prometheus looks for it beside its configuration file: write the whole path into ca_file")
	}
	if tls == nil {
		return
	}
	for _, key := range tls.Keys {
		if key.Value != "ca_file" {
			d.note(b.below("tls_config", key.Value), "is not carried over: keyless verifies the upstream by its name, against ca_file or the system's certificates, and shows no certificate of its own")
		}
	}
}

func valueOf(n *yamltree.Node) string {
	if n == nil {
		return ""
	}
	return n.Value
}

const viaProxy = "is not carried over: set HTTPS_PROXY and NO_PROXY in the environment of keyless; they count for the upstream and for Entra ID and STS"

// given up are the keys of a block that neither go to the route nor stay with Prometheus.
func givenUp() map[string]string {
	const oneKind = "is not carried over: Prometheus takes one kind of authentication in a block, and keyless adds it"
	return map[string]string{
		"proxy_url": viaProxy, "no_proxy": viaProxy, "proxy_from_environment": viaProxy,
		"proxy_connect_header": "is not carried over: keyless sends a proxy what HTTPS_PROXY says, and no headers",
		"follow_redirects":     "is not carried over: keyless never takes a credential to where a redirect points",
		"round_robin_dns":      "is not carried over: keyless keeps connections and tries the addresses of a name in turn",
		"basic_auth":           oneKind, "authorization": oneKind, "oauth2": oneKind, "bearer_token": oneKind, "bearer_token_file": oneKind, "google_iam": oneKind,
	}
}

// carried are the keys that went to the route or the profile.
func carried() []string {
	return []string{"url", "azuread", "azure_ad_auth", "sigv4", "tls_config", "enable_http2"}
}

// kept are the keys that stay with Prometheus.
func kept() []string {
	return []string{
		"remote_timeout", "headers", "http_headers", "write_relabel_configs", "name", "send_exemplars", "send_native_histograms",
		"protobuf_message", "failed_request_logging", "queue_config", "metadata_config",
	}
}

// say notes what is not carried over.
func (b *remoteWrite) say(d *draft) {
	for _, key := range b.node.Keys {
		where, why := b.below(key.Value), givenUp()[key.Value]
		switch {
		case why != "":
			d.note(where, "%s", why)
		case !slices.Contains(carried(), key.Value) && !slices.Contains(kept(), key.Value):
			d.note(where, "is not known here and stays with Prometheus")
		}
	}
}

// client is the block with the local address.
func (b *remoteWrite) client(source *excerpts, url string) string {
	text := "  - url: " + scalar(url) + "\n"
	for i, key := range b.node.Keys {
		if slices.Contains(carried(), key.Value) || givenUp()[key.Value] != "" {
			continue
		}
		end := b.end
		if i+1 < len(b.node.Keys) {
			end = b.node.Keys[i+1].Line
		}
		text += source.of(key, b.node.Items[i], end, 4)
	}
	return text
}
