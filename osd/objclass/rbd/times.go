package rbd

import (
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

var timeMethods = objclass.Class{
	"get_create_timestamp": {Flags: rd, Call: getTime("create_timestamp")},
	"get_access_timestamp": {Flags: rd, Call: getTime("access_timestamp")},
	"get_modify_timestamp": {Flags: rd, Call: getTime("modify_timestamp")},
	"set_access_timestamp": {Flags: rd | wr, Call: setTime("access_timestamp")},
	"set_modify_timestamp": {Flags: rd | wr, Call: setTime("modify_timestamp")},
}

type call = func(c objclass.Context, in []byte) ([]byte, error)

// getTime returns utime_t, zero for images that are older than the key.
func getTime(key string) call {
	return func(c objclass.Context, _ []byte) ([]byte, error) {
		t, err := readU64(c, key)
		if _, err := present(err); err != nil {
			return nil, err
		}
		return encodedU64(t), nil
	}
}

// setTime sets a time to now.
func setTime(key string) call {
	return func(c objclass.Context, _ []byte) ([]byte, error) {
		if err := exists(c); err != nil {
			return nil, err
		}
		return nil, writeKey(c, key, func(e *wire.Encoder) { e.Time(c.Now()) })
	}
}
