package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyless-id/keyless/internal/yamltree"
	"github.com/keyless-id/keyless/sandbox"
)

// stage is how a command line says what sandbox it wants.
type stage struct {
	listen   string
	dir      string
	host     string
	faults   []string
	forward  string
	inForce  time.Duration
	visible  time.Duration
	verbose  bool
	isolated bool
}

func newSandbox(p *program) *cobra.Command {
	var st stage
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Play both clouds offline: Entra, instance metadata, STS, S3, their administration, logs and metrics on loopback",
		Long: "Play Entra ID, the instance metadata service, AWS STS and S3, and what takes logs and\n" +
			"metrics in Azure Monitor and AWS, on loopback until interrupted. What is made through\n" +
			"AWS IAM, Microsoft Graph and Azure Resource Manager is played as well, and so are\n" +
			"CloudWatch, the API of EC2 and that of tags for those who collect metrics. A folder\n" +
			"gets the files that lead programs there: env for the shell, keyless.yaml, an AWS\n" +
			"configuration with the profile admin, the secret of the application that administrates\n" +
			"the tenant, the certificates.",
		Example: "  keyless sandbox --dir sandbox &\n  . sandbox/env\n  keyless credential-process vm",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.sandbox(cmd.Context(), st) },
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&st.listen, "listen", anywhere, "loopback `address`; with a port other than 0 the thirty-two ports from there on are used")
	flags.StringVar(&st.dir, "dir", "", "`folder` to make and write the files to; a temporary one if not set, removed at the end")
	flags.StringVar(&st.host, "host", string(sandbox.HostVM), "`kind` of host that the programs are on: "+hostNames())
	flags.StringArrayVar(&st.faults, "fault", nil, "break a far side, for example 'sts: {status: 503, times: 2}'; hops "+hopNames()+"; fields delay, reset, status, code, body, retry_after, truncate, times, for, region, skew. May be repeated.")
	flags.StringVar(&st.forward, "forward-remote-write", "", "`URL` of a Prometheus on loopback that gets the metrics that were let in, for example http://127.0.0.1:9090/api/v1/write")
	flags.DurationVar(&st.inForce, "propagation", 0, "`time` until STS and Entra act on what was written through IAM, Microsoft Graph or Azure Resource Manager")
	flags.DurationVar(&st.visible, "replication", 0, "`time` until Microsoft Graph itself finds what was written through it")
	flags.BoolVar(&st.verbose, "verbose", false, "log every request to stderr")
	cmd.AddCommand(newSandboxExec(p, &st))
	return cmd
}

func hopNames() string {
	var names []string
	for _, hop := range sandbox.Hops() {
		names = append(names, string(hop))
	}
	return strings.Join(names, ", ")
}

// hostNames are the kinds of hosts as flags spell them.
func hostNames() string {
	var names []string
	for _, kind := range sandbox.HostKinds() {
		names = append(names, strings.ReplaceAll(string(kind), " ", "-"))
	}
	return strings.Join(names, ", ")
}

// anywhere is where the sandbox listens if nobody says more: at ports that are free.
const anywhere = "127.0.0.1:0"

func hostKind(st stage) (sandbox.HostKind, error) {
	kind := sandbox.HostKind(strings.ReplaceAll(st.host, "-", " "))
	switch {
	case !slices.Contains(sandbox.HostKinds(), kind):
		return "", fmt.Errorf("--host %s: want one of %s", st.host, hostNames())
	case kind == sandbox.HostArc && !st.isolated:
		return "", errors.New("--host arc needs --isolated: programs look for the agent's files in /var/opt/azcmagent only")
	case st.isolated && st.listen != anywhere:
		return "", errors.New("--listen does not go with --isolated: the addresses there are the true ones")
	case kind == sandbox.HostServiceFabric && st.isolated:
		return "", errors.New("--host service-fabric does not go with --isolated: its address is not the same everywhere")
	}
	return kind, nil
}

