package refresh

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "draw docs/fleet.svg anew")

const (
	fleetPicture = "../../docs/fleet.svg"
	fleetDay     = 24 * 60 * 60 // seconds
	fleetSettled = 3 * 60 * 60  // from here on the restart should be forgotten
)

// scale is the size of the fleet and what the far sides bear in a second, which
// nobody publishes: the capacities are invented.
type scale struct{ hosts, entra, sts int }

func whole() scale { return scale{hosts: 100_000, entra: 5000, sts: 2000} }

// fifth is for the race detector, under which the whole fleet takes half a minute.
func fifth() scale { return scale{hosts: 20_000, entra: 1000, sts: 400} }

func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// rules is how a client behaves. The two runs of the fleet differ in nothing else.
type rules struct {
	name     string
	schedule func(p Policy, t Times, previous, now time.Time) Schedule
	backoff  func(failures int, asked time.Duration) time.Duration
}

// jittered is what keyless does.
func jittered() rules { return rules{"with jitter", Policy.Schedule, Backoff} }

// inStep is what keyless would do without jitter: the middle of its range, always.
func inStep() rules { return rules{"without jitter", fixedSchedule, fixedBackoff} }

func fixedSchedule(p Policy, t Times, _, _ time.Time) Schedule {
	share := time.Duration(0.425 * float64(t.Expiry.Sub(t.Obtained)))
	dead := t.Expiry.Add(-p.Margin)
	return Schedule{From: t.Obtained, Due: t.Obtained.Add(share), Stale: dead, Dead: dead}
}

func fixedBackoff(failures int, _ time.Duration) time.Duration {
	return min(time.Second<<min(failures-1, 10), time.Minute)
}

// farSide answers so many requests in a second and refuses the others.
type farSide struct {
	name           string
	capacity       int
	asked, refused []int // in each second
}

func newFarSide(name string, capacity int) *farSide {
	return &farSide{name, capacity, make([]int, fleetDay), make([]int, fleetDay)}
}

func (f *farSide) answers(second int) bool {
	f.asked[second]++
	if f.asked[second] <= f.capacity {
		return true
	}
	f.refused[second]++
	return false
}

// remembered is what a [Cache] knows of its value.
type remembered struct {
	schedule Schedule
	expiry   time.Time
	failures int
	retryAt  time.Time
}

type simulatedHost struct {
	wakes              time.Time
	token, credentials remembered
}

// fleet is many hosts that use their credentials all the time: they notice at once
// when the credentials are due and when the back-off is over.
type fleet struct {
	rules
	start      time.Time
	hosts      []simulatedHost
	wakes      [][]int // the hosts that wake in each second
	entra, sts *farSide

	longestFirst time.Duration // that a host waited for its first credentials
	shortest     time.Duration // that credentials were still good for when others replaced them
	lapses       int           // of hosts that had credentials, and then none that were good
}

// newFleet restarts all hosts within one second.
func newFleet(r rules, size scale) *fleet {
	f := &fleet{
		rules: r, start: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC),
		hosts: make([]simulatedHost, size.hosts), wakes: make([][]int, fleetDay),
		entra: newFarSide("Entra", size.entra), sts: newFarSide("STS", size.sts),
		shortest: time.Hour,
	}
	for n := range f.hosts {
		f.wake(n, f.start.Add(time.Duration(n)*time.Second/time.Duration(size.hosts)))
	}
	return f
}

func (f *fleet) second(at time.Time) int { return int(at.Sub(f.start) / time.Second) }

func (f *fleet) wake(n int, at time.Time) {
	f.hosts[n].wakes = at
	if s := f.second(at); s < fleetDay {
		f.wakes[s] = append(f.wakes[s], n)
	}
}

func (f *fleet) run() *fleet {
	for s := range f.wakes {
		for _, n := range f.wakes[s] {
			f.wake(n, f.renew(&f.hosts[n]))
		}
		f.wakes[s] = nil
	}
	end := f.start.Add(fleetDay * time.Second)
	for n := range f.hosts {
		if !f.hosts[n].credentials.schedule.Usable(end) {
			f.lapses++
		}
	}
	return f
}

// renew is one try to get credentials. It returns when the host has to act again.
func (f *fleet) renew(h *simulatedHost) time.Time {
	now := h.wakes
	if !f.hasToken(&h.token, now) || !f.sts.answers(f.second(now)) {
		f.failed(&h.credentials, now)
		return h.credentials.retryAt
	}
	f.measure(&h.credentials, now)
	f.got(&h.credentials, Policy{MinLeft: 20 * time.Minute, Margin: time.Minute}, now)
	return h.credentials.schedule.Due
}

