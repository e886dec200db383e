package awscloudwatchmetricsreceiver

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
)

// configFrom reads an entry of testdata/config.yaml over the defaults.
func configFrom(t *testing.T, id string) (*Config, error) {
	t.Helper()
	all, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	must(t, err)
	entry, err := all.Sub(id)
	must(t, err)
	config := createDefaultConfig()
	must(t, entry.Unmarshal(config))
	return config, confmap.Validate(config)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// What is billed is the asking, not the points.
func TestByDefaultPointsOfFiveMinutesAreReadThreeAtATime(t *testing.T) {
	if m := createDefaultConfig().Metrics; m.CollectionInterval != 15*time.Minute || m.Period != 5*time.Minute {
		t.Errorf("%+v", m)
	}
}

func TestEveryOptionIsRead(t *testing.T) {
	got, err := configFrom(t, "aws_cloudwatch_metrics/all")
	must(t, err)
	keyless, file, no := component.MustNewID("keyless"), component.MustNewID("file_storage"), false
	want := createDefaultConfig()
	want.ClientConfig.Timeout, want.FIPS, want.AllowEndpoint = 10*time.Second, true, true
	want.Endpoints = map[string]string{"sts": "https://sts.example.com"}
	want.CredentialsProvider, want.Storage = &keyless, &file
	want.Region, want.Regions = "eu-west-1", []string{"us-east-1"}
	want.Accounts = []AccountConfig{{
		RoleARNs:   []string{"arn:aws:iam::111122223333:role/hub", "arn:aws:iam::444455556666:role/spoke"},
		ExternalID: "e-1", SessionName: "collector", Regions: []string{"*"},
	}}
	want.Metrics = MetricsConfig{
		CollectionInterval: 15 * time.Minute, Period: time.Minute, Delay: 3 * time.Minute, Protocol: "json",
		Queries: []QueryConfig{{
			Namespace: "AWS/RDS", MetricName: "CPUUtilization", Dimensions: map[string]string{"DBInstanceIdentifier": "*"}, Stats: []string{"Average", "p99"},
			Optional: true, ResourceType: "rds:db", Tags: map[string][]string{"env": {"prod"}},
		}},
		Discovery: &DiscoveryConfig{Filters: DiscoveryFilters{"AWS/SQS", "NumberOfMessagesSent"}, Limit: 100, Stats: []string{"Sum"}, RecentlyActive: &no},
	}
	want.EC2 = EC2Config{
		Enabled: true, Profile: "metricbeat", Tags: map[string][]string{"env": {"prod", "test"}}, States: []string{"running", "stopped"}, Refresh: 10 * time.Minute,
		IncludeTags: []string{"env"}, ExcludeTags: []string{"secret"},
	}
	want.Lookback, want.MaxBackfill, want.Budget.USDPerMonth = 2*time.Hour, 48*time.Hour, 100
	want.Shard, want.StatisticsAPI, want.Format, want.Concurrency = ShardConfig{Count: 3, PodName: "collector-2"}, "auto", "summary", 4
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if index, err := got.Shard.index(); err != nil || index != 2 {
		t.Errorf("shard %d, %v", index, err)
	}
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	for id, want := range map[string]string{
		"nothing":   "there is nothing to read",
		"nowhere":   "`regions` must name one region at least",
		"elsewhere": "set `allow_endpoint`",
		"times":     "`lookback` must be from one to 192 periods",
		"backfill":  "`max_backfill` must be from `lookback` to the 1512h0m0s",
		"stat":      `"Median" is no statistic`,
		"budget":    "not both",
		"shard":     "`shard.index` must be less than `shard.count`",
		"protocol":  "`metrics.protocol` must be cbor or json",
		"choices":   "`ec2.profile` must be minimal, standard or metricbeat",
		"roles":     "`accounts[0]`",
	} {
		t.Run(id, func(t *testing.T) {
			if _, err := configFrom(t, "aws_cloudwatch_metrics/"+id); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
	if _, err := configFrom(t, "aws_cloudwatch_metrics"); err != nil {
		t.Errorf("the least that works: %v", err)
	}
}

func TestAShardHasEachResourceOnce(t *testing.T) {
	const count = 3
	shares := make([]int, count)
	for i := range 3000 {
		e := entity{Namespace: "AWS/EC2", Dimensions: []dimension{{"InstanceId", "i-" + string(rune('a'+i%26)) + time.Duration(i).String()}}}
		owners := 0
		for index := range count {
			if (ShardConfig{Index: index, Count: count}).has(e.sum()) {
				owners++
				shares[index]++
			}
		}
		if owners != 1 {
			t.Fatalf("%d owners", owners)
		}
	}
	for _, n := range shares {
		if n < 800 || n > 1200 {
			t.Errorf("%v are no equal shares", shares)
		}
	}
}
