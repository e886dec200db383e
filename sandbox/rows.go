package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxField is the limit on a value; longer ones are cut off ("Azure Monitor service
// limits": 64 KB, unverified whether of bytes).
const maxField = 64 << 10

// batch is the rows of one request. Of more than the ledger keeps it has the number.
type batch struct {
	rows  []logRow
	count int
	size  int

	earliest, latest time.Time
}

// logRow is a row as its columns are typed.
type logRow struct {
	stream string
	values map[string]any
	size   int // of its JSON
}

// read takes the rows apart one after the other: a body of nothing but {} must not
// become a map for every three bytes, all at once.
func (l LogStream) read(body []byte, now time.Time) (*batch, *telemetryError) {
	if !json.Valid(body) || !utf8.Valid(body) || bytes.TrimLeft(body, " \t\r\n")[0] != '[' {
		return nil, notRows("The body must be an array of JSON objects.")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	_, _ = decoder.Token() // the bracket
	b := &batch{}
	for decoder.More() {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil || raw[0] != '{' {
			return nil, notRows("Every element of the array must be a JSON object.")
		}
		if refusal := l.take(b, raw, now); refusal != nil {
			return nil, refusal
		}
	}
	if l.Auxiliary && b.latest.Sub(b.earliest) > 30*time.Minute {
		return nil, refuse(http.StatusBadRequest, "RecordsTimeRangeIsMoreThan30Minutes", "The records of one request must be within 30 minutes.")
	}
	return b, nil
}

// take adds a row. What has no column is dropped without a word.
func (l LogStream) take(b *batch, raw json.RawMessage, now time.Time) *telemetryError {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return notRows("The row is malformed.")
	}
	if refusal := l.checkNesting(fields); refusal != nil {
		return refusal
	}
	at := l.generated(fields, now)
	b.stretch(at)
	b.count++
	if b.size += len(raw); b.count > maxRows || b.size > maxRowBytes {
		return nil
	}
	values := map[string]any{}
	for column, kind := range l.Columns {
		if field, found := fields[column]; found && !isReservedColumn(column) {
			values[column] = convert(field, kind)
		}
	}
	values["TimeGenerated"] = at.UTC().Format(time.RFC3339Nano)
	b.rows = append(b.rows, logRow{values: values, size: len(raw)})
	return nil
}

func (l LogStream) checkNesting(fields map[string]json.RawMessage) *telemetryError {
	for column, kind := range l.Columns {
		if raw := fields[column]; l.Auxiliary && kind != "dynamic" && len(raw) > 0 && (raw[0] == '{' || raw[0] == '[') {
			return notRows("The row is malformed JSON: nested in a column that is not dynamic.")
		}
	}
	return nil
}

// isReservedColumn knows the names that a table has for itself ("Add or delete tables
// and columns in Azure Monitor Logs").
func isReservedColumn(name string) bool {
	return slices.Contains([]string{"_ResourceId", "id", "_SubscriptionId", "TenantId", "Type", "UniqueId", "Title"}, name)
}

// isColumnName is the rule of the same page.
func isColumnName(name string) bool {
	isLetter := func(r rune) bool { return isLower(r) || r >= 'A' && r <= 'Z' }
	return name != "" && len(name) <= 45 && (isLetter(rune(name[0])) || isReservedColumn(name)) &&
		consistsOf(name, func(r rune) bool { return isLetter(r) || isDigit(r) || r == '_' })
}

func (b *batch) stretch(at time.Time) {
	if b.count == 0 || at.Before(b.earliest) {
		b.earliest = at
	}
	if b.count == 0 || at.After(b.latest) {
		b.latest = at
	}
}

// How far TimeGenerated may be from the time of receipt.
const (
	oldestRow = 2 * 24 * time.Hour
	newestRow = 24 * time.Hour
)

// generated is the row's own time, or that of its receipt if the row has none, a
// malformed one (unverified), or one out of range.
func (l LogStream) generated(fields map[string]json.RawMessage, now time.Time) time.Time {
	at, isTime := readTime(fields["TimeGenerated"])
	if !isTime || l.Columns["TimeGenerated"] != "datetime" || at.Before(now.Add(-oldestRow)) || at.After(now.Add(newestRow)) {
		return now
	}
	return at
}

// convert makes a column's type of a value; nil is what does not fit (unverified).
func convert(raw json.RawMessage, kind string) any {
	switch kind {
	case "string":
		return convertString(raw)
	case "int", "long":
		if n, err := strconv.ParseInt(string(raw), 10, map[string]int{"int": 32, "long": 64}[kind]); err == nil {
			return n
		}
	case "real":
		if n, err := strconv.ParseFloat(string(raw), 64); err == nil {
			return n
		}
	case "boolean":
		if text := string(raw); text == "true" || text == "false" {
			return text == "true"
		}
	case "datetime":
		if at, isTime := readTime(raw); isTime {
			return at.UTC().Format(time.RFC3339Nano)
		}
	case "dynamic":
		return convertDynamic(raw)
	}
	return nil
}

// convertString takes other JSON as it is written.
func convertString(raw json.RawMessage) any {
	var text string
	switch {
	case string(raw) == "null":
		return nil
	case json.Unmarshal(raw, &text) != nil:
		text = string(raw)
	}
	return cutField(text)
}

// cutField keeps whole characters.
func cutField(text string) string {
	if len(text) > maxField {
		text = strings.ToValidUTF8(text[:maxField], "")
	}
	return text
}

// readTime reads ISO 8601, with a space for the T as well; without a zone it is UTC.
func readTime(raw json.RawMessage) (time.Time, bool) {
	var text string
	if len(raw) == 0 || json.Unmarshal(raw, &text) != nil {
		return time.Time{}, false
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02T15:04:05"} { // fractions are read without being named
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

func convertDynamic(raw json.RawMessage) any {
	if len(raw) > maxField {
		return cutField(string(raw)) // unverified: no longer JSON
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil {
		return nil
	}
	return value
}
