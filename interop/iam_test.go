package interop_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/sandbox"
)

// The things that these tests make in an account which trusts nobody yet.
const (
	emptyAccount = "444455556666"
	adminID      = "AKIAIOSFODNN7ADMIN00"
	adminSecret  = "hunter2/admin/key"
	madeProvider = "arn:aws:iam::" + emptyAccount + ":oidc-provider/sts.windows.net/" + tenantID + "/"
	madeRole     = "arn:aws:iam::" + emptyAccount + ":role/teams/made"
	madeTrust    = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Federated": "` + madeProvider + `"},
		"Action": "sts:AssumeRoleWithWebIdentity", "Condition": {"StringEquals": {"sts.windows.net/` + tenantID + `/:aud": "` + audience + `", "sts.windows.net/` + tenantID + `/:sub": "` + clientObject + `"}}}]}`
)

// newAccount is a cloud with an account that has nothing but an administrator.
func newAccount(t *testing.T) *cloud {
	t.Helper()
	k := newKey(t)
	w := world(k)
	w.Accounts = append(w.Accounts, sandbox.Account{
		ID: emptyAccount, Administrators: []string{"arn:aws:iam::" + emptyAccount + ":user/admin"},
		Users: []sandbox.AccessKey{{UserName: "admin", AccessKeyID: adminID, SecretAccessKey: adminSecret}},
	})
	s, err := sandbox.New(w, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &cloud{Sandbox: s, key: k}
}

// administrator is the environment of a program with the keys of the administrator.
func administrator(t *testing.T) environment {
	t.Helper()
	return bareEnvironment(t).with(environment{
		"AWS_ACCESS_KEY_ID": adminID, "AWS_SECRET_ACCESS_KEY": adminSecret, "AWS_DEFAULT_REGION": region, "AWS_EC2_METADATA_DISABLED": "true",
	})
}

// iamCLI runs one command of aws iam.
func iamCLI(t *testing.T, c *cloud, client awsClient, env environment, args ...string) result {
	t.Helper()
	return run(t, env, client.cli(t), append([]string{"--endpoint-url", c.URL(sandbox.IAM), "--output", "json", "iam"}, args...)...)
}

func parsed(t *testing.T, text string) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return object
}

func TestTheAWSCLIMakesARoleThatATokenFederatesThrough(t *testing.T) {
	t.Parallel()
	for _, client := range awsClients {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			c, env := newAccount(t), administrator(t)
			iam := func(args ...string) string {
				t.Helper()
				return iamCLI(t, c, client, env, args...).wantSuccess(t).stdout
			}
			made := iam("create-open-id-connect-provider", "--url", issuer, "--client-id-list", "someone-else", "--thumbprint-list", strings.Repeat("0f", 20))
			if got := parsed(t, made)["OpenIDConnectProviderArn"]; got != madeProvider {
				t.Errorf("provider: got %v, want %s", got, madeProvider)
			}
			iam("add-client-id-to-open-id-connect-provider", "--open-id-connect-provider-arn", madeProvider, "--client-id", audience)
			iam("create-role", "--role-name", "made", "--path", "/teams/", "--assume-role-policy-document", madeTrust, "--tags", "Key=team,Value=blue")
			for _, name := range []string{"a", "b", "c", "d"} {
				iam("create-role", "--role-name", name, "--assume-role-policy-document", madeTrust)
			}
			wantRoles(t, iam("list-roles", "--page-size", "2"))
			wantRole(t, iam("get-role", "--role-name", "made"))
			wantFederation(t, c)

			iam("attach-role-policy", "--role-name", "made", "--policy-arn", "arn:aws:iam::aws:policy/ReadOnlyAccess")
			iam("tag-role", "--role-name", "made", "--tags", "Key=owner,Value=nobody")
			refused := iamCLI(t, c, client, env, "delete-role", "--role-name", "made")
			if refused.code == 0 || !strings.Contains(refused.stderr, "(DeleteConflict)") {
				t.Errorf("a role with a policy attached is deleted: %d %s", refused.code, refused.stderr)
			}
			iam("detach-role-policy", "--role-name", "made", "--policy-arn", "arn:aws:iam::aws:policy/ReadOnlyAccess")
			iam("delete-role", "--role-name", "made")
			iam("delete-open-id-connect-provider", "--open-id-connect-provider-arn", madeProvider)
		})
	}
}

func wantRoles(t *testing.T, listing string) {
	t.Helper()
	var list struct{ Roles []struct{ RoleName string } }
	if err := json.Unmarshal([]byte(listing), &list); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, role := range list.Roles {
		names = append(names, role.RoleName)
	}
	if want := []string{"a", "b", "c", "d", "made"}; !slices.Equal(names, want) {
		t.Errorf("roles: got %q, want %q", names, want)
	}
}

// wantRole looks for the document that the client decoded.
func wantRole(t *testing.T, answer string) {
	t.Helper()
	role, _ := parsed(t, answer)["Role"].(map[string]any)
	if got, want := role["AssumeRolePolicyDocument"], any(parsed(t, madeTrust)); !reflect.DeepEqual(got, want) {
		t.Errorf("document: got %v, want %v", got, want)
	}
	if role["Arn"] != madeRole || role["MaxSessionDuration"] != 3600.0 || !reflect.DeepEqual(role["Tags"], []any{map[string]any{"Key": "team", "Value": "blue"}}) {
		t.Errorf("role: %v", role)
	}
}

// wantFederation trades a token of the sandbox's Entra for a session of the role that
// was made, with keyless itself.
func wantFederation(t *testing.T, c *cloud) {
	t.Helper()
	w := newWorkload(t, c, c.URL(sandbox.STS))
	source := `{ client_secret: { tenant_id: ` + tenantID + `, client_id: ` + clientID + `, client_secret: "${AZURE_CLIENT_SECRET}" } }`
	write(t, w.config, "profiles:\n  made:\n    source: "+source+"\n    audience: "+audience+"\n    aws: { role_arn: "+madeRole+", region: "+region+" }\n")
	parseOutput(t, w.keyless(t, "credential-process", "made").wantSuccess(t).stdout)
}

// TestBoto3SeesItsOwnExceptions: a program that catches them by class must do so here.
func TestBoto3SeesItsOwnExceptions(t *testing.T) {
	t.Parallel()
	const script = `
