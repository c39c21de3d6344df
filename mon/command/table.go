package command

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// Kind says when a handler may run.
type Kind uint8

const (
	// Read answers at once from the committed state, on any monitor.
	Read Kind = iota
	// Write runs on the leader while nothing is on its way through the quorum,
	// so that what it stages builds on the committed state and on what others
	// staged since. It may also answer at once.
	Write
)

// Handler answers a call.
type Handler func(c *Call) Reply

// Flags of a description (MonCommand::FLAG_*).
const (
	FlagNoForward  = 1
	FlagObsolete   = 2
	FlagDeprecated = 4
	FlagMgr        = 8 // clients send it to the manager
	FlagPoll       = 16
	FlagHidden     = 32
	FlagTell       = 64
)

// Description is the signature of a command as clients see it.
type Description struct {
	Prefix string
	Args   []Arg
	Help   string
	Module string // for capabilities
	Perm   string // letters of r, w, x
	Flags  int

	sig json.RawMessage
}

// Arg describes an argument.
type Arg struct {
	Name       string `json:"name"`
	Type       string `json:"type"` // CephString, CephInt, ...
	Req        string `json:"req"`  // "false": optional
	N          string `json:"n"`    // "N": many
	Strings    string `json:"strings"`
	Range      string `json:"range"`
	GoodChars  string `json:"goodchars"`
	Positional string `json:"positional"`
}

//go:embed signatures.json.gz
var signatures []byte

// stock are the descriptions of the stock release, in its order.
var stock = sync.OnceValue(func() []Description {
	all, err := parseDescriptions(signatures)
	if err != nil {
		panic("BUG: command signatures: " + err.Error())
	}
	return all
})

var byPrefix = sync.OnceValue(func() map[string][]Description {
	m := map[string][]Description{}
	for _, d := range stock() {
		m[d.Prefix] = append(m[d.Prefix], d)
	}
	return m
})

