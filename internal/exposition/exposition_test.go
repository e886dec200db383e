package exposition

import (
	"maps"
	"math"
	"testing"
)

func TestSamplesAreRead(t *testing.T) {
	text := "# HELP up Whether.\n# TYPE up gauge\n\nup 1\n" +
		`sent{exporter="otlp_http/a",code="say \"no\"\\\n, {}"} 1.5e+3 1700000000000` + "\n" +
		`empty{} NaN` + "\r\n" + `trailing{a="b",} +Inf`
	got, err := Parse(text)
	if err != nil || len(got) != 4 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got[0].Name != "up" || got[0].Value != 1 || len(got[0].Labels) != 0 {
		t.Errorf("%+v", got[0])
	}
	if want := map[string]string{"exporter": "otlp_http/a", "code": "say \"no\"\\\n, {}"}; got[1].Value != 1500 || !maps.Equal(got[1].Labels, want) {
		t.Errorf("%+v", got[1])
	}
	if !math.IsNaN(got[2].Value) || !math.IsInf(got[3].Value, 1) || got[3].Labels["a"] != "b" {
		t.Errorf("%+v", got[2:])
	}
}

func TestWhatIsNoSampleIsSaidWithItsLine(t *testing.T) {
	for _, line := range []string{"up", "up one", `up{a="b} 1`, `up{a="b\`, `up{a} 1`, "up 1 2 3", "{} 1", "<html>"} {
		if got, err := Parse("fine 1\n" + line); err == nil || err.Error() != "line 2 is no sample of a metric" {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("up{a=\"b\\n\"} 1 2\n# x\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := Parse(text)
		for _, s := range all {
			if err != nil || s.Name == "" {
				t.Errorf("%+v, %v", s, err)
			}
		}
	})
}
