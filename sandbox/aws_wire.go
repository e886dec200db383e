package sandbox

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// params is the input of an operation, whatever the wire form it came in. Values are
// strings, numbers, booleans and times; structures are map[string]any and lists []any.
type params map[string]any

func (p params) has(name string) bool { return p[name] != nil }

func (p params) text(name string) string {
	text, _ := p[name].(string)
	return text
}

// flag is false where nothing is said.
func (p params) flag(name string) bool {
	switch value := p[name].(type) {
	case bool:
		return value
	case string:
		return value == "true"
	}
	return false
}

func (p params) number(name string) (float64, bool) { return asNumber(p[name]) }

func asNumber(value any) (float64, bool) {
	switch value := value.(type) {
	case float64:
		return value, true
	case int64:
		return float64(value), true
	case string:
		number, err := strconv.ParseFloat(value, 64)
		return number, err == nil
	}
	return 0, false
}

// integer is a whole number of 32 bits.
func (p params) integer(name string) (int64, bool) {
	number, ok := p.number(name)
	return int64(number), ok && number == math.Trunc(number) && math.Abs(number) <= math.MaxInt32
}

func (p params) time(name string) (time.Time, bool) {
	switch value := p[name].(type) {
	case time.Time:
		return value, true
	case string:
		t, err := time.Parse(time.RFC3339Nano, value)
		return t, err == nil
	case float64: // JSON: seconds since 1970
		return time.UnixMicro(int64(value * 1e6)), math.Abs(value) < 1e11
	}
	return time.Time{}, false
}

func (p params) list(name string) []any {
	list, _ := p[name].([]any)
	return list
}

func (p params) structure(name string) params {
	structure, _ := p[name].(map[string]any)
	return structure
}

func (p params) structures(name string) []params {
	var list []params
	for _, item := range p.list(name) {
		structure, _ := item.(map[string]any)
		list = append(list, structure)
	}
	return list
}

func (p params) texts(name string) []string {
	var list []string
	for _, item := range p.list(name) {
		text, _ := item.(string)
		list = append(list, text)
	}
	return list
}

// maxPath is more than the name of any parameter has parts.
const maxPath = 20

// queryParams reads the form of the AWS query protocol, in which a list of structures is
// Filter.1.Name or MetricData.member.1.Value.
func queryParams(form url.Values) params {
	root := map[string]any{}
	for name, values := range form {
		at := root
		path := strings.Split(name, ".")
		if len(path) > maxPath {
			continue
		}
		for _, part := range path[:len(path)-1] {
			if part == "member" {
				continue
			}
			next, ok := at[part].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[part] = next
			}
			at = next
		}
		at[path[len(path)-1]] = values[0]
	}
	for name, value := range root {
		root[name] = withLists(value)
	}
	return root
}

// withLists makes a list of what has numbers for names.
func withLists(value any) any {
	structure, ok := value.(map[string]any)
	if !ok {
		return value
	}
	numbers := map[int]any{}
	for name, inner := range structure {
		structure[name] = withLists(inner)
		if n, err := strconv.Atoi(name); err == nil {
			numbers[n] = structure[name]
		}
	}
	if len(numbers) != len(structure) {
		return structure
	}
	var list []any
	for _, n := range slices.Sorted(maps.Keys(numbers)) {
		list = append(list, numbers[n])
	}
	return list
}

// jsonParams reads the body of the AWS JSON protocols; an empty one is an empty structure.
func jsonParams(body []byte) (params, error) {
	p := params{}
	if len(body) == 0 {
		return p, nil
	}
	err := json.Unmarshal(body, &p)
	return p, err
}

var errForm = errors.New("not what the protocol has")

// cborParams reads the body of Smithy's RPC v2.
func cborParams(body []byte) (params, error) {
	if len(body) == 0 {
		return params{}, nil
	}
	value, err := cbor.Decode(body)
	if err != nil {
		return nil, err
	}
	plain, err := fromCBOR(value)
	if structure, ok := plain.(map[string]any); ok {
		return structure, err
	}
	return nil, errors.Join(errForm, err)
}

