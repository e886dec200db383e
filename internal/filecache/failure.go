package filecache

import (
	"bytes"
	"strconv"
	"time"

	"github.com/keyless-id/keyless/internal/refresh"
)

// failure is the last try, which failed. It keeps a hundred processes from trying
// the same one after the other.
type failure struct {
	recorded, until time.Time
	count           int
	err             error
}

// record makes the entry "<attempt> <count>\n<error>", good until the back-off ends.
func record(q Query, count int, err error) Entry {
	now := time.Now()
	until := now.Add(refresh.Backoff(count, refresh.Asked(err)))
	payload := append([]byte(q.Attempt+" "+strconv.Itoa(count)+"\n"), q.Failure(err)...)
	return Entry{Obtained: now, Due: until, Stale: until, Dead: until, Expiry: until, Payload: payload}
}

// failure reads the record of the last try, if it was the same as this one.
func (c *Cache) failure(q Query) (failure, bool) {
	data, err := readFile(c.path(q.Key + ".failure"))
	if err != nil {
		return failure{}, false
	}
	e, err := decode(data)
	if err != nil || e.Obtained.After(time.Now().Add(time.Minute)) {
		return failure{}, false
	}
	line, text, _ := bytes.Cut(e.Payload, []byte{'\n'})
	attempt, count, _ := bytes.Cut(line, []byte{' '})
	n, err := strconv.Atoi(string(count))
	if err != nil || string(attempt) != q.Attempt {
		return failure{}, false
	}
	return failure{recorded: e.Obtained, until: e.Expiry, count: n, err: q.Failed(text)}, true
}
