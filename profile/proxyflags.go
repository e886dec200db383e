package profile

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/internal/yamltree"
)

// Places of a proxy's settings in a configuration that has one with one route.
const (
	proxyPlace = "serve.proxy[0]."
	routePlace = proxyPlace + "routes[0]."
)

// DefaultProxyListen is where a proxy that flags describe listens unless they say so: the
// port of the sidecars that people have.
const DefaultProxyListen = "127.0.0.1:8081"

// ProxySettings lists what one proxy with one route can say, as flags.
func ProxySettings() []Setting {
	var all []Setting
	for _, f := range yamltree.Fields(reflect.TypeFor[Proxy]()) {
		if f.Name != "routes" {
			all = append(all, settingOf(f, proxyPlace))
		}
	}
	for _, f := range yamltree.Fields(reflect.TypeFor[Route]()) {
		switch f.Name {
		case "profile": // the command's argument
		case "sigv4":
			all = append(all, settingsOf(f.Type.Elem(), routePlace+"sigv4.")...)
		default:
			all = append(all, settingOf(f, routePlace))
		}
	}
	return all
}

// OneProxy is a configuration of one proxy with one route. Its profile is name of file,
// changed by what flags say; without a name the flags alone, and whatever identity the
// host has if they say nothing of a source.
func OneProxy(name, file string, ofProfile, ofProxy []Given, getenv func(string) string) (*Config, error) {
	c := &Config{root: &yamltree.Node{Kind: yamltree.Block}}
	node := yamltree.NewBlock()
	if name != "" {
		found, err := Read(Find(file, getenv))
		if err != nil {
			return nil, err
		}
		if name, err = found.Choose(name, getenv); err != nil {
			return nil, err
		}
		node = found.root.Child("profiles").Child(name).Copy()
	}
	if name == "" {
		name = "proxy"
		node.Set(yamltree.NewBlock(), "source", "auto")
	}
	if err := overlay(node, ofProfile); err != nil {
		return nil, err
	}
	c.root.Set(node, "profiles", name)
	entry, err := proxyNode(name, ofProxy)
	if err != nil {
		return nil, err
	}
	c.root.Set(yamltree.NewText(None), "serve", "listen")
	c.root.Set(entry, "serve", "proxy")
	if err := check("", c.root); err != nil {
		return nil, ofFlags(err)
	}
	_, err = c.Serve(getenv)
	return c, ofFlags(err)
}

// proxyNode is the list of the one proxy.
func proxyNode(profile string, given []Given) (*yamltree.Node, error) {
	route, proxy := yamltree.NewBlock(), yamltree.NewBlock()
	proxy.Set(yamltree.NewText(DefaultProxyListen), "listen")
	route.Set(yamltree.NewText(profile), "profile")
	for _, g := range given {
		value, err := g.node()
		if err != nil {
			return nil, err
		}
		if path, ok := strings.CutPrefix(g.Path, routePlace); ok {
			route.Set(value, strings.Split(path, ".")...)
			continue
		}
		proxy.Set(value, strings.TrimPrefix(g.Path, proxyPlace))
	}
	proxy.Set(yamltree.NewList(route), "routes")
	return yamltree.NewList(proxy), nil
}

// ofFlags names the flag in the place of the path that it stands for.
func ofFlags(err error) error {
	var wrong *Error
	if !errors.As(err, &wrong) {
		return err
	}
	settings := ProxySettings()
	if at := slices.IndexFunc(settings, func(s Setting) bool { return s.Path == wrong.Path }); at >= 0 {
		wrong.Path = "--" + settings[at].Flag
	}
	return err
}