import boto3, json, sys
from botocore.exceptions import ClientError
iam = boto3.client("iam", endpoint_url=sys.argv[1])
issuer, provider, trust = sys.argv[2:5]
thumbprints = ["0f" * 20] # the old client insists

def make(Url, ClientIDList=[]):
    return iam.create_open_id_connect_provider(Url=Url, ClientIDList=ClientIDList, ThumbprintList=thumbprints)

def refused(error, call, **parameters):
    try:
        call(**parameters)
    except error as e:
        print(e.response["Error"]["Code"])
    else:
        print("no", error)

assert make(Url=issuer)["OpenIDConnectProviderArn"] == provider
refused(iam.exceptions.EntityAlreadyExistsException, make, Url=issuer)
refused(iam.exceptions.NoSuchEntityException, iam.get_role, RoleName="made")
refused(iam.exceptions.MalformedPolicyDocumentException, iam.create_role, RoleName="made", AssumeRolePolicyDocument="{")
refused(iam.exceptions.InvalidInputException, make, Url="https://example.com:8443")
refused(iam.exceptions.LimitExceededException, make, Url="https://example.com", ClientIDList=[str(i) for i in range(101)])
made = iam.create_role(RoleName="made", Path="/teams/", AssumeRolePolicyDocument=trust)["Role"]
assert made["AssumeRolePolicyDocument"] == json.loads(trust), made
refused(iam.exceptions.EntityAlreadyExistsException, iam.create_role, RoleName="made", AssumeRolePolicyDocument=trust)
iam.put_role_policy(RoleName="made", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}))
assert iam.get_role_policy(RoleName="made", PolicyName="p")["PolicyDocument"]["Statement"] == []
refused(iam.exceptions.DeleteConflictException, iam.delete_role, RoleName="made")
assert iam.list_attached_role_policies(RoleName="made")["AttachedPolicies"] == []
assert iam.get_open_id_connect_provider(OpenIDConnectProviderArn=provider)["ClientIDList"] == []
assert [r["RoleName"] for p in iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 1}) for r in p["Roles"]] == ["made"]
iam.delete_role_policy(RoleName="made", PolicyName="p")
iam.delete_role(RoleName="made")
`
	want := []string{
		"EntityAlreadyExists", "NoSuchEntity", "MalformedPolicyDocument", "InvalidInput", "LimitExceeded", "EntityAlreadyExists", "DeleteConflict",
	}
	for _, client := range awsClients {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			c := newAccount(t)
			got := run(t, administrator(t), client.python(t), "-c", script, c.URL(sandbox.IAM), issuer, madeProvider, madeTrust).wantSuccess(t)
			if lines := strings.Fields(got.stdout); !slices.Equal(lines, want) {
				t.Errorf("got %q, want %q", lines, want)
			}
		})
	}
}

// TestAWrongSecretKeyAdministratesNothing is the twin of the two above.
func TestAWrongSecretKeyAdministratesNothing(t *testing.T) {
	t.Parallel()
	for _, client := range awsClients {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			c := newAccount(t)
			for name, row := range map[string]struct {
				env  environment
				code string
			}{
				"wrong secret key":     {administrator(t).with(environment{"AWS_SECRET_ACCESS_KEY": adminSecret + "x"}), "(SignatureDoesNotMatch)"},
				"not an administrator": {administrator(t).with(environment{"AWS_ACCESS_KEY_ID": staticID, "AWS_SECRET_ACCESS_KEY": staticSecret}), "(AccessDenied)"},
			} {
				got := iamCLI(t, c, client, row.env, "create-role", "--role-name", "made", "--assume-role-policy-document", madeTrust)
				if got.code == 0 || !strings.Contains(got.stderr, row.code) {
					t.Errorf("%s: got %d %s, want %s", name, got.code, got.stderr, row.code)
				}
			}
			left := iamCLI(t, c, client, administrator(t), "list-roles").wantSuccess(t)
			if roles := parsed(t, left.stdout)["Roles"]; !reflect.DeepEqual(roles, []any{}) {
				t.Errorf("roles were made: %v", roles)
			}
		})
	}
}
