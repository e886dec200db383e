package doctor_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// apply does to a set-up what a fix says, for as much as can be done without a person:
// commands of AWS and Azure, settings, variables, and diffs of the trust policy. It
// reports whether there was anything.
func (s *setup) apply(t *testing.T, fix string) bool {
	t.Helper()
	done := false
	if at := strings.Index(fix, "--- trust.json\n"); at >= 0 {
		s.patch(t, fix[at:])
		return true
	}
	for line := range strings.Lines(fix) {
		words := shellWords(strings.TrimSpace(line))
		done = s.command(t, words) || s.set(line) || done
	}
	return done
}

// shellWords knows single quotes, which is all that a doctor writes.
func shellWords(line string) []string {
	var words []string
	var word strings.Builder
	inside, begun := false, false
	for _, r := range line {
		switch {
		case r == '\'':
			inside, begun = !inside, true
		case r == ' ' && !inside:
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}

// option is what stands behind a flag, up to the next one.
func option(words []string, name string) []string {
	at := slices.Index(words, name)
	if at < 0 {
		return nil
	}
	rest := words[at+1:]
	if end := slices.IndexFunc(rest, func(w string) bool { return strings.HasPrefix(w, "--") }); end >= 0 {
		rest = rest[:end]
	}
	return rest
}

func (s *setup) command(t *testing.T, words []string) bool {
	t.Helper()
	if len(words) < 2 {
		return false
	}
	account := &s.world.Accounts[0]
	switch strings.Join(words[:min(len(words), 3)], " ") {
	case "aws iam create-open-id-connect-provider":
		account.Providers = append(account.Providers, sandbox.OIDCProvider{URL: option(words, "--url")[0], ClientIDs: option(words, "--client-id-list")})
	case "aws iam add-client-id-to-open-id-connect-provider":
		s.addClientID(t, option(words, "--open-id-connect-provider-arn")[0], option(words, "--client-id")[0])
	case "aws iam update-role":
		seconds, err := strconv.Atoi(option(words, "--max-session-duration")[0])
		if err != nil {
			t.Fatal(err)
		}
		s.role(option(words, "--role-name")[0]).MaxSession = time.Duration(seconds) * time.Second
	case "aws iam enable-outbound-web-identity-federation":
		account.OutboundIssuer = sandbox.DemoOutboundIssuer
	case "az ad app":
		return s.azure(t, words)
	case "az role assignment":
		for i := range s.world.Tenants[0].Rules {
			rule := &s.world.Tenants[0].Rules[i]
			rule.Publishers = append(rule.Publishers, sandbox.Publisher{ObjectID: option(words, "--assignee-object-id")[0]})
		}
	default:
		return s.shell(words)
	}
	return true
}

func (s *setup) shell(words []string) bool {
	switch words[0] {
	case "unset":
		for _, name := range words[1:] {
			s.env[name] = ""
		}
		return true
	case "export":
		name, value, _ := strings.Cut(words[1], "=")
		if strings.HasPrefix(value, "/path/") {
			return false
		}
		s.env[name] = value
		return true
	}
	return false
}

func (s *setup) addClientID(t *testing.T, arn, id string) {
	t.Helper()
	for i := range s.world.Accounts[0].Providers {
		p := &s.world.Accounts[0].Providers[i]
		if strings.HasSuffix(arn, ":oidc-provider/"+strings.TrimPrefix(p.URL, "https://")) {
			p.ClientIDs = append(slices.Clone(p.ClientIDs), id)
			return
		}
	}
	t.Errorf("the fix names the provider %s, which is not there", arn)
}

func (s *setup) azure(t *testing.T, words []string) bool {
	t.Helper()
	if strings.Join(words[3:min(len(words), 5)], " ") != "federated-credential create" {
		return false
	}
	var credential struct {
		Issuer, Subject string
		Audiences       []string
	}
	if err := json.Unmarshal([]byte(option(words, "--parameters")[0]), &credential); err != nil {
		t.Fatal(err)
	}
	app := s.app(option(words, "--id")[0])
	app.FederatedCredentials = append(app.FederatedCredentials, sandbox.FIC{Issuer: credential.Issuer, Subject: credential.Subject, Audience: credential.Audiences[0]})
	return true
}

// set writes a setting, unless a person has to fill it in.
func (s *setup) set(line string) bool {
	path, value, found := strings.Cut(strings.TrimSpace(line), ": ")
	rest, ours := strings.CutPrefix(path, "profiles.p.")
	if !found || !ours || value == strings.ToUpper(value) || strings.Contains(value, "…") || strings.HasSuffix(value, "_API") {
		return false
	}
	keys := strings.Split(rest, ".")
	block := s.config
	for _, key := range keys[:len(keys)-1] {
		block = block[key].(map[string]any) //nolint:forcetypeassert // what a fix names is there
	}
	block[keys[len(keys)-1]] = value
	if rest == "audience" {
		delete(s.config, "scope")
	}
	if rest == "scope" {
		delete(s.config, "audience")
	}
	return true
}

// patch applies one hunk of a unified diff to the policy of the profile's role.
func (s *setup) patch(t *testing.T, diff string) {
	t.Helper()
	var laidOut strings.Builder
	encoder := json.NewEncoder(&laidOut)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(json.RawMessage(s.ours().TrustPolicy)); err != nil {
		t.Fatal(err)
	}
	before := strings.Split(strings.TrimSuffix(laidOut.String(), "\n"), "\n")
	lines := strings.Split(strings.TrimSuffix(diff, "\n"), "\n")[2:]
	var from, length, to, size int
	if _, err := fmt.Sscanf(lines[0], "@@ -%d,%d +%d,%d @@", &from, &length, &to, &size); err != nil {
		t.Fatalf("%v in %q", err, lines[0])
	}
	var old, replacement []string
	for _, line := range lines[1:] {
		if line[0] != '+' {
			old = append(old, line[1:])
		}
		if line[0] != '-' {
			replacement = append(replacement, line[1:])
		}
	}
	if got := before[from-1 : from-1+length]; !slices.Equal(got, old) {
		t.Fatalf("the diff is not one of this policy:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(old, "\n"))
	}
	s.ours().TrustPolicy = strings.Join(slices.Concat(before[:from-1], replacement, before[from-1+length:]), "\n")
}
