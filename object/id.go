// Package object holds the identities of the data path: objects and their
// order (hobject_t), placement groups (pg_t, spg_t), versions (eversion_t),
// snapshots and request ids.
//
// No compatibility promise.
package object

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/wire"
)

// SnapID numbers a snapshot of a pool (snapid_t).
type SnapID uint64

const (
	NoSnap  SnapID = math.MaxUint64 - 1 // CEPH_NOSNAP: the head
	SnapDir SnapID = math.MaxUint64     // CEPH_SNAPDIR: all clones, in list-snaps
)

// AllNamespaces is the namespace in a locator that asks a listing for all of
// them.
const AllNamespaces = "\x01"

// ID is hobject_t: an object, or a position between objects in a listing.
//
// The order is: Max last, then pool, bit-reversed hash, namespace, key (the
// name where there is none), name, snapshot. Since a placement group holds the
// hashes that share their low bits, it is one run in this order.
type ID struct {
	Pool      int64
	Hash      uint32 // rjenkins hash of namespace and key
	Namespace string
	Key       string // locator key; empty if it equals the name
	Name      string
	Snap      SnapID
	Max       bool // above all objects
}

// MinID is below all objects.
var MinID = ID{Pool: math.MinInt64}

// MaxID is above all objects.
var MaxID = ID{Pool: math.MinInt64, Max: true}

// New returns the head of an object.
func New(pool int64, namespace, key, name string) ID {
	if key == name {
		key = ""
	}
	return ID{Pool: pool, Hash: HashName(namespace, key, name), Namespace: namespace, Key: key, Name: name, Snap: NoSnap}
}

// HashName returns the hash that places an object: of its locator key, else of
// its name, prefixed with the namespace.
func HashName(namespace, key, name string) uint32 {
	if key == "" {
		key = name
	}
	if namespace != "" {
		key = namespace + "\x1f" + key
	}
	return HashString(key)
}

// EffectiveKey is what orders the object beside its hash: key, else name.
func (o ID) EffectiveKey() string {
	if o.Key != "" {
		return o.Key
	}
	return o.Name
}

// IsHead reports whether o is an object's head, not one of its clones.
func (o ID) IsHead() bool { return o.Snap == NoSnap }

// Head returns o's head.
func (o ID) Head() ID { o.Snap = NoSnap; return o }

// At returns o's clone of a snapshot.
func (o ID) At(s SnapID) ID { o.Snap = s; return o }

// IsMin reports whether o is below all objects.
func (o ID) IsMin() bool { return o == MinID }

// Compare orders objects.
func (o ID) Compare(p ID) int {
	switch {
	case o.Max != p.Max:
		if o.Max {
			return 1
		}
		return -1
	case o.Max:
		return 0
	case o.Pool != p.Pool:
		return cmp.Compare(o.Pool, p.Pool)
	case o.Hash != p.Hash:
		return cmp.Compare(bits.Reverse32(o.Hash), bits.Reverse32(p.Hash))
	case o.Namespace != p.Namespace:
		return strings.Compare(o.Namespace, p.Namespace)
	}
	if o.Key != "" || p.Key != "" {
		if c := strings.Compare(o.EffectiveKey(), p.EffectiveKey()); c != 0 {
			return c
		}
	}
	return cmp.Or(strings.Compare(o.Name, p.Name), cmp.Compare(o.Snap, p.Snap))
}

// String is Ceph's form: pool:hash bits reversed:namespace:key:name:snap.
func (o ID) String() string {
	switch {
	case o.Max:
		return "MAX"
	case o.IsMin():
		return "MIN"
	}
	snap := "head"
	switch o.Snap {
	case NoSnap:
	case SnapDir:
		snap = "snapdir"
	default:
		snap = fmt.Sprintf("%x", uint64(o.Snap))
	}
	return fmt.Sprintf("%d:%08x:%s:%s:%s:%s", o.Pool, bits.Reverse32(o.Hash), escape(o.Namespace), escape(o.Key), escape(o.Name), snap)
}

func escape(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r == '%' || r == ':' || r == '/' || r < 32 || r >= 127 }) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c == '%' || c == ':' || c == '/' || c < 32 || c >= 127 {
			fmt.Fprintf(&b, "%%%02x", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (o ID) Encode(e *wire.Encoder) {
	m := e.Begin(4, 3)
	e.Str(o.Key)
	e.Str(o.Name)
	e.U64(uint64(o.Snap))
	e.U32(o.Hash)
	e.Bool(o.Max)
	e.Str(o.Namespace)
	e.S64(o.Pool)
	e.End(m)
}

func (o *ID) Decode(d *wire.Decoder) {
	env := d.Begin("hobject_t", 4)
	o.Key = d.Str()
	o.Name = d.Str()
	o.Snap = SnapID(d.U64())
	o.Hash = d.U32()
	o.Max = d.Bool()
	o.Namespace = d.Str()
	o.Pool = d.S64()
	// A client's idea of the minimum has pool -1 and nothing else.
	if o.Pool == -1 && o.Snap == 0 && o.Hash == 0 && !o.Max && o.Name == "" {
		o.Pool = math.MinInt64
	}
	d.End(env)
}

// Locator is object_locator_t: where a client wants an object placed.
type Locator struct {
	Pool      int64
	Key       string
	Namespace string
	Hash      int64 // -1: computed from key or name
}

func (l Locator) Encode(e *wire.Encoder) {
	compat := uint8(3)
	if l.Hash != -1 {
		compat = 6
	}
	m := e.Begin(6, compat)
	e.S64(l.Pool)
	e.S32(-1)
	e.Str(l.Key)
	e.Str(l.Namespace)
	e.S64(l.Hash)
	e.End(m)
}

func (l *Locator) Decode(d *wire.Decoder) {
	env := d.Begin("object_locator_t", 6)
	l.Pool = d.S64()
	d.S32()
	l.Key = d.Str()
	l.Namespace = d.Str()
	l.Hash = -1
	if env.Version >= 6 {
		l.Hash = d.S64()
	}
	d.End(env)
}

// ReqID is osd_reqid_t: a request, whoever sends it again.
type ReqID struct {
	Name entity.Name
	TID  uint64
	Inc  int32
}

func (r ReqID) String() string { return fmt.Sprintf("%v.%d:%d", r.Name, r.Inc, r.TID) }

func (r ReqID) Encode(e *wire.Encoder) {
	m := e.Begin(2, 2)
	r.Name.Encode(e)
	e.U64(r.TID)
	e.S32(r.Inc)
	e.End(m)
}

func (r *ReqID) Decode(d *wire.Decoder) {
	env := d.Begin("osd_reqid_t", 2)
	r.Name.Decode(d)
	r.TID = d.U64()
	r.Inc = d.S32()
	d.End(env)
}
