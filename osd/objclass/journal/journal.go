// Package journal is the class "journal": a journal of changes that clients
// append to and others read, each at its own pace (cls_journal). librbd writes
// the changes of an image there before the image itself, and rbd-mirror plays
// them on another cluster.
//
// The object journal.ID is the header. Its omap has the parameters, which never
// change, and the positions, which only grow:
//
//	order, splay_width, pool_id   size and number of data objects, where they are
//	minimum_set, active_set       sets of data objects from which is read and to
//	                              which is written
//	next_tag_tid, next_tag_class  numbers of the next tag
//	client_ID                     who reads or writes, and what it is done with
//	tag_TID                       an epoch of the journal; TID has 16 hex digits
//
// A tag says who wrote the entries from here on. The tags of one class follow
// each other; what is older than the last one that some client still needs goes
// when a tag comes or a client goes. The entries are in objects
// journal_data.POOL.ID.N, which clients append to and delete by sets.
//
// No compatibility promise.
package journal

import (
	"fmt"
	"math"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

const (
	orderKey        = "order"
	splayWidthKey   = "splay_width"
	poolIDKey       = "pool_id"
	minimumSetKey   = "minimum_set"
	activeSetKey    = "active_set"
	nextTagTIDKey   = "next_tag_tid"
	nextTagClassKey = "next_tag_class"
	clientPrefix    = "client_"
	tagPrefix       = "tag_"
)

// Class returns the class.
func Class() objclass.Class {
	const rd, wr = objclass.Read, objclass.Write
	return objclass.Class{
		"create":          {Flags: rd | wr, Call: create},
		"get_order":       {Flags: rd, Call: get(orderKey, 1)},
		"get_splay_width": {Flags: rd, Call: get(splayWidthKey, 1)},
		"get_pool_id":     {Flags: rd, Call: get(poolIDKey, 8)},
		"get_minimum_set": {Flags: rd, Call: get(minimumSetKey, 8)},
		"set_minimum_set": {Flags: rd | wr, Call: setMinimumSet},
		"get_active_set":  {Flags: rd, Call: get(activeSetKey, 8)},
		"set_active_set":  {Flags: rd | wr, Call: setActiveSet},

		"get_client":          {Flags: rd, Call: getClient},
		"client_register":     {Flags: rd | wr, Call: clientRegister},
		"client_update_data":  {Flags: rd | wr, Call: clientUpdateData},
		"client_update_state": {Flags: rd | wr, Call: clientUpdateState},
		"client_unregister":   {Flags: rd | wr, Call: clientUnregister},
		"client_commit":       {Flags: rd | wr, Call: clientCommit},
		"client_list":         {Flags: rd, Call: clientList},

		"get_next_tag_tid": {Flags: rd, Call: get(nextTagTIDKey, 8)},
		"get_tag":          {Flags: rd, Call: getTag},
		"tag_create":       {Flags: rd | wr, Call: tagCreate},
		"tag_list":         {Flags: rd, Call: tagList},

		"guard_append": {Flags: rd | wr, Call: guardAppend},
		"append":       {Flags: rd | wr, Call: appendEntry},
	}
}

func encode(fields func(e *wire.Encoder)) []byte {
	var e wire.Encoder
	fields(&e)
	return e.Bytes()
}

// read decodes a value; what is wrong with it is EINVAL, as if it were an input.
func read(c objclass.Context, key string, fields func(d *wire.Decoder)) error {
	b, err := c.OmapValue(key)
	if err != nil {
		return err
	}
	if err := objclass.Parse(b, fields); err != nil {
		return fmt.Errorf("journal key %q: %w", key, err)
	}
	return nil
}

func write(c objclass.Context, key string, fields func(e *wire.Encoder)) error {
	return c.SetOmap([]objclass.Entry{{Key: key, Value: encode(fields)}})
}

func readU64(c objclass.Context, key string) (v uint64, err error) {
	err = read(c, key, func(d *wire.Decoder) { v = d.U64() })
	return v, err
}

func writeU64(c objclass.Context, key string, v uint64) error {
	return write(c, key, func(e *wire.Encoder) { e.U64(v) })
}

// get is a method that answers with a number of some bytes.
func get(key string, size int) func(c objclass.Context, _ []byte) ([]byte, error) {
	return func(c objclass.Context, _ []byte) (v []byte, err error) {
		err = read(c, key, func(d *wire.Decoder) { v = d.Raw(size) })
		return v, err
	}
}

func create(c objclass.Context, in []byte) ([]byte, error) {
	var order, width uint8
	var pool int64
	if err := objclass.Parse(in, func(d *wire.Decoder) { order, width, pool = d.U8(), d.U8(), d.S64() }); err != nil {
		return nil, err
	}
	if err := free(c, orderKey); err != nil {
		return nil, err
	}
	zero := encode(func(e *wire.Encoder) { e.U64(0) })
	return nil, c.SetOmap([]objclass.Entry{
		{Key: orderKey, Value: []byte{order}},
		{Key: splayWidthKey, Value: []byte{width}},
		{Key: poolIDKey, Value: encode(func(e *wire.Encoder) { e.S64(pool) })},
		{Key: activeSetKey, Value: zero},
		{Key: minimumSetKey, Value: zero},
		{Key: nextTagTIDKey, Value: zero},
		{Key: nextTagClassKey, Value: zero},
	})
}

// setMinimumSet says that older sets are gone. It may not go back, nor beyond
// the active set.
func setMinimumSet(c objclass.Context, in []byte) ([]byte, error) {
	var set uint64
	if err := objclass.Parse(in, func(d *wire.Decoder) { set = d.U64() }); err != nil {
		return nil, err
	}
	active, err := readU64(c, activeSetKey)
	if err != nil {
		return nil, err
	}
	if active < set {
		return nil, fmt.Errorf("minimum set %d, but set %d is active: %w", set, active, errno.EINVAL)
	}
	return nil, advance(c, minimumSetKey, set)
}

// setActiveSet says which set is written.
func setActiveSet(c objclass.Context, in []byte) ([]byte, error) {
	var set uint64
	if err := objclass.Parse(in, func(d *wire.Decoder) { set = d.U64() }); err != nil {
		return nil, err
	}
	minimum, err := readU64(c, minimumSetKey)
	if err != nil {
		return nil, err
	}
	if minimum > set {
		return nil, fmt.Errorf("active set %d, but they begin at %d: %w", set, minimum, errno.EINVAL)
	}
	return nil, advance(c, activeSetKey, set)
}

func advance(c objclass.Context, key string, to uint64) error {
	now, err := readU64(c, key)
	switch {
	case err != nil:
		return err
	case to < now:
		return fmt.Errorf("%s goes from %d back to %d: %w", key, now, to, errno.ESTALE)
	case to == now:
		return nil
	}
	return writeU64(c, key, to)
}

// guardAppend fails with EOVERFLOW for a data object that is full.
func guardAppend(c objclass.Context, in []byte) ([]byte, error) {
	var limit uint64
	if err := objclass.Parse(in, func(d *wire.Decoder) { limit = d.U64() }); err != nil {
		return nil, err
	}
	size, exists, err := stat(c)
	if err != nil {
		return nil, err
	}
	if exists && size >= limit {
		return nil, errno.EOVERFLOW
	}
	return nil, nil
}

// appendEntry appends to a data object that is not full. Ceph's OSDs besides fill
// up its last block, if all clients are new enough to skip that.
func appendEntry(c objclass.Context, in []byte) ([]byte, error) {
	var limit uint64
	var data []byte
	if err := objclass.Parse(in, func(d *wire.Decoder) { limit, data = d.U64(), d.Blob() }); err != nil {
		return nil, err
	}
	size, _, err := stat(c)
	if err != nil {
		return nil, err
	}
	if size >= limit {
		return nil, errno.EOVERFLOW
	}
	return nil, c.Write(size, append([]byte{}, data...))
}

// maxTID is no tag's number.
const maxTID = math.MaxUint64
