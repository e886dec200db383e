package audit

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/trust"
)

// label is what is known of a policy of the corpus.
type label struct {
	File     string   `json:"file"`
	Findings []string `json:"findings"` // the IDs of the rules, one for each finding
	Origin   string   `json:"origin"`   // incident, vendor or own
	Source   string   `json:"source"`
}

func corpus(tb testing.TB) map[*label]*trust.Policy {
	tb.Helper()
	var labels []*label
	data, err := os.ReadFile("testdata/corpus/labels.json")
	if err == nil {
		err = json.Unmarshal(data, &labels)
	}
	if err != nil {
		tb.Fatal(err)
	}
	all := map[*label]*trust.Policy{}
	for _, l := range labels {
		document, err := os.ReadFile(filepath.Join("testdata/corpus", l.File))
		if err != nil {
			tb.Fatal(err)
		}
		policy, err := trust.Parse(document)
		if err != nil {
			tb.Fatalf("%s: %v", l.File, err)
		}
		all[l] = policy
	}
	return all
}

func rulesOf(findings []Finding) []string {
	ids := []string{}
	for _, f := range findings {
		ids = append(ids, f.Rule)
	}
	slices.Sort(ids)
	return ids
}

// Every bad policy is found, for the right reason, and no good one is.
func TestTheCorpusIsFoundAndNothingElse(t *testing.T) {
	for l, policy := range corpus(t) {
		findings := Policy(policy)
		want := slices.Clone(l.Findings)
		slices.Sort(want)
		if got := rulesOf(findings); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", l.File, got, want)
			for _, f := range findings {
				t.Logf("    %s: %s\n%s", f.Rule, f.Why, f.Fix())
			}
		}
	}
}

func TestTheCorpusIsLargeAndHalfOfItIsFromElsewhere(t *testing.T) {
	files, _ := filepath.Glob("testdata/corpus/*/*.json")
	bad, good, elsewhere := 0, 0, 0
	for l := range corpus(t) {
		if strings.HasPrefix(l.File, "bad/") != (len(l.Findings) > 0) {
			t.Errorf("%s has %v", l.File, l.Findings)
		}
		if len(l.Findings) > 0 {
			bad++
		} else {
			good++
		}
		if l.Origin != "own" {
			elsewhere++
			if l.Source == "" {
				t.Errorf("%s: from where?", l.File)
			}
		}
	}
	if bad < 30 || good < 30 || 2*elsewhere < bad+good || len(files) != bad+good {
		t.Errorf("%d bad, %d good, %d of them from elsewhere, %d files", bad, good, elsewhere, len(files))
	}
}
