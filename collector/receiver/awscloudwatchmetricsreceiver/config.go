package awscloudwatchmetricsreceiver

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"

	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/transport"
)

// Config is the configuration of the receiver. The endpoint is empty for AWS itself; one that
// is set gets the requests of all services and regions.
type Config struct {
	ClientConfig confighttp.ClientConfig `mapstructure:",squash"` // named: embedded, its Unmarshal would be ours

	// Endpoints are other addresses of single services: monitoring, ec2, tagging and sts.
	Endpoints map[string]string `mapstructure:"endpoints"`
	// AllowEndpoint lets signed requests go to an endpoint that is not this machine's own.
	AllowEndpoint bool `mapstructure:"allow_endpoint"`
	FIPS          bool `mapstructure:"fips"`

	// CredentialsProvider is an extension with GetCredentialsProvider. Without one the SDK's
	// default chain is asked.
	CredentialsProvider *component.ID `mapstructure:"credentials_provider"`
	// Storage is an extension that keeps the cursor. Without one a restart passes on the
	// points of one lookback again.
	Storage *component.ID `mapstructure:"storage"`

	Region   string          `mapstructure:"region"` // one more, as in the receiver of contrib
	Regions  []string        `mapstructure:"regions"`
	Accounts []AccountConfig `mapstructure:"accounts"` // none: that of the credentials

	Metrics MetricsConfig `mapstructure:"metrics"`
	EC2     EC2Config     `mapstructure:"ec2"`

	// Lookback is how far back each poll reads again what earlier ones have read: a point
	// that comes later than that is lost.
	Lookback time.Duration `mapstructure:"lookback"`
	// MaxBackfill is how far back the first poll after a pause reads.
	MaxBackfill time.Duration `mapstructure:"max_backfill"`

	Budget        BudgetConfig `mapstructure:"budget"`
	Shard         ShardConfig  `mapstructure:"shard"`
	StatisticsAPI string       `mapstructure:"statistics_api"` // metric_data, metric_statistics or auto
	Format        string       `mapstructure:"format"`         // gauge or summary
	Concurrency   int          `mapstructure:"concurrency"`    // regions of accounts that are read at a time
}

// AccountConfig is an account that is reached by going from role to role.
type AccountConfig struct {
	RoleARNs    []string `mapstructure:"role_arns"`   // in this order; none: the credentials as they are
	ExternalID  string   `mapstructure:"external_id"` // for the last role
	SessionName string   `mapstructure:"session_name"`
	Regions     []string `mapstructure:"regions"` // none: those of the receiver
}

// MetricsConfig says what is read of which namespace, and when.
type MetricsConfig struct {
	CollectionInterval time.Duration    `mapstructure:"collection_interval"`
	Period             time.Duration    `mapstructure:"period"`
	Delay              time.Duration    `mapstructure:"delay"` // what is younger is not asked for yet
	Queries            []QueryConfig    `mapstructure:"queries"`
	Discovery          *DiscoveryConfig `mapstructure:"discovery"`
	Protocol           string           `mapstructure:"protocol"` // cbor, or json for servers that do not speak that
}

func (c MetricsConfig) protocol() protocol {
	if c.Protocol == protocolJSON {
		return awsJSON{}
	}
	return rpcCBOR{}
}

// QueryConfig is one metric, or those that ListMetrics finds: an empty name stands for all
// names, and * for all values of a dimension.
type QueryConfig struct {
	Namespace    string              `mapstructure:"namespace"`
	MetricName   string              `mapstructure:"metric_name"`
	Dimensions   map[string]string   `mapstructure:"dimensions"`
	Stats        []string            `mapstructure:"stats"`
	Optional     bool                `mapstructure:"optional"`      // dropped first when the budget is short
	ResourceType string              `mapstructure:"resource_type"` // of GetResources, for example rds:db: attaches its tags
	Tags         map[string][]string `mapstructure:"tags"`          // only resources with these; needs ResourceType
}

