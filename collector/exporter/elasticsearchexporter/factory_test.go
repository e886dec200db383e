package elasticsearchexporter

import (
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
)

func TestTheTypeIsTheNameInConfigurations(t *testing.T) {
	factory := NewFactory()
	if factory.Type() != component.MustNewType("elasticsearch") || factory.MetricsStability() != component.StabilityLevelAlpha || factory.LogsStability() != component.StabilityLevelAlpha {
		t.Errorf("%v %v", factory.Type(), factory.MetricsStability())
	}
	if err := componenttest.CheckConfigStruct(factory.CreateDefaultConfig()); err != nil {
		t.Error(err)
	}
}
