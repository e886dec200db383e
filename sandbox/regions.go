package sandbox

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Region is what an account has in one region of AWS. The others exist and are empty.
type Region struct {
	Name      string         `json:"name" yaml:"name"`
	Instances []Instance     `json:"instances,omitempty" yaml:"instances,omitempty"`
	Series    []MetricSeries `json:"series,omitempty" yaml:"series,omitempty"` // of other namespaces than AWS/EC2
	Delivery  Delivery       `json:"delivery,omitzero" yaml:"delivery,omitempty"`
}

// Instance is a virtual machine of EC2, or Count of the same kind. What is empty follows
// from the account, the region and the place in the list, always the same.
type Instance struct {
	ID         string            `json:"id,omitempty" yaml:"id,omitempty"`       // of the first
	Count      int               `json:"count,omitempty" yaml:"count,omitempty"` // one when zero
	Type       string            `json:"type,omitempty" yaml:"type,omitempty"`   // t3.micro when empty
	State      string            `json:"state,omitempty" yaml:"state,omitempty"` // running when empty
	Zone       string            `json:"zone,omitempty" yaml:"zone,omitempty"`
	Image      string            `json:"image,omitempty" yaml:"image,omitempty"`
	PrivateIP  string            `json:"private_ip,omitempty" yaml:"private_ip,omitempty"`
	PublicIP   string            `json:"public_ip,omitempty" yaml:"public_ip,omitempty"` // empty: none
	Tags       map[string]string `json:"tags,omitempty" yaml:"tags,omitempty"`
	Detailed   bool              `json:"detailed,omitempty" yaml:"detailed,omitempty"`    // monitoring: a point a minute, not every five
	Launched   time.Time         `json:"launched,omitzero" yaml:"launched,omitempty"`     // 90 days before the sandbox when zero; in the future: not there yet
	Terminated time.Time         `json:"terminated,omitzero" yaml:"terminated,omitempty"` // zero: never
	Impaired   time.Time         `json:"impaired,omitzero" yaml:"impaired,omitempty"`     // the status checks fail from then on; zero: never
}

// MetricSeries is a series whose points follow from its name.
type MetricSeries struct {
	Metric `yaml:",inline"`
	Unit   string        `json:"unit,omitempty" yaml:"unit,omitempty"`     // None when empty
	Period time.Duration `json:"period,omitempty" yaml:"period,omitempty"` // five minutes when zero
	Since  time.Time     `json:"since,omitzero" yaml:"since,omitempty"`    // 90 days before the sandbox when zero
	Until  time.Time     `json:"until,omitzero" yaml:"until,omitempty"`    // zero: for ever
}

// Metric is what a series is found by.
type Metric struct {
	Namespace  string      `json:"namespace" yaml:"namespace"`
	Name       string      `json:"name" yaml:"name"`
	Dimensions []Dimension `json:"dimensions,omitempty" yaml:"dimensions,omitempty"`
}

// Dimension is a part of a metric's identity.
type Dimension struct {
	Name  string `json:"name" yaml:"name"`
	Value string `json:"value" yaml:"value"`
}

// Delivery is how the points of a region come to be seen. The zero value: all of them, at
// the end of the interval that they are for.
type Delivery struct {
	Delay  time.Duration `json:"delay,omitempty" yaml:"delay,omitempty"`     // median
	Late   float64       `json:"late,omitempty" yaml:"late,omitempty"`       // share of the points that come later still
	LateBy time.Duration `json:"late_by,omitempty" yaml:"late_by,omitempty"` // mean of how much later

	Missing     float64       `json:"missing,omitempty" yaml:"missing,omitempty"` // share that never comes
	Revised     float64       `json:"revised,omitempty" yaml:"revised,omitempty"` // share whose first value is not the last
	ReviseAfter time.Duration `json:"revise_after,omitempty" yaml:"revise_after,omitempty"`

	// Listing is how long after its first point ListMetrics shows a metric; the real one
	// says up to 15 minutes.
	Listing time.Duration `json:"listing,omitempty" yaml:"listing,omitempty"`

	// Shares of the queries of GetMetricData that are answered with half of the points and
	// PartialData, or with none and InternalError. They are other queries each minute.
	Partial float64 `json:"partial,omitempty" yaml:"partial,omitempty"`
	Failing float64 `json:"failing,omitempty" yaml:"failing,omitempty"`
}

