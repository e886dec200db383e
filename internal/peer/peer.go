// Package peer tells which user is at the other end of a connection on this machine.
package peer

import "errors"

// ErrUnknown says that the system does not tell, or no longer.
var ErrUnknown = errors.New("the system does not say whose connection it is")
