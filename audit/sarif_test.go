package audit

import (
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// object and its helpers say which part of a SARIF log is not as "SARIF Version 2.1.0"
// (OASIS) wants it.
type object map[string]any

func (o object) within(t *testing.T, name string) object {
	t.Helper()
	part, ok := o[name].(map[string]any)
	if !ok {
		t.Fatalf("%s is %v, want an object", name, o[name])
	}
	return part
}

func (o object) list(t *testing.T, name string) []object {
	t.Helper()
	items, ok := o[name].([]any)
	if !ok {
		t.Fatalf("%s is %v, want an array", name, o[name])
	}
	var all []object
	for _, item := range items {
		all = append(all, item.(map[string]any)) //nolint:forcetypeassert // fails the test
	}
	return all
}

func (o object) text(t *testing.T, name string) string {
	t.Helper()
	text, ok := o[name].(string)
	if !ok || text == "" {
		t.Fatalf("%s is %v, want a text in %v", name, o[name], o)
	}
	return text
}

func (o object) only(t *testing.T, names ...string) {
	t.Helper()
	for name := range o {
		if !slices.Contains(names, name) {
			t.Errorf("SARIF has no %s here: %v", name, slices.Sorted(maps.Keys(o)))
		}
	}
}

func TestSARIFHasTheStructureOfTheStandard(t *testing.T) {
	r := read(t, "list-roles.json", "plan.json", "providers.json")
	text, err := r.SARIF("v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	var log object
	if err := json.Unmarshal(text, &log); err != nil {
		t.Fatal(err)
	}
	log.only(t, "$schema", "version", "runs")
	if log.text(t, "version") != "2.1.0" || !strings.Contains(log.text(t, "$schema"), "sarif-2.1.0") {
		t.Errorf("version %v, schema %v", log["version"], log["$schema"])
	}
	run := log.list(t, "runs")[0]
	run.only(t, "tool", "invocations", "results")
	ids := rulesAreDescribed(t, run.within(t, "tool").within(t, "driver"))
	invocation := run.list(t, "invocations")[0]
	if invocation["executionSuccessful"] != false {
		t.Error("something could not be judged")
	}
	for _, n := range invocation.list(t, "toolExecutionNotifications") {
		n.only(t, "level", "message", "locations")
		n.within(t, "message").text(t, "text")
	}
	results := run.list(t, "results")
	if len(results) != len(r.Findings) {
		t.Fatalf("%d results, %d findings", len(results), len(r.Findings))
	}
	seen := map[string]bool{}
	for _, result := range results {
		seen[resultIsWhole(t, result, ids)] = true
	}
	if len(seen) != len(results) {
		t.Errorf("%d results, %d fingerprints", len(results), len(seen))
	}
}

func rulesAreDescribed(t *testing.T, driver object) []string {
	t.Helper()
	driver.only(t, "name", "version", "informationUri", "rules")
	if driver.text(t, "version") != "v1.2.3" {
		t.Errorf("version %v", driver["version"])
	}
	var ids []string
	for _, rule := range driver.list(t, "rules") {
		rule.only(t, "id", "shortDescription", "fullDescription", "helpUri", "defaultConfiguration", "properties")
		ids = append(ids, rule.text(t, "id"))
		rule.within(t, "shortDescription").text(t, "text")
		rule.within(t, "fullDescription").text(t, "text")
		levelIsKnown(t, rule.within(t, "defaultConfiguration"))
		if score := rule.within(t, "properties").text(t, "security-severity"); !regexp.MustCompile(`^\d\.\d$`).MatchString(score) {
			t.Errorf("security-severity %s", score)
		}
		if help, err := url.Parse(rule.text(t, "helpUri")); err != nil || help.Scheme != "https" {
			t.Errorf("helpUri %v", rule["helpUri"])
		}
	}
	return ids
}

func levelIsKnown(t *testing.T, o object) {
	t.Helper()
	if !slices.Contains([]string{"none", "note", "warning", "error"}, o.text(t, "level")) {
		t.Errorf("level %v", o["level"])
	}
}

func resultIsWhole(t *testing.T, result object, ids []string) string {
	t.Helper()
	result.only(t, "ruleId", "ruleIndex", "level", "message", "locations", "partialFingerprints", "properties")
	if index, ok := result["ruleIndex"].(float64); !ok || ids[int(index)] != result.text(t, "ruleId") {
		t.Errorf("rule %v is not the one at %v", result["ruleId"], result["ruleIndex"])
	}
	levelIsKnown(t, result)
	result.within(t, "message").text(t, "text")
	location := result.list(t, "locations")[0]
	location.only(t, "physicalLocation", "logicalLocations")
	physical := location.within(t, "physicalLocation")
	physical.within(t, "artifactLocation").text(t, "uri")
	if line, ok := physical.within(t, "region")["startLine"].(float64); !ok || line < 1 {
		t.Errorf("startLine %v", physical["region"])
	}
	location.list(t, "logicalLocations")[0].text(t, "fullyQualifiedName")
	return result.within(t, "partialFingerprints").text(t, "keyless/v1")
}

// The names of files are addresses there, and stdin is no file.
func TestSARIFNamesFilesAsAddresses(t *testing.T) {
	for file, want := range map[string]string{"a b/ü.json": "a%20b/%C3%BC.json", "x:y.json": "./x:y.json"} {
		l, ok := locate(file, 0, "")
		if !ok || l.Physical.Artifact.URI != want || l.Physical.Region.StartLine != 1 {
			t.Errorf("%s: got %+v", file, l.Physical)
		}
	}
	if l, _ := locate("-", 3, "role"); l.Physical != nil || l.Logical == nil {
		t.Errorf("stdin: got %+v", l)
	}
	if _, ok := locate("", 0, ""); ok {
		t.Error("nowhere is a place")
	}
}