// region is a Region with everything that follows from it.
type region struct {
	Region
	account   *account
	instances []*instance // by id
	series    []*MetricSeries
	byKey     map[string]*MetricSeries
}

// pastOf is how long before the sandbox things were there that have no beginning.
const pastOf = 90 * 24 * time.Hour

func (a *account) addRegion(data Region, made time.Time) error {
	r := &region{Region: data, account: a, byKey: map[string]*MetricSeries{}}
	if err := put(a.regions, data.Name, r); err != nil {
		return err
	}
	for i := range data.Instances {
		if err := r.addInstances(data.Instances[i], i, made); err != nil {
			return fmt.Errorf("instance %q: %w", data.Instances[i].ID, err)
		}
	}
	slices.SortFunc(r.instances, func(a, b *instance) int { return cmp.Compare(a.ID, b.ID) })
	for i := 1; i < len(r.instances); i++ {
		if r.instances[i].ID == r.instances[i-1].ID {
			return fmt.Errorf("instance %q exists twice", r.instances[i].ID)
		}
	}
	return r.addSeries(made)
}

func (r *region) addSeries(made time.Time) error {
	for _, data := range r.Series {
		if data.Namespace == "" || data.Name == "" {
			return errors.New("a series has no namespace or no name")
		}
		if data.Namespace == ec2Namespace {
			return fmt.Errorf("series %q: those of %s are the instances'", data.Name, ec2Namespace)
		}
		data.Period = max(cmp.Or(data.Period, 5*time.Minute).Truncate(time.Second), time.Second)
		if data.Since.IsZero() {
			data.Since = made.Add(-pastOf)
		}
		if err := put(r.byKey, data.key(), &data); err != nil {
			return err
		}
		r.series = append(r.series, &data)
	}
	return nil
}

// addInstances adds as many as the entry counts.
func (r *region) addInstances(entry Instance, place int, made time.Time) error {
	if entry.Count < 0 || entry.Count > maxFleet {
		return fmt.Errorf("count %d is out of range", entry.Count)
	}
	if entry.PrivateIP != "" {
		if _, err := netip.ParseAddr(entry.PrivateIP); err != nil {
			return err
		}
	}
	for i := range max(entry.Count, 1) {
		one := entry
		one.Count = 0
		if i > 0 {
			one.ID, one.PrivateIP, one.PublicIP = "", "", ""
		}
		r.instances = append(r.instances, r.complete(one, fmt.Sprintf("%s/%s/%d/%d", r.account.ID, r.Name, place, i), made))
	}
	return nil
}

// maxFleet is how many instances one entry makes at most.
const maxFleet = 100000

// complete fills in what an entry leaves open.
func (r *region) complete(i Instance, seed string, made time.Time) *instance {
	sum := sha256.Sum256([]byte(seed))
	i.ID = cmp.Or(i.ID, "i-"+hex.EncodeToString(sum[:9])[:17])
	i.Type = cmp.Or(i.Type, "t3.micro")
	i.State = cmp.Or(i.State, stateRunning)
	i.Zone = cmp.Or(i.Zone, r.Name+string("abc"[sum[9]%3]))
	i.Image = cmp.Or(i.Image, "ami-0"+hex.EncodeToString(sum[10:18]))
	i.PrivateIP = cmp.Or(i.PrivateIP, netip.AddrFrom4([4]byte{10, sum[18], sum[19], sum[20]}).String())
	if i.Launched.IsZero() {
		i.Launched = made.Add(-pastOf)
	}
	return &instance{Instance: i, region: r}
}

// Instances returns those that an account has in a region, with everything that was left
// open filled in, and in the order in which EC2 lists them.
func (s *Sandbox) Instances(accountID, regionName string) []Instance {
	r := s.region(accountID, regionName)
	if r == nil {
		return nil
	}
	list := make([]Instance, len(r.instances))
	for i, one := range r.instances {
		list[i] = one.Instance
	}
	return list
}

// region is nil where the account has nothing.
func (s *Sandbox) region(accountID, name string) *region {
	a := s.index.accounts[accountID]
	if a == nil {
		return nil
	}
	return a.regions[name]
}

// mix makes of a number one that has nothing to do with it (splitmix64, by Sebastiano
// Vigna), so that the points of a series can be made in any order and none is kept.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// share makes a number from 0 to 1 of it.
func share(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// seedOf begins the numbers of a series.
func seedOf(parts ...string) uint64 {
	h := sha256.New()
	for _, part := range parts {
		h.Write([]byte(part + "\x00"))
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}
