package awscloudwatchmetricsreceiver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssdk"
	"github.com/keyless-id/keyless/collector/receiver/awscloudwatchmetricsreceiver/internal/metadata"
)

// poller polls. It is no scraper: the cursor may move only after the pipeline has taken what
// was read, which a scraper never hears of, and the time between polls is the budget's matter.
type poller struct {
	config    *Config
	settings  receiver.Settings
	logger    *zap.Logger
	next      consumer.Metrics
	obs       *receiverhelper.ObsReport
	telemetry *metadata.TelemetryBuilder
	report    *report

	client    *http.Client
	provider  *namedProvider
	store     storage.Client // nil without an extension
	accounts  []*account
	allowance *allowance
	plan      plan
	round     int

	cancel context.CancelFunc
	doing  sync.WaitGroup
}

func newPoller(set receiver.Settings, c *Config, next consumer.Metrics) (*poller, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: set.ID, Transport: "https", ReceiverCreateSettings: set})
	if err != nil {
		return nil, err
	}
	return &poller{
		config: c, settings: set, logger: set.Logger, next: next, obs: obs, telemetry: telemetry, report: &report{telemetry, set.ID.String()},
		allowance: &allowance{PerHour: c.Budget.perHour() / float64(c.Shard.Count)},
	}, nil
}

// Start looks for the extensions, and polls from then on.
func (p *poller) Start(ctx context.Context, host component.Host) error {
	var err error
	if p.client == nil {
		if p.client, err = p.config.ClientConfig.ToClient(ctx, host.GetExtensions(), p.settings.TelemetrySettings); err != nil {
			return err
		}
	}
	from, err := p.credentials(ctx, host)
	if err != nil {
		return err
	}
	if p.store, err = p.storage(ctx, host); err != nil {
		return err
	}
	p.allowance.Client = p.store
	if err := p.join(from); err != nil {
		return err
	}
	polling, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	p.doing.Go(func() { p.run(polling) })
	return nil
}

func (p *poller) join(from keyless.CredentialsProvider) error {
	for _, a := range p.config.accounts() {
		provider, err := chain(p.config, a, from, p.client)
		if err != nil {
			return err
		}
		p.accounts = append(p.accounts, &account{Config: a, From: provider})
	}
	return nil
}

// Shutdown lets the pipeline finish what it has.
func (p *poller) Shutdown(ctx context.Context) error {
	if p.cancel != nil {
		p.cancel()
	}
	done := make(chan struct{})
	go func() {
		p.doing.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.telemetry.Shutdown()
	if p.client != nil {
		p.client.CloseIdleConnections()
	}
	if p.store == nil {
		return nil
	}
	return p.store.Close(ctx)
}

// credentials are those of an extension, or what the SDK finds by itself.
func (p *poller) credentials(ctx context.Context, host component.Host) (keyless.CredentialsProvider, error) {
	id := p.config.CredentialsProvider
	if id == nil {
		ambient, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, fmt.Errorf("the SDK's default credentials: %w", err)
		}
		p.provider = &namedProvider{CredentialsProvider: ambient.Credentials, name: "default chain"}
		return awssdk.Credentials{Provider: p.provider}, nil
	}
	found, ok := host.GetExtensions()[*id]
	if !ok {
		return nil, fmt.Errorf("`credentials_provider`: there is no extension %q", id)
	}
	provider, ok := found.(interface {
		GetCredentialsProvider() aws.CredentialsProvider
	})
	if !ok {
		return nil, fmt.Errorf("`credentials_provider`: the extension %q has no credentials for AWS", id)
	}
	p.provider = &namedProvider{CredentialsProvider: provider.GetCredentialsProvider(), name: id.String()}
	return awssdk.Credentials{Provider: p.provider}, nil
}

// namedProvider remembers from where credentials were, for the log.
type namedProvider struct {
	aws.CredentialsProvider
	name   string
	source atomic.Value
}

func (n *namedProvider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := n.CredentialsProvider.Retrieve(ctx)
	if err == nil {
		n.source.Store(c.Source)
	}
	return c, err
}

func (n *namedProvider) String() string {
	if n == nil {
		return ""
	}
	if source, _ := n.source.Load().(string); source != "" && source != n.name {
		return n.name + ": " + source
	}
	return n.name
}

func (p *poller) storage(ctx context.Context, host component.Host) (storage.Client, error) {
	id := p.config.Storage
	if id == nil {
		p.logger.Info("there is no storage: after a restart the points of one lookback come again")
		return nil, nil //nolint:nilnil // there is none
	}
	found, ok := host.GetExtensions()[*id].(storage.Extension)
	if !ok {
		return nil, fmt.Errorf("`storage`: there is no extension %q that stores", id)
	}
	return found.GetClient(ctx, component.KindReceiver, p.settings.ID, "")
}

// service is one of AWS's services for an account.
func (p *poller) service(a *account, region, name string) (*service, error) {
	endpoint, err := p.config.endpoint(name, region)
	if err != nil {
		return nil, err
	}
	client, err := signing(p.client, a.From, region, name, endpoint)
	if err != nil {
		return nil, err
	}
	s := &service{Client: client, Endpoint: endpoint, Account: a.name(), Region: region, Report: p.report, Limits: make(map[string]*limiter)}
	for _, operation := range operationsOf(name) {
		s.Limits[operation] = newLimiter(operation)
	}
	return s, nil
}