// hasToken asks for a token if the one there is is due, and makes do with the old
// one while that is good.
func (f *fleet) hasToken(token *remembered, now time.Time) bool {
	switch {
	case token.schedule.Fresh(now):
	case now.Before(token.retryAt): // Entra is to be left alone
	case f.entra.answers(f.second(now)):
		f.got(token, Policy{}, now)
	default:
		f.failed(token, now)
	}
	return token.schedule.Usable(now)
}

func (f *fleet) failed(r *remembered, now time.Time) {
	r.failures++
	r.retryAt = now.Add(f.backoff(r.failures, 0))
}

// got is an answer. Everything lives for an hour, in both runs, so that nothing but
// the jitter tells the hosts apart.
func (f *fleet) got(r *remembered, p Policy, now time.Time) {
	expiry := now.Add(time.Hour)
	schedule := f.schedule(p, Times{Obtained: now, Expiry: expiry}, r.expiry, now)
	*r = remembered{schedule: schedule, expiry: expiry}
}

// measure looks at the credentials that are about to be replaced.
func (f *fleet) measure(old *remembered, now time.Time) {
	if old.expiry.IsZero() {
		f.longestFirst = max(f.longestFirst, now.Sub(f.start))
		return
	}
	f.shortest = min(f.shortest, old.expiry.Sub(now))
	if !old.schedule.Usable(now) {
		f.lapses++
	}
}

func (f *fleet) refusals() int { return sum(f.entra.refused) + sum(f.sts.refused) }

func sum(counts []int) (total int) {
	for _, n := range counts {
		total += n
	}
	return total
}

// load is the mean of the requests in a second, and the most.
func load(counts []int) (mean float64, peak int) {
	return float64(sum(counts)) / float64(len(counts)), slices.Max(counts)
}

// peakRatio is how far the worst second is above the mean, from that second on.
func (f *farSide) peakRatio(from int) float64 {
	mean, peak := load(f.asked[from:])
	return float64(peak) / mean
}

func (f *fleet) log(t *testing.T) {
	t.Helper()
	for _, far := range []*farSide{f.entra, f.sts} {
		t.Logf("%s, %s: asked %d, refused %d, of these after 3 h %d", f.name, far.name,
			sum(far.asked), sum(far.refused), sum(far.refused[fleetSettled:]))
		for _, from := range []int{0, fleetSettled, fleetDay - fleetSettled} {
			mean, peak := load(far.asked[from:])
			t.Logf("    from hour %d on: mean %.1f/s, peak %d/s, %.1f times the mean",
				from/3600, mean, peak, float64(peak)/mean)
		}
	}
	t.Logf("    longest wait for first credentials %v; least life left at a renewal %v; lapses %d",
		f.longestFirst.Round(time.Second), f.shortest.Round(time.Second), f.lapses)
}

// TestFleetSpreads lets a fleet run for a day, once in our way and once without
// jitter. Its limits are ratios with room above what was seen, since the jitter is
// random: docs/fleet.md has the figures.
func TestFleetSpreads(t *testing.T) {
	if testing.Short() {
		t.Skip("a day of 100,000 hosts takes seconds")
	}
	size, chance := whole(), 1.0
	if underRace() && !*update {
		size, chance = fifth(), 2 // in a small fleet chance alone makes higher peaks
	}
	without, with := newFleet(inStep(), size).run(), newFleet(jittered(), size).run()
	without.log(t)
	with.log(t)
	mustSpread(t, chance, with.entra, with.sts)
	mustClump(t, without.entra, without.sts)
	if with.lapses != 0 {
		t.Errorf("%d times a host that had credentials was without any, want never", with.lapses)
	}
	if w, o := with.refusals(), without.refusals(); w >= o {
		t.Errorf("%d requests refused with jitter and %d without, want fewer", w, o)
	}
	if with.longestFirst >= without.longestFirst {
		t.Errorf("first credentials took up to %v with jitter and %v without, want less", with.longestFirst, without.longestFirst)
	}
	if *update {
		draw(t, without, with)
	}
}

func mustSpread(t *testing.T, chance float64, sides ...*farSide) {
	t.Helper()
	for _, far := range sides {
		if ratio := far.peakRatio(fleetSettled); ratio > 6*chance {
			t.Errorf("%s: after 3 hours the peak is %.1f times the mean, want at most %v", far.name, ratio, 6*chance)
		}
		if ratio := far.peakRatio(fleetDay - fleetSettled); ratio > 3*chance {
			t.Errorf("%s: in the last 3 hours the peak is %.1f times the mean, want at most %v", far.name, ratio, 3*chance)
		}
		if n := sum(far.refused[fleetSettled:]); n != 0 {
			t.Errorf("%s: %d requests refused after 3 hours, want none", far.name, n)
		}
	}
}

// mustClump is the control: a simulation in which nothing clumps shows nothing.
func mustClump(t *testing.T, sides ...*farSide) {
	t.Helper()
	for _, far := range sides {
		if ratio := far.peakRatio(fleetSettled); ratio < 20 {
			t.Errorf("%s: without jitter the peak is %.1f times the mean, want 20 or more", far.name, ratio)
		}
	}
}

