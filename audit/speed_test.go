package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// listing of n roles as aws iam list-roles prints it. No two policies are alike: the
// policies of the corpus, each with a Sid of its own; one role in ten has a bad one.
func listingOf(tb testing.TB, n int) []byte {
	tb.Helper()
	var good, bad [][]byte
	for l, policy := range corpus(tb) {
		text, err := policy.MarshalJSON()
		if err != nil {
			tb.Fatal(err)
		}
		if len(l.Findings) > 0 {
			bad = append(bad, text)
		} else {
			good = append(good, text)
		}
	}
	for _, all := range [][][]byte{good, bad} {
		slices.SortFunc(all, bytes.Compare)
	}
	var roles []map[string]any
	for i := range n {
		text := good[i%len(good)]
		if i%10 == 0 {
			text = bad[i/10%len(bad)]
		}
		own := bytes.Replace(text, []byte(`"Effect"`), fmt.Appendf(nil, `"Sid":"S%d","Effect"`, i), 1)
		if bytes.Contains(text, []byte(`"Sid"`)) {
			own = bytes.Replace(text, []byte(`"Statement"`), fmt.Appendf(nil, `"Id":"P%d","Statement"`, i), 1)
		}
		roles = append(roles, map[string]any{
			"Path": "/", "RoleName": fmt.Sprintf("role-%d", i), "RoleId": fmt.Sprintf("AROA%016d", i), "Arn": fmt.Sprintf("arn:aws:iam::111122223333:role/role-%d", i),
			"CreateDate": "2026-01-01T00:00:00+00:00", "AssumeRolePolicyDocument": json.RawMessage(own), "MaxSessionDuration": 3600,
		})
	}
	text, err := json.MarshalIndent(map[string]any{"Roles": roles}, "", "    ")
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func judgeAll(tb testing.TB, listing []byte) Report {
	tb.Helper()
	var v Inventory
	if err := v.Add("roles.json", listing); err != nil {
		tb.Fatal(err)
	}
	return v.Judge()
}

// unmarshal is what 10,000 roles cost anybody.
func unmarshal(tb testing.TB, listing []byte) {
	tb.Helper()
	var v any
	if err := json.Unmarshal(listing, &v); err != nil {
		tb.Fatal(err)
	}
}

// Reading and judging 10,000 roles takes at most three times what json.Unmarshal alone
// takes for the same text.
func TestTenThousandRolesAreJudgedInThreeTimesTheirParsing(t *testing.T) {
	if testing.Short() {
		t.Skip("measures")
	}
	listing := listingOf(t, 10_000)
	r := judgeAll(t, listing)
	if r.Roles != 10_000 || len(r.Findings) < 1_000 || len(r.Unjudged) > 0 {
		t.Fatalf("%d roles, %d findings, %d not judged: %.1000v", r.Roles, len(r.Findings), len(r.Unjudged), r.Unjudged)
	}
	judging, parsing := math.Inf(1), math.Inf(1)
	for round := 1; round <= 12 && (round <= 3 || judging > 3*parsing); round++ { // what runs beside only ever adds
		judging = min(judging, took(func() { judgeAll(t, listing) }))
		parsing = min(parsing, took(func() { unmarshal(t, listing) }))
	}
	t.Logf("judged in %.2f times the parsing, %d bytes", judging/parsing, len(listing))
	if judging > 3*parsing {
		t.Errorf("%.2f times, want 3 at most", judging/parsing)
	}
}

func took(do func()) float64 {
	start := time.Now()
	do()
	return time.Since(start).Seconds()
}

func BenchmarkJudge(b *testing.B) {
	listing := listingOf(b, 10_000)
	b.SetBytes(int64(len(listing)))
	for b.Loop() {
		judgeAll(b, listing)
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	listing := listingOf(b, 10_000)
	b.SetBytes(int64(len(listing)))
	for b.Loop() {
		unmarshal(b, listing)
	}
}