func parseDescriptions(gz []byte) ([]Description, error) {
	r, err := gzip.NewReader(bytes.NewReader(gz))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var raw map[string]struct {
		Sig    json.RawMessage
		Help   string
		Module string
		Perm   string
		Flags  int
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	all := make([]Description, len(raw))
	for i := range all {
		d, ok := raw[fmt.Sprintf("cmd%03d", i)]
		if !ok {
			return nil, fmt.Errorf("no cmd%03d", i)
		}
		desc := Description{Help: d.Help, Module: d.Module, Perm: d.Perm, Flags: d.Flags, sig: d.Sig}
		var parts []json.RawMessage
		if err := json.Unmarshal(d.Sig, &parts); err != nil {
			return nil, err
		}
		var words []string
		for _, p := range parts {
			var word string
			var arg Arg
			if json.Unmarshal(p, &word) == nil {
				words = append(words, word)
			} else if err := json.Unmarshal(p, &arg); err != nil {
				return nil, fmt.Errorf("cmd%03d: %w", i, err)
			} else {
				desc.Args = append(desc.Args, arg)
			}
		}
		desc.Prefix = strings.Join(words, " ")
		all[i] = desc
	}
	return all, nil
}

// Entry is a command in a table.
type Entry struct {
	Description
	Kind Kind
	// Leader: a Read that needs what only the leader knows.
	Leader bool
	run    Handler

	more []Description // further signatures under the same prefix
}

// Run answers a call.
func (e *Entry) Run(c *Call) Reply { return e.run(c) }

// Table holds the commands that are served.
type Table struct {
	// AtLeader marks the commands that are registered while it is set.
	AtLeader bool

	clients map[string]*Entry
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{clients: map[string]*Entry{}}
}

// Read registers a command of kind Read, one that the stock release has.
func (t *Table) Read(prefix string, h Handler) { t.add(prefix, Read, h) }

// Write registers a command of kind Write, one that the stock release has.
func (t *Table) Write(prefix string, h Handler) { t.add(prefix, Write, h) }

func (t *Table) add(prefix string, k Kind, h Handler) {
	known := byPrefix()[prefix]
	switch {
	case len(known) == 0:
		panic("BUG: the stock release has no command " + prefix)
	case t.clients[prefix] != nil:
		panic("BUG: two handlers for " + prefix)
	}
	t.clients[prefix] = &Entry{Description: known[0], Kind: k, Leader: t.AtLeader, run: h, more: known[1:]}
}

// Find returns the entry of a command, nil for none.
func (t *Table) Find(prefix string) *Entry { return t.clients[prefix] }

// Unanswered returns the prefixes of the stock release's commands with a flag
// that nobody has registered.
func (t *Table) Unanswered(flag int) []string {
	var out []string
	for _, d := range stock() {
		if d.Flags&flag != 0 && t.clients[d.Prefix] == nil && !slices.Contains(out, d.Prefix) {
			out = append(out, d.Prefix)
		}
	}
	return out
}

// Unknown says what is wrong with a command that is not in the table: nobody
// knows it, it is one of those a daemon takes only by "tell", or it is obsolete.
func (t *Table) Unknown(prefix string) Reply {
	for _, d := range stock() {
		if d.Prefix != prefix {
			continue
		}
		switch {
		case d.Flags&FlagObsolete != 0:
			return Fail(errno.EOPNOTSUPP, "command is obsolete; please check usage and/or man page")
		case d.Flags&FlagNoForward != 0:
			return Fail(errno.EINVAL, "unrecognized command")
		}
	}
	return Fail(errno.EINVAL, "command not known")
}

// Check refuses arguments whose JSON type is not that of the signature; the
// name of the first such argument is returned.
func (e *Entry) Check(c *Call) (bad string, ok bool) {
	for _, a := range e.Args {
		v := c.args[a.Name]
		if v != nil && !a.accepts(v) && !slices.ContainsFunc(e.more, func(d Description) bool {
			return slices.ContainsFunc(d.Args, func(b Arg) bool { return b.Name == a.Name && b.accepts(v) })
		}) {
			return a.Name, false
		}
	}
	return "", true
}

func (a Arg) accepts(v any) bool {
	if list, many := v.([]any); many {
		return a.N == "N" && !slices.ContainsFunc(list, func(el any) bool { return !a.acceptsOne(el) })
	}
	return a.acceptsOne(v)
}

func (a Arg) acceptsOne(v any) bool {
	switch v.(type) {
	case bool:
		return a.Type == "CephBool"
	case int64:
		return a.Type == "CephInt" || a.Type == "CephOsdName" || a.Type == "CephFloat"
	case float64:
		return a.Type == "CephFloat"
	}
	return a.Type != "CephInt" && a.Type != "CephOsdName" && a.Type != "CephFloat"
}

// Describe renders the answer to get_command_descriptions for clients of the
// monitors: the commands in the order of the stock release, with those that it
// only knows as obsolete or for the daemon itself, so that tools send them and
// show what is said of them.
func (t *Table) Describe() []byte {
	return describe(slices.DeleteFunc(slices.Clone(stock()), func(d Description) bool {
		return t.clients[d.Prefix] == nil && d.Flags&(FlagObsolete|FlagNoForward) == 0
	}))
}

// DescribeMgr renders the manager's answer: its own part of the commands.
func (t *Table) DescribeMgr() []byte {
	return describe(slices.DeleteFunc(slices.Clone(stock()), func(d Description) bool {
		return t.clients[d.Prefix] == nil || d.Flags&FlagMgr == 0
	}))
}

func describe(all []Description) []byte {
	var f jsonfmt.Formatter
	f.Object("", func() {
		for i, d := range all {
			d.dump(&f, i)
		}
	})
	return []byte(f.JSON())
}

func (d Description) dump(f *jsonfmt.Formatter, n int) {
	f.Object(fmt.Sprintf("cmd%03d", n), func() {
		f.Raw("sig", string(d.sig))
		f.Str("help", d.Help)
		f.Str("module", d.Module)
		f.Str("perm", d.Perm)
		f.Int("flags", int64(d.Flags))
	})
}