func operationsOf(name string) []string {
	switch name {
	case serviceCloudWatch:
		return []string{opMetricData, opMetricStatistics, opListMetrics}
	case serviceEC2:
		return []string{opInstances, opInstanceStatus, opRegions}
	case serviceTagging:
		return []string{opResources}
	}
	return []string{opCaller}
}

func (p *poller) site(a *account, region string) (*site, error) {
	s := &site{
		config: p.config, account: a.id, region: region, version: p.settings.BuildInfo.Version, next: p.next, obs: p.obs, report: p.report, allowance: p.allowance,
	}
	s.marks = &marks{Client: p.store, Prefix: "v1/" + a.id + "/" + region, Keep: s.slots(2 * p.config.MaxBackfill)}
	var err error
	ask := func(name string) *service {
		of, failed := p.service(a, region, name)
		err = errors.Join(err, failed)
		return of
	}
	s.cloudWatch, s.ec2, s.tagging = cloudWatch{ask(serviceCloudWatch), p.config.Metrics.protocol()}, ec2{ask(serviceEC2)}, tagging{ask(serviceTagging)}
	return s, err
}

func (p *poller) run(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		p.poll(ctx, began)
		_ = sleep(ctx, p.pause()-time.Since(began))
	}
}

// knock is how long those wait whom no account has let in yet: what that takes costs nothing.
const knock = time.Minute

func (p *poller) pause() time.Duration {
	if slices.ContainsFunc(p.accounts, func(a *account) bool { return len(a.sites) > 0 }) {
		return p.plan.Interval
	}
	return min(p.plan.Interval, knock)
}

// poll finds out what there is, and reads it as the budget allows.
func (p *poller) poll(ctx context.Context, now time.Time) {
	p.everywhere(p.accounts, func(a *account) { p.complain(a.resolve(ctx, p), a.name(), "") })
	sites := p.sites()
	everywhere(p.config.Concurrency, sites, func(s *site) { p.complain(s.discover(ctx, now), s.account, s.region) })
	var all load
	for _, s := range sites {
		mine := s.entities(p.config.Shard)
		of := loadOf(mine)
		p.tell(s, len(mine), of.Core+of.Optional)
		all = all.plus(of)
	}
	p.decide(p.config.planOf(all), all)
	everywhere(p.config.Concurrency, sites, func(s *site) { p.complain(s.read(ctx, now, p.plan), s.account, s.region) })
	if p.allowance.PerHour > 0 {
		p.report.left(ctx, p.allowance.left(time.Now()))
	}
}

// tell says once what there is at a site; that it grows and shrinks is for those who look
// closer.
func (p *poller) tell(s *site, resources, metrics int) {
	if s.told && metrics == s.metrics {
		return
	}
	level := zap.InfoLevel
	if s.told {
		level = zap.DebugLevel
	}
	s.told, s.metrics = true, metrics
	p.logger.Log(level, "a region is read", accountField(s.account), zap.String("region", s.region), zap.Stringer("provider", p.provider),
		zap.Int("resources", resources), zap.Int("metrics", metrics))
}

func (p *poller) everywhere(all []*account, do func(*account)) {
	everywhere(p.config.Concurrency, all, do)
}

// everywhere does the same to all, a few at a time. One that fails stops no other.
func everywhere[T any](at int, all []T, do func(T)) {
	var group errgroup.Group
	group.SetLimit(at)
	for _, one := range all {
		group.Go(func() error {
			do(one)
			return nil
		})
	}
	_ = group.Wait()
}

// sites begin with another one in each round: where the budget is short, it is so for each in
// turn.
func (p *poller) sites() []*site {
	var all []*site
	for _, a := range p.accounts {
		all = append(all, a.sites...)
	}
	if len(all) == 0 {
		return nil
	}
	first := p.round % len(all)
	p.round++
	return slices.Concat(all[first:], all[:first])
}

// decide says when the budget changes what is read.
func (p *poller) decide(to plan, of load) {
	if to == p.plan {
		return
	}
	p.plan = to
	fields := []zap.Field{
		zap.Duration("interval", to.Interval), zap.Bool("optional", to.Optional), zap.String("api", to.API), zap.Int("queries", of.Core+of.Optional),
	}
	switch {
	case to.Scarce:
		p.logger.Error("the budget is not enough for what there is: some of it is read later or never; see estimate", fields...)
	case !to.Optional || to.Interval > p.config.Metrics.CollectionInterval:
		p.logger.Warn("the budget makes polls rarer, or leaves optional metrics out", fields...)
	default:
		p.logger.Info("what is read", fields...)
	}
}

func (p *poller) complain(err error, account, region string) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	fields := []zap.Field{accountField(account), zap.String("region", region), zap.Error(err)}
	var known *keyless.Error
	if errors.As(err, &known) && known.Hint != "" {
		fields = append(fields, zap.String("hint", known.Hint))
	}
	p.logger.Warn("not all could be read; the next poll tries again", fields...)
}

func accountField(id string) zap.Field { return zap.String("account", id) }

func regionsField(regions []string) zap.Field {
	return zap.String("regions", strings.Join(regions, " "))
}
