package convert

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/profile"
)

// localListen is where the proxy listens unless another tool's environment says: the port
// that the programs have which it stands in for.
const localListen = "127.0.0.1:8081"

// draft is a Result that is being gathered.
type draft struct {
	from       string // what it is made from
	listen     string // empty: localListen
	public     bool   // listens like the program that it stands in for
	user       string // whose programs ask, as packages of the other tool call it; empty: decided otherwise
	identities []identity
	routes     []profile.Route
	notes      []Note
	secrets    map[string][]profile.Application // the applications whose secrets have a name that begins so
}

// identity is a profile with what a person should know of it.
type identity struct {
	name, comment string
	profile.Profile
}

func (d *draft) note(where at, format string, args ...any) {
	d.notes = append(d.notes, Note{Line: where.line, Path: where.path, Text: fmt.Sprintf(format, args...)})
}

// once is a note that is not repeated for every block that it is about.
func (d *draft) once(where at, text string) {
	if !slices.ContainsFunc(d.notes, func(n Note) bool { return n.Text == text }) {
		d.note(where, "%s", text)
	}
}

// identify returns the name of a profile like p, which is that of an earlier one if the two
// are the same.
func (d *draft) identify(base, comment string, p profile.Profile) string {
	name, taken := base, 1
	for _, known := range d.identities {
		if reflect.DeepEqual(known.Profile, p) {
			return known.name
		}
		if known.name == name {
			taken++
			name = fmt.Sprintf("%s-%d", base, taken)
		}
	}
	d.identities = append(d.identities, identity{name, comment, p})
	return name
}

// secretName is the environment variable for a secret of an application, which is the
// same one for the same application.
func (d *draft) secretName(base string, app profile.Application) string {
	if d.secrets == nil {
		d.secrets = map[string][]profile.Application{}
	}
	which := slices.Index(d.secrets[base], app)
	if which < 0 {
		which = len(d.secrets[base])
		d.secrets[base] = append(d.secrets[base], app)
	}
	if which == 0 {
		return base
	}
	return fmt.Sprintf("%s_%d", base, which+1)
}

// address is where a client finds a route.
func (d *draft) address(path string) string { return "http://" + localListen + path }

// result has its notes in the order of the file, those about no line last, and what is
// said of several settings in a row once.
func (d *draft) result(client string) Result {
	slices.SortStableFunc(d.notes, func(a, b Note) int { return cmp.Compare(uint(a.Line-1), uint(b.Line-1)) })
	var notes []Note
	for _, n := range d.notes {
		if last := len(notes) - 1; last >= 0 && n.Path != "" && notes[last].Text == n.Text {
			notes[last].Path += ", " + n.Path
			continue
		}
		notes = append(notes, n)
	}
	return Result{Config: []byte(d.config()), Client: client, Notes: notes}
}

func (d *draft) config() string {
	w := &writer{}
	w.comment("Written by keyless from "+d.from+". Try it: keyless serve --config FILE", 0)
	w.WriteString("profiles:\n")
	for _, i := range d.identities {
		w.WriteString("  " + scalar(i.name) + ":\n")
		w.comment(i.comment, 2)
		w.keys(reflect.ValueOf(i.Profile), 2)
	}
	w.WriteString("serve:\n  listen: none\n  proxy:\n")
	if d.listen == "" {
		d.listen = localListen
	}
	w.WriteString("    - listen: " + scalar(d.listen) + "\n")
	if d.public {
		w.WriteString("      public_health: true\n")
	}
	if d.user != "" {
		w.comment("users: ["+d.user+"]   # whose programs may send; the daemon's own user always may", 3)
	}
	w.WriteString("      routes:\n")
	for _, r := range d.routes {
		w.item(reflect.ValueOf(r), 4)
	}
	return w.String()
}

// writer spells values of the configuration's types as YAML. What is zero is left out.
type writer struct{ strings.Builder }

func (w *writer) comment(text string, indent int) {
	for line := range strings.Lines(text) {
		w.WriteString(pad(indent) + "# " + strings.TrimRight(line, "\n") + "\n")
	}
}

func (w *writer) keys(v reflect.Value, indent int) {
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		switch {
		case field.Anonymous:
			w.keys(value, indent)
		case !value.IsZero():
			w.key(field.Tag.Get("yaml"), value, indent)
		}
	}
}

func (w *writer) key(name string, v reflect.Value, indent int) {
	w.WriteString(pad(indent) + name + ":")
	secret, isSecret := v.Interface().(profile.Secret)
	switch {
	case isSecret: // the name of an environment variable
		w.WriteString(" " + scalar(secret.Value.Reveal()) + "\n")
	case v.Kind() == reflect.Pointer && v.Elem().IsZero():
		w.WriteString(" {}\n")
	case v.Kind() == reflect.Pointer:
		w.WriteString("\n")
		w.keys(v.Elem(), indent+1)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		w.WriteString("\n")
		for i := range v.Len() {
			w.item(v.Index(i), indent+1)
		}
	case v.Kind() == reflect.Slice:
		w.WriteString(" [" + strings.Join(scalars(v), ", ") + "]\n")
	default:
		w.WriteString(" " + scalar(fmt.Sprint(v.Interface())) + "\n")
	}
}

func (w *writer) item(v reflect.Value, indent int) {
	inner := &writer{}
	inner.keys(v, indent+1)
	w.WriteString(pad(indent) + "- " + strings.TrimPrefix(inner.String(), pad(indent+1)))
}

func pad(indent int) string { return strings.Repeat("  ", indent) }

func scalars(list reflect.Value) []string {
	all := make([]string, list.Len())
	for i := range all {
		all[i] = scalar(fmt.Sprint(list.Index(i).Interface()))
	}
	return all
}
