package awscloudwatchmetricsreceiver

import (
	"bytes"
	"encoding/xml"
	"strings"
	"unicode/utf8"
)

// encoding/xml takes longer for the list of ten thousand instances than all the rest of a
// poll. An answer of EC2 is plain XML: elements, texts and no attributes but a namespace. That
// is read here; whatever is not as plain is left to encoding/xml.

// xmlReader reads one element after the other. It gives up at what is not plain.
type xmlReader struct {
	rest  []byte
	depth int
	odd   bool
}

// deepestXML is more than the answers of EC2 need.
const deepestXML = 100

// plainXML is a reader in the root of a document, or one that has given up.
func plainXML(body []byte) *xmlReader {
	x := &xmlReader{rest: body}
	if !utf8.Valid(body) || isOddXML(body) {
		x.giveUp()
	}
	x.rest = bytes.TrimPrefix(x.rest, []byte(`<?xml version="1.0" encoding="UTF-8"?>`))
	x.rest = bytes.TrimLeft(x.rest, " \n")
	return x
}

// isOddXML looks for the characters that encoding/xml replaces or refuses.
func isOddXML(body []byte) bool {
	for _, b := range body {
		if b < ' ' && b != '\n' && b != '\t' {
			return true
		}
	}
	return bytes.Contains(body, []byte("\uFFFE")) || bytes.Contains(body, []byte("\uFFFF")) || bytes.Contains(body, []byte("]]>"))
}

func (x *xmlReader) giveUp() { x.rest, x.odd = nil, true }

// open takes the begin of an element, and returns its name; nil where there is none. An
// element without content is as good as closed: then its end is what comes next.
func (x *xmlReader) open() []byte {
	if len(x.rest) < 2 || x.rest[0] != '<' || x.rest[1] == '/' {
		return nil
	}
	end := bytes.IndexByte(x.rest, '>')
	if end < 0 {
		x.giveUp()
		return nil
	}
	name := x.rest[1:end]
	x.rest = x.rest[end+1:]
	if space := bytes.IndexByte(name, ' '); space >= 0 {
		value, ok := bytes.CutPrefix(name[space:], []byte(` xmlns="`))
		if !ok || len(value) == 0 || bytes.IndexByte(value, '"') != len(value)-1 || bytes.ContainsAny(value, "<&") {
			x.giveUp()
		}
		name = name[:space]
	}
	if !isPlainName(name) {
		x.giveUp()
	}
	return name
}

func isPlainName(name []byte) bool {
	for _, b := range name {
		if (b < 'a' || b > 'z') && (b < 'A' || b > 'Z') {
			return false
		}
	}
	return len(name) > 0
}

// closed takes the end of an element.
func (x *xmlReader) closed(name []byte) {
	rest, ok := bytes.CutPrefix(x.rest, []byte("</"))
	rest, named := bytes.CutPrefix(rest, name)
	if !ok || !named || len(rest) == 0 || rest[0] != '>' {
		x.giveUp()
		return
	}
	x.rest = rest[1:]
}

// children goes through those of an element whose begin was taken, up to its end. Each reads
// or skips the child that is named.
func (x *xmlReader) children(of []byte, child func(name []byte)) {
	if x.depth++; x.depth > deepestXML {
		x.giveUp()
	}
	for {
		x.rest = bytes.TrimLeft(x.rest, " \n\t")
		name := x.open()
		if name == nil || x.odd {
			break
		}
		child(name)
	}
	x.closed(of)
	x.depth--
}

// text is that of an element without children.
func (x *xmlReader) text(of []byte) string {
	end := bytes.IndexByte(x.rest, '<')
	if end < 0 {
		x.giveUp()
		return ""
	}
	text := x.rest[:end]
	x.rest = x.rest[end:]
	x.closed(of)
	if bytes.IndexByte(text, '&') < 0 {
		return string(text)
	}
	return x.unescaped(text)
}

func (x *xmlReader) unescaped(text []byte) string {
	parts := strings.Split(string(text), "&")
	for _, part := range parts[1:] {
		switch entity, _, _ := strings.Cut(part, ";"); {
		case len(entity) == len(part): // without an end
			x.giveUp()
		case entity == "amp", entity == "lt", entity == "gt", entity == "quot", entity == "apos", entity == "#34", entity == "#39":
		default:
			x.giveUp()
		}
	}
	return strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">", "&quot;", `"`, "&apos;", "'", "&#34;", `"`, "&#39;", "'").Replace(string(text))
}

