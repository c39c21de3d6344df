package rbd

import (
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

var sizeMethods = objclass.Class{
	"get_size": {Flags: rd, Call: getSize},
	"set_size": {Flags: rd | wr, Call: setSize},
}

// getSize takes u64 snapshot or head and returns u8 order, u64 size in bytes.
func getSize(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseU64(in)
	if err != nil {
		return nil, err
	}
	order, err := readOrder(c)
	if err != nil {
		return nil, err
	}
	var size uint64
	if id == head {
		size, err = readU64(c, "size")
	} else {
		var s *snapshot
		if s, err = readSnapshot(c, id); err == nil {
			size = s.size
		}
	}
	if err != nil {
		return nil, err
	}
	return encoded(func(e *wire.Encoder) { e.U8(order); e.U64(size) }), nil
}

// setSize takes u64 bytes. What an image loses it never gets back from its
// parent, so that their overlap shrinks with it.
func setSize(c objclass.Context, in []byte) ([]byte, error) {
	size, err := parseU64(in)
	if err != nil {
		return nil, err
	}
	old, err := readU64(c, "size")
	if err != nil {
		return nil, err
	}
	if err := writeU64(c, "size", size); err != nil || size >= old {
		return nil, err
	}
	p, err := readParent(c)
	if _, err := present(err); err != nil {
		return nil, err
	}
	if !p.Exists() || p.overlap.n <= size {
		return nil, nil
	}
	p.overlap.n = size
	return nil, writeParent(c, p)
}
