package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"

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
			"in a month. Without --instances EC2 is asked which there are, with the credentials of the receiver;\n" +
			"that is free.",
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
			return estimate(cmd.Context(), cmd.OutOrStdout(), conf, awscloudwatchmetricsreceiver.EstimateOptions{Instances: counts, Listed: listed})
		},
	}
	cmd.Flags().StringArrayVar(&configs, "config", nil, "`file` of the Collector, as for the Collector itself")
	cmd.Flags().StringSliceVar(&instances, "instances", nil, "`TYPE=N` instances at each account and region, instead of asking EC2")
	cmd.Flags().IntVar(&listed, "listed", 0, "metrics that each query with wildcards finds, with --instances")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

// estimate asks EC2 only if nobody has said what there is.
func estimate(ctx context.Context, w io.Writer, conf *confmap.Conf, options awscloudwatchmetricsreceiver.EstimateOptions) error {
	if options.Instances != nil {
		return awscloudwatchmetricsreceiver.Estimate(ctx, w, conf, options)
	}
	h := identities{}
	err := h.start(ctx, conf)
	if err == nil {
		options.Host = h
		err = awscloudwatchmetricsreceiver.Estimate(ctx, w, conf, options)
	}
	return errors.Join(err, h.shutdown(ctx))
}

// identities are the extensions that receivers take their credentials from, for whom there are no others.
type identities map[component.ID]component.Component

// GetExtensions implements [component.Host].
func (h identities) GetExtensions() map[component.ID]component.Component { return h }

func (h identities) start(ctx context.Context, conf *confmap.Conf) error {
	sections, err := conf.Sub("extensions")
	if err != nil {
		return err
	}
	receivers, err := conf.Sub("receivers")
	if err != nil {
		return err
	}
	factories, err := components()
	if err != nil {
		return err
	}
	for _, section := range receivers.ToStringMap() {
		fields, _ := section.(map[string]any)
		name, _ := fields["credentials_provider"].(string)
		var id component.ID
		if name == "" || id.UnmarshalText([]byte(name)) != nil || h[id] != nil || !sections.IsSet(name) || factories.Extensions[id.Type()] == nil {
			continue // the estimate says what is wrong with it
		}
		if h[id], err = begin(ctx, factories.Extensions[id.Type()], id, sections); err != nil {
			return fmt.Errorf("extensions::%s: %w", name, err)
		}
	}
	return nil
}

// begin makes an extension as the Collector would, but for its telemetry, and starts it.
func begin(ctx context.Context, factory extension.Factory, id component.ID, sections *confmap.Conf) (component.Component, error) {
	config := factory.CreateDefaultConfig()
	section, err := sections.Sub(id.String())
	if err != nil {
		return nil, err
	}
	if err := section.Unmarshal(config); err != nil {
		return nil, err
	}
	if err := confmap.Validate(config); err != nil {
		return nil, err
	}
	made, err := factory.Create(ctx, extension.Settings{
		ID: id, BuildInfo: settings().BuildInfo,
		TelemetrySettings: component.TelemetrySettings{Logger: zap.NewNop(), MeterProvider: metricnoop.NewMeterProvider(), TracerProvider: tracenoop.NewTracerProvider()},
	}, config)
	if err != nil {
		return nil, err
	}
	return made, made.Start(ctx, identities{})
}

func (h identities) shutdown(ctx context.Context) error {
	var all []error
	for _, one := range h {
		if one != nil {
			all = append(all, one.Shutdown(ctx))
		}
	}
	return errors.Join(all...)
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
