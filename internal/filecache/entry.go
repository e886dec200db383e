package filecache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"time"
)

// Entry is one remembered answer.
type Entry struct {
	Obtained time.Time
	Due      time.Time // from here on somebody should ask for the next answer
	Stale    time.Time // from here on it is worth waiting for the next answer
	Dead     time.Time // from here on this one is of no use
	Expiry   time.Time
	Payload  []byte
}

const (
	magic    = "keyless-cache/1"
	maxEntry = 256 << 10
)

var errCorrupt = errors.New("corrupt")

// encode writes one header line, the five times in ns since 1970 and the payload's
// SHA-256, and then the payload. The warm path reads it too, so it is made to be
// parsed without encoding/json.
func (e Entry) encode() []byte {
	line := []byte(magic)
	for _, t := range []time.Time{e.Obtained, e.Due, e.Stale, e.Dead, e.Expiry} {
		line = append(line, ' ')
		line = strconv.AppendInt(line, t.UnixNano(), 10)
	}
	line = append(line, ' ')
	line = append(line, sum(e.Payload)...)
	line = append(line, '\n')
	return append(line, e.Payload...)
}

func decode(data []byte) (Entry, error) {
	line, payload, found := bytes.Cut(data, []byte{'\n'})
	fields := bytes.Split(line, []byte{' '})
	if !found || len(fields) != 7 || string(fields[0]) != magic || string(fields[6]) != sum(payload) {
		return Entry{}, errCorrupt
	}
	var at [5]time.Time
	for i := range at {
		ns, err := strconv.ParseInt(string(fields[i+1]), 10, 64)
		if err != nil {
			return Entry{}, errCorrupt
		}
		at[i] = time.Unix(0, ns)
	}
	return Entry{Obtained: at[0], Due: at[1], Stale: at[2], Dead: at[3], Expiry: at[4], Payload: payload}, nil
}

func sum(payload []byte) string {
	digest := sha256.Sum256(payload)
	return hex.EncodeToString(digest[:])
}

// Digest makes a file name of parts: another list of parts is another name.
func Digest(parts []string) string {
	var text []byte
	for _, part := range parts {
		text = strconv.AppendInt(text, int64(len(part)), 10)
		text = append(append(text, ':'), part...)
	}
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:16])
}

// Fresh reports whether the entry may be handed out without a thought.
func (e Entry) Fresh(now time.Time) bool {
	return len(e.Payload) > 0 && !now.Before(e.Obtained.Add(-time.Minute)) && now.Before(e.Due)
}

// Usable reports whether the entry may be handed out at all.
func (e Entry) Usable(now time.Time) bool { return len(e.Payload) > 0 && now.Before(e.Dead) }
