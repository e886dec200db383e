package profile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// record is an error as the cache keeps it for the processes that waited for it.
type record struct {
	Hop       keyless.Hop `json:"hop"`
	Op        string      `json:"op,omitempty"`
	Code      string      `json:"code,omitempty"`
	Message   string      `json:"message,omitempty"`
	Hint      string      `json:"hint,omitempty"`
	Temporary bool        `json:"temporary,omitempty"`
	After     int64       `json:"retry_after_s,omitempty"`
	Cause     string      `json:"cause,omitempty"`
}

// EncodeError makes an error something that another process can read.
func EncodeError(err error) []byte {
	var r record
	var hop *keyless.Error
	if errors.As(err, &hop) {
		r = record{hop.Hop, hop.Op, hop.Code, hop.Message, hop.Hint, hop.Temporary, int64(hop.RetryAfter / time.Second), ""}
		if hop.Err != nil {
			r.Cause = hop.Err.Error()
		}
	} else {
		r = record{Hop: keyless.HopSource, Cause: err.Error(), Temporary: errors.Is(err, context.DeadlineExceeded)}
	}
	data, _ := json.Marshal(r) //nolint:errchkjson // strings and numbers
	return data
}

// DecodeError reads what [EncodeError] wrote.
func DecodeError(data []byte) error {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("the last try failed; its record cannot be read: %w", err)
	}
	e := &keyless.Error{
		Hop: r.Hop, Op: r.Op, Code: r.Code, Message: r.Message, Hint: r.Hint,
		Temporary: r.Temporary, RetryAfter: time.Duration(r.After) * time.Second,
	}
	if r.Cause != "" {
		e.Err = errors.New(r.Cause)
	}
	return e
}
