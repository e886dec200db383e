// Keyless-collector is an OpenTelemetry Collector that takes telemetry to Azure and AWS with
// the identity of the machine, and loses none of it.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/featuregate"
	"go.opentelemetry.io/collector/otelcol"

	"github.com/keyless-id/keyless/collector/converter/safedefaults"
)

func main() {
	// Before the flags are read, so that --feature-gates can still turn it off.
	if err := featuregate.GlobalRegistry().Set(safedefaults.SynchronousLogEmitter, true); err != nil {
		fmt.Fprintln(os.Stderr, "keyless-collector: error:", err)
		os.Exit(1)
	}
	command := otelcol.NewCommand(settings())
	command.AddCommand(newEstimate())
	if err := command.Execute(); err != nil { // which says it
		os.Exit(1)
	}
}

func settings() otelcol.CollectorSettings {
	return otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{
			Command:     "keyless-collector",
			Description: "Telemetry to Azure and AWS without stored secrets",
			Version:     version(),
		},
		Factories: components,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{
			ResolverSettings: confmap.ResolverSettings{
				ProviderFactories: []confmap.ProviderFactory{
					envprovider.NewFactory(), fileprovider.NewFactory(), yamlprovider.NewFactory(),
				},
				DefaultScheme:      "env",
				ConverterFactories: []confmap.ConverterFactory{safedefaults.NewFactory(stateDirectory())},
			},
		},
	}
}

// stateDirectory is where the queues are: systemd's, or what is usual for the user.
func stateDirectory() string {
	const name = "keyless-collector"
	if given := filepath.SplitList(os.Getenv("STATE_DIRECTORY")); len(given) > 0 {
		return given[0]
	}
	if os.Geteuid() == 0 {
		return filepath.Join("/var/lib", name)
	}
	if state := os.Getenv("XDG_STATE_HOME"); state != "" {
		return filepath.Join(state, name)
	}
	return filepath.Join(os.Getenv("HOME"), ".local", "state", name)
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	return info.Main.Version
}
