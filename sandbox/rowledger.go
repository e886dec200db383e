package sandbox

import "sync"

// What the ledger keeps of all streams together; of older rows it has the number.
const (
	maxRows     = 100_000
	maxRowBytes = 64 << 20 // as JSON
)

// rowLedger is what the data collection endpoint has let in.
type rowLedger struct {
	mu     sync.Mutex
	rows   []logRow
	size   int
	counts map[string]int
}

func (l *rowLedger) add(stream string, b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = map[string]int{}
	}
	l.counts[stream] += b.count
	for _, row := range b.rows {
		row.stream = stream
		l.rows = append(l.rows, row)
		l.size += row.size
	}
	if len(l.rows) > maxRows || l.size > maxRowBytes {
		l.forget()
	}
}

// forget drops the oldest rows until the ledger is half empty.
func (l *rowLedger) forget() {
	drop := 0
	for drop < len(l.rows) && (len(l.rows)-drop > maxRows/2 || l.size > maxRowBytes/2) {
		l.size -= l.rows[drop].size
		drop++
	}
	l.rows = append([]logRow(nil), l.rows[drop:]...)
}

// Rows returns what was written to a stream of a data collection rule, in order and as
// its columns are typed. Of more than 100,000 rows, or 64 MiB, some are no longer there:
// see [Sandbox.RowCount]. The maps must not be changed.
func (s *Sandbox) Rows(stream string) []map[string]any {
	s.rows.mu.Lock()
	defer s.rows.mu.Unlock()
	var rows []map[string]any
	for _, row := range s.rows.rows {
		if row.stream == stream {
			rows = append(rows, row.values)
		}
	}
	return rows
}

// RowCount returns how many rows were ever written to a stream.
func (s *Sandbox) RowCount(stream string) int {
	s.rows.mu.Lock()
	defer s.rows.mu.Unlock()
	return s.rows.counts[stream]
}
