// Package cas is the class "cas": chunks of deduplicated data, which are named
// after their content and go when nothing refers to them any more (cls_cas).
//
// The attribute chunk_refs of a chunk says who does. One who refers to it twice
// counts twice.
//
// No compatibility promise.
package cas

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

const attr = "chunk_refs"

// verify asks to compare the bytes with those of the chunk that is there.
const verify = 1

// Class returns the class.
func Class() objclass.Class {
	const rd, wr = objclass.Read, objclass.Write
	return objclass.Class{
		"chunk_create_or_get_ref": {Flags: rd | wr, Call: createOrGet},
		"chunk_get_ref":           {Flags: rd | wr, Call: get},
		"chunk_put_ref":           {Flags: rd | wr, Call: put},
		"references_chunk":        {Flags: rd, Call: references},
	}
}

// parseSource decodes who refers, and what else there is.
func parseSource(in []byte, more func(d *wire.Decoder)) (source object.ID, err error) {
	err = objclass.ParseStruct(in, "cls_cas request", 1, func(d *wire.Decoder, _ uint8) {
		source.Decode(d)
		more(d)
	})
	return source, err
}

// readRefs returns ENOENT if there is no chunk.
func readRefs(c objclass.Context) (r refs, err error) {
	b, err := c.Xattr(attr)
	if errors.Is(err, errno.ENODATA) {
		return refs{}, nil
	}
	if err != nil {
		return refs{}, err
	}
	d := wire.NewDecoder(b)
	if r.Decode(d); d.Err() != nil {
		return refs{}, fmt.Errorf("%w: %w", d.Err(), errno.EIO)
	}
	return r, nil
}

func writeRefs(c objclass.Context, r refs) error { return c.SetXattr(attr, wire.Marshal(r)) }

// createOrGet refers to a chunk, which it makes if it is not there.
func createOrGet(c objclass.Context, in []byte) ([]byte, error) {
	var flags uint64
	var data []byte
	source, err := parseSource(in, func(d *wire.Decoder) { flags, data = d.U64(), d.Blob() })
	if err != nil {
		return nil, err
	}
	r, err := readRefs(c)
	switch {
	case errors.Is(err, errno.ENOENT):
		if err := c.WriteFull(bytes.Clone(data)); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case flags&verify != 0:
		old, err := c.Read(0, 0)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(old, data) {
			return nil, errno.ENOMSG
		}
	}
	r.get(source)
	return nil, writeRefs(c, r)
}

func get(c objclass.Context, in []byte) ([]byte, error) {
	source, err := parseSource(in, func(*wire.Decoder) {})
	if err != nil {
		return nil, err
	}
	r, err := readRefs(c)
	if err != nil {
		return nil, err
	}
	r.get(source)
	return nil, writeRefs(c, r)
}

// put removes a reference; with the last the chunk goes.
func put(c objclass.Context, in []byte) ([]byte, error) {
	source, err := parseSource(in, func(*wire.Decoder) {})
	if err != nil {
		return nil, err
	}
	r, err := readRefs(c)
	if err != nil {
		return nil, err
	}
	if !r.put(source) {
		return nil, errno.ENOLINK
	}
	if r.empty() {
		return nil, c.Remove()
	}
	return nil, writeRefs(c, r)
}

// references counts how often an object consists of a chunk. No object here
// consists of chunks, so it is never.
func references(_ objclass.Context, in []byte) ([]byte, error) {
	if err := objclass.Parse(in, func(d *wire.Decoder) { d.Str() }); err != nil {
		return nil, err
	}
	return nil, errno.ENOLINK
}
