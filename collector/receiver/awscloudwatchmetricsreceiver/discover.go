package awscloudwatchmetricsreceiver

import (
	"context"
	"errors"
	"slices"
	"time"
)

// listLife is how long what ListMetrics has found is good for: a new metric takes a quarter
// of an hour to appear there in any case.
const listLife = time.Hour

// inventory is what there is to read in an account's region.
type inventory struct {
	instances []*entity
	at        time.Time // of the instances
	listed    []listing // by query
}

type listing struct {
	entities []*entity
	at       time.Time
}

// entities are the shard's.
func (i *inventory) entities(shard ShardConfig) []*entity {
	all := slices.Clone(i.instances)
	for _, l := range i.listed {
		all = append(all, l.entities...)
	}
	return slices.DeleteFunc(all, func(e *entity) bool { return !shard.has(e.sum()) })
}

// discover brings the inventory up to date. What cannot be asked stays as it was.
func (s *site) discover(ctx context.Context, now time.Time) error {
	var errs []error
	if s.config.EC2.Enabled {
		errs = append(errs, s.findInstances(ctx, now), s.checkHealth(ctx))
	}
	queries := s.config.queries()
	s.listed = slices.Grow(s.listed, len(queries))[:len(queries)]
	for i, q := range queries {
		errs = append(errs, s.find(ctx, q, &s.listed[i], now))
	}
	return errors.Join(errs...)
}

func (s *site) findInstances(ctx context.Context, now time.Time) error {
	if !s.at.IsZero() && now.Sub(s.at) < s.config.EC2.Refresh {
		return nil
	}
	all, err := s.ec2.instances(ctx, s.config.EC2.Tags, s.config.EC2.States)
	if err != nil {
		return err
	}
	s.instances, s.at = s.config.EC2.entities(all), now
	return nil
}

// entities share what those of the same type have in common.
func (c EC2Config) entities(all []instance) []*entity {
	profiles := make(map[string][]metricOf)
	out := make([]*entity, len(all))
	for i := range all {
		kind := all[i].Type
		if profiles[kind] == nil {
			profiles[kind] = slices.Clip(profileOf(c.Profile, kind))
		}
		out[i] = c.entity(&all[i])
		out[i].Metrics = profiles[kind]
	}
	return out
}

// entity is an instance with the attributes of OpenTelemetry's semantic conventions.
func (c EC2Config) entity(i *instance) *entity {
	e := &entity{Namespace: "AWS/EC2", Dimensions: []dimension{{"InstanceId", i.ID}}}
	tags := make([]dimension, len(i.Tags))
	for n, tag := range i.Tags {
		tags[n] = dimension{tag.Key, tag.Value}
	}
	name := i.ID
	for _, tag := range tags {
		if tag.Name == "Name" && tag.Value != "" {
			name = tag.Value
		}
	}
	for _, a := range []dimension{
		{"cloud.platform", "aws_ec2"}, {"host.id", i.ID}, {"host.name", name}, {"host.type", i.Type}, {"host.image.id", i.Image}, {"cloud.availability_zone", i.Zone},
	} {
		if a.Value != "" {
			e.Attributes = append(e.Attributes, a)
		}
	}
	e.Attributes = append(e.Attributes, c.tagAttributes(tags)...)
	return e
}

// tagAttributes are the tags that are wanted as attributes.
func (c EC2Config) tagAttributes(tags []dimension) []dimension {
	var out []dimension
	for _, tag := range tags {
		wanted := len(c.IncludeTags) == 0 || slices.Contains(c.IncludeTags, tag.Name)
		if wanted && !slices.Contains(c.ExcludeTags, tag.Name) {
			out = append(out, dimension{"aws.tag." + tag.Name, tag.Value})
		}
	}
	return out
}

// checkHealth asks EC2 for what CloudWatch would be paid for: the status checks.
func (s *site) checkHealth(ctx context.Context) error {
	if s.config.EC2.Profile != profileStandard || len(s.instances) == 0 {
		return nil
	}
	for _, e := range s.instances {
		e.Health = nil
	}
	all, err := s.ec2.statuses(ctx)
	if err != nil {
		return err
	}
	known := make(map[string]*entity, len(s.instances))
	for _, e := range s.instances {
		known[e.Dimensions[0].Value] = e
	}
	for _, status := range all {
		if e := known[status.ID]; e != nil {
			e.Health = status.health()
		}
	}
	return nil
}

