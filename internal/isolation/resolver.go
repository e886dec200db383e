package isolation

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Resolver is the name server of the place: it knows the names that Knows knows, all at
// one address, and says of every other name that it does not exist (RFC 1035).
type Resolver struct {
	Knows func(name string) bool // without the dot at the end
	At    netip.Addr
}

const (
	maxQuery   = 4096 // bytes
	timeToLive = 1    // seconds
	patience   = 5 * time.Second
)

// ServePacket answers queries until packets is closed.
func (r Resolver) ServePacket(packets net.PacketConn) error {
	query := make([]byte, maxQuery)
	for {
		n, from, err := packets.ReadFrom(query)
		if err != nil {
			return closed(err)
		}
		if answer := r.answer(query[:n]); answer != nil {
			_, _ = packets.WriteTo(answer, from) // who asks again is answered again
		}
	}
}

// Serve answers queries over TCP until listener is closed.
func (r Resolver) Serve(listener net.Listener) error {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return closed(err)
		}
		go r.converse(connection)
	}
}

func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// converse reads queries, each after its length (RFC 1035 section 4.2.2).
func (r Resolver) converse(connection net.Conn) {
	defer func() { _ = connection.Close() }()
	for {
		_ = connection.SetDeadline(time.Now().Add(patience))
		var length [2]byte
		if _, err := io.ReadFull(connection, length[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(connection, query); err != nil {
			return
		}
		answer := r.answer(query)
		if answer == nil {
			return
		}
		framed := binary.BigEndian.AppendUint16(nil, uint16(len(answer))) //nolint:gosec // an answer is little longer than its question
		if _, err := connection.Write(append(framed, answer...)); err != nil {
			return
		}
	}
}

// answer returns nil for what is no query.
func (r Resolver) answer(query []byte) []byte {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil || header.Response {
		return nil
	}
	question, err := parser.Question()
	if err != nil {
		return nil
	}
	reply := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: header.ID, Response: true, OpCode: header.OpCode, Authoritative: true,
			RecursionDesired: header.RecursionDesired, RecursionAvailable: true,
		},
		Questions: []dnsmessage.Question{question},
	}
	name := question.Name.String()
	switch {
	case header.OpCode != 0:
		reply.RCode = dnsmessage.RCodeNotImplemented
	case !r.Knows(name[:max(len(name)-1, 0)]):
		reply.RCode = dnsmessage.RCodeNameError
	case question.Class == dnsmessage.ClassINET && question.Type == dnsmessage.TypeA:
		reply.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: timeToLive},
			Body:   &dnsmessage.AResource{A: r.At.As4()},
		}}
	}
	packed, err := reply.Pack()
	if err != nil {
		return nil
	}
	return packed
}
