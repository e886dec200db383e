package audit

import (
	"os"
	"strings"
	"testing"
)

// Every rule has an ID of its own, a page, and a word in the guide.
func TestEveryRuleIsDescribed(t *testing.T) {
	guide, err := os.ReadFile("../docs/guides/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	last := Critical
	for _, r := range Rules() {
		if seen[r.ID] || r.Severity > last || r.Title == "" || !strings.HasSuffix(r.Why, ".") || !strings.HasPrefix(r.Source, "https://") {
			t.Errorf("%+v", r)
		}
		seen[r.ID], last = true, r.Severity
		if !strings.Contains(string(guide), "| `"+r.ID+"` | "+r.Severity.String()+" | ") {
			t.Errorf("the guide has no line of %s, %s", r.ID, r.Severity)
		}
	}
}

// Every rule about policies has a policy in the corpus that it finds.
func TestEveryRuleFindsSomething(t *testing.T) {
	found := map[string]bool{missingProvider: true, unusedProvider: true, thumbprint: true} // not about policies
	for l := range corpus(t) {
		for _, id := range l.Findings {
			found[id] = true
		}
	}
	for _, r := range Rules() {
		if !found[r.ID] {
			t.Errorf("nothing in the corpus has %s", r.ID)
		}
	}
}
