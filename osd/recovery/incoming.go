package recovery

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
)

// Temp is the object in which the pieces of another one gather. It is in the same
// collection, in a pool of its own (get_temp_recovery_object, hobject_t's
// POOL_TEMP_START), so it comes before all others and is in no listing of the
// pool.
func Temp(id object.ID) object.ID {
	id.Pool = tempPool(id.Pool)
	return id
}

func tempPool(pool int64) int64 { return -2 - pool }

// IsTemp reports whether an object is a temporary one.
func IsTemp(id object.ID) bool { return !id.Max && id.Pool <= -2 && !id.IsMin() }

// Leftovers returns up to max temporary objects of a collection of a pool. After
// a start all that there are were left behind by transfers that were cut short.
func Leftovers(store objstore.Store, c objstore.Coll, pool int64, max int) ([]object.ID, error) {
	ids, _, err := store.List(c, object.ID{Pool: tempPool(pool)}, max)
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		if id.Pool != tempPool(pool) {
			return ids[:i], nil
		}
	}
	return ids, nil
}

// Incoming is an object that arrives piece by piece (PullInfo, and what
// ReplicatedBackend::submit_push_data does). The zero value waits for the first
// piece.
type Incoming struct {
	Object  object.ID
	Version object.Version
	size    uint64
	at      Cursor
}

// Apply adds to txn what makes a piece part of the object, and takes over its
// data. With the last piece, done, the transaction puts the new version in the
// place of what was there; what else belongs to that, the caller adds to the same
// transaction.
//
// A first piece begins the object anew, whatever came before. A piece that does
// not follow the one before is refused with EINVAL, and nothing changes; the
// sender has to begin again.
func (in *Incoming) Apply(c objstore.Coll, p *Push, txn *objstore.Txn) (done bool, err error) {
	if err := p.check(); err != nil {
		return false, err
	}
	first := !p.At.Begun
	if !first && (p.Object != in.Object || p.Version != in.Version || p.Size != in.size || p.At != in.at) {
		return false, fmt.Errorf("push of %v %v at %+v, but %v %v at %+v is awaited: %w", p.Object, p.Version, p.At,
			in.Object, in.Version, in.at, errno.EINVAL)
	}
	// Whole in one piece, it needs no other place to wait in.
	to := Temp(p.Object)
	if first && p.Next.Done {
		to = p.Object
	}
	if first {
		txn.Remove(c, to)
		txn.Truncate(c, to, p.Size)
		for _, b := range p.Borrows {
			for _, s := range b.Bytes {
				txn.CloneRange(c, p.Object.At(b.From), to, s.Off, s.End-s.Off, s.Off)
			}
		}
		if len(p.Attrs) > 0 {
			txn.SetAttrs(c, to, p.Attrs)
		}
		if len(p.Header) > 0 {
			txn.OmapSetHeader(c, to, p.Header)
		}
	}
	if len(p.Omap) > 0 {
		txn.OmapSet(c, to, p.Omap)
	}
	at := 0
	for _, s := range p.Bytes {
		n := int(s.End - s.Off)
		txn.Write(c, to, s.Off, p.Data.Slice(at, at+n).Retain())
		at += n
	}
	p.Release()
	*in = Incoming{p.Object, p.Version, p.Size, p.Next}
	if p.Next.Done && to != p.Object {
		txn.Rename(c, to, c, p.Object)
	}
	return p.Next.Done, nil
}

// Abandon removes what has gathered, if anything may have.
func (in *Incoming) Abandon(c objstore.Coll, txn *objstore.Txn) {
	if in.at.Begun && !in.at.Done {
		txn.Remove(c, Temp(in.Object))
	}
	*in = Incoming{}
}
