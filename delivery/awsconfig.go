package delivery

import (
	"slices"
	"strings"
)

// WithoutCredentials is a configuration file of AWS's SDKs and CLI in which no profile
// offers credentials, so that they look further: at the container's endpoint. Settings
// such as the region stay ("Shared config and credentials files", AWS SDKs and Tools
// Reference Guide).
func WithoutCredentials(config string) string {
	var kept strings.Builder
	inside := false // a nested block of a setting that went
	for line := range strings.Lines(config) {
		nested := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		if !nested || strings.TrimSpace(line) == "" {
			inside = !nested && offersCredentials(line)
		}
		if !inside {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// offersCredentials knows the settings by which a profile does. Names are compared as
// the SDKs do, without regard to case.
func offersCredentials(line string) bool {
	name, _, found := strings.Cut(line, "=")
	name = strings.ToLower(strings.TrimSpace(name))
	return found && (strings.HasPrefix(name, "sso_") || slices.Contains([]string{
		"aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_security_token",
		"credential_process", "credential_source", "source_profile", "web_identity_token_file",
		"role_arn", "role_session_name", "external_id", "mfa_serial", "login_session",
	}, name))
}
