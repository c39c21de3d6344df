package rbd

import (
	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// An image begins with its header, an omap with a key for each property. What is
// never changed after that is here.

var headerMethods = objclass.Class{
	"create":                {Flags: rd | wr, Call: create},
	"get_object_prefix":     {Flags: rd, Call: getObjectPrefix},
	"get_data_pool":         {Flags: rd, Call: getDataPool},
	"get_stripe_unit_count": {Flags: rd, Call: getStriping},
	"set_stripe_unit_count": {Flags: rd | wr, Call: setStriping},
}

// create takes u64 size, u8 order (log2 of the size of an object), u64 features,
// string prefix of the names of data objects, s64 pool of the data. EEXIST if
// there is a header.
func create(c objclass.Context, in []byte) ([]byte, error) {
	var size, features uint64
	var order uint8
	var prefix string
	dataPool := int64(noPool)
	if err := objclass.Parse(in, func(d *wire.Decoder) {
		size, order, features, prefix = d.U64(), d.U8(), d.U64(), d.Str()
		if d.Left() > 0 {
			dataPool = d.S64()
		}
	}); err != nil {
		return nil, err
	}
	if features&^clsrbd.AllFeatures != 0 {
		return nil, errno.ENOSYS
	}
	if prefix == "" {
		return nil, errno.EINVAL
	}
	if _, err := c.OmapValue("object_prefix"); !isMissing(err) {
		return nil, errno.EEXIST
	}
	if f := clsrbd.Feature(features); f&clsrbd.Operations != 0 || f&clsrbd.DataPool != 0 != (dataPool != noPool) {
		return nil, errno.EINVAL
	}
	now := encoded(func(e *wire.Encoder) { e.Time(c.Now()) })
	entries := []objclass.Entry{
		{Key: "size", Value: encodedU64(size)},
		{Key: "order", Value: []byte{order}},
		{Key: "features", Value: encodedU64(features)},
		{Key: "object_prefix", Value: encodeString(prefix)},
		{Key: "snap_seq", Value: encodedU64(0)},
		{Key: "create_timestamp", Value: now},
		{Key: "access_timestamp", Value: now},
		{Key: "modify_timestamp", Value: now},
	}
	if dataPool != noPool {
		entries = append(entries, objclass.Entry{Key: "data_pool_id", Value: encodedU64(uint64(dataPool))})
	}
	return nil, c.SetOmap(entries)
}

func getObjectPrefix(c objclass.Context, _ []byte) ([]byte, error) {
	prefix, err := readString(c, "object_prefix")
	if err != nil {
		return nil, err
	}
	return encodeString(prefix), nil
}

// getDataPool returns s64.
func getDataPool(c objclass.Context, _ []byte) ([]byte, error) {
	pool := int64(noPool)
	if _, err := present(readKey(c, "data_pool_id", func(d *wire.Decoder) { pool = d.S64() })); err != nil {
		return nil, err
	}
	return encoded(func(e *wire.Encoder) { e.S64(pool) }), nil
}

// readOrder returns log2 of the size of a data object.
func readOrder(c objclass.Context) (order uint8, err error) {
	err = readKey(c, "order", func(d *wire.Decoder) { order = d.U8() })
	return order, err
}

// objectSize is the size of a data object. An order that makes no sense counts
// modulo 64, as the processor does it for Ceph.
func objectSize(order uint8) uint64 { return 1 << (order & 63) }

// getStriping returns u64 bytes per stripe unit, u64 objects per stripe.
func getStriping(c objclass.Context, _ []byte) ([]byte, error) {
	if err := exists(c); err != nil {
		return nil, err
	}
	if err := requireFeature(c, clsrbd.StripingV2); err != nil {
		return nil, err
	}
	unit, err := readU64(c, "stripe_unit")
	if isMissing(err) {
		order, err := readOrder(c)
		if err != nil {
			return nil, errno.EIO
		}
		unit = objectSize(order)
	} else if err != nil {
		return nil, err
	}
	count, err := readU64(c, "stripe_count")
	if isMissing(err) {
		count = 1
	} else if err != nil {
		return nil, err
	}
	return encoded(func(e *wire.Encoder) { e.U64(unit); e.U64(count) }), nil
}

// setStriping takes what getStriping returns. Units must fill objects.
func setStriping(c objclass.Context, in []byte) ([]byte, error) {
	var unit, count uint64
	if err := objclass.Parse(in, func(d *wire.Decoder) { unit, count = d.U64(), d.U64() }); err != nil {
		return nil, err
	}
	if unit == 0 || count == 0 {
		return nil, errno.EINVAL
	}
	if err := exists(c); err != nil {
		return nil, err
	}
	if err := requireFeature(c, clsrbd.StripingV2); err != nil {
		return nil, err
	}
	order, err := readOrder(c)
	if err != nil {
		return nil, err
	}
	if objectSize(order)%unit != 0 {
		return nil, errno.EINVAL
	}
	return nil, c.SetOmap([]objclass.Entry{
		{Key: "stripe_unit", Value: encodedU64(unit)},
		{Key: "stripe_count", Value: encodedU64(count)},
	})
}
