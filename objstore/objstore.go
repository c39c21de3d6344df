// Package objstore is the contract of an object store: what an OSD needs of the
// place where its bytes live (Ceph's ObjectStore).
//
// A store holds collections, one for each placement group and one for the
// daemon itself. A collection holds objects in the order of [object.ID]. An
// object has byte data (sparse; holes read as zeros), named attributes and an
// omap: a header and an ordered map of string keys to bytes.
//
// All changes are transactions ([Txn]). Submit checks a transaction, applies it
// so that every later read sees it, and calls back once it is durable. A crash
// leaves a prefix, in order of submission, of the transactions of each
// collection, that has at least all those whose callback ran, each whole or not
// at all.
//
// Calls for one collection must not run at the same time as a Submit for it;
// calls for different collections may. The callbacks of one collection run in
// the order of submission, from a goroutine of the store, and must not block.
//
// memstore and diskstore implement the contract; storetest checks it.
//
// No compatibility promise.
package objstore

import (
	"errors"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// Errors; each carries its number for the wire.
var (
	ErrNotFound = errno.ENOENT  // no such object or collection
	ErrNoAttr   = errno.ENODATA // no such attribute
	ErrIO       = errno.EIO     // the medium failed, or a checksum did
	ErrNoSpace  = errno.ENOSPC  // the transaction does not fit; nothing was changed
	ErrInvalid  = errno.EINVAL  // the transaction is malformed; nothing was changed
	ErrClosed   = errors.New("object store is closed")

	// ErrDamaged comes with ErrIO if what cannot be read is no data of an object
	// but what the store keeps of it, or of where objects are.
	ErrDamaged = errors.New("the store is damaged")
)

// Coll names a collection (coll_t): that of a placement group, or the daemon's
// own if Meta is set.
type Coll struct {
	Meta bool
	PG   object.SPG
}

// MetaColl is the daemon's own collection; it always exists.
var MetaColl = Coll{Meta: true}

// PGColl is the collection of a placement group.
func PGColl(pg object.SPG) Coll { return Coll{PG: pg} }

func (c Coll) String() string {
	if c.Meta {
		return "meta"
	}
	return c.PG.String() + "_head"
}

func (c Coll) Encode(e *wire.Encoder) {
	e.Bool(c.Meta)
	c.PG.Encode(e)
}

func (c *Coll) Decode(d *wire.Decoder) {
	c.Meta = d.Bool()
	c.PG.Decode(d)
}

// Info is what Stat tells of an object.
type Info struct {
	Size uint64 // bytes
}

// Extent is a run of bytes in an object.
type Extent struct{ Off, Len uint64 }

// KV is an omap entry.
type KV struct {
	Key   string
	Value []byte
}

// Usage is the space of a store, in bytes (store_statfs_t).
type Usage struct {
	Total     uint64 // of the medium
	Available uint64 // for data
	Allocated uint64 // to object data
	Stored    uint64 // object data as its users see it
	Omap      uint64 // omap keys and values, about
	Metadata  uint64 // the store's own, about
}

// Store is an object store. Byte slices and strings it returns belong to the
// caller and do not change.
type Store interface {
	// Submit applies tx and calls done(nil) once it is durable. It takes over tx
	// and the references to its data, also when it fails. An error means that
	// nothing was changed and done will not be called: ErrNoSpace, ErrInvalid,
	// ErrNotFound for a collection or source that does not exist, ErrClosed;
	// ErrIO if what it must read first cannot be read. After done(err) with an
	// error the medium has failed; the store takes no more transactions.
	// done may be nil. Submit does not wait for the medium, except to slow down
	// a caller that has run too far ahead of it.
	Submit(tx *Txn, done func(error)) error

	// Sync returns once all that was submitted before is durable.
	Sync() error

	// Collections lists the collections, MetaColl left out.
	Collections() ([]Coll, error)

	// Stat returns ErrNotFound where there is no such object, as all below do.
	Stat(c Coll, o object.ID) (Info, error)

	// Read returns up to n bytes from off: fewer at the end of the object, none
	// beyond it. The caller releases the list.
	Read(c Coll, o object.ID, off, n uint64) (buffer.List, error)

	// Extents returns the runs within [off, off+n) that may hold data, in
	// order, cut to the range and to the object's size. The rest is holes.
	Extents(c Coll, o object.ID, off, n uint64) ([]Extent, error)

	// Attr returns an attribute, or ErrNoAttr.
	Attr(c Coll, o object.ID, name string) ([]byte, error)

	// Attrs returns all attributes.
	Attrs(c Coll, o object.ID) (map[string][]byte, error)

	// OmapHeader returns the omap's header, nil if none was set.
	OmapHeader(c Coll, o object.ID) ([]byte, error)

	// OmapGet returns those of the keys that exist.
	OmapGet(c Coll, o object.ID, keys []string) (map[string][]byte, error)

	// OmapScan calls f for each entry with a key >= from, ascending, until f
	// returns false. key and value are valid during the call only. f must not
	// call the store.
	OmapScan(c Coll, o object.ID, from string, f func(key string, value []byte) bool) error

	// List returns up to max objects >= from, in order, and where to go on:
	// object.MaxID at the end.
	List(c Coll, from object.ID, max int) (ids []object.ID, next object.ID, err error)

	// Damaged returns the first ErrDamaged that has come of a collection since the
	// store was opened; nil if there was none. What can be read of such a
	// collection is right, but not all that should be there can be found, and it
	// does not get better by writing: it is to be dropped (OpDropColl) and made
	// anew. Damaged costs little if all is well.
	Damaged(c Coll) error

	// Usage returns the space used, cheaply.
	Usage() Usage

	// Close makes all that was submitted durable and ends the store. Closing
	// again does nothing.
	Close() error
}
