package endpoint

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"time"
)

// Sessions makes the tokens of IMDSv2 and knows them again without keeping any: each says
// when it ends and is signed, so that no number of them takes memory. They are of no use
// to another process.
type Sessions struct {
	once sync.Once
	key  [32]byte
}

const (
	sessionBody = 16 // when it ends, and what makes it one of its kind
	sessionSize = sessionBody + sha256.Size
)

func (s *Sessions) begin(end time.Time) string {
	var token [sessionSize]byte
	binary.BigEndian.PutUint64(token[:], uint64(end.UnixNano()))
	_, _ = rand.Read(token[8:sessionBody]) // never fails
	copy(token[sessionBody:], s.sign(token[:sessionBody]))
	return base64.RawURLEncoding.EncodeToString(token[:])
}

// know reports whether the token is of this process and has not ended.
func (s *Sessions) know(token string, now time.Time) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != sessionSize || !hmac.Equal(raw[sessionBody:], s.sign(raw[:sessionBody])) {
		return false
	}
	return now.UnixNano() < int64(binary.BigEndian.Uint64(raw)) //nolint:gosec // what begin wrote
}

func (s *Sessions) sign(body []byte) []byte {
	s.once.Do(func() { _, _ = rand.Read(s.key[:]) })
	mac := hmac.New(sha256.New, s.key[:])
	mac.Write(body)
	return mac.Sum(nil)
}
