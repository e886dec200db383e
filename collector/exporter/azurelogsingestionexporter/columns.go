package azurelogsingestionexporter

import (
	"maps"
	"math"
	"strings"
)

// source is where a column comes from. Of two with the same name the first wins: a row's
// own words come before what somebody put on it.
type source int

const (
	fromBody source = iota
	fromAttributes
	fromScope
	fromResource
	fromRecord // severity, trace and the like
	sources
)

// column is where a value of some name goes.
type column struct {
	key  []byte // "Name": ; nil: it is dropped
	id   int    // one for each name
	same bool   // the name is that of the source, and needs no quoting
}

// plan is the configuration as the encoder wants it.
type plan struct {
	prefix     [sources]string
	enabled    [sources]bool
	keep, drop map[string]bool
	rename     map[string]string
	plain      bool // nothing is kept, dropped or renamed

	bodyJSON                    bool
	bodyColumn, timeColumn      string
	originalColumn, rowIDColumn string
	timePrefix                  []byte
}

func newPlan(c *Config) *plan {
	p := &plan{
		keep: set(c.Columns.Keep), drop: set(c.Columns.Drop), rename: maps.Clone(c.Columns.Rename),
		bodyJSON: c.Body.JSON, bodyColumn: c.Body.Column, timeColumn: c.Time.Column,
		originalColumn: c.Time.OriginalColumn, rowIDColumn: c.RowIDColumn,
	}
	for from, config := range map[source]SourceConfig{
		fromBody: {Enabled: true}, fromRecord: {Enabled: true},
		fromAttributes: c.Columns.Attributes, fromScope: c.Columns.Scope, fromResource: c.Columns.Resource,
	} {
		p.prefix[from], p.enabled[from] = config.Prefix, config.Enabled
	}
	p.plain = len(p.keep)+len(p.drop)+len(p.rename) == 0
	p.timePrefix = append(appendText([]byte{','}, p.timeColumn), ':', '"')
	return p
}

func set(names []string) map[string]bool {
	all := map[string]bool{}
	for _, name := range names {
		all[name] = true
	}
	return all
}

// column decides about a name. It is asked once for each.
func (p *plan) column(from source, name string) (string, bool) {
	full := p.prefix[from] + name
	if len(p.keep) > 0 && !p.keep[full] || p.drop[full] {
		return "", false
	}
	if to, found := p.rename[full]; found {
		return to, true
	}
	return columnName(full), true
}

// maxNames bounds what an encoder remembers: who writes logs may make up names for ever.
const maxNames = 4096

// columns remembers what was decided, and which columns the row in hand has.
type columns struct {
	plan  *plan
	known [sources]map[string]column
	order [sources][]namedColumn // as they came last: mostly they come in the same order
	ids   map[string]int
	seen  []uint32 // by id: the number of the row that had it last
	row   uint32
}

// tidy forgets all names if there are too many. Nobody may hold an id across it.
func (c *columns) tidy() {
	if len(c.ids) > maxNames || c.row > math.MaxUint32/2 {
		*c = columns{plan: c.plan}
	}
}

// begin starts a row, which has the columns that the encoder writes by itself.
func (c *columns) begin() {
	c.row++
	for _, name := range [...]string{c.plan.timeColumn, c.plan.originalColumn, c.plan.rowIDColumn} {
		if name != "" {
			c.take(c.id(name))
		}
	}
}

func (c *columns) id(name string) int {
	if id, found := c.ids[name]; found {
		return id
	}
	if c.ids == nil {
		c.ids = map[string]int{}
	}
	id := len(c.seen)
	c.ids[name] = id
	c.seen = append(c.seen, 0)
	return id
}

// take reports whether the row has no such column yet, and now it has.
func (c *columns) take(id int) bool {
	if c.seen[id] == c.row {
		return false
	}
	c.seen[id] = c.row
	return true
}

// giveBack undoes take.
func (c *columns) giveBack(id int) { c.seen[id] = c.row - 1 }

type namedColumn struct {
	name string
	column
}

// find returns the column of a name, which is the i-th of its source.
func (c *columns) find(from source, i int, name string) column {
	if i < len(c.order[from]) && c.order[from][i].name == name {
		return c.order[from][i].column
	}
	found := c.search(from, name)
	switch {
	case i < len(c.order[from]):
		c.order[from][i] = namedColumn{strings.Clone(name), found}
	case i == len(c.order[from]) && i < maxNames:
		c.order[from] = append(c.order[from], namedColumn{strings.Clone(name), found})
	}
	return found
}

func (c *columns) search(from source, name string) column {
	if known, found := c.known[from][name]; found {
		return known
	}
	found := c.decide(from, name)
	if c.known[from] == nil {
		c.known[from] = map[string]column{}
	}
	c.known[from][strings.Clone(name)] = found // the name is part of a body, perhaps
	return found
}

func (c *columns) decide(from source, name string) column {
	to, wanted := c.plan.column(from, name)
	if !wanted {
		return column{}
	}
	return column{key: append(appendText(nil, to), ':'), id: c.id(to), same: to == name}
}
