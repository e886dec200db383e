package trust

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// set is the set operator in front of an operator.
type set string

const (
	oneValue     set = ""
	forAllValues set = "ForAllValues:"
	forAnyValue  set = "ForAnyValue:"
)

// operator is an IAM condition operator taken apart.
type operator struct {
	comparison
	set      set
	ifExists bool
	null     bool // Null asks for the key, not for its values
}

// comparison is what an operator does with one value of the policy and one of
// the request.
type comparison struct {
	negated   bool
	variables bool // ${…} may appear in its values
	wild      bool // * and ? in its values are wildcards

	check func(want string) error          // is want a legal value in a policy?
	match func(want glob, got string) bool // does got satisfy want?
}

// lookupOperator knows every operator of "IAM JSON policy elements: Condition
// operators". Names are case-sensitive, as in IAM.
func lookupOperator(name string) (operator, bool) {
	var op operator
	for _, prefix := range []set{forAllValues, forAnyValue} {
		if rest, found := strings.CutPrefix(name, string(prefix)); found {
			op.set, name = prefix, rest
			break
		}
	}
	if name == "Null" { // it has no …IfExists form
		op.null = true
		op.comparison = comparison{check: checkBool, match: matchBool}
		return op, true
	}
	name, op.ifExists = strings.CutSuffix(name, "IfExists")
	c, known := comparisonOf(name)
	op.comparison = c
	return op, known
}

// baseNames returns the operators without prefix and suffix.
func baseNames() []string {
	return []string{
		"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike",
		"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals",
		"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals",
		"Bool", "BinaryEquals", "IpAddress", "NotIpAddress", "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "Null",
	}
}

// operatorNames lists every operator that can be written, for suggestions.
func operatorNames() []string {
	names := make([]string, 0, 6*len(baseNames()))
	for _, prefix := range []set{oneValue, forAllValues, forAnyValue} {
		for _, name := range baseNames() {
			names = append(names, string(prefix)+name)
			if name != "Null" {
				names = append(names, string(prefix)+name+"IfExists")
			}
		}
	}
	return names
}

func comparisonOf(name string) (comparison, bool) {
	family, rest, found := cutFamily(name)
	if !found {
		return comparison{}, false
	}
	switch family {
	case "String":
		return stringComparison(rest)
	case "Arn":
		c := comparison{negated: strings.HasPrefix(rest, "Not"), variables: true, wild: true, check: anything, match: matchARN}
		return c, oneOf(rest, "Equals", "Like", "NotEquals", "NotLike")
	case "Numeric":
		return ordered(rest, checkNumber, compareNumbers)
	case "Date":
		return ordered(rest, checkDate, compareDates)
	}
	return singleComparison(name)
}

// cutFamily splits StringLike into String and Like.
func cutFamily(name string) (family, rest string, found bool) {
	for _, family := range []string{"String", "Arn", "Numeric", "Date"} {
		if rest, found := strings.CutPrefix(name, family); found {
			return family, rest, true
		}
	}
	return "", "", oneOf(name, "Bool", "BinaryEquals", "IpAddress", "NotIpAddress")
}

func singleComparison(name string) (comparison, bool) {
	switch name {
	case "Bool":
		return comparison{check: checkBool, match: matchBool}, true
	case "BinaryEquals":
		return comparison{check: checkBinary, match: matchBinary}, true
	case "IpAddress", "NotIpAddress":
		return comparison{negated: name[0] == 'N', check: checkIP, match: matchIP}, true
	}
	return comparison{}, false
}

func stringComparison(name string) (comparison, bool) {
	name, negated := strings.CutPrefix(name, "Not")
	c := comparison{negated: negated, variables: true, check: anything}
	switch name {
	case "Equals", "Like":
		c.wild = name == "Like"
		c.match = func(want glob, got string) bool { return want.match([]rune(got)) }
	case "EqualsIgnoreCase":
		c.match = func(want glob, got string) bool { return strings.EqualFold(want.String(), got) }
	default:
		return c, false
	}
	return c, true
}

