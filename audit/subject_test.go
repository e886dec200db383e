package audit

import "testing"

func TestHowFarASubjectReaches(t *testing.T) {
	const gitHub, gitLab, terraform = "token.actions.githubusercontent.com", "gitlab.com", "app.terraform.io"
	for _, c := range []struct {
		issuer, claim, pattern string
		want                   scope
	}{
		{gitHub, "sub", "repo:a/b:ref:refs/heads/main", oneProject},
		{gitHub, "sub", "repo:a/b:*", oneProject},
		{gitHub, "sub", "repo:a/b*", oneTenant},
		{gitHub, "sub", "repo:a/b?:x", oneTenant},
		{gitHub, "sub", "repo:a/*", oneTenant},
		{gitHub, "sub", "repo:a*", everyone},
		{gitHub, "sub", "repo:a@1/b@2:*", oneProject},
		{gitHub, "sub", "repo:a@1/*", oneTenant},
		{gitHub, "sub", "repo:a@*/b@*:*", oneProject},
		{gitHub, "sub", "repo:a@*", oneTenant},
		{gitHub, "sub", "repo:a@*/b@*", oneTenant},
		{gitHub, "sub", "repo:a@*/b@2:*", oneProject},
		{gitHub, "sub", "repo:a/*/b@1", oneTenant},
		{gitHub, "sub", "environment:prod:repo:a/b:*", oneProject},
		{gitHub, "sub", "environment:prod", everyone},
		{gitHub, "sub", "*:repo:a/b:ref", everyone},
		{gitHub, "sub", "repository_owner:a:*", oneTenant},
		{gitHub, "sub", "repository_id:1:*", oneProject},
		{gitHub, "sub", "repo:a/*:job_workflow_ref:a/c/.github/workflows/d.yml@refs/heads/main", oneProject},
		{gitHub, "sub", "repo:a/*:job_workflow_ref:a/*@refs/heads/main", oneTenant},
		{gitHub, "sub", "repo:*:job_workflow_ref:a/c/.github/workflows/d.yml@refs/heads/main", everyone},
		{gitHub, "job_workflow_ref", "a/c/.github/workflows/d.yml@*", oneProject},
		{gitHub, "job_workflow_ref", "a/*", oneTenant},
		{gitHub, "repository", "a/b", oneProject},
		{gitHub, "repository", "a/b*", oneTenant},
		{gitHub, "repository", "a*", everyone},
		{gitHub, "repository_id", "1", oneProject},
		{gitHub, "repository_id", "1*", everyone},
		{gitHub, "environment", "prod", everyone},
		{gitHub + "/acme", "sub", "repo:*", oneTenant},
		{gitLab, "sub", "project_path:a/b/c:ref_type:branch:ref:main", oneProject},
		{gitLab, "sub", "project_path:a/b/*", oneTenant},
		{gitLab, "sub", "project_path:a*", everyone},
		{"gitlab.example.com", "sub", "project_path:*", oneTenant},
		{"gitlab.example.com", "sub", "anything-*", oneProject},
		{"dex.example.com", "sub", "**", oneTenant},
		{terraform, "sub", "organization:a:project:b:workspace:c:run_phase:*", oneProject},
		{terraform, "sub", "organization:a:project:*:workspace:c:run_phase:*", oneProject},
		{terraform, "sub", "organization:a:project:*:workspace:c*", oneTenant},
		{terraform, "sub", "organization:a:project:*:workspace:c", oneProject},
		{terraform, "sub", "organization:*:workspace:c:run_phase:*", everyone},
		{"api.bitbucket.org/2.0/workspaces/a/pipelines-config/identity/oidc", "sub", "{1-2}:*", oneProject},
		{"api.bitbucket.org/2.0/workspaces/a/pipelines-config/identity/oidc", "sub", "{1-*", oneTenant},
		{"oidc.circleci.com/org/1", "sub", "org/1/project/2/user/*", oneProject},
		{"oidc.circleci.com/org/1", "sub", "org/1/project/*", oneTenant},
		{"oidc.circleci.com/org/1", "oidc.circleci.com/project-id", "2", oneProject},
		{"accounts.google.com", "aud", "1.apps.googleusercontent.com", oneProject},
		{"accounts.google.com", "aud", "*.apps.googleusercontent.com", everyone},
		{"cognito-identity.amazonaws.com", "aud", "us-east-1:*", everyone},
		{"api.pulumi.com/oidc", "aud", "aws:acme", oneTenant},
	} {
		if got := issuerOf(c.issuer).scope(c.claim, c.pattern); got != c.want {
			t.Errorf("%s %s %s: got %d, want %d", c.issuer, c.claim, c.pattern, got, c.want)
		}
	}
}

func TestTheNarrowedValueKeepsWhatIsCertain(t *testing.T) {
	for _, c := range []struct{ issuer, pattern, want string }{
		{"token.actions.githubusercontent.com", "repo:a/*", "repo:a/REPOSITORY:*"},
		{"token.actions.githubusercontent.com", "repo:a/b*", "repo:a/REPOSITORY:*"},
		{"token.actions.githubusercontent.com", "repo:a*", "repo:ORGANIZATION/REPOSITORY:*"},
		{"token.actions.githubusercontent.com", "*", "repo:OWNER/REPOSITORY:ref:refs/heads/main"},
		{"token.actions.githubusercontent.com", "environment:prod", "repo:OWNER/REPOSITORY:ref:refs/heads/main"},
		{"app.terraform.io", "organization:a:*", "organization:a:project:PROJECT:*"},
		{"oidc.eks.eu-west-1.amazonaws.com/id/1", "system:serviceaccount:*:default", "system:serviceaccount:NAMESPACE:*"},
	} {
		i := issuerOf(c.issuer)
		got := i.narrow("sub", c.pattern)
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.pattern, got, c.want)
		}
		if i.scope("sub", got) != oneProject {
			t.Errorf("%s becomes %s, which is no narrower", c.pattern, got)
		}
	}
}

func TestAnExampleFitsAndIsSomebodyElses(t *testing.T) {
	for pattern, want := range map[string]string{
		"repo:a*":      "repo:a-somebody-else",
		"repo:a/*:x":   "repo:a/somebody-else:x",
		"repo:?/b:ref": "repo:x/b:ref",
	} {
		if got := stranger(pattern); got != want {
			t.Errorf("%s: got %s, want %s", pattern, got, want)
		}
	}
}
