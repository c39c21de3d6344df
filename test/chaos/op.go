package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/rados"
)

// Op is an operation on one object: steps that are done as one or not at all.
type Op struct {
	Seq     int // counts the operations on the object
	Steps   []step
	Refused error // the cluster must refuse it with this and change nothing
}

// Apply does the operation to a state.
func (o *Op) Apply(s *State) {
	if o.Refused != nil {
		return
	}
	for _, st := range o.Steps {
		st.apply(s)
	}
}

func (o *Op) String() string {
	var words []string
	for _, s := range o.Steps {
		words = append(words, s.String())
	}
	return fmt.Sprintf("op %d {%s}", o.Seq, strings.Join(words, "; "))
}

// step is one step of an operation: what it does to a state, and how a cluster is
// asked for it. Payloads are never changed: a client may still be sending them
// after a call was given up.
type step interface {
	apply(*State)
	add(*rados.WriteOp)
	String() string
}

type (
	create    struct{} // exclusively
	remove    struct{}
	writeFull struct{ data []byte }
	write     struct {
		off  int
		data []byte
	}
	appendData struct{ data []byte }
	truncate   struct{ size int } // of an object that exists
	zero       struct{ off, n int }

	setXattr    struct{ name, value string }
	removeXattr struct{ name string } // that is there

	omapSet    struct{ entries map[string]string }
	omapRemove struct{ keys []string }
	omapHeader struct{ header string }
	omapClear  struct{}
)

func (create) apply(s *State)        { s.Exists = true }
func (create) add(op *rados.WriteOp) { op.Create(true) }
func (create) String() string        { return "create" }

func (remove) apply(s *State)        { *s = State{} }
func (remove) add(op *rados.WriteOp) { op.Remove() }
func (remove) String() string        { return "remove" }

func (w writeFull) apply(s *State) {
	s.Exists = true
	s.Data = append(s.Data[:0], w.data...)
}
func (w writeFull) add(op *rados.WriteOp) { op.WriteFull(w.data) }
func (w writeFull) String() string        { return fmt.Sprintf("write-full %d", len(w.data)) }

func (w write) apply(s *State) {
	s.Exists = true
	s.resize(max(len(s.Data), w.off+len(w.data)))
	copy(s.Data[w.off:], w.data)
}
func (w write) add(op *rados.WriteOp) { op.Write(uint64(w.off), w.data) }
func (w write) String() string        { return fmt.Sprintf("write %d+%d", w.off, len(w.data)) }

func (a appendData) apply(s *State) {
	s.Exists = true
	s.Data = append(s.Data, a.data...)
}
func (a appendData) add(op *rados.WriteOp) { op.Append(a.data) }
func (a appendData) String() string        { return fmt.Sprintf("append %d", len(a.data)) }

func (t truncate) apply(s *State)        { s.resize(t.size) }
func (t truncate) add(op *rados.WriteOp) { op.Truncate(uint64(t.size)) }
func (t truncate) String() string        { return fmt.Sprintf("truncate %d", t.size) }

// A zero that reaches the end is a truncate: Ceph takes no space for zeros there.
func (z zero) apply(s *State) {
	switch {
	case z.off >= len(s.Data):
	case z.off+z.n >= len(s.Data):
		s.resize(z.off)
	default:
		clear(s.Data[z.off : z.off+z.n])
	}
}
func (z zero) add(op *rados.WriteOp) { op.Zero(uint64(z.off), uint64(z.n)) }
func (z zero) String() string        { return fmt.Sprintf("zero %d+%d", z.off, z.n) }

func (x setXattr) apply(s *State) {
	s.Exists = true
	if s.Xattrs == nil {
		s.Xattrs = map[string]string{}
	}
	s.Xattrs[x.name] = x.value
}
func (x setXattr) add(op *rados.WriteOp) { op.SetXattr(x.name, []byte(x.value)) }
func (x setXattr) String() string        { return fmt.Sprintf("set-xattr %s=%d bytes", x.name, len(x.value)) }

func (x removeXattr) apply(s *State)        { delete(s.Xattrs, x.name) }
func (x removeXattr) add(op *rados.WriteOp) { op.RemoveXattr(x.name) }
func (x removeXattr) String() string        { return "remove-xattr " + x.name }

func (o omapSet) apply(s *State) {
	s.Exists = true
	if s.Omap == nil {
		s.Omap = map[string]string{}
	}
	maps.Copy(s.Omap, o.entries)
}
func (o omapSet) add(op *rados.WriteOp) {
	entries := make(map[string][]byte, len(o.entries))
	for k, v := range o.entries {
		entries[k] = []byte(v)
	}
	op.OmapSet(entries)
}
func (o omapSet) String() string {
	return "omap-set " + strings.Join(slices.Sorted(maps.Keys(o.entries)), ",")
}

func (o omapRemove) apply(s *State) {
	for _, k := range o.keys {
		delete(s.Omap, k)
	}
}
func (o omapRemove) add(op *rados.WriteOp) { op.OmapRemove(o.keys...) }
func (o omapRemove) String() string        { return "omap-remove " + strings.Join(o.keys, ",") }

func (o omapHeader) apply(s *State)        { s.Exists, s.Header = true, o.header }
func (o omapHeader) add(op *rados.WriteOp) { op.OmapSetHeader([]byte(o.header)) }
func (o omapHeader) String() string        { return fmt.Sprintf("omap-header %d bytes", len(o.header)) }

func (omapClear) apply(s *State)        { s.Omap, s.Header = nil, "" }
func (omapClear) add(op *rados.WriteOp) { op.OmapClear() }
func (omapClear) String() string        { return "omap-clear" }