// ordered makes the six comparisons of numbers and dates. compare returns the
// order of got against want, and whether both could be read.
func ordered(name string, check func(string) error, compare func(got, want string) (int, bool)) (comparison, bool) {
	accept := map[string]func(int) bool{
		"Equals":            func(c int) bool { return c == 0 },
		"NotEquals":         func(c int) bool { return c == 0 },
		"LessThan":          func(c int) bool { return c < 0 },
		"LessThanEquals":    func(c int) bool { return c <= 0 },
		"GreaterThan":       func(c int) bool { return c > 0 },
		"GreaterThanEquals": func(c int) bool { return c >= 0 },
	}[name]
	match := func(want glob, got string) bool {
		order, readable := compare(got, want.String())
		return readable && accept(order)
	}
	return comparison{negated: name == "NotEquals", check: check, match: match}, accept != nil
}

func oneOf(name string, names ...string) bool {
	for _, candidate := range names {
		if candidate == name {
			return true
		}
	}
	return false
}

func anything(string) error { return nil }

func checkBool(want string) error {
	if !strings.EqualFold(want, "true") && !strings.EqualFold(want, "false") {
		return fmt.Errorf("%q is neither true nor false", want)
	}
	return nil
}

func matchBool(want glob, got string) bool { return strings.EqualFold(want.String(), got) }

func checkBinary(want string) error {
	if _, err := base64.StdEncoding.DecodeString(want); err != nil {
		return fmt.Errorf("%q is not base64", want)
	}
	return nil
}

// matchBinary compares bytes: the policy holds them as base64, the request as
// they are.
func matchBinary(want glob, got string) bool {
	decoded, err := base64.StdEncoding.DecodeString(want.String())
	return err == nil && string(decoded) == got
}

func checkIP(want string) error {
	if _, err := parsePrefix(want); err != nil {
		return fmt.Errorf("%q is neither an IP address nor a range such as 203.0.113.0/24", want)
	}
	return nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		return netip.ParsePrefix(text)
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(address, address.BitLen()), nil
}

func matchIP(want glob, got string) bool {
	prefix, err := parsePrefix(want.String())
	address, err2 := netip.ParseAddr(got)
	return err == nil && err2 == nil && prefix.Contains(address.Unmap())
}

// matchARN compares the six parts of two ARNs each on its own, so that a * does
// not reach into the next part (ArnEquals and ArnLike behave the same).
func matchARN(want glob, got string) bool {
	const parts = 6
	patterns := want.split(':', parts)
	texts := strings.SplitN(got, ":", parts)
	if len(patterns) != parts || len(texts) != parts {
		return false
	}
	for i, pattern := range patterns {
		if !pattern.match([]rune(texts[i])) {
			return false
		}
	}
	return true
}

func checkNumber(want string) error {
	if _, err := parseNumber(want); err != nil {
		return fmt.Errorf("%q is not a number", want)
	}
	return nil
}

// parseNumber reads a decimal exactly, but not one whose exponent would make it
// a gigabyte.
func parseNumber(text string) (*big.Rat, error) {
	mantissa, exponent, found := strings.Cut(strings.ToLower(text), "e")
	if found {
		if e, err := strconv.Atoi(exponent); err != nil || e < -100 || e > 100 {
			return nil, errors.New("exponent out of range")
		}
	}
	if mantissa == "" || len(mantissa) > 64 || strings.Trim(mantissa, "+-.0123456789") != "" {
		return nil, errors.New("not a decimal")
	}
	number, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, errors.New("not a decimal")
	}
	return number, nil
}

func compareNumbers(got, want string) (int, bool) {
	a, errA := parseNumber(got)
	b, errB := parseNumber(want)
	if errA != nil || errB != nil {
		return 0, false
	}
	return a.Cmp(b), true
}

func checkDate(want string) error {
	if _, err := parseDate(want); err != nil {
		return fmt.Errorf("%q is neither an ISO 8601 date nor epoch seconds", want)
	}
	return nil
}

// parseDate reads the W3C profile of ISO 8601 or seconds since 1970.
func parseDate(text string) (time.Time, error) {
	if len(text) != len("2006") {
		if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
			return time.Unix(seconds, 0), nil
		}
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01", "2006"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("not a date")
}

func compareDates(got, want string) (int, bool) {
	a, errA := parseDate(got)
	b, errB := parseDate(want)
	if errA != nil || errB != nil {
		return 0, false
	}
	return a.Compare(b), true
}
