package objstore

import (
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// OpCode is what one step of a transaction does. The numbers are on disk.
type OpCode uint8

const (
	OpTouch         OpCode = 1  // create the object if it does not exist
	OpWrite         OpCode = 2  // Data at Off; creates, extends
	OpZero          OpCode = 3  // Len bytes at Off read as zeros; creates, extends
	OpTruncate      OpCode = 4  // size becomes Off; creates
	OpRemove        OpCode = 5  // object with all it has; none is not an error
	OpSetAttr       OpCode = 6  // Attrs; creates
	OpRmAttr        OpCode = 7  // Key; none is not an error
	OpOmapSet       OpCode = 8  // KVs; creates
	OpOmapRm        OpCode = 9  // Keys
	OpOmapRmRange   OpCode = 10 // keys in [Key, End); an empty End means no end
	OpOmapClear     OpCode = 11 // all keys and the header
	OpOmapSetHeader OpCode = 12 // Value; creates
	OpClone         OpCode = 13 // Dest becomes a copy of the object in all it has
	OpCloneRange    OpCode = 14 // Len bytes at Off to DestOff of Dest; creates Dest
	OpRename        OpCode = 15 // the object becomes Dest, replacing it; perhaps of DestColl
	OpCreateColl    OpCode = 16 // the collection; existing is ErrInvalid
	OpRemoveColl    OpCode = 17 // the collection, which must be empty
	OpRmAttrs       OpCode = 18 // all attributes
	OpDropColl      OpCode = 19 // the collection with all that is in it, which is not looked at
)

// Op is one step of a transaction. Which fields count depends on Code. A range
// of no bytes creates but does not extend. What a clone-range takes from beyond
// the end of its source is zeros.
type Op struct {
	Code     OpCode
	Coll     Coll
	OID      object.ID
	Dest     object.ID
	DestColl Coll
	Off      uint64
	Len      uint64
	DestOff  uint64
	Key, End string
	Keys     []string
	KVs      []KV // omap entries, or attributes
	Value    []byte
	Data     buffer.List
}

// Txn is a list of steps that take effect together, in order. It keeps what is
// passed to it; byte slices must not be changed afterwards, and references to
// buffers become the transaction's.
type Txn struct{ Ops []Op }

// Empty reports whether the transaction does nothing.
func (t *Txn) Empty() bool { return len(t.Ops) == 0 }

// Release drops the references of a transaction that was not submitted.
func (t *Txn) Release() {
	for i := range t.Ops {
		t.Ops[i].Data.Release()
		t.Ops[i].Data = nil
	}
}

// Append adds the steps of u, which it empties.
func (t *Txn) Append(u *Txn) {
	t.Ops = append(t.Ops, u.Ops...)
	u.Ops = nil
}

func (t *Txn) Touch(c Coll, o object.ID) { t.add(Op{Code: OpTouch, Coll: c, OID: o}) }

// Write keeps data.
func (t *Txn) Write(c Coll, o object.ID, off uint64, data buffer.List) {
	t.add(Op{Code: OpWrite, Coll: c, OID: o, Off: off, Len: uint64(data.Len()), Data: data})
}
func (t *Txn) Zero(c Coll, o object.ID, off, n uint64) {
	t.add(Op{Code: OpZero, Coll: c, OID: o, Off: off, Len: n})
}
func (t *Txn) Truncate(c Coll, o object.ID, size uint64) {
	t.add(Op{Code: OpTruncate, Coll: c, OID: o, Off: size})
}
func (t *Txn) Remove(c Coll, o object.ID) { t.add(Op{Code: OpRemove, Coll: c, OID: o}) }
func (t *Txn) SetAttr(c Coll, o object.ID, name string, value []byte) {
	t.add(Op{Code: OpSetAttr, Coll: c, OID: o, KVs: []KV{{name, value}}})
}
func (t *Txn) SetAttrs(c Coll, o object.ID, attrs []KV) {
	t.add(Op{Code: OpSetAttr, Coll: c, OID: o, KVs: attrs})
}
func (t *Txn) RmAttr(c Coll, o object.ID, name string) {
	t.add(Op{Code: OpRmAttr, Coll: c, OID: o, Key: name})
}
func (t *Txn) RmAttrs(c Coll, o object.ID) { t.add(Op{Code: OpRmAttrs, Coll: c, OID: o}) }
func (t *Txn) OmapSet(c Coll, o object.ID, kvs []KV) {
	t.add(Op{Code: OpOmapSet, Coll: c, OID: o, KVs: kvs})
}
func (t *Txn) OmapRm(c Coll, o object.ID, keys []string) {
	t.add(Op{Code: OpOmapRm, Coll: c, OID: o, Keys: keys})
}
func (t *Txn) OmapRmRange(c Coll, o object.ID, from, to string) {
	t.add(Op{Code: OpOmapRmRange, Coll: c, OID: o, Key: from, End: to})
}
func (t *Txn) OmapClear(c Coll, o object.ID) { t.add(Op{Code: OpOmapClear, Coll: c, OID: o}) }
func (t *Txn) OmapSetHeader(c Coll, o object.ID, header []byte) {
	t.add(Op{Code: OpOmapSetHeader, Coll: c, OID: o, Value: header})
}
func (t *Txn) Clone(c Coll, from, to object.ID) {
	t.add(Op{Code: OpClone, Coll: c, OID: from, Dest: to})
}
func (t *Txn) CloneRange(c Coll, from, to object.ID, off, n, destOff uint64) {
	t.add(Op{Code: OpCloneRange, Coll: c, OID: from, Dest: to, Off: off, Len: n, DestOff: destOff})
}
func (t *Txn) Rename(c Coll, from object.ID, dc Coll, to object.ID) {
	t.add(Op{Code: OpRename, Coll: c, OID: from, DestColl: dc, Dest: to})
}
func (t *Txn) CreateColl(c Coll) { t.add(Op{Code: OpCreateColl, Coll: c}) }
func (t *Txn) RemoveColl(c Coll) { t.add(Op{Code: OpRemoveColl, Coll: c}) }

// DropColl is the end of a collection that cannot be read, or not as a whole. No
// step before it in the transaction may be on the collection. A store may give the
// room back later.
func (t *Txn) DropColl(c Coll) { t.add(Op{Code: OpDropColl, Coll: c}) }

func (t *Txn) add(o Op) { t.Ops = append(t.Ops, o) }

const txnVersion = 1

// Encode writes the steps; the data of writes is not in it but follows, in
// order, as [Txn.Data] (so that it need not be copied). See doc/format/txn.md.
func (t *Txn) Encode(e *wire.Encoder) {
	m := e.Begin(txnVersion, txnVersion)
	e.U32(uint32(len(t.Ops)))
	for i := range t.Ops {
		t.Ops[i].encode(e)
	}
	e.End(m)
}

// Data returns the data of all writes, in order, borrowing the references.
func (t *Txn) Data() buffer.List {
	var l buffer.List
	for i := range t.Ops {
		l = append(l, t.Ops[i].Data...)
	}
	return l
}

// Decode reads steps; SetData must follow.
func (t *Txn) Decode(d *wire.Decoder) {
	env := d.Begin("objstore.Txn", txnVersion)
	t.Ops = wire.DecodeSlice(d, 26, func() (o Op) { o.decode(d); return o })
	d.End(env)
}

// SetData hands out the data that belongs to decoded writes. It takes a
// reference of its own for each.
func (t *Txn) SetData(l buffer.List) error {
	at, n := 0, l.Len()
	for i := range t.Ops {
		o := &t.Ops[i]
		if o.Code != OpWrite {
			continue
		}
		if o.Len > uint64(n-at) {
			return fmt.Errorf("transaction data: step %d wants %d bytes, %d left: %w", i, o.Len, n-at, ErrInvalid)
		}
		o.Data = l.Slice(at, at+int(o.Len)).Retain()
		at += int(o.Len)
	}
	if at != n {
		return fmt.Errorf("transaction data: %d bytes left over: %w", n-at, ErrInvalid)
	}
	return nil
}

// Shapes of steps, for their encoding.
const (
	hasOff = 1 << iota
	hasLen
	hasDest
	hasDestOff
	hasDestColl
	hasKey
	hasEnd
	hasKeys
	hasKVs
	hasValue
	noOID
)

var opShape = map[OpCode]int{
	OpTouch: 0, OpWrite: hasOff | hasLen, OpZero: hasOff | hasLen, OpTruncate: hasOff, OpRemove: 0,
	OpSetAttr: hasKVs, OpRmAttr: hasKey, OpRmAttrs: 0, OpOmapSet: hasKVs, OpOmapRm: hasKeys,
	OpOmapRmRange: hasKey | hasEnd, OpOmapClear: 0, OpOmapSetHeader: hasValue, OpClone: hasDest,
	OpCloneRange: hasDest | hasOff | hasLen | hasDestOff, OpRename: hasDest | hasDestColl,
	OpCreateColl: noOID, OpRemoveColl: noOID, OpDropColl: noOID,
}

func (o *Op) encode(e *wire.Encoder) {
	shape := opShape[o.Code]
	e.U8(uint8(o.Code))
	o.Coll.Encode(e)
	if shape&noOID == 0 {
		o.OID.Encode(e)
	}
	if shape&hasOff != 0 {
		e.U64(o.Off)
	}
	if shape&hasLen != 0 {
		e.U64(o.Len)
	}
	if shape&hasDest != 0 {
		o.Dest.Encode(e)
	}
	if shape&hasDestOff != 0 {
		e.U64(o.DestOff)
	}
	if shape&hasDestColl != 0 {
		o.DestColl.Encode(e)
	}
	if shape&hasKey != 0 {
		e.Str(o.Key)
	}
	if shape&hasEnd != 0 {
		e.Str(o.End)
	}
	if shape&hasKeys != 0 {
		wire.EncodeSlice(e, o.Keys, e.Str)
	}
	if shape&hasKVs != 0 {
		wire.EncodeSlice(e, o.KVs, func(kv KV) { e.Str(kv.Key); e.Blob(kv.Value) })
	}
	if shape&hasValue != 0 {
		e.Blob(o.Value)
	}
}

func (o *Op) decode(d *wire.Decoder) {
	o.Code = OpCode(d.U8())
	shape, ok := opShape[o.Code]
	if !ok && d.Err() == nil {
		d.Failf("transaction step %d", o.Code)
		return
	}
	o.Coll.Decode(d)
	if shape&noOID == 0 {
		o.OID.Decode(d)
	}
	if shape&hasOff != 0 {
		o.Off = d.U64()
	}
	if shape&hasLen != 0 {
		o.Len = d.U64()
	}
	if shape&hasDest != 0 {
		o.Dest.Decode(d)
	}
	if shape&hasDestOff != 0 {
		o.DestOff = d.U64()
	}
	if shape&hasDestColl != 0 {
		o.DestColl.Decode(d)
	}
	if shape&hasKey != 0 {
		o.Key = d.Str()
	}
	if shape&hasEnd != 0 {
		o.End = d.Str()
	}
	if shape&hasKeys != 0 {
		o.Keys = wire.DecodeSlice(d, 4, d.Str)
	}
	if shape&hasKVs != 0 {
		o.KVs = wire.DecodeSlice(d, 8, func() KV { return KV{d.Str(), slices.Clone(d.Blob())} })
	}
	if shape&hasValue != 0 {
		o.Value = slices.Clone(d.Blob())
	}
}
