package sandbox

import (
	"cmp"
	"encoding/base64"
	"iter"
	"slices"
	"strconv"
	"time"
)

// metricsPage is how many metrics ListMetrics shows at once.
const metricsPage = 500

// recentlyActive is "PT3H", the only one that there is.
const recentlyActive = 3 * time.Hour

// forgotten is when ListMetrics forgets a metric that has no new points.
const forgotten = 14 * 24 * time.Hour

// listedMetric is a metric in its place among all that an account sees.
type listedMetric struct {
	place  int
	metric Metric
	owner  string
	source func() pointSource
}

func (c *apiCall) listMetrics() (object, *awsError) {
	filter, refusal := c.readMetricFilter()
	if refusal != nil {
		return nil, refusal
	}
	metrics, owners := []object{}, []string{}
	answer := object{}
	for listed := range c.listed(filter) {
		if !filter.shows(listed, c) {
			continue
		}
		if len(metrics) == metricsPage {
			answer["NextToken"] = base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(listed.place)))
			break
		}
		metrics, owners = append(metrics, listed.metric.object()), append(owners, listed.owner)
	}
	answer["Metrics"] = metrics
	if filter.linked {
		answer["OwningAccounts"] = owners
	}
	return answer, nil
}

type metricFilter struct {
	namespace, name string
	dimensions      []params
	recent, linked  bool
	owner           string
	after           int
}

func (c *apiCall) readMetricFilter() (*metricFilter, *awsError) {
	f := &metricFilter{
		namespace: c.in.text("Namespace"), name: c.in.text("MetricName"), dimensions: c.in.structures("Dimensions"),
		recent: c.in.has("RecentlyActive"), linked: c.in.flag("IncludeLinkedAccounts"), owner: c.in.text("OwningAccount"),
	}
	switch {
	case f.recent && c.in.text("RecentlyActive") != "PT3H":
		return nil, invalidValue("The value %s for parameter RecentlyActive is invalid.", printable(c.in.text("RecentlyActive"))) // unverified wording
	case len(f.dimensions) > 10:
		return nil, invalidValue("The collection Dimensions must not have a size greater than 10.")
	}
	token := c.in.text("NextToken")
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil && token != "" {
		f.after, err = strconv.Atoi(string(text))
	}
	if err != nil || f.after < 0 {
		return nil, invalidValue("Invalid nextToken")
	}
	return f, nil
}

// shows reports whether the filter lets a metric through and whether it is listed at all.
func (f *metricFilter) shows(l listedMetric, c *apiCall) bool {
	if l.place < f.after || f.namespace != "" && l.metric.Namespace != f.namespace || f.name != "" && l.metric.Name != f.name {
		return false
	}
	for _, want := range f.dimensions {
		if !slices.ContainsFunc(l.metric.Dimensions, func(d Dimension) bool {
			return d.Name == want.text("Name") && (!want.has("Value") || d.Value == want.text("Value"))
		}) {
			return false
		}
	}
	return f.isActive(l.source(), c.delivery(l.owner), c.now)
}

// delivery is that of an account where the call is.
func (c *apiCall) delivery(owner string) Delivery {
	if r := c.s.region(owner, c.at.name); r != nil {
		return r.Delivery
	}
	return Delivery{}
}

func (f *metricFilter) isActive(source pointSource, d Delivery, now time.Time) bool {
	first, last := source.span(now.Unix())
	keep := forgotten
	if f.recent {
		keep = recentlyActive
	}
	return first <= last && last > now.Add(-keep).Unix() && first+seconds(d.Delay+d.Listing) <= now.Unix()
}

// listed goes through the metrics of all accounts that the caller sees, from the page of
// the filter on.
func (c *apiCall) listed(f *metricFilter) iter.Seq[listedMetric] {
	owners := []string{c.at.account}
	if f.linked {
		owners = append(owners, c.caller.account.LinkedAccounts...)
	}
	return func(yield func(listedMetric) bool) {
		for i, owner := range owners {
			if f.owner != "" && owner != f.owner {
				continue
			}
			for l := range c.s.metricsOf(regionID{owner, c.at.name}, f.after-i*placesPerAccount) {
				l.place += i * placesPerAccount
				if !yield(l) {
					return
				}
			}
		}
	}
}

// Every account has so many places, and every instance so many of them.
const (
	placesPerAccount  = 1 << 32
	placesPerInstance = 1 << 6
)

// metricsOf goes through what one account has: those of its instances, those of the world
// and those that were put. Instances that come before the page are passed over at once.
func (s *Sandbox) metricsOf(at regionID, after int) iter.Seq[listedMetric] {
	return func(yield func(listedMetric) bool) {
		place := 0
		if r := s.region(at.account, at.name); r != nil {
			for i := min(max(after, 0)/placesPerInstance, len(r.instances)); i < len(r.instances); i++ {
				if !r.instances[i].list(i*placesPerInstance, yield) {
					return
				}
			}
			place = len(r.instances) * placesPerInstance
			for i, series := range r.series {
				if !yield(listedMetric{place + i, series.Metric, at.account, func() pointSource { return r.seeded(series) }}) {
					return
				}
			}
			place += len(r.series)
		}
		for i, put := range s.metrics.all(at) {
			if !yield(listedMetric{place + i, put.metric, at.account, func() pointSource { return put }}) {
				return
			}
		}
	}
}

func (i *instance) list(place int, yield func(listedMetric) bool) bool {
	for at, v := range i.metrics() {
		if !yield(listedMetric{place + at, i.metric(v.name), i.region.account.ID, func() pointSource { return i.made(v) }}) {
			return false
		}
	}
	return true
}

// Metrics returns all metrics of an account in a region, also those that ListMetrics does
// not show yet or any more.
func (s *Sandbox) Metrics(account, region string) iter.Seq[Metric] {
	return func(yield func(Metric) bool) {
		for l := range s.metricsOf(regionID{account, region}, 0) {
			if !yield(l.metric) {
				return
			}
		}
	}
}

// byName is an order for what maps hold.
func byName(a, b *putSeries) int { return cmp.Compare(a.metric.key(), b.metric.key()) }
