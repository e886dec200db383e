package elasticsearchexporter

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// written are the fields of documents of what the receiver reads by default.
func written(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, d := range shaped(t, received(t, nil), nil) {
		for field := range fieldsIn(t, d) {
			all[field] = true
		}
	}
	return all
}

// queried are the fields that a dashboard names, also in JSON that is text within it.
func queried(t *testing.T, value any) map[string]bool {
	t.Helper()
	fields := map[string]bool{}
	var walk func(name string, value any)
	walk = func(name string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for key, one := range v {
				walk(key, one)
			}
		case []any:
			for _, one := range v {
				walk(name, one)
			}
		case string:
			var nested any
			switch {
			case strings.HasPrefix(v, "{") || strings.HasPrefix(v, "["):
				if err := json.Unmarshal([]byte(v), &nested); err != nil {
					t.Fatalf("%s: %v", v, err)
				}
				walk("", nested)
			case name == "field", name == "timeField", name == "time_field", name == "timeFieldName", name == "terms_field":
				fields[v] = true
			case name == "query" && strings.Contains(v, ":"):
				for clause := range strings.SplitSeq(v, " AND ") {
					field, _, _ := strings.Cut(clause, ":")
					fields[field] = true
				}
			}
		}
	}
	walk("", value)
	return fields
}

func TestDashboardsAskForFieldsThatAreWritten(t *testing.T) {
	known := written(t)
	for _, name := range []string{"ec2-overview.grafana.json", "ec2-overview.kibana.ndjson"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "dashboards", name))
		if err != nil {
			t.Fatal(err)
		}
		asked := map[string]bool{}
		for decoder := json.NewDecoder(bytes.NewReader(text)); decoder.More(); {
			var one any
			if err := decoder.Decode(&one); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for field := range queried(t, one) {
				asked[field] = true
			}
		}
		if len(asked) < 8 {
			t.Errorf("%s: only %v", name, asked)
		}
		for field := range asked {
			if !known[field] {
				t.Errorf("%s asks for %q, which is not written", name, field)
			}
		}
	}
}

func TestADashboardOfKibanaRefersToWhatItBrings(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "dashboards", "ec2-overview.kibana.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	type reference struct{ Type, ID string }
	brought, wanted := map[reference]bool{}, map[reference]bool{}
	for decoder := json.NewDecoder(bytes.NewReader(text)); decoder.More(); {
		var one struct {
			reference
			References []reference
		}
		if err := decoder.Decode(&one); err != nil {
			t.Fatal(err)
		}
		brought[one.reference] = true
		for _, r := range one.References {
			wanted[r] = true
		}
	}
	for r := range wanted {
		if !brought[r] {
			t.Errorf("%+v is not there", r)
		}
	}
}
