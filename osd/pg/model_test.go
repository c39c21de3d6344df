package pg

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/wire"
	"pgregory.net/rapid"
)

// model is an object as simply as it can be said.
type model struct {
	exists bool
	data   []byte
	attrs  map[string]string
	omap   map[string]string
	header string
}

func (m *model) clone() *model {
	c := *m
	c.data = bytes.Clone(m.data)
	c.attrs, c.omap = maps.Clone(m.attrs), maps.Clone(m.omap)
	return &c
}

func (m *model) create() {
	if !m.exists {
		*m = model{exists: true, attrs: map[string]string{}, omap: map[string]string{}}
	}
}

func (m *model) resize(n int) {
	if n <= len(m.data) {
		m.data = m.data[:n:n]
	} else {
		m.data = append(m.data[:len(m.data):len(m.data)], make([]byte, n-len(m.data))...)
	}
}

func (m *model) write(off int, b string) {
	m.create()
	m.resize(max(len(m.data), off))
	end := off + len(b)
	m.resize(max(len(m.data), end))
	m.data = append(append(append([]byte{}, m.data[:off]...), b...), m.data[end:]...)
}

func (m *model) String() string {
	if !m.exists {
		return "nothing"
	}
	return fmt.Sprintf("%q %v %q %v", m.data, m.attrs, m.header, m.omap)
}

// modelOp is an operation with what it does to the model and what its result and
// output are.
type modelOp struct {
	name  string
	op    msg.Op
	apply func(m *model) (out string, err error)
}

func encoded(f func(e *wire.Encoder)) string {
	var e wire.Encoder
	f(&e)
	return string(e.Bytes())
}

func mapOf(m map[string]string) string {
	return encoded(func(e *wire.Encoder) { wire.EncodeMap(e, m, func(k, v string) { e.Str(k); e.Str(v) }) })
}

