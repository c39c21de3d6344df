package chaos

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/anishathalye/porcupine"
)

// call is one operation of a client on the stock librados, from a history that
// testdata/client.py has written. An object is records of one size, each the number
// of the call that wrote it, and a few omap keys whose values are such numbers.
//
//	full n      n records become the call's
//	append      a record more
//	at i        record i; what is missing before it are zeros
//	omap k      the key k
//	both i k    at and omap in one operation
//	delete
//	read        all records
//	keys        all keys
//	map         a change of the cluster's map
type call struct {
	number     uint64
	client     int
	object     string
	what       string
	args       []int
	begin, end int64 // CLOCK_MONOTONIC, nanoseconds; end 0: no answer
	errno      syscall.Errno
	torn       string // of read: what no call has written
	records    []uint64
	keys       map[string]uint64
}

func (c *call) String() string {
	s := fmt.Sprintf("[%.3f, %.3f] client %d: %#x %s %s %v", float64(c.begin)/1e9, float64(c.end)/1e9, c.client, c.number, c.what, c.object, c.args)
	switch {
	case c.end == 0:
		return s + ": no answer"
	case c.errno != 0:
		return s + ": " + c.errno.Error()
	case c.what == "read":
		return s + fmt.Sprintf(": %#x %s", c.records, c.torn)
	case c.what == "keys":
		return s + fmt.Sprintf(": %#x", c.keys)
	}
	return s
}

func (c *call) reads() bool { return c.what == "read" || c.what == "keys" }

// refused says that the client was told what it should never be told. That there is
// no object is for the model to judge.
func (c *call) refused() bool {
	return c.end != 0 && c.errno != 0 && (c.errno != syscall.ENOENT || !c.reads() && c.what != "delete")
}

// parseHistory reads a client's history.
func parseHistory(r io.Reader) ([]*call, error) {
	var calls []*call
	open := map[uint64]*call{}
	lines := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return calls, nil // a line that a killed client began says nothing
		} else if err != nil {
			return nil, err
		}
		var fields []json.RawMessage
		var kind string
		c := &call{}
		if err = json.Unmarshal(line, &fields); err == nil {
			err = unmarshal(fields, &kind, &c.number)
		}
		if err == nil && kind == "b" {
			err = unmarshal(fields[2:], &c.client, &c.begin, &c.object, &c.what)
			for i := 6; err == nil && c.what != "map" && i < len(fields); i++ {
				var arg int
				err = unmarshal(fields[i:], &arg)
				c.args = append(c.args, arg)
			}
		} else if err == nil && len(fields) != 5 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		if kind == "b" {
			c.client += int(c.number>>32) << 8
			open[c.number] = c
			calls = append(calls, c)
			continue
		}
		c = open[c.number]
		if c == nil {
			return nil, fmt.Errorf("line %q ends what never began", line)
		}
		delete(open, c.number)
		if err := unmarshal(fields[2:], &c.end, &c.errno); err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		if c.errno == 0 && c.what == "read" && json.Unmarshal(fields[4], &c.torn) != nil {
			err = json.Unmarshal(fields[4], &c.records)
		} else if c.errno == 0 && c.what == "keys" {
			err = json.Unmarshal(fields[4], &c.keys)
		}
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
	}
}

func unmarshal(fields []json.RawMessage, into ...any) error {
	for i, v := range into {
		if i >= len(fields) {
			return io.ErrUnexpectedEOF
		}
		if err := json.Unmarshal(fields[i], v); err != nil {
			return err
		}
	}
	return nil
}

// content is what an object holds. It is not changed but replaced.
type content struct {
	exists  bool
	records []uint64
	keys    map[string]uint64
}

func (s content) equal(o content) bool {
	return s.exists == o.exists && slices.Equal(s.records, o.records) && maps.Equal(s.keys, o.keys)
}

// after is the object after a call that changes it.
func (s content) after(c *call) content {
	n := content{true, s.records, s.keys}
	switch c.what {
	case "full":
		n.records = slices.Repeat([]uint64{c.number}, c.args[0])
	case "append":
		n.records = append(slices.Clip(s.records), c.number)
	case "at", "both":
		n.records = make([]uint64, max(len(s.records), c.args[0]+1))
		copy(n.records, s.records)
		n.records[c.args[0]] = c.number
	case "delete":
		n = content{}
	}
	if c.what == "omap" || c.what == "both" {
		n.keys = maps.Clone(s.keys)
		if n.keys == nil {
			n.keys = map[string]uint64{}
		}
		n.keys[fmt.Sprint("k", c.args[len(c.args)-1])] = c.number
	}
	return n
}

// step is porcupine's: whether a call can have been told what it was, if the object
// was so, and what the object is then.
func (s content) step(c *call) (bool, content) {
	missing := c.end != 0 && c.errno == syscall.ENOENT
	switch {
	case c.end == 0 || c.refused():
		if !s.exists && c.what == "delete" {
			return true, s
		}
		return true, s.after(c)
	case c.reads() || c.what == "delete":
		if missing == s.exists {
			return false, s
		}
		if missing {
			return true, s
		}
	}
	switch c.what {
	case "read":
		return c.torn == "" && slices.Equal(c.records, s.records), s
	case "keys":
		return maps.Equal(c.keys, s.keys), s
	}
	return true, s.after(c)
}

var contentModel = porcupine.Model{
	Init:  func() any { return content{} },
	Step:  func(s, in, _ any) (bool, any) { return s.(content).step(in.(*call)) },
	Equal: func(a, b any) bool { return a.(content).equal(b.(content)) },
}

// checkObject looks for an order of the calls of one object that explains what each
// was told. One without an answer, or with an error, may have been done at any
// later time, or not at all: then its place is after all others.
func checkObject(calls []*call, limit time.Duration) error {
	var ops []porcupine.Operation
	for _, c := range calls {
		o := porcupine.Operation{ClientId: c.client, Input: c, Call: c.begin, Return: c.end}
		if c.end == 0 || c.refused() {
			if c.reads() {
				continue // it says nothing
			}
			// One client has one call at a time, but this one may go on for ever.
			o.Return = math.MaxInt64
		}
		ops = append(ops, o)
	}
	var what string
	switch porcupine.CheckOperationsTimeout(contentModel, ops, limit) {
	case porcupine.Ok:
		return nil
	case porcupine.Illegal:
		what = "no order of the calls explains what clients were told"
	default:
		what = fmt.Sprintf("not decided within %v", limit)
	}
	var b strings.Builder
	slices.SortFunc(calls, func(a, b *call) int { return int(a.begin - b.begin) })
	for _, c := range calls {
		fmt.Fprintf(&b, "\n  %v", c)
	}
	return fmt.Errorf("%s: %s%s", calls[0].object, what, b.String())
}

// byObject sorts calls by their object.
func byObject(calls []*call) map[string][]*call {
	m := map[string][]*call{}
	for _, c := range calls {
		if c.what != "map" {
			m[c.object] = append(m[c.object], c)
		}
	}
	return m
}

// stall is the longest that a call had to wait within a time.
func stall(calls []*call, from, to int64, what func(*call) bool) (longest time.Duration, which *call) {
	for _, c := range calls {
		if c.end <= from || c.begin >= to || !what(c) {
			continue
		}
		if d := time.Duration(min(c.end, to) - max(c.begin, from)); d > longest {
			longest, which = d, c
		}
	}
	return longest, which
}
