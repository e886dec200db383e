package doctor_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/doctor"
	"github.com/keyless-id/keyless/internal/oauth"
)

// written are the codes that stand in the package's own files.
func written(t *testing.T) []string {
	t.Helper()
	literal := regexp.MustCompile(`(?:Code:|\.Code =|f\.Code, f\.Summary =|f\.Code, why =|f\.Code, f\.Summary, f\.\w+ =|f\.Verdict, f\.Code(?:, f\.\w+)+ = \w+,|f\.Verdict, f\.Code = \w+,|return cause\{|f\.Code, f\.Summary, f\.Fix =) *"([a-z0-9-]+)"`)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") || file == "explain.go" {
			continue
		}
		for _, found := range literal.FindAllStringSubmatch(string(text), -1) {
			codes = append(codes, found[1])
		}
	}
	return codes
}

func TestEveryCodeIsExplainedOnce(t *testing.T) {
	codes := written(t)
	if len(codes) < 60 {
		t.Fatalf("%d codes are found in the package, which is too few", len(codes))
	}
	for _, code := range codes {
		if e, known := doctor.Explain(code); code != "principal-" && code != "condition-key-" && (!known || e.Means == "") {
			t.Errorf("nothing explains %s", code)
		}
	}
	seen := map[string]bool{}
	for _, e := range doctor.Codes() {
		if seen[e.Code] || e.Means == "" {
			t.Errorf("%s is there twice, or means nothing", e.Code)
		}
		seen[e.Code] = true
	}
}

func TestTheCodesOfBothCloudsAreExplained(t *testing.T) {
	for _, number := range []int{7000215, 7000222, 700016, 90002, 500011, 1002012, 70011, 501051, 700027, 700024, 70021, 700211, 700212, 700213, 70025, 700222, 700214, 700231, 700223, 700238, 70052, 50166, 90061, 53003, 90033} {
		if oauth.Hint(number) == "" {
			t.Errorf("AADSTS%d has no explanation", number)
		}
	}
	for _, code := range []string{"AccessDenied", "InvalidIdentityToken", "ExpiredTokenException", "IDPCommunicationError", "IDPRejectedClaim", "RegionDisabledException", "MalformedPolicyDocument", "PackedPolicyTooLarge", "ValidationError"} {
		if awssts.Explain(code) == "" {
			t.Errorf("%s has no explanation", code)
		}
	}
	for _, same := range []string{"AADSTS700213", "aadsts700213", "700213", " AADSTS700213 "} {
		if e, known := doctor.Explain(same); !known || !strings.Contains(e.Means, "subject") {
			t.Errorf("%q: %+v, %v", same, e, known)
		}
	}
	for _, unknown := range []string{"", "AADSTS1", "AADSTS", "SomethingElse", "sub-is"} {
		if e, known := doctor.Explain(unknown); known {
			t.Errorf("%q is explained as %+v", unknown, e)
		}
	}
}

// What is wrong with a policy is the same wherever it was read.
func TestAPolicyFromAFileIsJudgedAsALiveOne(t *testing.T) {
	judged := 0
	for _, f := range slices.Concat(trustFaults(), conditionFaults()) {
		if strings.HasPrefix(f.code, "role-") {
			continue // a file does not say what role it is of
		}
		judged++
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := f.set(t)
				s.policy = true
				if found := cause(s.examine(t)); found.Code != f.code {
					t.Errorf("named %q, want %q", found.Code, f.code)
				}
			})
		})
	}
	if judged < 20 {
		t.Errorf("%d faults, want 20", judged)
	}
}

// A policy that is not the role's must not make a workload that works look ill.
func TestAPolicyThatIsNotTheRolesIsAWarningOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := vm(t)
		s.document = []byte(s.role("keyless-demo-other").TrustPolicy)
		s.policy = true
		report := s.examine(t)
		f := find(report, "sub-mismatch")
		if _, failed := report.FirstFailure(); failed || f.Verdict != doctor.Warning {
			t.Errorf("%+v", report.Findings)
		}
	})
}

func TestAPolicyThatIsNoneIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := vm(t)
		s.aws()["role_arn"], s.policy, s.document = "arn:aws:iam::111122223333:role/keyless-demo-other", true, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Maybe"}]}`)
		if found := cause(s.examine(t)); found.Code != "policy-malformed" {
			t.Errorf("%+v", found)
		}
	})
}
