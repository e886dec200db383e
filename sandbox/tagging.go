package sandbox

import (
	"encoding/base64"
	"net/http"
	"slices"
)

// serveTagging is "Resource Groups Tagging API Reference". Only instances are resources
// here.
func (s *Sandbox) serveTagging(w http.ResponseWriter, r *http.Request) {
	s.serveAPI(tagging(), taggingProtocol(), w, r)
}

func taggingProtocol() jsonProtocol {
	return jsonProtocol{"ResourceGroupsTaggingAPI_20170126", "application/x-amz-json-1.1"}
}

// tagging has the rate of "Service quotas for tagging".
func tagging() *awsService {
	return &awsService{
		hop: Tagging, name: "tagging",
		operation: func(name string) *awsOperation {
			if name == "GetResources" {
				return &awsOperation{(*apiCall).getResources, 15}
			}
			return nil
		},
		unsigned: func(e *signatureError) *awsError {
			refusal := e.forAMP()
			return &awsError{refusal.code, http.StatusBadRequest, refusal.message}
		},
		denied: func(who, permission string) *awsError {
			return &awsError{"AccessDeniedException", http.StatusBadRequest, "User: " + who + " is not authorized to perform: " + permission +
				" because no identity-based policy allows the " + permission + " action"}
		},
		throttled: taggingThrottled(),
	}
}

func taggingThrottled() *awsError {
	return &awsError{"ThrottledException", http.StatusBadRequest, "Rate exceeded"}
}

func invalidTagging(message string) *awsError {
	return &awsError{"InvalidParameterException", http.StatusBadRequest, message}
}

func (c *apiCall) getResources() (object, *awsError) {
	filter, refusal := c.readTagFilter()
	if refusal != nil {
		return nil, refusal
	}
	list := []object{}
	answer := object{"PaginationToken": ""}
	last := ""
	for _, i := range c.region().instances {
		if i.ID <= filter.after || !filter.lets(i) || i.state(c.now) == "" {
			continue
		}
		if len(list) == filter.size {
			answer["PaginationToken"] = base64.StdEncoding.EncodeToString([]byte(last))
			break
		}
		last = i.ID
		list = append(list, object{"ResourceARN": i.arn(), "Tags": i.tagList()})
	}
	answer["ResourceTagMappingList"] = list
	return answer, nil
}

func (i *instance) arn() string {
	return "arn:" + i.region.account.Partition + ":ec2:" + i.region.Name + ":" + i.region.account.ID + ":instance/" + i.ID
}

func (i *instance) tagList() []object {
	list := i.tagSet()
	for at, tag := range list {
		list[at] = object{"Key": tag["key"], "Value": tag["value"]}
	}
	return list
}

type tagFilter struct {
	tags  []params
	types []string
	arns  []string
	size  int
	after string
}

// readTagFilter holds a request to the limits of GetResources.
func (c *apiCall) readTagFilter() (*tagFilter, *awsError) {
	f := &tagFilter{
		tags: c.in.structures("TagFilters"), types: c.in.texts("ResourceTypeFilters"), arns: c.in.texts("ResourceARNList"), size: 50,
	}
	if c.in.has("ResourcesPerPage") {
		size, ok := c.in.integer("ResourcesPerPage")
		if !ok || size < 1 || size > 100 {
			return nil, invalidTagging("ResourcesPerPage must be between 1 and 100") // unverified wording
		}
		f.size = int(size)
	}
	after, err := base64.StdEncoding.DecodeString(c.in.text("PaginationToken"))
	f.after = string(after)
	switch {
	case err != nil:
		return nil, invalidTagging("PaginationToken is invalid") // unverified wording
	case len(f.tags) > 50:
		return nil, invalidTagging("TagFilters has more than 50 items") // unverified wording
	case len(f.arns) > 0 && len(f.tags)+len(f.types) > 0:
		return nil, invalidTagging("ResourceARNList cannot be used with TagFilters or ResourceTypeFilters") // unverified wording
	}
	return f, nil
}

// lets through resources that have tags, which are those that the service knows.
func (f *tagFilter) lets(i *instance) bool {
	if len(i.Tags) == 0 || len(f.arns) > 0 && !slices.Contains(f.arns, i.arn()) {
		return false
	}
	if len(f.types) > 0 && !slices.ContainsFunc(f.types, func(kind string) bool { return kind == "ec2" || kind == "ec2:instance" }) {
		return false
	}
	for _, want := range f.tags {
		value, has := i.Tags[want.text("Key")]
		values := want.texts("Values")
		if !has || len(values) > 0 && !slices.Contains(values, value) {
			return false
		}
	}
	return true
}