func genOp(t *rapid.T) modelOp {
	off := rapid.IntRange(0, 40).Draw(t, "off")
	n := rapid.IntRange(0, 30).Draw(t, "len")
	text := rapid.StringN(0, 12, 12).Draw(t, "text")
	key := rapid.SampledFrom([]string{"a", "b", "c", "d", "bb"}).Draw(t, "key")
	key2 := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "key2")
	ext := func(code msg.OpCode, off, n int, in string) msg.Op {
		o := opIn(code, in)
		o.SetExtent(uint64(off), uint64(n))
		return o
	}
	must := func(f func(m *model) string) func(m *model) (string, error) {
		return func(m *model) (string, error) {
			if !m.exists {
				return "", errno.ENOENT
			}
			return f(m), nil
		}
	}
	do := func(f func(m *model)) func(m *model) (string, error) {
		return func(m *model) (string, error) { f(m); return "", nil }
	}
	ops := []modelOp{
		{"write", opWrite(uint64(off), text), do(func(m *model) { m.write(off, text) })},
		{"writefull", opWriteFull(text), do(func(m *model) { m.create(); m.data = []byte(text) })},
		{"append", ext(msg.OpAppend, 0, len(text), text), do(func(m *model) { m.create(); m.write(len(m.data), text) })},
		{"truncate", ext(msg.OpTruncate, off, 0, ""), do(func(m *model) {
			if m.exists {
				m.resize(off)
			}
		})},
		{"zero", ext(msg.OpZero, off, n, ""), do(func(m *model) {
			if !m.exists || n == 0 || off >= len(m.data) {
				return
			}
			if off+n >= len(m.data) {
				m.resize(off) // becomes a truncation
				return
			}
			m.write(off, strings.Repeat("\x00", n))
		})},
		{"create", msg.Op{Code: msg.OpCreate}, do(func(m *model) { m.create() })},
		{"create-excl", msg.Op{Code: msg.OpCreate, Flags: msg.OpFlagExcl}, func(m *model) (string, error) {
			if m.exists {
				return "", errno.EEXIST
			}
			m.create()
			return "", nil
		}},
		{"delete", msg.Op{Code: msg.OpDelete}, must(func(m *model) string { *m = model{}; return "" })},
		{"setxattr", opSetXattr(key, text), do(func(m *model) { m.create(); m.attrs[key] = text })},
		{"rmxattr", func() msg.Op { o := opGetXattr(key); o.Code = msg.OpRmXattr; return o }(), must(func(m *model) string { delete(m.attrs, key); return "" })},
		{"getxattr", opGetXattr(key), func(m *model) (string, error) {
			v, ok := m.attrs[key]
			if !ok {
				return "", errno.ENODATA
			}
			return v, nil
		}},
		{"getxattrs", msg.Op{Code: msg.OpGetXattrs}, func(m *model) (string, error) { return mapOf(m.attrs), nil }},
		{"omap-set", opIn(msg.OpOmapSetVals, mapOf(map[string]string{key: text, key2: "2"})), do(func(m *model) {
			m.create()
			m.omap[key] = text
			m.omap[key2] = "2"
			if key == key2 {
				m.omap[key] = "2"
			}
		})},
		{"omap-rm", opIn(msg.OpOmapRmKeys, encoded(func(e *wire.Encoder) { wire.EncodeSlice(e, []string{key}, e.Str) })),
			must(func(m *model) string { delete(m.omap, key); return "" })},
		{"omap-rm-range", opIn(msg.OpOmapRmKeyRange, encoded(func(e *wire.Encoder) { e.Str(key); e.Str(key2) })), must(func(m *model) string {
			maps.DeleteFunc(m.omap, func(k, _ string) bool { return k >= key && k < key2 })
			return ""
		})},
		{"omap-clear", msg.Op{Code: msg.OpOmapClear}, must(func(m *model) string { m.omap, m.header = map[string]string{}, ""; return "" })},
		{"omap-header", opIn(msg.OpOmapSetHeader, text), do(func(m *model) { m.create(); m.header = text })},
		{"omap-get-header", msg.Op{Code: msg.OpOmapGetHeader}, func(m *model) (string, error) { return m.header, nil }},
		{"omap-get", opIn(msg.OpOmapGetVals, encoded(func(e *wire.Encoder) { e.Str(key); e.U64(2); e.Str("") })), func(m *model) (string, error) {
			var found []string
			for _, k := range slices.Sorted(maps.Keys(m.omap)) {
				if k > key {
					found = append(found, k)
				}
			}
			more := len(found) > 2
			page := map[string]string{}
			for _, k := range found[:min(2, len(found))] {
				page[k] = m.omap[k]
			}
			return mapOf(page) + encoded(func(e *wire.Encoder) { e.Bool(more) }), nil
		}},
		{"omap-get-keys", opIn(msg.OpOmapGetByKeys, encoded(func(e *wire.Encoder) { wire.EncodeSlice(e, []string{key, key2}, e.Str) })), func(m *model) (string, error) {
			got := map[string]string{}
			for _, k := range []string{key, key2} {
				if v, ok := m.omap[k]; ok {
					got[k] = v
				}
			}
			return mapOf(got), nil
		}},
		{"read", opRead(uint64(off), uint64(n)), func(m *model) (string, error) {
			end := len(m.data)
			if n > 0 {
				end = min(end, off+n)
			}
			if off >= end {
				return "", nil
			}
			return string(m.data[off:end]), nil
		}},
		{"sparse-read", ext(msg.OpSparseRead, 0, 1000, ""), nil},
		{"cmpext", ext(msg.OpCmpExt, off, len(text), text), func(m *model) (string, error) {
			for i := range len(text) {
				b := byte(0)
				if off+i < len(m.data) {
					b = m.data[off+i]
				}
				if text[i] != b {
					return "", errno.Errno(4095 + i)
				}
			}
			return "", nil
		}},
		{"unsupported", msg.Op{Code: msg.OpTmapPut}, func(*model) (string, error) { return "", errno.EOPNOTSUPP }},
	}
	o := rapid.SampledFrom(ops).Draw(t, "op")
	if rapid.IntRange(0, 5).Draw(t, "failok") == 0 {
		o.op.Flags |= msg.OpFlagFailOK
	}
	return o
}

