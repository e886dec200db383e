package doctor

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// observer looks at what the far sides answer, without touching it.
type observer struct {
	around func(http.RoundTripper) http.RoundTripper

	mu        sync.Mutex
	sightings []sighting
}

// sighting is one answer, or that there was none.
type sighting struct {
	host   string
	status int // zero: no answer
	kind   string
	via    string
	ahead  time.Duration // how far the far side's clock is ahead of this machine's
	dated  bool
}

func (o *observer) wrap(next http.RoundTripper) http.RoundTripper {
	if o.around != nil {
		next = o.around(next)
	}
	return watched{o, next}
}

// client is a client whose answers are looked at.
func (o *observer) client(usual *http.Client) *http.Client {
	return &http.Client{Transport: o.wrap(usual.Transport)}
}

type watched struct {
	observer *observer
	next     http.RoundTripper
}

// RoundTrip is part of http.RoundTripper.
func (w watched) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := w.next.RoundTrip(request)
	seen := sighting{host: request.URL.Host}
	if err == nil {
		seen.status, seen.kind, seen.via = response.StatusCode, response.Header.Get("Content-Type"), response.Header.Get("Via")
		if date, bad := http.ParseTime(response.Header.Get("Date")); bad == nil {
			seen.ahead, seen.dated = time.Until(date), true
		}
	}
	w.observer.mu.Lock()
	defer w.observer.mu.Unlock()
	w.observer.sightings = append(w.observer.sightings, seen)
	return response, err
}

// proxied reports whether somebody between here and a host answers in its place.
func (o *observer) proxied(host string) (sighting, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.sightings, func(s sighting) bool {
		page := strings.HasPrefix(s.kind, "text/html") || s.via != "" && !strings.Contains(s.kind, "json")
		return s.host == host && (page || s.status == http.StatusProxyAuthRequired)
	})
	if i < 0 {
		return sighting{}, false
	}
	return o.sightings[i], true
}

// skew is the median of how far the far sides' clocks are ahead of this machine's, the
// smaller one of two, since it may be a far side's clock that is wrong; false: none told.
func (o *observer) skew() (time.Duration, []string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	byHost := map[string]time.Duration{}
	for _, s := range o.sightings {
		if s.dated {
			byHost[s.host] = s.ahead
		}
	}
	if len(byHost) == 0 {
		return 0, nil, false
	}
	var all []time.Duration
	var told []string
	for host, ahead := range byHost {
		all = append(all, ahead)
		told = append(told, host+": "+offset(ahead))
	}
	slices.Sort(all)
	slices.Sort(told)
	middle := all[(len(all)-1)/2]
	if other := all[len(all)/2]; other.Abs() < middle.Abs() {
		middle = other
	}
	return middle, told, true
}

func offset(ahead time.Duration) string {
	if ahead < 0 {
		return span(-ahead) + " behind this machine's clock"
	}
	return span(ahead) + " ahead of this machine's clock"
}
