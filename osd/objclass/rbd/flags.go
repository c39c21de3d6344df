package rbd

import (
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// Flags say what of an image or a snapshot cannot be trusted: that its object map
// or fast diff is invalid.

var flagMethods = objclass.Class{
	"get_flags": {Flags: rd, Call: getFlags},
	"set_flags": {Flags: rd | wr, Call: setFlags},
}

// getFlags takes u64 snapshot or head and returns u64.
func getFlags(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseU64(in)
	if err != nil {
		return nil, err
	}
	if id == head {
		flags, err := readU64(c, "flags")
		if _, err := present(err); err != nil {
			return nil, err
		}
		return encodedU64(flags), nil
	}
	s, err := readSnapshot(c, id)
	if err != nil {
		return nil, err
	}
	return encodedU64(s.flags), nil
}

// setFlags takes u64 flags, u64 mask, u64 snapshot or head; old clients leave the
// last out and mean head.
func setFlags(c objclass.Context, in []byte) ([]byte, error) {
	var flags, mask uint64
	id := head
	if err := objclass.Parse(in, func(d *wire.Decoder) {
		flags, mask = d.U64(), d.U64()
		if d.Left() > 0 {
			id = d.U64()
		}
	}); err != nil {
		return nil, err
	}
	if id == head {
		old, err := readU64(c, "flags")
		if _, err := present(err); err != nil {
			return nil, err
		}
		return nil, writeU64(c, "flags", masked(old, flags, mask))
	}
	s, err := readSnapshot(c, id)
	if err != nil {
		return nil, err
	}
	s.flags = masked(s.flags, flags, mask)
	return nil, writeSnapshot(c, id, s)
}