// expected is what a request must be answered with.
type expected struct {
	tid     uint64
	result  int32
	rvals   []int32
	outs    []string
	sparse  []bool
	skipOut bool
	seen    int // transactions that it has seen
	latest  int // that it may wait for
	writes  bool
}

// runModel runs a vector on the model.
func runModel(m *model, ops []modelOp) (after *model, e expected) {
	after = m.clone()
	for _, o := range ops {
		if o.op.Code.IsWrite() {
			e.writes = true
		}
	}
	e.rvals = make([]int32, len(ops))
	e.outs = make([]string, len(ops))
	e.sparse = make([]bool, len(ops))
	if !e.writes && !m.exists {
		e.result = -int32(errno.ENOENT)
		return m, e
	}
	for i, o := range ops {
		if o.apply == nil {
			e.outs[i], e.sparse[i] = string(after.data), true
			continue
		}
		out, err := o.apply(after)
		e.outs[i], e.rvals[i] = out, errno.Code(err)
		if err != nil {
			e.outs[i] = ""
			if o.op.Flags&msg.OpFlagFailOK == 0 {
				e.result = errno.Code(err)
				return m, e
			}
		}
	}
	return after, e
}

func (e *expected) check(t *rapid.T, r *msg.OSDOpReply) {
	if r.Result != e.result {
		t.Fatalf("request %d: result %d, want %d", e.tid, r.Result, e.result)
	}
	for i := range r.Ops {
		if r.Ops[i].Result != e.rvals[i] {
			t.Fatalf("request %d: operation %d (%v): %d, want %d", e.tid, i, r.Ops[i].Code, r.Ops[i].Result, e.rvals[i])
		}
		out := r.Ops[i].Out.Bytes()
		switch {
		case e.skipOut:
		case e.sparse[i]:
			if got := unsparse(out, len(e.outs[i])); string(got) != e.outs[i] {
				t.Fatalf("request %d: sparse read %q, want %q", e.tid, got, e.outs[i])
			}
		case string(out) != e.outs[i]:
			t.Fatalf("request %d: operation %d (%v): %q, want %q", e.tid, i, r.Ops[i].Code, out, e.outs[i])
		}
	}
}

func unsparse(out []byte, n int) []byte {
	b := make([]byte, n)
	d := wire.NewDecoder(out)
	runs := wire.DecodeSlice(d, 16, func() objstore.Extent { return objstore.Extent{Off: d.U64(), Len: d.U64()} })
	data := d.Blob()
	for _, r := range runs {
		copy(b[r.Off:], data[:r.Len])
		data = data[r.Len:]
	}
	return b
}

