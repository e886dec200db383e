// Package strict refuses what configurations would let pass.
package strict

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/confmap"
)

// Keys refuses keys of which neither C nor a client's configuration knows: one that is
// squashed among the fields of another lets all pass.
func Keys[C any](conf *confmap.Conf) error {
	known := slices.Concat(of(reflect.TypeFor[C]()), of(reflect.TypeFor[confighttp.ClientConfig]()))
	for key := range conf.ToStringMap() {
		if !slices.Contains(known, key) {
			return fmt.Errorf("%q is no key of this exporter", key)
		}
	}
	return nil
}

func of(t reflect.Type) []string {
	var all []string
	for _, field := range reflect.VisibleFields(t) {
		key, _, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		if key != "" {
			all = append(all, key)
		}
	}
	return all
}