// receivers are the addresses of what takes logs and metrics and of what administrates
// the clouds, for programs that are told theirs.
func (g *playground) receivers() []string {
	iam, graph, arm := g.URL(sandbox.IAM), g.URL(sandbox.Graph), g.URL(sandbox.ARM)
	cloudwatch, ec2, tagging := g.URL(sandbox.CloudWatch), g.URL(sandbox.EC2API), g.URL(sandbox.Tagging)
	logs, metrics, amp := g.URL(sandbox.DCE), g.URL(sandbox.Workspace), g.URL(sandbox.AMP)
	elasticsearch := g.URL(sandbox.Elasticsearch)
	if g.isolated {
		iam, graph, arm = "https://iam.amazonaws.com", "https://graph.microsoft.com", "https://management.azure.com"
		cloudwatch, ec2, tagging = "https://monitoring.us-east-1.amazonaws.com", "https://ec2.us-east-1.amazonaws.com", "https://tagging.us-east-1.amazonaws.com"
		logs, metrics, amp = "https://demo-a1b2.westeurope-1.ingest.monitor.azure.com", "https://demo-a1b2.westeurope-1.metrics.ingest.monitor.azure.com", "https://aps-workspaces.us-east-1.amazonaws.com"
		elasticsearch = "https://demo.es.westeurope.azure.elastic-cloud.com"
	}
	return []string{
		"KEYLESS_SANDBOX_IAM_URL=" + iam,
		"KEYLESS_SANDBOX_GRAPH_URL=" + graph,
		"KEYLESS_SANDBOX_ARM_URL=" + arm,
		"KEYLESS_SANDBOX_CLOUDWATCH_URL=" + cloudwatch,
		"KEYLESS_SANDBOX_EC2_URL=" + ec2,
		"KEYLESS_SANDBOX_TAGGING_URL=" + tagging,
		"KEYLESS_SANDBOX_ELASTICSEARCH_URL=" + elasticsearch,
		"KEYLESS_SANDBOX_LOGS_URL=" + logs + "/dataCollectionRules/" + sandbox.DemoRuleID + "/streams/" + sandbox.DemoStream + "?api-version=2023-01-01",
		"KEYLESS_SANDBOX_AZURE_METRICS_URL=" + metrics + "/dataCollectionRules/" + sandbox.DemoMetricsRuleID + "/streams/" + sandbox.MetricsStream + "/api/v1/write?api-version=2023-04-24",
		"KEYLESS_SANDBOX_AWS_METRICS_URL=" + amp + "/workspaces/" + sandbox.DemoWorkspaceID + "/api/v1/remote_write",
	}
}

// untilInterrupted is for commands that have something to clear away at their end.
// The others just end: nothing they write is ever half done.
func untilInterrupted(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

func (p *program) sandbox(ctx context.Context, st stage) error {
	ctx, stop := untilInterrupted(ctx)
	defer stop()
	g, err := p.play(st)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "# In another shell:  . %s\n%s", g.path("env"), g.shell())
	<-ctx.Done()
	return g.remove()
}

// play starts the sandbox that the flags ask for.
func (p *program) play(st stage) (*playground, error) {
	host, err := hostKind(st)
	if err != nil {
		return nil, usageError{err}
	}
	opts := sandbox.Options{Forward: st.forward, Propagation: st.inForce, Replication: st.visible}
	if st.verbose {
		opts.Logger = slog.New(slog.NewTextHandler(p.stderr, nil))
	}
	dir, err := folder(st.dir)
	if err != nil {
		return nil, err
	}
	g := &playground{dir: dir, host: host, isolated: st.isolated}
	err = g.open(st.listen, opts)
	switch {
	case errors.Is(err, os.ErrExist):
		return nil, usageError{fmt.Errorf("--dir %s exists already", dir)}
	case errors.Is(err, sandbox.ErrNotLoopback):
		return nil, errors.Join(usageError{err}, g.remove())
	case err != nil:
		return nil, errors.Join(err, g.remove())
	}
	for _, text := range st.faults {
		if err := g.breakHop(text); err != nil {
			return nil, errors.Join(usageError{err}, g.remove())
		}
	}
	return g, nil
}

// folder names a folder that does not exist yet.
func folder(asked string) (string, error) {
	if asked != "" {
		return filepath.Abs(asked)
	}
	parent, err := os.MkdirTemp("", "keyless-sandbox-")
	if err != nil {
		return "", err
	}
	return parent, os.Remove(parent)
}

// faultFlag is one --fault.
type faultFlag struct {
	Status     int           `yaml:"status"`
	Code       string        `yaml:"code"`
	Delay      time.Duration `yaml:"delay"`
	Body       string        `yaml:"body"`
	Reset      bool          `yaml:"reset"`
	RetryAfter time.Duration `yaml:"retry_after"`
	Truncate   bool          `yaml:"truncate"`
	Times      int           `yaml:"times"`
	For        time.Duration `yaml:"for"`
	Region     string        `yaml:"region"`
	Skew       time.Duration `yaml:"skew"`
}

func (g *playground) breakHop(text string) error {
	faults := map[sandbox.Hop]faultFlag{}
	tree, err := yamltree.Parse([]byte(text))
	if err == nil {
		err = yamltree.Decode(tree, &faults, "--fault")
	}
	if err != nil {
		return fmt.Errorf("--fault %q: %w", text, err)
	}
	for hop, f := range faults {
		if !slices.Contains(sandbox.Hops(), hop) {
			return fmt.Errorf("--fault: unknown hop %q; want one of %s", hop, hopNames())
		}
		g.SetSkew(hop, f.Skew)
		f.Skew = 0
		if f != (faultFlag{}) {
			g.SetFault(hop, sandbox.Fault{
				Status: f.Status, Code: f.Code, Delay: f.Delay, Body: f.Body, Reset: f.Reset,
				RetryAfter: f.RetryAfter, Truncate: f.Truncate, Times: f.Times, For: f.For, Region: f.Region,
			})
		}
	}
	return nil
}
