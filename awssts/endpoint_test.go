package awssts_test

import (
	"strings"
	"testing"

	"github.com/keyless-id/keyless/awssts"
)

// The rows are the endpoints that the AWS SDK for Go has for the same question.
func TestEndpoints(t *testing.T) {
	for _, c := range []struct {
		region, partition string
		fips, dualStack   bool
		want              string
	}{
		{"eu-west-1", "aws", false, false, "https://sts.eu-west-1.amazonaws.com"},
		{"", "", false, false, "https://sts.us-east-1.amazonaws.com"},
		{"us-east-2", "aws", true, false, "https://sts-fips.us-east-2.amazonaws.com"},
		{"us-east-2", "aws", false, true, "https://sts.us-east-2.api.aws"},
		{"us-east-2", "aws", true, true, "https://sts-fips.us-east-2.api.aws"},
		{"mx-central-1", "", false, false, "https://sts.mx-central-1.amazonaws.com"},
		{"eu-neverland-7", "", false, false, "https://sts.eu-neverland-7.amazonaws.com"},
		{"cn-north-1", "", false, false, "https://sts.cn-north-1.amazonaws.com.cn"},
		{"", "aws-cn", false, false, "https://sts.cn-northwest-1.amazonaws.com.cn"},
		{"cn-north-1", "aws-cn", false, true, "https://sts.cn-north-1.api.amazonwebservices.com.cn"},
		{"us-gov-east-1", "aws-us-gov", false, false, "https://sts.us-gov-east-1.amazonaws.com"},
		{"us-gov-east-1", "aws-us-gov", true, false, "https://sts.us-gov-east-1.amazonaws.com"},
		{"us-gov-east-1", "aws-us-gov", true, true, "https://sts-fips.us-gov-east-1.api.aws"},
		{"", "aws-us-gov", false, false, "https://sts.us-gov-west-1.amazonaws.com"},
		{"eusc-de-east-1", "", false, false, "https://sts.eusc-de-east-1.amazonaws.eu"},
		{"us-iso-east-1", "", false, false, "https://sts.us-iso-east-1.c2s.ic.gov"},
		{"us-isob-east-1", "", true, false, "https://sts-fips.us-isob-east-1.sc2s.sgov.gov"},
		{"", "aws-iso-e", false, false, "https://sts.eu-isoe-west-1.cloud.adc-e.uk"},
		{"us-isof-south-1", "", false, false, "https://sts.us-isof-south-1.csp.hci.ic.gov"},
	} {
		got, err := awssts.Endpoint(c.region, c.partition, c.fips, c.dualStack)
		if got != c.want || err != nil {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

func TestRegionsThatDoNotFit(t *testing.T) {
	for want, c := range map[string][2]string{
		"is in partition aws-cn": {"cn-north-1", "aws"},
		"is in partition aws,":   {"eu-west-1", "aws-us-gov"},
		"want a name like":       {"evil.example/", "aws"},
		`"mars" is unknown`:      {"", "mars"},
	} {
		if got, err := awssts.Endpoint(c[0], c[1], false, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v", c, got, err)
		}
	}
}
