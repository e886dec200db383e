package awscloudwatchmetricsreceiver

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tagging is the Resource Groups Tagging API for an account in a region. It costs nothing.
type tagging struct{ *service }

type tagFilter struct {
	Key    string
	Values []string `json:",omitempty"`
}

type resourcesRequest struct {
	ResourcesPerPage    int
	ResourceTypeFilters []string
	TagFilters          []tagFilter `json:",omitempty"`
	PaginationToken     string      `json:",omitempty"`
}

type resourcesAnswer struct {
	PaginationToken        string
	ResourceTagMappingList []struct {
		ResourceARN string
		Tags        []struct{ Key, Value string }
	}
}

// tagged are the tags of resources by each way in which a dimension may name them.
type tagged map[string][]dimension

// resources finds the resources of a type with certain tags ("GetResources", Resource Groups
// Tagging API Reference).
func (t tagging) resources(ctx context.Context, kind string, tags map[string][]string) (tagged, error) {
	ask := resourcesRequest{ResourcesPerPage: 100, ResourceTypeFilters: []string{kind}}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		ask.TagFilters = append(ask.TagFilters, tagFilter{Key: key, Values: tags[key]})
	}
	out := make(tagged)
	for range maxPages {
		m, err := jsonMessage(opResources, "1.1", "ResourceGroupsTaggingAPI_20170126", ask)
		if err != nil {
			return nil, err
		}
		body, err := t.call(ctx, m)
		if err != nil {
			return nil, err
		}
		var page resourcesAnswer
		if err := json.Unmarshal(body, &page); err != nil {
			return nil, fmt.Errorf("%s: the answer is no JSON: %w", t.op(opResources), err)
		}
		out.add(page)
		if page.PaginationToken == "" {
			return out, nil
		}
		ask.PaginationToken = page.PaginationToken
	}
	return nil, fmt.Errorf("%s: the pages have no end", t.op(opResources))
}

func (t tagged) add(page resourcesAnswer) {
	for _, r := range page.ResourceTagMappingList {
		var tags []dimension
		for _, tag := range r.Tags {
			tags = append(tags, dimension{tag.Key, tag.Value})
		}
		slices.SortFunc(tags, byName)
		for _, name := range endsOf(r.ResourceARN) {
			t[name] = tags
		}
	}
}

// endsOf are the ends of an ARN's resource: dimensions have one of them, for example
// app/NAME/ID of arn:aws:elasticloadbalancing:REGION:ACCOUNT:loadbalancer/app/NAME/ID.
func endsOf(arn string) []string {
	parts := strings.SplitN(arn, ":", 6)
	resource := parts[len(parts)-1]
	out := []string{resource}
	for {
		i := strings.IndexAny(resource, ":/")
		if i < 0 {
			return out
		}
		resource = resource[i+1:]
		out = append(out, resource)
	}
}

// of finds the tags of what dimensions name.
func (t tagged) of(all []dimension) ([]dimension, bool) {
	for _, d := range all {
		if tags, ok := t[d.Value]; ok {
			return tags, true
		}
	}
	return nil, false
}

func byName(a, b dimension) int { return strings.Compare(a.Name, b.Name) }

func sortedDimensions(of map[string]string) []dimension {
	out := make([]dimension, 0, len(of))
	for name, value := range of {
		out = append(out, dimension{name, value})
	}
	slices.SortFunc(out, byName)
	return out
}
