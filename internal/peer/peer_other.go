//go:build !linux

package peer

import "net"

// Tells says that the system does not know.
const Tells = false

// Of is not known on this system.
func Of(net.Conn) (Peer, error) { return Peer{}, ErrUnknown }
