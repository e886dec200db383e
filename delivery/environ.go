package delivery

import (
	"errors"
	"slices"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// Shadows are the variables by which AWS SDKs find credentials: whatever is left of
// them could win over what is handed over ("Credential provider chain", AWS SDKs and
// Tools Reference Guide). The last line is of older SDKs and other tools.
func Shadows() []string {
	return []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION", "AWS_ACCOUNT_ID",
		"AWS_PROFILE", "AWS_DEFAULT_PROFILE",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		"AWS_EC2_METADATA_DISABLED",
		"AWS_SECURITY_TOKEN", "AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AMAZON_ACCESS_KEY_ID", "AMAZON_SECRET_ACCESS_KEY",
	}
}

// Bare is an environment without any variable by which AWS SDKs find credentials.
func Bare(environ []string) []string {
	hidden := Shadows()
	return slices.DeleteFunc(slices.Clone(environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains(hidden, name)
	})
}

// Environ is an environment in which AWS SDKs find these credentials and no others.
// Programs cannot renew them: they are good until they expire.
func Environ(environ []string, c keyless.Credentials) ([]string, error) {
	if c.AccessKeyID == "" || c.SecretAccessKey.IsZero() {
		return nil, &keyless.Error{Hop: keyless.HopDelivery, Op: "environment", Err: errors.New("the credentials are empty")}
	}
	environ = append(Bare(environ), "AWS_ACCESS_KEY_ID="+c.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+c.SecretAccessKey.Reveal())
	if !c.SessionToken.IsZero() {
		environ = append(environ, "AWS_SESSION_TOKEN="+c.SessionToken.Reveal())
	}
	if !c.Expiry.IsZero() {
		environ = append(environ, "AWS_CREDENTIAL_EXPIRATION="+c.Expiry.UTC().Truncate(time.Second).Format(time.RFC3339))
	}
	if c.AccountID != "" {
		environ = append(environ, "AWS_ACCOUNT_ID="+c.AccountID)
	}
	return environ, nil
}

// Region adds the region to an environment that names none. Some SDKs know only one of
// the two variables.
func Region(environ []string, region string) []string {
	named := slices.ContainsFunc(environ, func(variable string) bool {
		return strings.HasPrefix(variable, "AWS_REGION=") || strings.HasPrefix(variable, "AWS_DEFAULT_REGION=")
	})
	if region == "" || named {
		return environ
	}
	return append(slices.Clone(environ), "AWS_REGION="+region, "AWS_DEFAULT_REGION="+region)
}
