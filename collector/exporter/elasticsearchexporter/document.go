package elasticsearchexporter

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// document is what is written once.
type document struct {
	// Stream is the data stream or index. ID may be empty in one of time series, where Late
	// and LateID are the stream and the id if it is too old, or too new, for that.
	Stream string          `json:"stream"`
	ID     string          `json:"id,omitempty"`
	Late   string          `json:"late,omitempty"`
	LateID string          `json:"late_id,omitempty"`
	Source json.RawMessage `json:"source"`
}

// object is a JSON object that grows.
type object map[string]any

// set sets a dotted field. A value in the way of an object becomes its field "value".
func (o object) set(path string, value any) {
	name, rest, nested := strings.Cut(path, ".")
	if !nested {
		if below, taken := o[name].(object); taken {
			below["value"] = value
			return
		}
		o[name] = value
		return
	}
	below, ok := o[name].(object)
	if !ok {
		below = object{}
		if old, taken := o[name]; taken {
			below["value"] = old
		}
		o[name] = below
	}
	below.set(rest, value)
}

// setText sets a field unless there is nothing to say.
func (o object) setText(path, value string) {
	if value != "" {
		o.set(path, value)
	}
}

// group is the points of one document: those of one resource, namespace, dimensions, period
// and time.
type group struct {
	resource map[string]any
	scope    string
	points   []point
}

func (g *group) first() *point { return &g.points[0] }

// groups gathers all points of what comes in together, in order of time.
func groups(metrics pmetric.Metrics) []*group {
	found := map[string]*group{}
	var ordered []*group
	for _, rm := range metrics.ResourceMetrics().All() {
		resource := plainMap(rm.Resource().Attributes())
		prefix := canonical(resource)
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				eachPoint(m, func(p point) {
					key := prefix + p.key()
					g := found[key]
					if g == nil {
						g = &group{resource: resource, scope: sm.Scope().Name()}
						found[key], ordered = g, append(ordered, g)
					}
					g.points = append(g.points, p)
				})
			}
		}
	}
	slices.SortStableFunc(ordered, func(a, b *group) int { return a.first().at.Compare(b.first().at) })
	return ordered
}

func (p *point) key() string {
	return canonical([]any{p.namespace, p.at.UnixMilli(), p.period.Milliseconds(), p.dimensions})
}

// canonical is the same text for the same value: keys are sorted.
func canonical(value any) string {
	text, err := json.Marshal(value)
	if err != nil { // plain values only: a number that is none
		return err.Error()
	}
	return string(text)
}

// id is the same whenever the same metrics of the same time are written. The names of the
// metrics are part of it: what CloudWatch has late comes in a document of its own, which
// must not be taken for the one that is there.
func (g *group) id() string {
	return digest([]any{g.series(), g.first().at.UnixMilli()})
}

// series is the id without the time.
func (g *group) series() string {
	p := g.first()
	return digest([]any{
		g.resource["cloud.account.id"], g.resource["cloud.region"], p.namespace, p.dimensions, p.period.Milliseconds(), g.names(), g.identity(),
	})
}

// identity is what else tells apart what is not from CloudWatch: all of its resource.
func (g *group) identity() any {
	if g.first().isCloudWatch() {
		return nil
	}
	return g.resource
}

// names are those of the metrics and their statistics, each once.
func (g *group) names() []string {
	names := map[string]bool{}
	for i := range g.points {
		names[g.points[i].full+" "+g.points[i].stat] = true
	}
	return slices.Sorted(maps.Keys(names))
}

func digest(value any) string {
	sum := sha256.Sum256([]byte(canonical(value)))
	return base64.RawURLEncoding.EncodeToString(sum[:15])
}

// plainMap makes JSON of attributes.
func plainMap(attributes pcommon.Map) map[string]any {
	out := make(map[string]any, attributes.Len())
	for key, value := range attributes.All() {
		out[key] = plain(value)
	}
	return out
}

// plain makes JSON of a value; numbers that JSON has no form for become text.
func plain(value pcommon.Value) any {
	switch value.Type() {
	case pcommon.ValueTypeMap:
		return plainMap(value.Map())
	case pcommon.ValueTypeSlice:
		out := make([]any, 0, value.Slice().Len())
		for _, one := range value.Slice().All() {
			out = append(out, plain(one))
		}
		return out
	case pcommon.ValueTypeDouble:
		if v := value.Double(); !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v
		}
	case pcommon.ValueTypeInt:
		return value.Int()
	case pcommon.ValueTypeBool:
		return value.Bool()
	}
	return value.AsString()
}

// fieldName makes one field of a name: dots would nest.
func fieldName(name string) string { return strings.ReplaceAll(name, ".", "_") }

func number(value float64) string { return fieldName(strconv.FormatFloat(value, 'f', -1, 64)) }

func timestamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }
