package pattern

import (
	"strings"
	"testing"
)

func TestGUID(t *testing.T) {
	const good = "3f2c8a10-0000-4000-8000-00000000000A"
	if !GUID(good) {
		t.Errorf("%s is one", good)
	}
	for _, bad := range []string{
		"", good[1:], good + "0", strings.ReplaceAll(good, "-", ""), strings.Replace(good, "f", "g", 1),
		strings.Replace(good, "-", "_", 1), "3f2c8a1-00000-4000-8000-00000000000A", "{" + good[1:], strings.Repeat("-", 36),
	} {
		if GUID(bad) {
			t.Errorf("%q is none", bad)
		}
	}
}

func TestLazyCompilesOnce(t *testing.T) {
	a := Lazy("^a+$")
	if first, second := a(), a(); first != second || !a().MatchString("aa") || a().MatchString("b") {
		t.Error("want one expression that works")
	}
}
