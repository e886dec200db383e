package convert

import (
	"cmp"
	"net/url"

	"github.com/keyless-id/keyless/authproxy"
	"github.com/keyless-id/keyless/internal/yamltree"
	"github.com/keyless-id/keyless/profile"
)

// sigv4 is Prometheus's block of that name (prometheus/sigv4 0.5, and the two fields that
// other versions had).
type sigv4 struct {
	Region        string `yaml:"region"`
	AccessKey     hidden `yaml:"access_key"`
	SecretKey     hidden `yaml:"secret_key"`
	SecretKeyFile hidden `yaml:"secret_key_file"`
	Profile       string `yaml:"profile"`
	RoleARN       string `yaml:"role_arn"`
	ExternalID    string `yaml:"external_id"`
	SessionName   string `yaml:"session_name"`
	Tags          anyway `yaml:"tags"`
	FIPS          bool   `yaml:"use_fips_sts_endpoint"`
	ServiceName   string `yaml:"service_name"`
	Service       string `yaml:"service"`
}

// anyway is whether something of whatever kind is there.
type anyway bool

// UnmarshalNode looks whether there is anything.
func (a *anyway) UnmarshalNode(n *yamltree.Node) error {
	*a = n.Kind != yamltree.Nothing
	return nil
}

// What a person has to fill in.
const (
	changeAudience = "api://CHANGE-ME"
	changeRole     = "arn:aws:iam::000000000000:role/CHANGE-ME"
)

const toDecide = "To decide: the identity that proves itself (auto finds the machine's own), the App ID URI\nthat AWS's OIDC provider lists as audience, and the role that trusts the two."

// sigv4 makes the profile and the rest of the route of a block for AWS.
func (b *remoteWrite) sigv4(d *draft, r *profile.Route, u *url.URL) error {
	var s sigv4
	if err := b.decode("sigv4", b.node.Child("sigv4"), &s); err != nil {
		return err
	}
	where := b.below("sigv4")
	if s.ExternalID != "" && s.RoleARN == "" {
		return where.wrong("", "external_id goes with role_arn")
	}
	region, err := s.sign(r, u, where)
	if err != nil {
		return err
	}
	d.once(where, "keyless proves an identity of Azure to AWS: to use the one that a machine in AWS has, stay with Prometheus's own sigv4")
	d.once(where, "the audience of the profile must be decided, and the role must trust it: docs/guides/azure-vm-aws-cli.md, steps 1 and 2")
	s.say(d, where)
	name := "aws"
	if r.Preset == "amazon-managed-prometheus" {
		name = "amp"
	}
	r.Profile = d.identify(name, toDecide, profile.Profile{
		Source: &profile.Source{Auto: &profile.Choice{}}, Audience: changeAudience, AWS: s.role(region),
	})
	return nil
}

// sign says what to sign for, as far as the upstream's preset does not, and returns the
// region.
func (s *sigv4) sign(r *profile.Route, u *url.URL, where at) (string, error) {
	service, region := cmp.Or(s.ServiceName, s.Service, "aps"), ""
	r.Preset = presetOf(u, r.Path, func(p authproxy.Preset) bool {
		known, its := p.SigV4(u)
		region = cmp.Or(its, region)
		return known == service
	})
	if s.Region == "" && region == "" {
		return "", where.wrong("write it; Prometheus takes it from its environment", "names no region, and neither does the url")
	}
	if s.Region != "" && s.Region != region || r.Preset == "" {
		region = cmp.Or(s.Region, region)
		r.SigV4 = &profile.SigV4{Service: service, Region: region}
	}
	return region, nil
}

// role is the one that Prometheus assumes. AssumeRoleWithWebIdentity has no external id
// (STS API reference), so with one there must be a role before it.
func (s *sigv4) role(region string) *profile.AWS {
	first := profile.AWS{RoleARN: s.RoleARN, Region: region, SessionName: s.SessionName, FIPS: s.FIPS}
	if s.RoleARN == "" {
		first.RoleARN = changeRole
	}
	if s.ExternalID != "" {
		first.RoleARN, first.SessionName = changeRole, ""
		first.Chain = []profile.Hop{{RoleARN: s.RoleARN, ExternalID: s.ExternalID, SessionName: s.SessionName}}
	}
	return &first
}

func (s *sigv4) say(d *draft, where at) {
	if s.AccessKey || s.SecretKey || s.SecretKeyFile {
		d.note(where, "the access key is not copied and not needed any more: delete it in IAM once this works")
	}
	if s.Profile != "" {
		d.note(where, "profile is not carried over: keyless reads no credentials of AWS's files")
	}
	switch {
	case s.ExternalID != "":
		d.note(where, "role_arn is assumed with its external_id from a first role, which must be made: see chain in the profile")
	case s.RoleARN != "":
		d.note(where, "role_arn is assumed with a token of Entra ID from now on: its trust policy must allow sts:AssumeRoleWithWebIdentity to it")
	default:
		d.note(where, "a role must be made that may aps:RemoteWrite; write its ARN into the profile")
	}
	if s.Tags {
		d.note(where, "tags are not carried over: the session has none")
	}
}
