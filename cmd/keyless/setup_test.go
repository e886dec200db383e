package main

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/profile"
	"github.com/keyless-id/keyless/setup"
)

func TestWhatIsNotKnownEverywhereIsAskedForAgain(t *testing.T) {
	for code, want := range map[string]int{"AccessDenied": 3, "AADSTS70021": 3, "AADSTS501051": 1, "ExpiredTokenException": 1} {
		synctest.Test(t, func(t *testing.T) {
			asked, told := 0, 0
			err := settle(t.Context(), func(context.Context) error {
				if asked++; asked == 3 {
					return nil
				}
				return &keyless.Error{Hop: keyless.HopExchange, Code: code}
			}, func() { told++ })
			if asked != want || (err == nil) != (want == 3) || told > 1 {
				t.Errorf("%s: asked %d times, told %d times: %v", code, asked, told, err)
			}
		})
	}
}

func TestWhatStaysRefusedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		err := settle(t.Context(), func(context.Context) error { return &keyless.Error{Code: "AccessDenied"} }, func() {})
		if took := time.Since(begin); err == nil || took < 30*time.Second || took > 3*time.Minute {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

func TestAProfileSaysWhoAndWhat(t *testing.T) {
	const role, id = "arn:aws-cn:iam::123456789012:role/teams/a/app", "11111111-1111-1111-1111-111111111111"
	aws := &profile.AWS{RoleARN: role, Region: "cn-north-1", Duration: 2 * time.Hour}
	app := profile.Application{TenantID: "tenant", ClientID: id}
	ends := setup.Spec{Partition: "aws-cn", Account: "123456789012", RolePath: "/teams/a/", Role: "app", Region: "cn-north-1", MaxSession: 2 * time.Hour, AppIDURI: "api://x"}
	for name, test := range map[string]struct {
		source profile.Source
		want   func(*setup.Spec)
	}{
		"managed identity": {profile.Source{ManagedIdentity: &profile.ManagedIdentity{ObjectID: id}}, func(s *setup.Spec) { s.Kind, s.Identity = setup.ManagedIdentity, id }},
		"arc":              {profile.Source{Arc: &profile.Choice{ClientID: id}}, func(s *setup.Spec) { s.Kind, s.Identity = setup.ManagedIdentity, id }},
		"auto":             {profile.Source{Auto: &profile.Choice{ResourceID: "/r"}}, func(s *setup.Spec) { s.Kind, s.Identity = setup.ManagedIdentity, "/r" }},
		"pod":              {profile.Source{WorkloadIdentity: &profile.WorkloadIdentity{Application: app}}, func(s *setup.Spec) { s.Kind, s.Identity, s.TenantID = setup.ManagedIdentity, id, "tenant" }},
		"secret":           {profile.Source{ClientSecret: &profile.ClientSecret{Application: app}}, func(s *setup.Spec) { s.Kind, s.Identity, s.TenantID = setup.Application, id, "tenant" }},
		"certificate":      {profile.Source{Certificate: &profile.Certificate{Application: app}}, func(s *setup.Spec) { s.Kind, s.Identity, s.TenantID = setup.Application, id, "tenant" }},
		"assertion":        {profile.Source{AssertionFile: &profile.AssertionFile{Application: app}}, func(s *setup.Spec) { s.Kind, s.Identity, s.TenantID = setup.Application, id, "tenant" }},
		"pipelines": {profile.Source{AzurePipelines: &profile.AzurePipelines{ServiceConnectionID: id}}, func(s *setup.Spec) {
			s.Kind, s.Connection.ID = setup.Pipelines, id
		}},
		"aws":       {profile.Source{AWS: &profile.AWSWorkload{Application: app}}, func(s *setup.Spec) { s.Kind, s.Identity, s.TenantID = setup.FromAWS, id, "tenant" }},
		"azure cli": {profile.Source{AzureCLI: &profile.AzureCLI{}}, func(*setup.Spec) {}},
	} {
		got, want := setup.Spec{}, ends
		test.want(&want)
		fromProfile(&got, &profile.Selected{Profile: profile.Profile{Source: &test.source, Audience: "api://x", AWS: aws}})
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got  %+v\nwant %+v", name, got, want)
		}
	}
}
