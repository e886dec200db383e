package interop_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/keyless-id/keyless/sandbox"
)

// Amazon's own client is the judge of the STS and S3 emulators: what it parses,
// and which typed errors it makes of refusals, is what programs in the field see.

func stsClient(c *cloud, from aws.CredentialsProvider) *sts.Client {
	return sts.New(sts.Options{
		Region: region, BaseEndpoint: aws.String(c.URL(sandbox.STS)), Credentials: from, Retryer: aws.NopRetryer{},
	})
}

func s3Client(c *cloud, from aws.CredentialsProvider) *s3.Client {
	return s3.New(s3.Options{
		Region: region, BaseEndpoint: aws.String(c.URL(sandbox.S3)), Credentials: from, Retryer: aws.NopRetryer{}, UsePathStyle: true,
	})
}

// subjectToken is a token of the app, as Entra would sign it, with changes.
func subjectToken(t *testing.T, c *cloud, flaw sandbox.Flaw, change func(claims map[string]any)) string {
	t.Helper()
	claims, err := c.Claims(clientObject, audience)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(claims)
	}
	token, err := c.Mint(claims, sandbox.Minting{Flaw: flaw})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func assume(ctx context.Context, c *cloud, role, token string) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	return stsClient(c, aws.AnonymousCredentials{}).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(role), RoleSessionName: aws.String("judge"), WebIdentityToken: aws.String(token),
	})
}

// session assumes the app's role as programs do: with the SDK's own provider.
func session(t *testing.T, c *cloud) aws.CredentialsProvider {
	t.Helper()
	token := subjectToken(t, c, sandbox.Sound, nil)
	return aws.NewCredentialsCache(stscreds.NewWebIdentityRoleProvider(
		stsClient(c, aws.AnonymousCredentials{}), roleARN, fixedToken(token),
		func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = "judge" }))
}

type fixedToken string

func (f fixedToken) GetIdentityToken() ([]byte, error) { return []byte(f), nil }

func TestSDKAssumesRoleWithWebIdentity(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	got, err := assume(t.Context(), c, roleARN, subjectToken(t, c, sandbox.Sound, nil))
	if err != nil {
		t.Fatal(err)
	}
	want := "arn:aws:sts::" + account + ":assumed-role/app/judge"
	if arn := aws.ToString(got.AssumedRoleUser.Arn); arn != want {
		t.Errorf("arn: got %q, want %q", arn, want)
	}
	if subject := aws.ToString(got.SubjectFromWebIdentityToken); subject != clientObject {
		t.Errorf("subject: got %q, want %q", subject, clientObject)
	}
	if aud := aws.ToString(got.Audience); aud != audience {
		t.Errorf("audience: got %q, want %q", aud, audience)
	}
	if left := time.Until(aws.ToTime(got.Credentials.Expiration)); left < 59*time.Minute || left > time.Hour {
		t.Errorf("expires in %s, want an hour", left)
	}
}

func TestSDKSeesTypedErrors(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	expired := func(claims map[string]any) {
		now := time.Now()
		claims["iat"], claims["nbf"], claims["exp"] = now.Add(-3*time.Hour).Unix(), now.Add(-3*time.Hour).Unix(), now.Add(-2*time.Hour).Unix()
	}
	tests := []struct {
		name, role, token, want string
	}{
		{"expired", roleARN, subjectToken(t, c, sandbox.Sound, expired), "ExpiredTokenException"},
		{"bad signature", roleARN, subjectToken(t, c, sandbox.BadSignature, nil), "InvalidIdentityToken"},
		{"foreign key", roleARN, subjectToken(t, c, sandbox.ForeignKey, nil), "InvalidIdentityToken"},
		{"unsigned", roleARN, subjectToken(t, c, sandbox.Unsigned, nil), "InvalidIdentityToken"},
		{"symmetric abuse", roleARN, subjectToken(t, c, sandbox.SymmetricAbuse, nil), "InvalidIdentityToken"},
		{"no token at all", roleARN, "hunter2-but-long-enough", "InvalidIdentityToken"},
		{"wrong audience", roleARN, subjectToken(t, c, sandbox.Sound, func(claims map[string]any) { claims["aud"] = otherAudience }), "InvalidIdentityToken"},
		{"untrusted subject", closed, subjectToken(t, c, sandbox.Sound, nil), "AccessDenied"},
		{"no such role", roleARN + "-not", subjectToken(t, c, sandbox.Sound, nil), "AccessDenied"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := assume(t.Context(), c, tt.role, tt.token)
			wantCode(t, err, tt.want)
		})
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var refusal smithy.APIError
	if !errors.As(err, &refusal) {
		t.Fatalf("got %v, want an API error %s", err, code)
	}
	if refusal.ErrorCode() != code {
		t.Errorf("code: got %s (%s), want %s", refusal.ErrorCode(), refusal.ErrorMessage(), code)
	}
}

