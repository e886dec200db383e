package awssts

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/internal/pattern"
)

// partition is a part of AWS with its own accounts and names, from the partitions
// file that AWS publishes with its SDKs.
type partition struct {
	name      string
	areas     []string // what its regions' names begin with, before -west-1
	suffix    string
	dualStack string
	region    string // where to go when no region is named
	plainFIPS bool   // the ordinary endpoint is the FIPS endpoint
}

func partitions() []partition {
	return []partition{
		{name: "aws", areas: []string{"us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"}, suffix: "amazonaws.com", dualStack: "api.aws", region: "us-east-1"},
		{name: "aws-cn", areas: []string{"cn"}, suffix: "amazonaws.com.cn", dualStack: "api.amazonwebservices.com.cn", region: "cn-northwest-1"},
		{name: "aws-us-gov", areas: []string{"us-gov"}, suffix: "amazonaws.com", dualStack: "api.aws", region: "us-gov-west-1", plainFIPS: true},
		{name: "aws-eusc", areas: []string{"eusc-de"}, suffix: "amazonaws.eu", dualStack: "api.amazonwebservices.eu", region: "eusc-de-east-1"},
		{name: "aws-iso", areas: []string{"us-iso"}, suffix: "c2s.ic.gov", dualStack: "api.aws.ic.gov", region: "us-iso-east-1"},
		{name: "aws-iso-b", areas: []string{"us-isob"}, suffix: "sc2s.sgov.gov", dualStack: "api.aws.scloud", region: "us-isob-east-1"},
		{name: "aws-iso-e", areas: []string{"eu-isoe"}, suffix: "cloud.adc-e.uk", dualStack: "api.cloud-aws.adc-e.uk", region: "eu-isoe-west-1"},
		{name: "aws-iso-f", areas: []string{"us-isof", "eu-isof"}, suffix: "csp.hci.ic.gov", dualStack: "api.aws.hci.ic.gov", region: "us-isof-south-1"},
	}
}

// regionName splits a region into its area, a direction and a number.
var regionName = pattern.Lazy(`^([a-z]+(?:-[a-z]+)*)-[a-z]+-[0-9]+$`)

func partitionNamed(name string) (partition, bool) {
	for _, p := range partitions() {
		if p.name == name {
			return p, true
		}
	}
	return partition{}, false
}

// partitionOf finds a region's partition by the form of its name, so that new
// regions need no new release.
func partitionOf(region string) (partition, bool) {
	name := regionName().FindStringSubmatch(region)
	if name == nil {
		return partition{}, false
	}
	for _, p := range partitions() {
		if slices.Contains(p.areas, name[1]) {
			return p, true
		}
	}
	return partition{}, false
}

// Endpoint returns the address of STS in a region of a partition. An empty region
// is the partition's default, an empty partition the region's own; both empty is
// "aws".
func Endpoint(region, partitionName string, fips, dualStack bool) (string, error) {
	p, region, err := locate(region, partitionName)
	if err != nil {
		return "", err
	}
	service, suffix := "sts", p.suffix
	if fips && (dualStack || !p.plainFIPS) {
		service = "sts-fips"
	}
	if dualStack {
		suffix = p.dualStack
	}
	return "https://" + strings.Join([]string{service, region, suffix}, "."), nil
}

func locate(region, name string) (partition, string, error) {
	if name == "" && region == "" {
		name = "aws"
	}
	p, known := partitionNamed(name)
	if name != "" && !known {
		return p, "", fmt.Errorf("partition %q is unknown", name)
	}
	if region == "" {
		return p, p.region, nil
	}
	home, ok := partitionOf(region)
	switch {
	case !ok:
		return p, "", fmt.Errorf("region %q: want a name like eu-west-1", region)
	case known && home.name != p.name:
		return p, "", fmt.Errorf("region %q is in partition %s, but the role is in partition %s", region, home.name, p.name)
	}
	return home, region, nil
}
