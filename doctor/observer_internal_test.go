package doctor

import (
	"testing"
	"time"
)

func TestWhoAnswersInTheHostsPlace(t *testing.T) {
	for name, c := range map[string]struct {
		seen sighting
		want bool
	}{
		"a page":                      {sighting{host: "h", status: 200, kind: "text/html; charset=utf-8"}, true},
		"a proxy that says so":        {sighting{host: "h", status: 502, kind: "text/plain", via: "1.1 squid"}, true},
		"a proxy that asks who it is": {sighting{host: "h", status: 407}, true},
		"the service through a mesh":  {sighting{host: "h", status: 400, kind: "application/json", via: "1.1 envoy"}, false},
		"the service":                 {sighting{host: "h", status: 400, kind: "application/json"}, false},
		"another host's page":         {sighting{host: "other", status: 200, kind: "text/html"}, false},
		"nobody":                      {sighting{host: "h"}, false},
	} {
		o := &observer{sightings: []sighting{c.seen}}
		if _, got := o.proxied("h"); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestWhichClockIsWrong(t *testing.T) {
	at := func(ahead ...time.Duration) *evidence {
		o := &observer{}
		for i, by := range ahead {
			o.sightings = append(o.sightings, sighting{host: string(rune('a' + i)), status: 200, ahead: by, dated: true})
		}
		return &evidence{seen: o}
	}
	for name, c := range map[string]struct {
		e       *evidence
		verdict Verdict
		code    string
	}{
		"nobody told":                   {at(), "", ""},
		"honest":                        {at(time.Second, -time.Second), OK, ""},
		"slow answers":                  {at(-90*time.Second, time.Second), OK, ""},
		"3 minutes behind":              {at(3*time.Minute, 3*time.Minute), Warning, "clock-behind"},
		"10 minutes behind":             {at(10*time.Minute, 10*time.Minute, 10*time.Minute), Failed, "clock-behind"},
		"10 minutes ahead":              {at(-10*time.Minute, -10*time.Minute), Failed, "clock-ahead"},
		"one of two is wrong":           {at(time.Hour, 0), OK, ""},
		"one far side's clock is wrong": {at(time.Hour, time.Second, 0), OK, ""},
	} {
		if f := c.e.clock(); f.Verdict != c.verdict || f.Code != c.code {
			t.Errorf("%s: %s %q, want %s %q", name, f.Verdict, f.Code, c.verdict, c.code)
		}
	}
}
