package convert

import (
	"fmt"
	"strings"
)

// rsyslog reads the actions of type omazuredce ("omazuredce", rsyslog documentation) in a
// configuration. Records come as lines over TCP.
func rsyslog(d *draft, file []byte) (shipments, error) {
	actions, err := parseActions(string(file))
	if err != nil {
		return nil, err
	}
	var all shipments
	for i := range actions {
		o := &actions[i]
		if kind := o.find("type"); kind == nil || !strings.EqualFold(kind.text, "omazuredce") {
			continue
		}
		s, err := o.rsyslog(d)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	if len(all) > 0 {
		d.note(at{}, "plain TCP has no acknowledgements: what is on its way when the Collector stops is lost. Without loss: type=\"omfile\" with the same template, and the receiver file_log on that file")
	}
	return all, nil
}

// parseActions returns what stands in action( ), each with its parameters ("RainerScript",
// rsyslog documentation). Whatever else is in the file is gone over.
func parseActions(text string) ([]output, error) {
	l := &lexer{rest: text, line: 1}
	var all []output
	for t := l.next(); t.kind != end; t = l.next() {
		if t.kind != word || !strings.EqualFold(t.text, "action") {
			continue
		}
		if l.skip(); !strings.HasPrefix(l.rest, "(") {
			continue
		}
		l.take(1)
		all = append(all, output{plugin: plugin{name: "action", line: t.line, settings: l.parameters()}, at: at{line: t.line}})
	}
	return all, l.err
}

// parameters reads name="value" up to the closing parenthesis.
func (l *lexer) parameters() []setting {
	var all []setting
	for {
		name := l.next()
		switch {
		case name.is(")"):
			return all
		case name.kind != word:
			l.wrong("want the name of a parameter or )")
			return nil
		}
		if !l.next().is("=") {
			l.wrong("want = after the name of a parameter")
			return nil
		}
		v := value{}
		switch t := l.next(); {
		case t.is("["):
			v = l.texts()
		case t.kind == quoted:
			v.text = unescaped(t.text)
		default:
			l.wrong("want a value in quotes")
			return nil
		}
		all = append(all, setting{strings.ToLower(name.text), name.line, v})
	}
}

func (l *lexer) texts() value {
	v := value{inner: true}
	for t := l.next(); !t.is("]"); t = l.next() {
		if t.kind == end {
			l.wrong("a list that does not end")
			return v
		}
		if t.kind == quoted {
			v.items = append(v.items, unescaped(t.text))
		}
	}
	return v
}

func unescaped(text string) string {
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\'`, `'`).Replace(text)
}

func (o *output) rsyslog(d *draft) (*shipment, error) {
	endpoint := strings.TrimRight(o.text(d, "dce_url"), "/")
	s := &shipment{
		at: o.at, endpoint: endpoint, rule: o.text(d, "dcr_id"), stream: o.text(d, "table_name"), cloud: cloudOf(endpoint),
		intake: intake{receiver: "tcp_log", port: 5171, json: true, lines: []string{"listen_address: 127.0.0.1:PORT"}},
		client: o.omfwd,
	}
	if err := s.check(o.below, [3]string{"dce_url", "dcr_id", "table_name"}); err != nil {
		return nil, err
	}
	if err := o.has("tenant_id", "client_id"); err != nil {
		return nil, err
	}
	s.source = o.application(d, s.cloud, "tenant_id", "client_id", "client_secret")
	settled(d, o.settings, rsyslogFate)
	return s, nil
}

func (o *output) omfwd(port int) string {
	template := "StdJSONFmt"
	if found := o.find("template"); found != nil {
		template = found.text
	}
	return fmt.Sprintf(`# in the place of the action in line %d
action(
  type="omfwd" target="127.0.0.1" port="%d" protocol="tcp"
  template=%q
  queue.type="LinkedList" queue.filename="keyless" queue.saveOnShutdown="on" action.resumeRetryCount="-1"
)
`, o.at.line, port, template)
}

func rsyslogFate(name string) string {
	switch name {
	case "type", "template", "dce_url", "dcr_id", "table_name", "tenant_id", "client_id", "client_secret":
		return taken
	case "max_batch_bytes", "flush_timeout_ms":
		return byCollector
	case "compression":
		return compresses
	case "name":
		return "is not carried over: give it to the new action"
	}
	if strings.HasPrefix(name, "queue.") || strings.HasPrefix(name, "action.") {
		return "is not carried over: give it to the new action"
	}
	return unknown
}