func fromCBOR(value cbor.Value) (any, error) {
	switch value := value.(type) {
	case cbor.String:
		return string(value), nil
	case cbor.Bool:
		return bool(value), nil
	case cbor.Uint, cbor.NegInt:
		return cbor.AsInt64(value)
	case cbor.Float32, cbor.Float64:
		return cbor.AsFloat64(value)
	case *cbor.Tag:
		return cbor.AsTime(value)
	case *cbor.Nil, *cbor.Undefined:
		return nil, nil
	case cbor.List:
		return listFromCBOR(value)
	case cbor.Map:
		return mapFromCBOR(value)
	}
	return nil, fmt.Errorf("%w: %T", errForm, value)
}

func listFromCBOR(list cbor.List) (any, error) {
	plain := make([]any, len(list))
	for i, item := range list {
		var err error
		if plain[i], err = fromCBOR(item); err != nil {
			return nil, err
		}
	}
	return plain, nil
}

func mapFromCBOR(m cbor.Map) (any, error) {
	plain := map[string]any{}
	for name, item := range m {
		value, err := fromCBOR(item)
		if err != nil {
			return nil, err
		}
		plain[name] = value
	}
	return plain, nil
}

// toCBOR writes an answer made of what params has, and of int, []object and slices of
// strings, numbers and times.
func toCBOR(value any) cbor.Value {
	switch value := value.(type) {
	case string:
		return cbor.String(value)
	case bool:
		return cbor.Bool(value)
	case int:
		return cbor.Uint(max(value, 0)) // no number of ours is negative
	case float64:
		return cbor.Float64(value)
	case time.Time:
		return &cbor.Tag{ID: 1, Value: cbor.Float64(float64(value.UnixMilli()) / 1000)}
	case object:
		m := cbor.Map{}
		for name, inner := range value {
			m[name] = toCBOR(inner)
		}
		return m
	case dictionary:
		m := cbor.Map{}
		for name, number := range value {
			m[name] = cbor.Float64(number)
		}
		return m
	case []object:
		return listToCBOR(value)
	case []string:
		return listToCBOR(value)
	case []float64:
		return listToCBOR(value)
	case []time.Time:
		return listToCBOR(value)
	}
	return &cbor.Nil{}
}

func listToCBOR[T any](list []T) cbor.Value {
	values := make(cbor.List, len(list))
	for i, item := range list {
		values[i] = toCBOR(item)
	}
	return values
}

// dictionary is a structure whose names are data.
type dictionary map[string]float64

// xmlTree is an answer as the query protocols write it; item is what they call the
// elements of lists: member, and item in EC2.
type xmlTree struct {
	value any
	item  string
}

// MarshalXML is part of xml.Marshaler.
func (x xmlTree) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	switch value := x.value.(type) {
	case object:
		return x.encode(e, start, func() error {
			for _, name := range slices.Sorted(maps.Keys(value)) {
				if err := e.EncodeElement(xmlTree{value[name], x.item}, xml.StartElement{Name: xml.Name{Local: name}}); err != nil {
					return err
				}
			}
			return nil
		})
	case []object:
		return encodeItems(x, e, start, value)
	case []string:
		return encodeItems(x, e, start, value)
	case []float64:
		return encodeItems(x, e, start, value)
	case []time.Time:
		return encodeItems(x, e, start, value)
	case dictionary:
		return x.encodeEntries(e, start, value)
	case time.Time:
		return e.EncodeElement(value.UTC().Format("2006-01-02T15:04:05.000Z"), start)
	case float64:
		return e.EncodeElement(strconv.FormatFloat(value, 'f', -1, 64), start)
	}
	return e.EncodeElement(x.value, start)
}

func (x xmlTree) encode(e *xml.Encoder, start xml.StartElement, inner func() error) error {
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	if err := inner(); err != nil {
		return err
	}
	return e.EncodeToken(start.End())
}

func encodeItems[T any](x xmlTree, e *xml.Encoder, start xml.StartElement, list []T) error {
	return x.encode(e, start, func() error {
		for _, item := range list {
			if err := e.EncodeElement(xmlTree{item, x.item}, xml.StartElement{Name: xml.Name{Local: x.item}}); err != nil {
				return err
			}
		}
		return nil
	})
}

// encodeEntries writes a map as the query protocols have it.
func (x xmlTree) encodeEntries(e *xml.Encoder, start xml.StartElement, d dictionary) error {
	return x.encode(e, start, func() error {
		for _, name := range slices.Sorted(maps.Keys(d)) {
			entry := xmlTree{object{"key": name, "value": d[name]}, x.item}
			if err := e.EncodeElement(entry, xml.StartElement{Name: xml.Name{Local: "entry"}}); err != nil {
				return err
			}
		}
		return nil
	})
}