// DiscoveryConfig is contrib's form of a query for all that there is.
type DiscoveryConfig struct {
	Filters        DiscoveryFilters `mapstructure:"filters"`
	Limit          int              `mapstructure:"limit"` // of metrics; zero: none
	Stats          []string         `mapstructure:"stats"`
	RecentlyActive *bool            `mapstructure:"recently_active"`
}

// DiscoveryFilters narrow a discovery.
type DiscoveryFilters struct {
	Namespace  string `mapstructure:"namespace"`
	MetricName string `mapstructure:"metric_name"`
}

// EC2Config reads the metrics of instances without ListMetrics.
type EC2Config struct {
	Enabled bool                `mapstructure:"enabled"`
	Profile string              `mapstructure:"profile"` // minimal, standard or metricbeat
	Tags    map[string][]string `mapstructure:"tags"`    // all of the keys, any of the values; no value: any
	States  []string            `mapstructure:"states"`
	Refresh time.Duration       `mapstructure:"refresh"` // how long the list of instances is good for

	IncludeTags []string `mapstructure:"include_tags"` // as attributes; none: all
	ExcludeTags []string `mapstructure:"exclude_tags"`
}

// BudgetConfig is a limit that is kept by polling less often, then by leaving out optional
// metrics, then by not asking. At most one may be set.
type BudgetConfig struct {
	USDPerMonth    float64 `mapstructure:"usd_per_month"`
	QueriesPerHour int     `mapstructure:"queries_per_hour"`
}

// ShardConfig divides the resources among Count receivers. The Index may be the number at the
// end of the name of a StatefulSet's pod.
type ShardConfig struct {
	Index   int    `mapstructure:"index"`
	Count   int    `mapstructure:"count"`
	PodName string `mapstructure:"pod_name"`
}

// The values of options.
const (
	apiData, apiStatistics, apiAuto                       = "metric_data", "metric_statistics", "auto"
	formatGauge, formatSummary                            = "gauge", "summary"
	protocolCBOR, protocolJSON                            = "cbor", "json"
	profileMinimal, profileStandard, profileMetricbeat    = "minimal", "standard", "metricbeat"
	anyValue                                              = "*"
	statAverage, statSum, statMin, statMax, statSampleCnt = "Average", "Sum", "Minimum", "Maximum", "SampleCount"
)

func createDefaultConfig() *Config {
	client := confighttp.NewDefaultClientConfig()
	client.Timeout = 30 * time.Second
	return &Config{
		ClientConfig:  client,
		Metrics:       MetricsConfig{CollectionInterval: 15 * time.Minute, Period: 5 * time.Minute, Delay: 5 * time.Minute, Protocol: protocolCBOR},
		EC2:           EC2Config{Profile: profileStandard, States: []string{"running"}, Refresh: 5 * time.Minute},
		Lookback:      time.Hour,
		MaxBackfill:   24 * time.Hour,
		Shard:         ShardConfig{Count: 1},
		StatisticsAPI: apiData,
		Format:        formatGauge,
		Concurrency:   16,
	}
}

// Validate looks at the configuration only, at no file and no network.
func (c *Config) Validate() error {
	return errors.Join(c.checkEndpoint(), c.checkPlaces(), c.checkTimes(), c.checkQueries(), c.checkChoices(), c.checkBudget(), c.checkShard())
}

func (c *Config) checkEndpoint() error {
	var errs []error
	for name, endpoint := range c.Endpoints {
		if !slices.Contains([]string{serviceCloudWatch, serviceEC2, serviceTagging, serviceSTS}, name) {
			errs = append(errs, fmt.Errorf("`endpoints` knows monitoring, ec2, tagging and sts, not %q", name))
		}
		errs = append(errs, c.checkAddress("endpoints."+name, endpoint))
	}
	if c.ClientConfig.Endpoint != "" {
		errs = append(errs, c.checkAddress("endpoint", c.ClientConfig.Endpoint))
	}
	return errors.Join(errs...)
}

