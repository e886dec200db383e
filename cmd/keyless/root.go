package main

import (
	"github.com/spf13/cobra"
)

// newRoot builds the command tree, from which help, completion, the reference and
// the man pages are made as well.
func newRoot(p *program) *cobra.Command {
	root := &cobra.Command{
		Use:           "keyless",
		Short:         "Short-lived cloud credentials from the identity a workload already has",
		Long:          "Proves who a workload is to Entra ID, and trades that for AWS credentials.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.InitDefaultHelpFlag()
	root.Flags().Lookup("help").Hidden = true      // the last line names it, and the commands are to fit on one screen
	root.CompletionOptions.HiddenDefaultCmd = true // whoever sets it up knows its name
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		newDemo(p),
		newToken(p),
		newCredentialProcess(p),
		newExec(p),
		newServe(p),
		newProxy(p),
		newDoctor(p),
		newStatus(p),
		newCache(p),
		newAudit(p),
		newSetup(p),
		newConvert(p),
		newSandbox(p),
		newVersion(p),
	)
	for _, command := range root.Commands() {
		command.Args = asUsage(command.Args)
	}
	root.Args = asUsage(root.Args)
	return root
}

// asUsage makes a wrong number of arguments a usage error.
func asUsage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}
