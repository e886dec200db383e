package sandbox

import (
	"strings"
	"testing"
)

func TestNamesFollowTheirRules(t *testing.T) {
	for name, row := range map[string]struct {
		rule      func(string) bool
		good, bad []string
	}{
		"account": {isAccountID, []string{"111122223333"}, []string{"", "1", "11112222333a", "1111222233334"}},
		"bucket":  {isBucketName, []string{"abc", "a.b-1", strings.Repeat("a", 63)}, []string{"ab", "Abc", "a_b", "-ab", "ab.", strings.Repeat("a", 64)}},
		"role": {
			isRoleARN,
			[]string{"arn:aws:iam::111122223333:role/a", "arn:aws-us-gov:iam::111122223333:role/path/to/a+=,.@-_"},
			[]string{
				"", "arn:aws:iam::111122223333:role/", "arn:aws:iam::111122223333:user/a", "arn:aws:sts::111122223333:role/a", "arn:aws:iam::1:role/a",
				"arn:gcp:iam::111122223333:role/a", "arn:aws:iam:r:111122223333:role/a", "arn:aws:iam::111122223333:role/a b", "arn:aws:iam::111122223333:role/a:b",
			},
		},
		"session": {isSessionName, []string{"a", "vm-1@x+=,._"}, []string{"a b", "a/b", "é"}},
		"policy":  {isPolicyText, []string{"{}\t\r\n ÿ"}, []string{"\x00", "\x1f", "Ā", "☃"}},
	} {
		for _, text := range row.good {
			if !row.rule(text) {
				t.Errorf("%s: %q is refused", name, text)
			}
		}
		for _, text := range row.bad {
			if row.rule(text) {
				t.Errorf("%s: %q passes", name, text)
			}
		}
	}
}
