package endpoint

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// crowd bounds how many connections are open, so that clients who ask nothing keep
// nobody away who does: beyond the limit the one that has been silent longest ends.
type crowd struct {
	limit int

	mu     sync.Mutex
	open   int
	silent *list.List // net.Conn, who has been silent longest first
	at     map[net.Conn]*list.Element
}

// note is for http.Server.ConnState.
func (c *crowd) note(conn net.Conn, state http.ConnState) {
	if last := c.count(conn, state); last != nil {
		_ = last.Close()
	}
}

// count returns who has to go.
func (c *crowd) count(conn net.Conn, state http.ConnState) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent == nil {
		c.silent, c.at = list.New(), map[net.Conn]*list.Element{}
	}
	if element, ok := c.at[conn]; ok {
		c.silent.Remove(element)
		delete(c.at, conn)
	}
	switch state {
	case http.StateNew:
		c.open++
		c.at[conn] = c.silent.PushBack(conn)
	case http.StateIdle:
		c.at[conn] = c.silent.PushBack(conn)
	case http.StateClosed, http.StateHijacked:
		c.open--
	}
	if state != http.StateNew || c.open <= c.limit || c.silent.Len() < 2 {
		return nil
	}
	return c.silent.Front().Value.(net.Conn)
}
