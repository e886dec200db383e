package sandbox

import "strings"

// The rules for names are functions and not regular expressions: this package is
// linked into a program whose every start would pay for compiling them.

// consistsOf reports whether every character is one of those allowed.
func consistsOf(text string, allowed func(r rune) bool) bool {
	return strings.IndexFunc(text, func(r rune) bool { return !allowed(r) }) < 0
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

func isLower(r rune) bool { return r >= 'a' && r <= 'z' }

// isNameRune is [\w+=,.@-], of which IAM makes names.
func isNameRune(r rune) bool {
	return isDigit(r) || isLower(r) || r >= 'A' && r <= 'Z' || strings.ContainsRune("_+=,.@-", r)
}

func isAccountID(text string) bool { return len(text) == 12 && consistsOf(text, isDigit) }

// isBucketName is "General purpose bucket naming rules", without the rules
// against odd choices.
func isBucketName(text string) bool {
	if len(text) < 3 || len(text) > 63 || strings.Trim(text, ".-") != text {
		return false
	}
	return consistsOf(text, func(r rune) bool { return isDigit(r) || isLower(r) || r == '.' || r == '-' })
}

// isRoleARN reports whether text is arn:<partition>:iam::<account>:role/<path and
// name>.
func isRoleARN(text string) bool {
	parts := strings.Split(text, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "iam" || parts[3] != "" || !isAccountID(parts[4]) {
		return false
	}
	partition, isAWS := strings.CutPrefix(parts[1], "aws")
	name, isRole := strings.CutPrefix(parts[5], "role/")
	return isAWS && isRole && name != "" &&
		consistsOf(partition, func(r rune) bool { return isLower(r) || r == '-' }) &&
		consistsOf(name, func(r rune) bool { return isNameRune(r) || r == '/' })
}

func isSessionName(text string) bool { return consistsOf(text, isNameRune) }

// isPolicyText is [\u0009\u000A\u000D\u0020-\u00FF]+.
func isPolicyText(text string) bool {
	return consistsOf(text, func(r rune) bool { return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= 'ÿ' })
}
