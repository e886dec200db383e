package doctor

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery"
)

// shadows are what could win over the profile's credentials, without any values.
type shadows struct {
	variables       []string
	config, keys    string // the two files
	sections        map[string]section
	profile         string // AWS_PROFILE
	profileVariable string
}

// section is a profile of AWS's SDKs: who gives it credentials.
type section struct {
	process    string // its credential_process
	configKeys bool   // static keys in the configuration file
	sharedKeys bool   // static keys in the credentials file
}

// readShadows looks at the environment and at the two files of AWS's SDKs ("Shared config
// and credentials files", AWS SDKs and Tools Reference Guide).
func readShadows(getenv func(string) string) shadows {
	s := shadows{sections: map[string]section{}}
	for _, name := range delivery.Shadows() {
		if getenv(name) != "" {
			s.variables = append(s.variables, name)
		}
	}
	for _, name := range []string{"AWS_PROFILE", "AWS_DEFAULT_PROFILE"} {
		if s.profile == "" && getenv(name) != "" {
			s.profile, s.profileVariable = getenv(name), name
		}
	}
	s.config = cmp.Or(getenv("AWS_CONFIG_FILE"), atHome(getenv, "config"))
	s.keys = cmp.Or(getenv("AWS_SHARED_CREDENTIALS_FILE"), atHome(getenv, "credentials"))
	s.read(s.config, true)
	s.read(s.keys, false)
	return s
}

// atHome is where a file of AWS's SDKs is by default; empty for a user without a home.
func atHome(getenv func(string) string, name string) string {
	home := firstOf(getenv, "HOME", "USERPROFILE")
	if home == "" {
		return ""
	}
	return filepath.Join(home, ".aws", name)
}

// maxAWSFile is far above any such file.
const maxAWSFile = 1 << 20

func (s *shadows) read(path string, config bool) {
	if info, err := os.Stat(path); err != nil || info.Size() > maxAWSFile {
		return
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return
	}
	s.parse(string(data), config)
}

// parse reads which sections have keys or a process. In the configuration file all but
// [default] are called [profile NAME].
func (s *shadows) parse(text string, config bool) {
	name := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if inner, found := strings.CutPrefix(line, "["); found {
			name, _, _ = strings.Cut(inner, "]")
			name = strings.TrimSpace(name)
			if rest, prefixed := strings.CutPrefix(name, "profile "); config && prefixed {
				name = strings.TrimSpace(rest)
			}
			continue
		}
		key, value, found := strings.Cut(line, "=")
		if !found || name == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		s.note(name, strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value), config)
	}
}

func (s *shadows) note(name, key, value string, config bool) {
	this := s.sections[name]
	switch {
	case key == "credential_process":
		this.process = value
	case key == "aws_access_key_id" && config:
		this.configKeys = true
	case key == "aws_access_key_id":
		this.sharedKeys = true
	}
	s.sections[name] = this
}

// ours are the sections whose credentials come from keyless and this profile.
func (s *shadows) ours(profile string) []string {
	var names []string
	for name, section := range s.sections {
		words := strings.Fields(strings.NewReplacer(`"`, " ", `'`, " ").Replace(section.process))
		at := slices.Index(words, "credential-process")
		if at < 0 || !strings.Contains(section.process, "keyless") {
			continue
		}
		if profile == "" || len(words) == at+1 || slices.Contains(words[at+1:], profile) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// shadowed is about what programs would use in the place of the profile's credentials.
func (e *evidence) shadowed() Finding {
	if e.buildErr != nil || e.built.Exchanger == nil || e.Profile.Source.AWS != nil {
		return Finding{}
	}
	f := Finding{Check: "programs", Hop: keyless.HopDelivery, Verdict: OK, Summary: "nothing here wins over the profile's credentials"}
	ours := e.shadows.ours(e.Profile.Name)
	if len(ours) == 0 {
		return e.withoutProcess(f)
	}
	f.Evidence = []string{named("credential_process in", e.shadows.config+", "+strings.Join(ours, ", "))}
	for _, judge := range []func(*Finding, []string) bool{e.environmentKeys, e.environmentToken, e.staticKeys, e.otherProfile} {
		if judge(&f, ours) {
			break
		}
	}
	return f
}

// withoutProcess is where nothing shows that programs are to use the profile by AWS's own
// configuration; keyless exec clears its command's environment.
func (e *evidence) withoutProcess(f Finding) Finding {
	if e.environmentKeys(&f, nil) {
		f.Verdict = Warning
		f.Fix = lines(f.Fix, "# or: keyless exec "+quotedOrNothing(e.Profile.Name)+"-- COMMAND")
	}
	return f
}

func (e *evidence) hasVariable(name string) bool { return slices.Contains(e.shadows.variables, name) }

// environmentKeys win over everything ("Credential provider chain", AWS SDKs and Tools
// Reference Guide).
func (e *evidence) environmentKeys(f *Finding, _ []string) bool {
	if !e.hasVariable("AWS_ACCESS_KEY_ID") {
		return false
	}
	set := slices.DeleteFunc(slices.Clone(e.shadows.variables), func(name string) bool {
		return !slices.Contains([]string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}, name)
	})
	f.Verdict, f.Code, f.Summary = Failed, "environment-keys", "keys in the environment win over the profile's credentials"
	f.Evidence = append(f.Evidence, named("set", strings.Join(set, ", ")))
	f.Fix = "unset " + strings.Join(set, " ")
	return true
}

func (e *evidence) environmentToken(f *Finding, _ []string) bool {
	if !e.hasVariable("AWS_WEB_IDENTITY_TOKEN_FILE") {
		return false
	}
	f.Verdict, f.Code, f.Summary = Failed, "environment-web-identity", "a web-identity token of the environment wins over the profile's credentials"
	f.Evidence = append(f.Evidence, "set: AWS_WEB_IDENTITY_TOKEN_FILE")
	f.Fix = "a pod of EKS has it from its service account; take the annotation off, or\nunset AWS_WEB_IDENTITY_TOKEN_FILE AWS_ROLE_ARN AWS_ROLE_SESSION_NAME"
	return true
}

// staticKeys of the same section win over its process.
func (e *evidence) staticKeys(f *Finding, ours []string) bool {
	for _, name := range ours {
		section, file := e.shadows.sections[name], e.shadows.keys
		if section.configKeys {
			file = e.shadows.config
		}
		if !section.configKeys && !section.sharedKeys {
			continue
		}
		f.Verdict, f.Code, f.Summary = Failed, "static-keys", fmt.Sprintf("static keys of the section [%s] win over its credential_process", clean(name))
		f.Evidence = append(f.Evidence, named("keys in", file))
		f.Fix = fmt.Sprintf("take aws_access_key_id, aws_secret_access_key and aws_session_token out of [%s] in %s; then deactivate the key\naws iam update-access-key --status Inactive --access-key-id KEY", clean(name), clean(file))
		return true
	}
	return false
}

func (e *evidence) otherProfile(f *Finding, ours []string) bool {
	if e.shadows.profile == "" || slices.Contains(ours, e.shadows.profile) {
		return false
	}
	f.Verdict, f.Code = Warning, "other-profile"
	f.Summary = fmt.Sprintf("%s makes programs use [%s], and not this profile", e.shadows.profileVariable, clean(e.shadows.profile))
	f.Fix = "export " + e.shadows.profileVariable + "=" + quoted(ours[0])
	return true
}
