package azurelogsingestionexporter

import (
	"fmt"
	"hash/fnv"
	"strings"
)

// maxColumnName is that of a table ("Add or delete tables and columns in Azure Monitor
// Logs").
const maxColumnName = 45

// isReserved knows the names that a table has for itself (same page). Azure takes rows
// with them, and drops the values without a word. In which case they are written is
// unverified, so none is taken.
func isReserved(name string) bool {
	switch strings.ToLower(name) {
	case "_resourceid", "id", "_subscriptionid", "tenantid", "type", "uniqueid", "title":
		return true
	}
	return false
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isWord(c byte) bool { return isLetter(c) || isDigit(c) || c == '_' }

func isColumn(name string) bool {
	if name == "" || len(name) > maxColumnName || !isLetter(name[0]) || isReserved(name) {
		return false
	}
	return consistsOf(name, isWord)
}

func consistsOf(text string, is func(c byte) bool) bool {
	for i := range len(text) {
		if !is(text[i]) {
			return false
		}
	}
	return true
}

// columnName makes a name that a table takes of any other. Of one that is too long the
// end becomes a hash, so that two with the same beginning stay two.
func columnName(name string) string {
	if isColumn(name) {
		return name
	}
	mended := make([]byte, 0, len(name)+2)
	if name == "" || !isLetter(name[0]) {
		mended = append(mended, 'c', '_')
	}
	for i := range len(name) {
		if c := name[i]; isWord(c) {
			mended = append(mended, c)
		} else {
			mended = append(mended, '_')
		}
	}
	if len(mended) > maxColumnName {
		hash := fnv.New32a()
		_, _ = hash.Write([]byte(name))
		mended = fmt.Appendf(mended[:maxColumnName-9], "_%08x", hash.Sum32())
	}
	if isReserved(string(mended)) {
		mended = append(mended, '_')
	}
	return string(mended)
}

func isRule(id string) bool {
	digits, found := strings.CutPrefix(id, "dcr-")
	return found && len(digits) == 32 && consistsOf(digits, isHex)
}

// isStream lets nothing through that means something in a path.
func isStream(name string) bool {
	rest, found := strings.CutPrefix(name, "Custom-")
	if !found {
		rest, found = strings.CutPrefix(name, "Microsoft-")
	}
	return found && rest != "" && len(name) <= 128 && consistsOf(rest, func(c byte) bool { return isWord(c) || c == '-' })
}