// skip passes over an element whose begin was taken, with all that is in it.
func (x *xmlReader) skip(of []byte) {
	end := bytes.IndexByte(x.rest, '<')
	if end < 0 {
		x.giveUp()
		return
	}
	switch {
	case bytes.IndexByte(x.rest[:end], '&') >= 0:
		x.text(of)
	case end+1 < len(x.rest) && x.rest[end+1] == '/':
		x.rest = x.rest[end:]
		x.closed(of)
	default:
		x.children(of, x.skip)
	}
}

// list reads the items of a list of EC2's.
func (x *xmlReader) list(of []byte, item func(name []byte)) {
	x.children(of, func(name []byte) {
		if string(name) == "item" {
			item(name)
			return
		}
		x.skip(name)
	})
}

// pick reads texts of children by their names, and skips the others.
func (x *xmlReader) pick(of []byte, to func(name string) *string) {
	x.children(of, func(name []byte) {
		if at := to(string(name)); at != nil {
			*at = x.text(name)
			return
		}
		x.skip(name)
	})
}

// document reads the root and its children, and reports whether all of it was plain.
func (x *xmlReader) document(child func(name []byte)) bool {
	root := x.open()
	if root == nil || x.odd {
		return false
	}
	x.children(root, child)
	return !x.odd && len(bytes.TrimLeft(x.rest, " \n")) == 0
}

func (a *instancesAnswer) read(body []byte) error {
	x := plainXML(body)
	plain := x.document(func(name []byte) {
		switch string(name) {
		case "nextToken":
			a.Next = x.text(name)
		case "reservationSet":
			x.list(name, a.reservation(x))
		default:
			x.skip(name)
		}
	})
	if plain {
		return nil
	}
	*a = instancesAnswer{}
	return xml.Unmarshal(body, a) //nolint:gosec // texts and lists of them, which encoding/xml bounds
}

func (a *instancesAnswer) reservation(x *xmlReader) func(name []byte) {
	return func(name []byte) {
		x.children(name, func(name []byte) {
			if string(name) != "instancesSet" {
				x.skip(name)
				return
			}
			x.list(name, func(name []byte) {
				a.Instances = append(a.Instances, instance{})
				a.Instances[len(a.Instances)-1].read(x, name)
			})
		})
	}
}

func (i *instance) read(x *xmlReader, of []byte) {
	x.children(of, func(name []byte) {
		switch string(name) {
		case "instanceId":
			i.ID = x.text(name)
		case "instanceType":
			i.Type = x.text(name)
		case "imageId":
			i.Image = x.text(name)
		case "placement":
			x.pick(name, only("availabilityZone", &i.Zone))
		case "tagSet":
			x.list(name, func(name []byte) { i.Tags = append(i.Tags, tagOf(x, name)) })
		default:
			x.skip(name)
		}
	})
}

func only(name string, to *string) func(string) *string {
	return func(given string) *string {
		if given == name {
			return to
		}
		return nil
	}
}

func tagOf(x *xmlReader, of []byte) instanceTag {
	var tag instanceTag
	x.pick(of, func(name string) *string {
		switch name {
		case "key":
			return &tag.Key
		case "value":
			return &tag.Value
		}
		return nil
	})
	return tag
}

func (a *statusAnswer) read(body []byte) error {
	x := plainXML(body)
	plain := x.document(func(name []byte) {
		switch string(name) {
		case "nextToken":
			a.Next = x.text(name)
		case "instanceStatusSet":
			x.list(name, func(name []byte) { a.Statuses = append(a.Statuses, statusOf(x, name)) })
		default:
			x.skip(name)
		}
	})
	if plain {
		return nil
	}
	*a = statusAnswer{}
	return xml.Unmarshal(body, a) //nolint:gosec // texts and lists of them, which encoding/xml bounds
}

func statusOf(x *xmlReader, of []byte) instanceStatus {
	var s instanceStatus
	x.children(of, func(name []byte) {
		switch string(name) {
		case "instanceId":
			s.ID = x.text(name)
		case "systemStatus":
			x.pick(name, only("status", &s.System))
		case "instanceStatus":
			x.pick(name, only("status", &s.Instance))
		case "attachedEbsStatus":
			x.pick(name, only("status", &s.EBS))
		default:
			x.skip(name)
		}
	})
	return s
}
