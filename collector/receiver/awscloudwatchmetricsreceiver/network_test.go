package awscloudwatchmetricsreceiver

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/keyless-id/keyless/sandbox"
)

// listening is a sandbox behind real connections, and its addresses.
func listening(t *testing.T) map[string]string {
	t.Helper()
	far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 2, sandbox.Delivery{}))
	must(t, far.Listen("127.0.0.1:0"))
	return map[string]string{
		serviceCloudWatch: far.URL(sandbox.CloudWatch), serviceEC2: far.URL(sandbox.EC2API), serviceTagging: far.URL(sandbox.Tagging), serviceSTS: far.URL(sandbox.STS),
	}
}

func TestTheFactorysReceiverReadsOverTheNetwork(t *testing.T) {
	got := make(chan int, 100)
	next, err := consumer.NewMetrics(func(_ context.Context, md pmetric.Metrics) error {
		got <- md.DataPointCount()
		return nil
	})
	must(t, err)
	c := configOf()
	c.Endpoints = listening(t)
	must(t, c.Validate())
	r, err := NewFactory().CreateMetrics(t.Context(), receivertest.NewNopSettings(NewFactory().Type()), c, next)
	must(t, err)
	must(t, r.Start(t.Context(), newHost()))
	if n := <-got; n == 0 {
		t.Error("no points")
	}
	must(t, r.Shutdown(t.Context()))
}

func TestTheEstimateAsksEC2WhatThereIs(t *testing.T) {
	endpoints := make(map[string]any)
	for name, at := range listening(t) {
		endpoints[name] = at
	}
	conf := confmap.NewFromStringMap(map[string]any{"receivers": map[string]any{"aws_cloudwatch_metrics": map[string]any{
		"regions": []any{"eu-west-1"}, "endpoints": endpoints, "ec2": map[string]any{"enabled": true}, "credentials_provider": "keyless",
	}}})
	var out strings.Builder
	must(t, Estimate(t.Context(), &out, conf, EstimateOptions{Host: newHost()}))
	if text := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(text, "resources 4 ") || !strings.Contains(text, "metrics requested per poll 44 ") {
		t.Errorf("%s", out.String())
	}
}
