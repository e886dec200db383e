package profile

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/keyless-id/keyless/internal/yamltree"
	"github.com/keyless-id/keyless/pipelines"
)

func (s *Selected) fail(path, hint, format string, args ...any) error {
	line := s.lines[path]
	for at := path; line == 0 && at != ""; {
		cut := strings.LastIndexByte(at, '.')
		at = at[:max(cut, 0)]
		line = s.lines[at]
	}
	return &Error{File: s.Path, Line: line, Path: yamltree.Join(s.prefix(), path), Message: fmt.Sprintf(format, args...), Hint: hint}
}

// validate checks what the types cannot say, and that the files to trust are there. What a
// far side's own rules forbid is checked where the far side is spoken to.
func (s *Selected) validate() error {
	if err := s.shape(); err != nil {
		return err
	}
	return s.certificates()
}

// shape is validate without a look at any file.
func (s *Selected) shape() error {
	for _, rule := range []func() error{s.oneForm, s.oneSource, s.target, s.role, s.application, s.proof} {
		if err := rule(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Selected) oneForm() error {
	switch {
	case s.AzureAD == nil && s.RoleARN != "":
		return s.fail("role_arn", "write aws: { role_arn: … }", "goes with azure_ad only")
	case s.AzureAD == nil && s.DefaultRegion != "":
		return s.fail("default_region", "write aws: { region: … }", "goes with azure_ad only")
	case s.AzureAD == nil:
		return nil
	case s.Source != nil || s.AWS != nil || s.Audience != "" || s.Scope != "":
		return s.fail("azure_ad", "keep one of the two forms", "stands beside source, audience, scope or aws")
	}
	s.translate()
	return nil
}

// translate turns the block that Beats users know into the other form.
func (s *Selected) translate() {
	ad := s.AzureAD
	s.Scope = ad.Scope
	s.Source = &Source{Auto: &Choice{}}
	if !ad.ClientSecret.Value.IsZero() || ad.ClientSecret.File != "" {
		app := Application{TenantID: ad.TenantID, ClientID: ad.ClientID}
		s.Source = &Source{ClientSecret: &ClientSecret{Application: app, ClientSecret: ad.ClientSecret}}
	}
	if s.RoleARN != "" {
		s.AWS = &AWS{RoleARN: s.RoleARN, Region: s.DefaultRegion}
	}
}

func (s *Selected) oneSource() error {
	if s.Source == nil {
		return s.fail("source", "for example source: { managed_identity: {} }", "is missing")
	}
	set := yamltree.Set(s.Source)
	switch len(set) {
	case 0:
		return s.fail("source", "for example source: { managed_identity: {} }", "names no source")
	case 1:
		return nil
	}
	return s.fail("source", "keep one of them", "names two sources: %s", strings.Join(set, ", "))
}

func (s *Selected) target() error {
	if s.Source.AzurePipelines != nil {
		return s.onlyAudience()
	}
	switch at := s.pathOfScope(); {
	case s.Audience == "" && s.Scope == "":
		return s.fail("audience", "it is the App ID URI that the IAM OIDC provider lists, for example api://11111111-…", "is missing")
	case s.Audience != "" && s.Scope != "":
		return s.fail(at, "keep one of them", "stands beside audience")
	case strings.HasSuffix(s.Audience, "/.default"):
		return s.fail("audience", "write scope: for that, or leave /.default out", "is a scope")
	case s.Scope != "" && !strings.HasSuffix(s.Scope, "/.default"):
		return s.fail(at, "write audience: for an App ID URI", "does not end in /.default")
	}
	return nil
}

// onlyAudience knows that the tokens of Azure Pipelines have no other one.
func (s *Selected) onlyAudience() error {
	switch {
	case s.Scope != "":
		return s.fail("scope", "leave it out: these tokens have one audience only, "+pipelines.ExchangeAudience, "does not go with azure_pipelines")
	case s.Audience == "":
		s.Audience = pipelines.ExchangeAudience
	case s.Audience != pipelines.ExchangeAudience:
		return s.fail("audience", "leave it out", "is not %s, the only one that azure_pipelines has", pipelines.ExchangeAudience)
	}
	return nil
}

func (s *Selected) pathOfScope() string {
	if s.AzureAD != nil {
		return "azure_ad.scope"
	}
	return "scope"
}

// AWS STS, API reference of AssumeRoleWithWebIdentity and AssumeRole: the bounds of
// DurationSeconds, and the hour to which chaining is held.
const (
	minSession   = 15 * time.Minute
	maxSession   = 12 * time.Hour
	maxChained   = time.Hour
	chainedShort = "AWS gives a chained role no more than an hour"
)

func (s *Selected) role() error {
	if s.AWS == nil {
		return nil
	}
	if s.AWS.RoleARN == "" {
		return s.fail("aws.role_arn", "it looks like arn:aws:iam::123456789012:role/NAME", "is missing")
	}
	if err := s.duration("aws.duration", s.AWS.Duration, maxSession, ""); err != nil {
		return err
	}
	for i, hop := range s.AWS.Chain {
		at := fmt.Sprintf("aws.chain[%d]", i)
		if hop.RoleARN == "" {
			return s.fail(at+".role_arn", "it looks like arn:aws:iam::123456789012:role/NAME", "is missing")
		}
		if err := s.duration(at+".duration", hop.Duration, maxChained, chainedShort); err != nil {
			return err
		}
	}
	return nil
}

func (s *Selected) duration(path string, span time.Duration, longest time.Duration, hint string) error {
	if span != 0 && (span < minSession || span > longest) {
		return s.fail(path, hint, "%s is not between %s and %s", span, short(minSession), short(longest))
	}
	return nil
}

func short(d time.Duration) string {
	return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
}

// applicationOf returns the app registration of the source, and where it stands.
func (s *Selected) applicationOf() (app *Application, path string) {
	switch {
	case s.AzureAD != nil && s.Source.ClientSecret != nil:
		return &s.Source.ClientSecret.Application, "azure_ad"
	case s.Source.ClientSecret != nil:
		return &s.Source.ClientSecret.Application, "source.client_secret"
	case s.Source.Certificate != nil:
		return &s.Source.Certificate.Application, "source.certificate"
	case s.Source.AssertionFile != nil:
		return &s.Source.AssertionFile.Application, "source.assertion_file"
	case s.Source.AWS != nil:
		return &s.Source.AWS.Application, "source.aws"
	}
	return nil, ""
}

func (s *Selected) application() error {
	app, at := s.applicationOf()
	switch {
	case app == nil:
		return nil
	case app.TenantID == "":
		return s.fail(at+".tenant_id", "Entra admin center, Overview, Tenant ID", "is missing")
	case app.ClientID == "":
		return s.fail(at+".client_id", "it is the Application (client) ID of the app registration", "is missing")
	}
	return nil
}

// proof checks what the application proves itself with.
func (s *Selected) proof() error {
	switch source := s.Source; {
	case source.ClientSecret != nil && s.AzureAD == nil && source.ClientSecret.ClientSecret.Value.IsZero() && source.ClientSecret.ClientSecret.File == "":
		return s.fail("source.client_secret.client_secret", "${NAME} for an environment variable, or file:/path", "is missing")
	case source.Certificate != nil && source.Certificate.CertificateFile == "":
		return s.fail("source.certificate.certificate_file", "", "is missing")
	case source.AssertionFile != nil && source.AssertionFile.File == "":
		return s.fail("source.assertion_file.file", "", "is missing")
	case source.AzurePipelines != nil && source.AzurePipelines.ServiceConnectionID == "":
		return s.fail("source.azure_pipelines.service_connection_id", "it is resourceId in the connection's address in the portal", "is missing")
	case source.ManagedIdentity != nil:
		m := source.ManagedIdentity
		return s.oneSelector("source.managed_identity", Choice{m.ClientID, m.ObjectID, m.ResourceID})
	}
	for path, choice := range map[string]*Choice{"source.auto": s.Source.Auto, "source.app_service": s.Source.AppService, "source.arc": s.Source.Arc} {
		if choice != nil {
			return s.oneSelector(path, *choice)
		}
	}
	return nil
}

func (s *Selected) certificates() error {
	if s.CAFile == "" {
		return nil
	}
	if _, err := os.Stat(s.CAFile); err != nil {
		return s.fail("ca_file", "", "%s", cause(err))
	}
	return nil
}

func (s *Selected) oneSelector(path string, chosen Choice) error {
	set := 0
	for _, id := range []string{chosen.ClientID, chosen.ObjectID, chosen.ResourceID} {
		if id != "" {
			set++
		}
	}
	if set > 1 {
		return s.fail(path, "keep one of client_id, object_id, resource_id", "names the identity more than once")
	}
	return nil
}

// FinalRole is the ARN of the role whose credentials come out at the end.
func (a *AWS) FinalRole() string {
	if len(a.Chain) == 0 {
		return a.RoleARN
	}
	return a.Chain[len(a.Chain)-1].RoleARN
}
