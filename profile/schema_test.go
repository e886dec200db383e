package profile

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/keyless-id/keyless/internal/yamltree"
)

var update = flag.Bool("update", false, "write keyless.schema.json instead of comparing it")

// TestSchemaIsCurrent compares keyless.schema.json with the types; make docs writes it.
func TestSchemaIsCurrent(t *testing.T) {
	schema := schemaOf(reflect.TypeFor[File]())
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "keyless configuration"
	data, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, '\n')
	if *update {
		if err := os.WriteFile("keyless.schema.json", data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile("keyless.schema.json")
	if err != nil || !bytes.Equal(committed, data) {
		t.Errorf("keyless.schema.json is not current (%v); run make docs", err)
	}
}

func schemaOf(t reflect.Type) map[string]any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return map[string]any{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(h|m|s))+$|\$\{`}
	case t == reflect.TypeFor[Secret]() || t.Kind() == reflect.String:
		return map[string]any{"type": "string"}
	case t.Kind() == reflect.Int:
		return map[string]any{"type": []string{"integer", "string"}, "pattern": `^[0-9]+$|\$\{`}
	case t.Kind() == reflect.Bool:
		return map[string]any{"type": "boolean"}
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case t.Kind() == reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case t == reflect.TypeFor[Hop]():
		return map[string]any{"anyOf": []any{map[string]any{"type": "string"}, objectSchema(t)}}
	}
	return objectSchema(t)
}

func objectSchema(t reflect.Type) map[string]any {
	properties := map[string]any{}
	for _, f := range yamltree.Fields(t) {
		property := schemaOf(f.Type)
		property["description"] = f.Doc
		properties[f.Name] = property
	}
	schema := map[string]any{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	if t == reflect.TypeFor[Source]() {
		schema["minProperties"], schema["maxProperties"] = 1, 1
	}
	return schema
}

func TestEveryKeyIsDocumented(t *testing.T) {
	for _, block := range []reflect.Type{
		reflect.TypeFor[File](), reflect.TypeFor[Profile](), reflect.TypeFor[Source](), reflect.TypeFor[ManagedIdentity](), reflect.TypeFor[ClientSecret](),
		reflect.TypeFor[Certificate](), reflect.TypeFor[AssertionFile](), reflect.TypeFor[AWS](), reflect.TypeFor[Hop](), reflect.TypeFor[AzureAD](),
		reflect.TypeFor[Serve](), reflect.TypeFor[IMDS](), reflect.TypeFor[Delivery](), reflect.TypeFor[Kubernetes](), reflect.TypeFor[PodRole](), reflect.TypeFor[Proxy](), reflect.TypeFor[Route](), reflect.TypeFor[SigV4](),
	} {
		for _, f := range yamltree.Fields(block) {
			if f.Doc == "" || f.Name == "" {
				t.Errorf("%s.%s has no documentation", block.Name(), f.Name)
			}
		}
	}
}
