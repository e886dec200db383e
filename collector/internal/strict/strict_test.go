package strict

import (
	"testing"

	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/confmap"
)

type config struct {
	Client confighttp.ClientConfig `mapstructure:",squash"`
	Own    string                  `mapstructure:"own"`
	hidden string
}

func TestKeysThatNobodyKnowsAreRefused(t *testing.T) {
	for key, want := range map[string]bool{"own": true, "endpoint": true, "onw": false, "hidden": false, "": false} {
		err := Keys[config](confmap.NewFromStringMap(map[string]any{key: "x"}))
		if (err == nil) != want {
			t.Errorf("%q: %v", key, err)
		}
	}
	_ = config{}.hidden
}
