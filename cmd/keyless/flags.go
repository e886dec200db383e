package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/keyless-id/keyless/daemon"
	"github.com/keyless-id/keyless/profile"
)

// choice is how a command line says which profile it is about.
type choice struct {
	getenv   func(string) string
	config   string
	socket   string
	noCache  bool
	settings []profile.Setting
	flags    *pflag.FlagSet
}

// wantsFlags reports whether the command line can be about a subcommand's flags. They
// are made only then: they cost more than the rest of the command tree, and the
// program starts for every command of the AWS CLI. No command line at all wants all of
// them, for the documentation.
func (p *program) wantsFlags(name string) bool {
	plain := !slices.ContainsFunc(p.args, func(arg string) bool { return strings.HasPrefix(arg, "-") })
	switch {
	case len(p.args) == 0:
		return true
	case p.args[0] == name:
		return !plain
	}
	return slices.Contains(p.args, name) // help NAME, __complete NAME
}

// addTo registers the flags with which a profile is picked, changed or made, and of the
// daemon that may have it.
func (c *choice) addTo(cmd *cobra.Command) {
	c.addProfile(cmd)
	c.flags.StringVar(&c.socket, "socket", c.getenv("KEYLESS_SOCKET"), "ask the daemon at this `path` instead; $KEYLESS_SOCKET if set")
}

func (c *choice) addProfile(cmd *cobra.Command) {
	c.addWords(cmd)
	c.flags.BoolVar(&c.noCache, "no-cache", false, "ask the far sides now and remember nothing")
}

// addWords registers the flags with which a profile is picked, changed or made.
func (c *choice) addWords(cmd *cobra.Command) {
	c.flags = cmd.Flags()
	c.addConfig(cmd)
	c.settings = profile.Settings()
	addSettings(c.flags, c.settings)
	cmd.ValidArgsFunction = c.complete
}

func addSettings(flags *pflag.FlagSet, settings []profile.Setting) {
	for _, s := range settings {
		switch {
		case s.Bool:
			flags.Bool(s.Flag, false, s.Doc)
		case s.List:
			flags.StringArray(s.Flag, nil, s.Doc+" May be repeated.")
		default:
			flags.String(s.Flag, "", s.Doc)
		}
	}
}

// addConfig registers the flag that names the configuration file.
func (c *choice) addConfig(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.config, "config", "", "configuration `file`; otherwise $KEYLESS_CONFIG, ~/.config/keyless/keyless.yaml, /etc/keyless/keyless.yaml")
}

// daemon is the daemon to ask; nil: none.
func (c *choice) daemon() *daemon.Client {
	socket := c.socket
	if c.flags == nil { // there are no flags on the command line
		socket = c.getenv("KEYLESS_SOCKET")
	}
	if socket == "" {
		return nil
	}
	return &daemon.Client{Socket: socket}
}

// given are the settings of the profile that the command line names.
func (c *choice) given() []profile.Given { return c.among(c.settings) }

// among are those of settings that the command line names.
func (c *choice) among(settings []profile.Setting) []profile.Given {
	var all []profile.Given
	if c.flags == nil { // there are none on the command line
		return nil
	}
	for _, s := range settings {
		flag := c.flags.Lookup(s.Flag)
		if !flag.Changed {
			continue
		}
		g := profile.Given{Setting: s, Values: []string{flag.Value.String()}}
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			g.Values = list.GetSlice()
		}
		if s.Bool {
			on, _ := strconv.ParseBool(flag.Value.String())
			g.Values = []string{strconv.FormatBool(on)}
		}
		all = append(all, g)
	}
	return all
}

// complete offers the names of profiles to the shell.
func (c *choice) complete(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	config, err := profile.Read(profile.Find(c.config, c.getenv))
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return config.Names(), cobra.ShellCompDirectiveNoFileComp
}
