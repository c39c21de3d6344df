package rbd

import (
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// What never changes after an image was made.

var headerMethods = objclass.Class{
	"get_object_prefix": {Flags: rd, Call: getObjectPrefix},
	"get_data_pool":     {Flags: rd, Call: getDataPool},
}

// getObjectPrefix returns the string that the names of the data objects begin
// with.
func getObjectPrefix(c objclass.Context, _ []byte) ([]byte, error) {
	prefix, err := readString(c, "object_prefix")
	if err != nil {
		return nil, err
	}
	return encoded(func(e *wire.Encoder) { e.Str(prefix) }), nil
}

// getDataPool returns the number of the pool with the data, -1 for the image's
// own.
func getDataPool(c objclass.Context, _ []byte) ([]byte, error) {
	pool := int64(-1)
	if err := readKey(c, "data_pool_id", func(d *wire.Decoder) { pool = d.S64() }); err != nil && !isMissing(err) {
		return nil, err
	}
	return encoded(func(e *wire.Encoder) { e.S64(pool) }), nil
}