func (c *Config) checkAddress(name, endpoint string) error {
	at, err := url.Parse(endpoint)
	switch {
	case err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http":
		return fmt.Errorf("`%s` must be an address like https://HOST", name)
	case !c.AllowEndpoint && !transport.Loopback(at):
		return fmt.Errorf("`%s` is not AWS's own: set `allow_endpoint` to send signed requests there", name)
	}
	return nil
}

// endpoint is where requests for a service in a region go.
func (c *Config) endpoint(name, region string) (string, error) {
	if at := firstOf(c.Endpoints[name], c.ClientConfig.Endpoint); at != "" {
		return at, nil
	}
	return endpointOf(name, region, c.FIPS)
}

// regions are those of the receiver.
func (c *Config) regions() []string {
	if c.Region == "" || slices.Contains(c.Regions, c.Region) {
		return c.Regions
	}
	return append([]string{c.Region}, c.Regions...)
}

// accounts are those to read: at least that of the credentials.
func (c *Config) accounts() []AccountConfig {
	all := slices.Clone(c.Accounts)
	if len(all) == 0 {
		all = []AccountConfig{{}}
	}
	for i := range all {
		if len(all[i].Regions) == 0 {
			all[i].Regions = c.regions()
		}
	}
	return all
}

func (c *Config) checkPlaces() error {
	var errs []error
	for i, a := range c.accounts() {
		if len(a.Regions) == 0 {
			errs = append(errs, errors.New("`regions` must name one region at least, or be [\"*\"]"))
		}
		for _, region := range a.Regions {
			if _, err := endpointOf("monitoring", region, c.FIPS); region != anyValue && err != nil {
				errs = append(errs, fmt.Errorf("`regions`: %w", err))
			}
		}
		for _, role := range a.RoleARNs {
			if err := (awssts.AssumeRole{RoleARN: role, ExternalID: a.ExternalID, SessionName: a.SessionName}).Validate(); err != nil {
				errs = append(errs, fmt.Errorf("`accounts[%d]`: %w", i, err))
			}
		}
		if a.ExternalID != "" && len(a.RoleARNs) == 0 {
			errs = append(errs, fmt.Errorf("`accounts[%d].external_id` is of no use without `role_arns`", i))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) checkTimes() error {
	m := c.Metrics
	switch {
	case m.Period < time.Minute || m.Period%time.Minute != 0 || m.Period > 24*time.Hour:
		return errors.New("`metrics.period` must be a number of minutes, and at most a day")
	case m.CollectionInterval < time.Minute:
		return errors.New("`metrics.collection_interval` must be at least a minute")
	case m.Delay < 0:
		return errors.New("`metrics.delay` must not be negative")
	case c.Lookback < m.Period || c.Lookback > memorySlots*m.Period:
		return fmt.Errorf("`lookback` must be from one to %d periods", memorySlots)
	case c.MaxBackfill < c.Lookback || c.MaxBackfill > retention(m.Period):
		return fmt.Errorf("`max_backfill` must be from `lookback` to the %s that CloudWatch keeps points of this period", retention(m.Period))
	case c.EC2.Refresh < 0:
		return errors.New("`ec2.refresh` must not be negative")
	}
	return nil
}

// retention is how long CloudWatch keeps points of a period ("Metrics retention", Amazon
// CloudWatch User Guide).
func retention(period time.Duration) time.Duration {
	const day = 24 * time.Hour
	switch {
	case period < 5*time.Minute:
		return 15 * day
	case period < time.Hour:
		return 63 * day
	}
	return 455 * day
}

func (c *Config) checkQueries() error {
	var errs []error
	if !c.EC2.Enabled && len(c.Metrics.Queries) == 0 && c.Metrics.Discovery == nil {
		errs = append(errs, errors.New("there is nothing to read: set `ec2.enabled`, `metrics.queries` or `metrics.discovery`"))
	}
	for i, q := range c.Metrics.Queries {
		if q.Namespace == "" {
			errs = append(errs, fmt.Errorf("`metrics.queries[%d].namespace` must be set", i))
		}
		if len(q.Tags) > 0 && q.ResourceType == "" {
			errs = append(errs, fmt.Errorf("`metrics.queries[%d].tags` needs `resource_type`", i))
		}
		errs = append(errs, checkStats(fmt.Sprintf("metrics.queries[%d]", i), q.Stats))
	}
	if d := c.Metrics.Discovery; d != nil {
		if d.Filters.Namespace == "" {
			errs = append(errs, errors.New("`metrics.discovery.filters.namespace` must be set: all namespaces together have no price that could be foreseen"))
		}
		errs = append(errs, checkStats("metrics.discovery", d.Stats))
	}
	return errors.Join(errs...)
}

func checkStats(where string, stats []string) error {
	for _, stat := range stats {
		if !isStat(stat) {
			return fmt.Errorf("`%s.stats`: %q is no statistic: Average, Sum, Minimum, Maximum, SampleCount or a percentile like p99", where, stat)
		}
	}
	return nil
}

func isStat(s string) bool {
	if isPlainStat(s) {
		return true
	}
	n, ok := strings.CutPrefix(s, "p")
	value, err := strconv.ParseFloat(n, 64)
	return ok && err == nil && value >= 0 && value <= 100
}

func isPlainStat(s string) bool {
	switch s {
	case statAverage, statSum, statMin, statMax, statSampleCnt:
		return true
	}
	return false
}

func (c *Config) checkChoices() error {
	switch {
	case !slices.Contains([]string{apiData, apiStatistics, apiAuto}, c.StatisticsAPI):
		return fmt.Errorf("`statistics_api` must be metric_data, metric_statistics or auto, not %q", c.StatisticsAPI)
	case !slices.Contains([]string{formatGauge, formatSummary}, c.Format):
		return fmt.Errorf("`format` must be gauge or summary, not %q", c.Format)
	case !slices.Contains([]string{protocolCBOR, protocolJSON}, c.Metrics.Protocol):
		return fmt.Errorf("`metrics.protocol` must be cbor or json, not %q", c.Metrics.Protocol)
	case !slices.Contains([]string{profileMinimal, profileStandard, profileMetricbeat}, c.EC2.Profile):
		return fmt.Errorf("`ec2.profile` must be minimal, standard or metricbeat, not %q", c.EC2.Profile)
	case c.Concurrency < 1:
		return errors.New("`concurrency` must be positive")
	}
	return nil
}

func (c *Config) checkBudget() error {
	b := c.Budget
	switch {
	case b.USDPerMonth < 0 || b.QueriesPerHour < 0:
		return errors.New("`budget` must not be negative")
	case b.USDPerMonth > 0 && b.QueriesPerHour > 0:
		return errors.New("`budget` takes `usd_per_month` or `queries_per_hour`, not both")
	}
	return nil
}

func (c *Config) checkShard() error {
	index, err := c.Shard.index()
	switch {
	case err != nil:
		return err
	case c.Shard.Count < 1 || index < 0 || index >= c.Shard.Count:
		return errors.New("`shard.index` must be less than `shard.count`, and neither negative")
	}
	return nil
}

func (s ShardConfig) index() (int, error) {
	if s.PodName == "" {
		return s.Index, nil
	}
	index, err := strconv.Atoi(lastPart(s.PodName, '-'))
	if err != nil {
		return 0, fmt.Errorf("`shard.pod_name` %q does not end in -NUMBER as those of a StatefulSet do", s.PodName)
	}
	return index, nil
}

// has reports whether a resource is the shard's.
func (s ShardConfig) has(hash uint64) bool {
	index, err := s.index()
	return err == nil && int(hash%uint64(s.Count)) == index //nolint:gosec // less than Count
}

// lastPart is what comes after the last separator, or all if there is none.
func lastPart(s string, sep byte) string {
	return s[strings.LastIndexByte(s, sep)+1:]
}
