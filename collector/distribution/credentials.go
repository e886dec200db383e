package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/pdata/pcommon"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
)

// borrowed are the AWS credentials of an extension of a configuration, which runs alone until
// end is called.
func borrowed(ctx context.Context, conf *confmap.Conf, name string) (from aws.CredentialsProvider, end func(), err error) {
	found, err := newExtension(ctx, conf, name)
	if err != nil {
		return nil, nil, fmt.Errorf("extensions::%s: %w", name, err)
	}
	lender, ok := found.(interface {
		GetCredentialsProvider() aws.CredentialsProvider
	})
	if !ok {
		return nil, nil, fmt.Errorf("extensions::%s has no credentials for AWS", name)
	}
	if err := found.Start(ctx, nobody{}); err != nil {
		return nil, nil, fmt.Errorf("extensions::%s: %w", name, err)
	}
	return lender.GetCredentialsProvider(), func() { _ = found.Shutdown(ctx) }, nil
}

func newExtension(ctx context.Context, conf *confmap.Conf, name string) (extension.Extension, error) {
	var id component.ID
	if err := id.UnmarshalText([]byte(name)); err != nil {
		return nil, err
	}
	all, err := components()
	if err != nil {
		return nil, err
	}
	factory, known := all.Extensions[id.Type()]
	if !known || !conf.IsSet("extensions::"+name) {
		return nil, errors.New("there is no such extension")
	}
	config := factory.CreateDefaultConfig()
	section, err := conf.Sub("extensions::" + name)
	if err == nil {
		err = section.Unmarshal(config)
	}
	if err == nil {
		err = confmap.Validate(config)
	}
	if err != nil {
		return nil, err
	}
	return factory.Create(ctx, extension.Settings{ID: id, BuildInfo: settings().BuildInfo, TelemetrySettings: silent()}, config)
}

// silent tells nobody anything: what goes wrong is an error.
func silent() component.TelemetrySettings {
	return component.TelemetrySettings{
		Logger: zap.NewNop(), MeterProvider: metricnoop.NewMeterProvider(), TracerProvider: tracenoop.NewTracerProvider(), Resource: pcommon.NewResource(),
	}
}

// nobody is a host without extensions.
type nobody struct{}

// GetExtensions implements [component.Host].
func (nobody) GetExtensions() map[component.ID]component.Component { return nil }
