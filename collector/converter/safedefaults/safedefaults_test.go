package safedefaults_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/keyless-id/keyless/collector/converter/safedefaults"
)

func convert(t *testing.T, conf *confmap.Conf, directory string) map[string]any {
	t.Helper()
	if err := safedefaults.NewFactory(directory).Create(confmap.ConverterSettings{}).Convert(t.Context(), conf); err != nil {
		t.Fatal(err)
	}
	return conf.ToStringMap()
}

func TestDefaultsLoseNothingAndWhatIsSaidStays(t *testing.T) {
	before, err := filepath.Glob("testdata/*.before.yaml")
	if err != nil || len(before) == 0 {
		t.Fatal(err, before)
	}
	for _, file := range before {
		t.Run(filepath.Base(file), func(t *testing.T) {
			conf, err := confmaptest.LoadConf(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := confmaptest.LoadConf(strings.Replace(file, ".before.", ".after.", 1))
			if err != nil {
				t.Fatal(err)
			}
			got := convert(t, conf, "/var/lib/keyless-collector")
			if diff := cmp.Diff(want.ToStringMap(), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(want.ToStringMap(), convert(t, confmap.NewFromStringMap(got), "/elsewhere")); diff != "" {
				t.Errorf("the second time it becomes something else:\n%s", diff)
			}
		})
	}
}

func TestNothingThatIsNoSectionMakesItPanic(t *testing.T) {
	for _, odd := range []any{nil, 1, "text", []any{1}, map[string]any{"otlphttp": 3, "file_log": nil}} {
		convert(t, confmap.NewFromStringMap(map[string]any{"exporters": odd, "receivers": odd, "extensions": odd, "service": odd}), "")
	}
}