// TestFleetPicture reads the picture; it cannot compare it, since jitter is random.
func TestFleetPicture(t *testing.T) {
	picture, err := os.ReadFile(fleetPicture)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []rules{inStep(), jittered()} {
		if !strings.Contains(string(picture), ">"+r.name+"<") {
			t.Errorf("%s does not name the run %s", fleetPicture, r.name)
		}
	}
	decoder := xml.NewDecoder(strings.NewReader(string(picture)))
	for err == nil {
		_, err = decoder.Token()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("%s: %v", fleetPicture, err)
	}
}

// The picture: one unit of width is a minute, and the rates are on a log scale.
const (
	plotLeft   = 130
	plotWidth  = fleetDay / 60
	plotHeight = 400
	decade     = plotHeight / 5 // 1 to 100,000 requests per second

	colourWithout = "#c0392b"
	colourWith    = "#1f6fb4"
)

func draw(t *testing.T, without, with *fleet) {
	t.Helper()
	var b strings.Builder
	heading(&b)
	legend(&b, 130, colourWithout, without.name)
	legend(&b, 430, colourWith, with.name)
	panel(&b, 180, without.entra, with.entra)
	panel(&b, 730, without.sts, with.sts)
	fmt.Fprintf(&b, "<text x=\"%d\" y=\"1206\" text-anchor=\"middle\">hours since the restart</text>\n</svg>\n", plotLeft+plotWidth/2)
	if err := os.WriteFile(fleetPicture, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// heading has a background of its own, since a page may be dark.
func heading(b *strings.Builder) {
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1620 1230" role="img" font-family="sans-serif" font-size="24" fill="#222">
<title>Requests of a fleet that restarts at once, with jitter and without jitter</title>
<rect width="1620" height="1230" fill="#fff"/>
<text x="130" y="48" font-size="34">100,000 hosts restart within one second and run for a day</text>
<text x="130" y="84" fill="#555">the busiest second of each minute, refused requests included; the capacities are invented</text>
`)
}

func legend(b *strings.Builder, x int, colour, name string) {
	fmt.Fprintf(b, "<path d=\"M%d 122h50\" stroke=\"%s\" stroke-width=\"6\"/>", x, colour)
	fmt.Fprintf(b, "<text x=\"%d\" y=\"130\">%s</text>\n", x+62, name)
}

func panel(b *strings.Builder, top int, without, with *farSide) {
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" font-weight=\"bold\">%s</text>\n", plotLeft, top-12, with.name)
	middle := top + plotHeight/2
	fmt.Fprintf(b, "<text x=\"26\" y=\"%d\" text-anchor=\"middle\" transform=\"rotate(-90 26 %d)\">requests per second</text>\n", middle, middle)
	rates(b, top)
	hours(b, top)
	curve(b, top, without, colourWithout)
	curve(b, top, with, colourWith)
	limit(b, top, with.capacity)
}

// rates labels the height, a line for each power of ten.
func rates(b *strings.Builder, top int) {
	for i, label := range []string{"1", "10", "100", "1,000", "10,000", "100,000"} {
		y := top + plotHeight - i*decade
		fmt.Fprintf(b, "<path d=\"M%d %dh%d\" stroke=\"#ddd\"/>", plotLeft, y, plotWidth)
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", plotLeft-10, y+8, label)
	}
}

func hours(b *strings.Builder, top int) {
	for hour := 0; hour <= 24; hour += 3 {
		x := plotLeft + hour*60
		fmt.Fprintf(b, "<path d=\"M%d %dv%d\" stroke=\"#ddd\"/>", x, top, plotHeight)
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%d</text>\n", x, top+plotHeight+32, hour)
	}
}

func limit(b *strings.Builder, top, capacity int) {
	y := height(top, capacity)
	fmt.Fprintf(b, "<path d=\"M%d %dh%d\" stroke=\"#222\" stroke-width=\"2\" stroke-dasharray=\"10 8\"/>", plotLeft, y, plotWidth)
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">capacity %d (invented)</text>\n", plotLeft+plotWidth-8, y-12, capacity)
}

func curve(b *strings.Builder, top int, far *farSide, colour string) {
	b.WriteString("<polyline fill=\"none\" stroke-width=\"2\" stroke=\"" + colour + "\" points=\"")
	for minute := range plotWidth {
		peak := slices.Max(far.asked[60*minute : 60*minute+60])
		fmt.Fprintf(b, "%d,%d ", plotLeft+minute, height(top, peak))
	}
	b.WriteString("\"/>\n")
}

// height is where a rate is drawn; less than one request is drawn as one.
func height(top, rate int) int {
	return top + plotHeight - int(math.Round(decade*math.Log10(float64(max(rate, 1)))))
}