func TestSDKGetsCallerIdentity(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	got, err := stsClient(c, session(t, c)).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if arn, want := aws.ToString(got.Arn), "arn:aws:sts::"+account+":assumed-role/app/judge"; arn != want {
		t.Errorf("arn: got %q, want %q", arn, want)
	}
	if id := aws.ToString(got.Account); id != account {
		t.Errorf("account: got %q, want %q", id, account)
	}

	wrong := credentials.NewStaticCredentialsProvider(staticID, staticSecret+"-not", "")
	_, err = stsClient(c, wrong).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	wantCode(t, err, "SignatureDoesNotMatch")
	nobody := credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7NOBODY0", staticSecret, "")
	_, err = stsClient(c, nobody).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	wantCode(t, err, "InvalidClientTokenId")
}

func TestSDKChainsRoles(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	chained := stscreds.NewAssumeRoleProvider(stsClient(c, session(t, c)), chainARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = "second"
	})
	got, err := stsClient(c, chained).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if arn, want := aws.ToString(got.Arn), "arn:aws:sts::"+account+":assumed-role/data/second"; arn != want {
		t.Errorf("arn: got %q, want %q", arn, want)
	}

	refused := stscreds.NewAssumeRoleProvider(stsClient(c, session(t, c)), closed)
	_, err = refused.Retrieve(t.Context())
	wantCode(t, err, "AccessDenied")
	tooLong := stscreds.NewAssumeRoleProvider(stsClient(c, session(t, c)), chainARN, func(o *stscreds.AssumeRoleOptions) {
		o.Duration = 2 * time.Hour // a chained session lasts an hour at most
	})
	_, err = tooLong.Retrieve(t.Context())
	wantCode(t, err, "ValidationError")
}

func TestSDKListsAndReads(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	client := s3Client(c, session(t, c))
	buckets, err := client.ListBuckets(t.Context(), &s3.ListBucketsInput{})
	if err != nil {
		t.Fatal(err)
	}
	if len(buckets.Buckets) != 1 || aws.ToString(buckets.Buckets[0].Name) != "invoices" {
		t.Errorf("buckets: got %v, want invoices", buckets.Buckets)
	}

	var keys []string
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: aws.String("invoices"), MaxKeys: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range page.Contents {
			keys = append(keys, aws.ToString(object.Key))
		}
	}
	if len(keys) != 3 {
		t.Errorf("keys: got %q, want 3", keys)
	}

	object, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("invoices"), Key: aws.String("2026/02.txt")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = object.Body.Close() }()
	if text, err := io.ReadAll(object.Body); err != nil || string(text) != "february" {
		t.Errorf("object: got %q, %v, want february", text, err)
	}
}

func TestSDKIsRefusedByS3(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	good, err := session(t, c).Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	with := func(id, secret, token string) aws.CredentialsProvider {
		return credentials.NewStaticCredentialsProvider(id, secret, token)
	}
	tests := []struct {
		name string
		from aws.CredentialsProvider
		want string
	}{
		{"wrong key", with(good.AccessKeyID, "hunter2", good.SessionToken), "SignatureDoesNotMatch"},
		{"wrong session token", with(good.AccessKeyID, good.SecretAccessKey, "hunter2"), "InvalidToken"},
		{"unknown key", with("AKIAIOSFODNN7NOBODY0", "hunter2", ""), "InvalidAccessKeyId"},
		{"nobody", aws.AnonymousCredentials{}, "AccessDenied"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := s3Client(c, tt.from).ListBuckets(t.Context(), &s3.ListBucketsInput{})
			wantCode(t, err, tt.want)
		})
	}
	_, err = s3Client(c, session(t, c)).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("invoices"), Key: aws.String("none")})
	wantCode(t, err, "NoSuchKey")

	var status interface{ HTTPStatusCode() int }
	if !errors.As(err, &status) || status.HTTPStatusCode() != http.StatusNotFound {
		t.Errorf("status: got %v, want 404", err)
	}
}
