package main

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// frames are a window of Lumberjack with one event: version 2 as Beats write it, version 1 as
// Logstash does.
func frames(event string) (beat, logstash string) {
	number := func(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }
	beat = "2W" + number(1) + "2J" + number(1) + number(len(event)) + event
	logstash = "1W" + number(1) + "1D" + number(1) + number(1) + number(len("line")) + "line" + number(len(event)) + event
	return beat, logstash
}

func TestEventsOfBeatsAndLogstashReachSentinel(t *testing.T) {
	s := newSandbox(t, sandbox.Options{})
	certificate, key := selfSigned(t, t.TempDir())
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	listen := write(t, filepath.Join(t.TempDir(), "listen.yaml"), fmt.Sprintf("receivers: {lumberjack: {endpoint: %q}}", address))
	env := append(azure(s), "COLLECTOR_CERT="+certificate, "COLLECTOR_KEY="+key)
	c := newCollector(t, env, published("beats-sentinel.yaml"), listen, onVM(t, s, "azure_logs_ingestion"))
	c.start()
	now := time.Now().UTC().Format(time.RFC3339)
	beat, _ := frames(fmt.Sprintf(`{"@timestamp":%q,"@metadata":{"beat":"filebeat"},"message":"by a Beat","Level":"info"}`, now))
	_, logstash := frames(fmt.Sprintf(`{"message":"by Logstash","@version":"1","@timestamp":%q,"Level":"warn"}`, now))
	for _, text := range []string{beat, logstash} {
		connection, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(connection, text); err != nil {
			t.Fatal(err)
		}
		var reply [6]byte
		if _, err := io.ReadFull(connection, reply[:]); err != nil || reply[1] != 'A' || reply[5] != 1 {
			t.Fatalf("%q, %v", reply, err)
		}
		_ = connection.Close()
	}
	await(t, 20*time.Second, "two rows", func() bool { return s.RowCount(sandbox.DemoStream) == 2 })
	if got := column(s, sandbox.DemoStream, "Message"); got["by a Beat"] != 1 || got["by Logstash"] != 1 {
		t.Errorf("%v", got)
	}
	for _, row := range s.Rows(sandbox.DemoStream) {
		if row["Level"] == nil || row["TimeGenerated"] == nil {
			t.Errorf("%v", row)
		}
	}
	c.stop()
}
