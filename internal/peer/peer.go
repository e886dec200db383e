// Package peer tells which user is at the other end of a connection on this machine.
package peer

import "errors"

// ErrUnknown says that the system does not tell, or no longer.
var ErrUnknown = errors.New("the system does not say whose connection it is")

// Peer is who is at the other end.
type Peer struct {
	UID int
	PID int    // 0: not known, which it is of Unix sockets only
	Exe string // the program's file; empty: not known
}
