package sim

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/wire"
)

// What clients do, and what an object is to them. A client's operation is a vector
// that touches data, attributes and omap at once, so that one that is done by
// half, or on one replica only, shows.
//
//	put      data, attribute "v" and an omap key become the token
//	append   the token at the end of the data, and as attribute "v"
//	omap     the token under an omap key
//	rmomap   an omap key goes
//	create   put, if there is no object
//	delete
//	get      all there is
//	getsnap  the same at a snapshot
type input struct {
	verb  string
	token string
	snap  uint64   // getsnap
	snaps []uint64 // context of writes, newest first
}

func (in *input) writes() bool { return in.verb != "get" && in.verb != "getsnap" }

// key is where in the omap the token goes: of a few, so that they meet.
func (in *input) key() string { return "k" + in.token[max(0, len(in.token)-1):] }

func op(code msg.OpCode, in []byte) msg.Op {
	o := msg.Op{Code: code}
	if len(in) > 0 {
		o.In = buffer.Wrap(in)
	}
	return o
}

func setXattr(name, value string) msg.Op {
	o := op(msg.OpSetXattr, []byte(name+value))
	o.PutU32(0, uint32(len(name)))
	o.PutU32(4, uint32(len(value)))
	return o
}

func encoded(f func(e *wire.Encoder)) []byte {
	var e wire.Encoder
	f(&e)
	return e.Bytes()
}

func (in *input) ops() []msg.Op {
	token := []byte(in.token)
	omapSet := op(msg.OpOmapSetVals, encoded(func(e *wire.Encoder) { e.U32(1); e.Str(in.key()); e.Blob(token) }))
	full := op(msg.OpWriteFull, token)
	full.SetExtent(0, uint64(len(token)))
	switch in.verb {
	case "put":
		return []msg.Op{full, setXattr("v", in.token), omapSet}
	case "create":
		create := msg.Op{Code: msg.OpCreate}
		create.PutU32(0, msg.OpFlagExcl)
		create.Flags = msg.OpFlagExcl
		return []msg.Op{create, full, setXattr("v", in.token), omapSet}
	case "append":
		add := op(msg.OpAppend, token)
		add.SetExtent(0, uint64(len(token)))
		return []msg.Op{add, setXattr("v", in.token)}
	case "omap":
		return []msg.Op{omapSet}
	case "rmomap":
		return []msg.Op{op(msg.OpOmapRmKeys, encoded(func(e *wire.Encoder) { e.U32(1); e.Str(in.key()) }))}
	case "delete":
		return []msg.Op{{Code: msg.OpDelete}}
	}
	vals := op(msg.OpOmapGetVals, encoded(func(e *wire.Encoder) { e.Str(""); e.U64(1000); e.Str("") }))
	return []msg.Op{{Code: msg.OpRead}, {Code: msg.OpGetXattrs}, vals}
}

// output is what a client was told.
type output struct {
	result  int32
	content content // of get
}

// content is what an object holds, as text that can be compared.
type content struct{ data, attr, omap string }

// read takes the reply apart. An error is one that no client must see.
func (in *input) read(r *msg.OSDOpReply) (output, error) {
	out := output{result: r.Result}
	switch {
	case r.Result == 0:
	case r.Result == -int32(errno.ENOENT) && in.verb != "put" && in.verb != "append" && in.verb != "omap" && in.verb != "create":
		return out, nil
	case r.Result == -int32(errno.EEXIST) && in.verb == "create":
		return out, nil
	case r.Result == -int32(errno.ENOSPC) && in.writes():
		return out, nil
	default:
		return out, fmt.Errorf("result %d: %w", r.Result, errno.Error(r.Result))
	}
	if in.writes() {
		return out, nil
	}
	if len(r.Ops) != 3 {
		return out, fmt.Errorf("%d results to 3 operations", len(r.Ops))
	}
	out.content.data = string(r.Ops[0].Out.Bytes())
	d := wire.NewDecoder(r.Ops[1].Out.Bytes())
	attrs := wire.DecodeMap(d, 8, func() (string, string) { return d.Str(), string(d.Blob()) })
	if err := d.Err(); err != nil {
		return out, fmt.Errorf("attributes: %w", err)
	}
	out.content.attr = attrs["v"]
	d = wire.NewDecoder(r.Ops[2].Out.Bytes())
	omap := wire.DecodeMap(d, 8, func() (string, string) { return d.Str(), string(d.Blob()) })
	if err := d.Err(); err != nil {
		return out, fmt.Errorf("omap: %w", err)
	}
	out.content.omap = pairs(omap)
	return out, nil
}

func pairs(m map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s=%s;", k, m[k])
	}
	return b.String()
}

// with returns omap pairs with one changed; value "": removed.
func with(omap, key, value string) string {
	m := map[string]string{}
	for kv := range strings.SplitSeq(strings.TrimSuffix(omap, ";"), ";") {
		if k, v, ok := strings.Cut(kv, "="); ok {
			m[k] = v
		}
	}
	delete(m, key)
	if value != "" {
		m[key] = value
	}
	return pairs(m)
}

