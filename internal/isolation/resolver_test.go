package isolation

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func resolver() Resolver {
	return Resolver{At: netip.MustParseAddr("127.0.0.1"), Knows: func(name string) bool {
		return strings.HasSuffix(strings.ToLower(name), ".amazonaws.com")
	}}
}

func query(tb testing.TB, name string, kind dnsmessage.Type) []byte {
	tb.Helper()
	message := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 77, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	packed, err := message.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return packed
}

func unpack(t *testing.T, packed []byte) dnsmessage.Message {
	t.Helper()
	var message dnsmessage.Message
	if err := message.Unpack(packed); err != nil {
		t.Fatal(err)
	}
	return message
}

func TestKnownNamesAreHereAndOthersAreNot(t *testing.T) {
	for _, c := range []struct {
		name    string
		kind    dnsmessage.Type
		code    dnsmessage.RCode
		answers int
	}{
		{"sts.eu-west-1.amazonaws.com.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1},
		{"STS.EU-west-1.AmazonAWS.com.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1},
		{"sts.eu-west-1.amazonaws.com.", dnsmessage.TypeAAAA, dnsmessage.RCodeSuccess, 0},
		{"example.com.", dnsmessage.TypeA, dnsmessage.RCodeNameError, 0},
		{".", dnsmessage.TypeA, dnsmessage.RCodeNameError, 0},
	} {
		got := unpack(t, resolver().answer(query(t, c.name, c.kind)))
		if got.ID != 77 || !got.Response || got.RCode != c.code || len(got.Answers) != c.answers || len(got.Questions) != 1 {
			t.Errorf("%s %s: %+v", c.name, c.kind, got)
		}
		if c.answers == 1 && got.Answers[0].Body.(*dnsmessage.AResource).A != [4]byte{127, 0, 0, 1} {
			t.Errorf("%s: %v", c.name, got.Answers)
		}
	}
}

func TestWhatIsNoQueryHasNoAnswer(t *testing.T) {
	good := query(t, "a.amazonaws.com.", dnsmessage.TypeA)
	response := append([]byte(nil), good...)
	response[2] |= 0x80
	for name, packet := range map[string][]byte{"empty": nil, "short": good[:11], "cut": good[:len(good)-3], "a response": response} {
		if got := resolver().answer(packet); got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	update := append([]byte(nil), good...)
	update[2] |= 5 << 3
	if got := unpack(t, resolver().answer(update)); got.RCode != dnsmessage.RCodeNotImplemented {
		t.Errorf("%+v", got)
	}
}

func TestQueriesComeByPacketAndByConnection(t *testing.T) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() { ended <- resolver().ServePacket(packets) }()
	go func() { ended <- resolver().Serve(listener) }()

	udp, err := net.Dial("udp", packets.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	_ = udp.SetDeadline(time.Now().Add(10 * time.Second))
	question := query(t, "sts.amazonaws.com.", dnsmessage.TypeA)
	answer := make([]byte, 512)
	if _, err := udp.Write([]byte("noise")); err != nil {
		t.Fatal(err)
	}
	if _, err := udp.Write(question); err != nil {
		t.Fatal(err)
	}
	n, err := udp.Read(answer)
	if err != nil || len(unpack(t, answer[:n]).Answers) != 1 {
		t.Errorf("%v", err)
	}

	tcp, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tcp.Close() }()
	_ = tcp.SetDeadline(time.Now().Add(10 * time.Second))
	for range 2 {
		framed := binary.BigEndian.AppendUint16(nil, uint16(len(question)))
		if _, err := tcp.Write(append(framed, question...)); err != nil {
			t.Fatal(err)
		}
		var length [2]byte
		if _, err := io.ReadFull(tcp, length[:]); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(tcp, answer[:binary.BigEndian.Uint16(length[:])]); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = packets.Close(), listener.Close()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(query(f, "sts.amazonaws.com.", dnsmessage.TypeA))
	f.Add(query(f, "example.com.", dnsmessage.TypeTXT))
	f.Fuzz(func(t *testing.T, packet []byte) {
		answer := resolver().answer(packet)
		if answer == nil {
			return
		}
		var message dnsmessage.Message
		if err := message.Unpack(answer); err != nil || !message.Response || len(message.Questions) != 1 {
			t.Errorf("%v, %+v", err, message)
		}
	})
}