// Random vectors on a few objects, with transactions that become durable late,
// requests that come twice, crashes: what clients are told is what the model
// says, what they were told of survives, and what does not survive nobody was
// told of.
func TestAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.env.Config.LogEntries, w.env.Config.DupsTracked, w.env.Config.LogTrim, w.env.Config.ContextCache = 4, 6, 2, 2
		w.manual = true
		names := []string{"x", "y", "z"}
		state := map[string]*model{}
		for _, n := range names {
			state[n] = &model{}
		}
		// history[i] is the state after i of the transactions of this life.
		history := []map[string]*model{maps.Clone(state)}
		last := map[string]int{} // transaction of an object, changed or not
		durable := 0
		waiting := map[uint64]*expected{} // answers that are due
		type sent struct {
			name string
			ops  []modelOp
			want expected
		}
		var writes []sent // requests that may come again
		tid := uint64(0)

		collect := func() {
			for _, id := range slices.Sorted(maps.Keys(w.replies)) {
				e := waiting[id]
				if e == nil {
					rt.Fatalf("request %d was answered again", id)
				}
				if e.seen > durable {
					rt.Fatalf("request %d was answered from transaction %d when %d were durable", id, e.seen, durable)
				}
				e.check(rt, w.replies[id])
				delete(waiting, id)
				delete(w.replies, id)
			}
			for id, e := range waiting {
				if e.latest <= durable {
					rt.Fatalf("request %d is not answered, though transaction %d of %d is durable", id, e.latest, durable)
				}
			}
		}
		send := func(name string, id uint64, ops []modelOp, e expected) {
			vec := make([]msg.Op, len(ops))
			for i := range ops {
				vec[i] = ops[i].op
				vec[i].In = buffer.Wrap(bytes.Clone(ops[i].op.In.Bytes()))
			}
			e.tid = id
			waiting[id] = &e
			flags := msg.FlagReturnVec
			w.env.Config.MaxWriteReply = 1 << 20
			w.step(w.request(name, id, flags, vec...))
			collect()
		}

		rt.Repeat(map[string]func(*rapid.T){
			"request": func(t *rapid.T) {
				name := rapid.SampledFrom(names).Draw(t, "object")
				ops := rapid.SliceOfN(rapid.Custom(genOp), 1, 5).Draw(t, "ops")
				tid++
				before := len(w.inAir)
				after, e := runModel(state[name], ops)
				if e.writes {
					// Each write is one transaction, also if it fails.
					if after.String() != state[name].String() {
						state[name] = after
					}
					history = append(history, maps.Clone(state))
					last[name] = len(history) - 1
					e.seen, e.latest = last[name], last[name]
					writes = append(writes, sent{name, ops, e})
				} else {
					// It must not be answered before the last change of its object is
					// durable, and must when the last write to it is.
					e.latest = last[name]
					for i := len(history) - 1; i > 0 && e.seen == 0; i-- {
						if history[i][name] != history[i-1][name] {
							e.seen = i
						}
					}
				}
				send(name, tid, ops, e)
				if got := len(w.inAir) - before; e.writes && got != 1 {
					t.Fatalf("%d transactions for a write", got)
				}
			},
			"resend": func(t *rapid.T) {
				if len(writes) == 0 {
					t.Skip()
				}
				// Of those that the log still knows.
				recent := writes[max(0, len(writes)-8):]
				s := recent[rapid.IntRange(0, len(recent)-1).Draw(t, "which")]
				id := s.want.tid
				if id == 0 || waiting[id] != nil {
					t.Skip()
				}
				before := len(w.inAir)
				send(s.name, id, s.ops, s.want)
				if len(w.inAir) != before {
					t.Fatalf("request %d was run again", id)
				}
			},
			"commit": func(t *rapid.T) {
				n := rapid.IntRange(0, len(w.inAir)).Draw(t, "n")
				for range n {
					// The reply may be out before the group hears of it.
					durable++
					w.commit(1)
				}
				collect()
			},
			"restart": func(t *rapid.T) {
				crash := rapid.Bool().Draw(t, "crash")
				if crash {
					state = maps.Clone(history[durable])
				} else {
					durable = len(history) - 1
				}
				lost := func(s sent) bool { return s.want.seen > durable }
				writes = slices.DeleteFunc(writes, lost)
				for i := range writes {
					writes[i].want.seen, writes[i].want.latest = 0, 0
				}
				clear(waiting)
				clear(last)
				w.restart(crash)
				// The interval's own record is a transaction, too.
				w.commit(len(w.inAir))
				history, durable = []map[string]*model{maps.Clone(state)}, 0
			},
			"": func(t *rapid.T) {
				for i := range writes {
					if writes[i].want.tid == 0 {
						writes[i].want.tid = tid
					}
				}
				w.pg.check()
			},
		})
		// In the end all is as the model says.
		w.commit(len(w.inAir))
		for _, n := range names {
			ops := []modelOp{{op: opRead(0, 0), apply: func(m *model) (string, error) { return string(m.data), nil }},
				{op: msg.Op{Code: msg.OpGetXattrs}, apply: func(m *model) (string, error) { return mapOf(m.attrs), nil }},
				{op: msg.Op{Code: msg.OpOmapGetHeader}, apply: func(m *model) (string, error) { return m.header, nil }},
				{op: opIn(msg.OpOmapGetVals, encoded(func(e *wire.Encoder) { e.Str(""); e.U64(100); e.Str("") })), apply: func(m *model) (string, error) {
					return mapOf(m.omap) + "\x00", nil
				}}}
			_, e := runModel(state[n], ops)
			durable = len(history)
			clear(waiting)
			clear(w.replies)
			tid++
			send(n, tid, ops, e)
		}
	})
}
