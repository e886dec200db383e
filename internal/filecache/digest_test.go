package filecache

import "testing"

func TestDigestTellsListsApart(t *testing.T) {
	lists := [][]string{{}, {""}, {"", ""}, {"a"}, {"a", ""}, {"", "a"}, {"a", "b"}, {"ab"}, {"1:a"}, {"b", "a"}}
	seen := map[string]int{}
	for i, list := range lists {
		name := Digest(list)
		if j, ok := seen[name]; ok {
			t.Errorf("%q and %q have the same name", lists[j], list)
		}
		seen[name] = i
	}
}