// health leaves out what has no result yet.
func (i instanceStatus) health() []health {
	var out []health
	failed := false
	for _, check := range []struct{ name, status string }{
		{"StatusCheckFailed_Instance", i.Instance}, {"StatusCheckFailed_System", i.System}, {"StatusCheckFailed_AttachedEBS", i.EBS},
	} {
		if check.status == "ok" || check.status == "impaired" {
			out = append(out, health{check.name, check.status == "impaired"})
			failed = failed || check.status == "impaired"
		}
	}
	if len(out) > 0 {
		out = append(out, health{"StatusCheckFailed", failed})
	}
	return out
}

// queries are those of the configuration, discovery being one of them.
func (c *Config) queries() []QueryConfig {
	all := slices.Clone(c.Metrics.Queries)
	if d := c.Metrics.Discovery; d != nil {
		all = append(all, QueryConfig{Namespace: d.Filters.Namespace, MetricName: d.Filters.MetricName, Stats: d.Stats})
	}
	for i := range all {
		if len(all[i].Stats) == 0 {
			all[i].Stats = []string{statAverage}
		}
	}
	return all
}

// isWild reports whether ListMetrics must be asked.
func (q QueryConfig) isWild() bool {
	if q.MetricName == "" || len(q.Dimensions) == 0 {
		return true
	}
	for _, value := range q.Dimensions {
		if value == anyValue {
			return true
		}
	}
	return false
}

// find looks for what a query means.
func (s *site) find(ctx context.Context, q QueryConfig, l *listing, now time.Time) error {
	if !l.at.IsZero() && now.Sub(l.at) < listLife {
		return nil
	}
	all := []found{{Name: q.MetricName, Dimensions: sortedDimensions(q.Dimensions)}}
	if q.isWild() {
		var err error
		if all, err = s.cloudWatch.list(ctx, q, s.config.recent(), s.config.limit(q)); err != nil {
			return err
		}
	}
	entities := entitiesOf(q, all)
	if q.ResourceType != "" {
		tags, err := s.tagging.resources(ctx, q.ResourceType, q.Tags)
		if err != nil {
			return err
		}
		entities = withTags(entities, tags, s.config.EC2, len(q.Tags) > 0)
	}
	l.entities, l.at = entities, now
	return nil
}

// recent asks ListMetrics only for metrics with points of the last three hours, unless older
// ones are read.
func (c *Config) recent() bool {
	if d := c.Metrics.Discovery; d != nil && d.RecentlyActive != nil {
		return *d.RecentlyActive
	}
	return c.Lookback <= 3*time.Hour
}

func (c *Config) limit(q QueryConfig) int {
	if d := c.Metrics.Discovery; d != nil && q.Namespace == d.Filters.Namespace && q.MetricName == d.Filters.MetricName {
		return d.Limit
	}
	return 0
}

// entitiesOf puts metrics with the same dimensions together.
func entitiesOf(q QueryConfig, all []found) []*entity {
	var out []*entity
	known := make(map[uint64]*entity)
	for _, f := range all {
		e := &entity{Namespace: q.Namespace, Dimensions: f.Dimensions}
		if before := known[e.sum()]; before != nil {
			e = before
		} else {
			known[e.sum()], out = e, append(out, e)
		}
		e.Metrics = append(e.Metrics, metricOf{Name: f.Name, Stats: q.Stats, Optional: q.Optional})
	}
	return out
}

// withTags attaches tags and, if only tagged resources are wanted, drops others before they
// are paid for.
func withTags(all []*entity, tags tagged, c EC2Config, only bool) []*entity {
	return slices.DeleteFunc(all, func(e *entity) bool {
		of, ok := tags.of(e.Dimensions)
		e.Attributes = append(e.Attributes, c.tagAttributes(of)...)
		return only && !ok
	})
}