// state is an object with its clones, as the rules of package pg have it. It is
// not changed but replaced.
type state struct {
	exists bool
	head   content
	seq    uint64
	clones []clone // oldest first
}

type clone struct {
	snaps   []uint64
	content content
}

func sameState(a, b any) bool {
	x, y := a.(state), b.(state)
	return x.exists == y.exists && x.head == y.head && x.seq == y.seq && slices.EqualFunc(x.clones, y.clones, func(c, d clone) bool {
		return c.content == d.content && slices.Equal(c.snaps, d.snaps)
	})
}

// apply is what an operation does to an object, and what its client is told.
func (s state) apply(in *input) (output, state) {
	const enoent, eexist = -int32(errno.ENOENT), -int32(errno.EEXIST)
	switch {
	case in.verb == "get" && !s.exists:
		return output{result: enoent}, s
	case in.verb == "get":
		return output{content: s.head}, s
	case in.verb == "getsnap":
		return s.at(in.snap), s
	case !s.exists && (in.verb == "delete" || in.verb == "rmomap"):
		return output{result: enoent}, s
	case s.exists && in.verb == "create":
		return output{result: eexist}, s
	}
	n := s.cloned(in.snaps)
	n.exists = true
	switch in.verb {
	case "put", "create":
		n.head = content{in.token, in.token, with(n.head.omap, in.key(), in.token)}
	case "append":
		n.head.data += in.token
		n.head.attr = in.token
	case "omap":
		n.head.omap = with(n.head.omap, in.key(), in.token)
	case "rmomap":
		n.head.omap = with(n.head.omap, in.key(), "")
	case "delete":
		n.exists, n.head = false, content{}
		if len(n.clones) == 0 {
			n.seq = 0
		}
	}
	return output{}, n
}

// cloned is the object as a write of a snapshot context begins with it.
func (s state) cloned(snaps []uint64) state {
	if len(snaps) == 0 || snaps[0] <= s.seq {
		return s
	}
	var fresh []uint64
	for _, x := range snaps {
		if x > s.seq {
			fresh = append(fresh, x)
		}
	}
	if s.exists {
		s.clones = append(slices.Clone(s.clones), clone{fresh, s.head})
	}
	s.seq = snaps[0]
	return s
}

// at is what a read at a snapshot gets.
func (s state) at(snap uint64) output {
	if snap > s.seq {
		if s.exists {
			return output{content: s.head}
		}
		return output{result: -int32(errno.ENOENT)}
	}
	for _, c := range s.clones {
		if slices.Contains(c.snaps, snap) {
			return output{content: c.content}
		}
	}
	return output{result: -int32(errno.ENOENT)}
}

// record is one operation in the history of an object.
type record struct {
	client int
	object string
	in     input
	final  bool // of the last look at everything

	call, ret int64 // in the order of events; ret 0: there was no answer
	out       output
}

func (r *record) String() string {
	s := fmt.Sprintf("%s %s %s", r.in.verb, r.object, r.in.token)
	if r.in.snap != 0 {
		s += fmt.Sprintf("@%d", r.in.snap)
	}
	if r.ret != 0 {
		s += fmt.Sprintf(" = %d", r.out.result)
		if !r.in.writes() {
			s += fmt.Sprintf(" %q %q %q", r.out.content.data, r.out.content.attr, r.out.content.omap)
		}
	}
	return s
}

// history is everything that clients did, in the order in which it began.
type history struct {
	records []*record
	clock   int64
}

func (h *history) begin(r *record) {
	h.clock++
	r.call = h.clock
	h.records = append(h.records, r)
}

func (h *history) end(r *record, out output) {
	h.clock++
	r.ret, r.out = h.clock, out
}

// model is porcupine's view of one object.
var model = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(s, in, out any) (bool, any) {
		want, next := s.(state).apply(in.(*input))
		got := out.(*output)
		switch {
		case got == nil:
			return true, next // nobody was told anything
		case got.result == -int32(errno.ENOSPC):
			return true, s
		}
		return want == *got, next
	},
	Equal: sameState,
}

// linearizable looks for an order of an object's operations that explains what
// everybody was told. One without an answer may have happened at any time after
// it was asked for, or not at all: then its place is after all others.
func (h *history) linearizable(object string) (bool, string) {
	var ops []porcupine.Operation
	var text strings.Builder
	for _, r := range h.records {
		if r.object != object {
			continue
		}
		o := porcupine.Operation{ClientId: r.client, Input: &r.in, Call: r.call, Output: (*output)(nil), Return: math.MaxInt64}
		if r.ret != 0 {
			o.Output, o.Return = &r.out, r.ret
		} else if !r.in.writes() {
			continue // nobody knows what it saw
		}
		ops = append(ops, o)
		fmt.Fprintf(&text, "  [%d,%d] client.%d %v\n", r.call, r.ret, r.client, r)
	}
	return porcupine.CheckOperations(model, ops), text.String()
}
