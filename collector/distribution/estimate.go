package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"

	"github.com/keyless-id/keyless/collector/receiver/awscloudwatchmetricsreceiver"
)

// newEstimate says what CloudWatch will cost before it does.
func newEstimate() *cobra.Command {
	var configs, instances []string
	var listed int
	cmd := &cobra.Command{
		Use:   "estimate",
		Short: "Print the calls and dollars of each receiver aws_cloudwatch_metrics of a configuration",
		Long: "Print how many calls a poll makes of CloudWatch, how many metrics it asks for, and what that costs\n" +
			"in a month. Without --instances EC2 is asked which there are, with the credentials that the\n" +
			"receiver would have; that is free.",
		Example: "  keyless-collector estimate --config metrics.yaml --instances t3.micro=100,m5.large=900",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			counts, err := countsOf(instances)
			if err != nil {
				return err
			}
			resolverSettings := settings().ConfigProviderSettings.ResolverSettings
			resolverSettings.URIs = configs
			resolver, err := confmap.NewResolver(resolverSettings)
			if err != nil {
				return err
			}
			conf, err := resolver.Resolve(cmd.Context())
			if err != nil {
				return err
			}
			options := awscloudwatchmetricsreceiver.EstimateOptions{Instances: counts, Listed: listed}
			return estimate(cmd.Context(), cmd.OutOrStdout(), conf, options)
		},
	}
	cmd.Flags().StringArrayVar(&configs, "config", nil, "`file` of the Collector, as for the Collector itself")
	cmd.Flags().StringSliceVar(&instances, "instances", nil, "`TYPE=N` instances at each account and region, instead of asking EC2")
	cmd.Flags().IntVar(&listed, "listed", 0, "metrics that each query with wildcards finds, with --instances")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

// estimate is made for each receiver with the credentials that it would have itself.
func estimate(ctx context.Context, w io.Writer, conf *confmap.Conf, o awscloudwatchmetricsreceiver.EstimateOptions) error {
	lent := lenders(conf)
	if o.Instances != nil || len(lent) == 0 {
		return awscloudwatchmetricsreceiver.Estimate(ctx, w, conf, o)
	}
	for _, name := range slices.Sorted(maps.Keys(lent)) {
		alone := confmap.NewFromStringMap(map[string]any{"receivers": map[string]any{name: conf.Get("receivers::" + name)}})
		if err := estimateOne(ctx, w, conf, alone, lent[name]); err != nil {
			return err
		}
	}
	return nil
}

func estimateOne(ctx context.Context, w io.Writer, conf, alone *confmap.Conf, lender string) error {
	var o awscloudwatchmetricsreceiver.EstimateOptions
	if lender != "" {
		from, end, err := borrowed(ctx, conf, lender)
		if err != nil {
			return err
		}
		defer end()
		o.Credentials = from
	}
	return awscloudwatchmetricsreceiver.Estimate(ctx, w, alone, o)
}

// lenders are the extensions that the receivers name for their credentials; empty: the SDK's
// default chain.
func lenders(conf *confmap.Conf) map[string]string {
	kind := awscloudwatchmetricsreceiver.NewFactory().Type()
	receivers, _ := conf.Get("receivers").(map[string]any)
	all := map[string]string{}
	for name, section := range receivers {
		var id component.ID
		if err := id.UnmarshalText([]byte(name)); err != nil || id.Type() != kind {
			continue
		}
		fields, _ := section.(map[string]any)
		all[name], _ = fields["credentials_provider"].(string)
	}
	return all
}

func countsOf(given []string) (map[string]int, error) {
	if len(given) == 0 {
		return nil, nil
	}
	counts := map[string]int{}
	for _, pair := range given {
		kind, text, _ := strings.Cut(pair, "=")
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || kind == "" {
			return nil, fmt.Errorf("--instances %q: want TYPE=N, for example t3.micro=100", pair)
		}
		counts[kind] += n
	}
	return counts, nil
}
