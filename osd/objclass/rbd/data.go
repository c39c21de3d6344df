package rbd

import (
	"bytes"
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// Methods of data objects.

var dataMethods = objclass.Class{
	"copyup":           {Flags: rd | wr, Call: copyUp},
	"sparse_copyup":    {Flags: rd | wr, Call: sparseCopyUp},
	"sparsify":         {Flags: rd | wr, Call: sparsify},
	"assert_snapc_seq": {Flags: rd | wr, Call: assertSnapSeq},
}

// copyUp takes the bytes that a clone's parent has for an object, and writes them
// unless the clone has the object: two clients may copy the same one.
func copyUp(c objclass.Context, in []byte) ([]byte, error) {
	if exists(c) == nil {
		return nil, nil
	}
	return nil, c.Write(0, keep(in))
}

// extent is a range of an object.
type extent struct{ off, n uint64 }

// sparseCopyUp is copyUp of ranges: map of u64 offset to u64 length, bufferlist
// with their bytes. Without any it creates the object, empty.
func sparseCopyUp(c objclass.Context, in []byte) ([]byte, error) {
	var extents []extent
	var data []byte
	if err := objclass.Parse(in, func(d *wire.Decoder) {
		for _, p := range decodeMap(d, 16, func() (uint64, uint64) { return d.U64(), d.U64() }) {
			extents = append(extents, extent{p.key, p.value})
		}
		data = d.Blob()
	}); err != nil {
		return nil, err
	}
	if exists(c) == nil {
		return nil, nil
	}
	if len(extents) == 0 {
		return nil, c.Create(true)
	}
	for _, x := range extents {
		if x.n > uint64(len(data)) {
			return nil, fmt.Errorf("range %d~%d: %d bytes left: %w", x.off, x.n, len(data), errno.EINVAL)
		}
		if err := c.Write(x.off, keep(data[:x.n])); err != nil {
			return nil, err
		}
		data = data[x.n:]
	}
	return nil, nil
}

// sparsify takes u64 block size, bool remove. It writes the object anew without
// blocks of zeros, so that they take no space; what is nothing but zeros it
// truncates or removes.
func sparsify(c objclass.Context, in []byte) ([]byte, error) {
	var block uint64
	var remove bool
	if err := objclass.Parse(in, func(d *wire.Decoder) { block, remove = d.U64(), d.Bool() }); err != nil {
		return nil, err
	}
	if err := exists(c); err != nil {
		return nil, err
	}
	if block == 0 {
		return nil, errno.EINVAL
	}
	data, err := c.Read(0, 0)
	if err != nil {
		return nil, err
	}
	runs := solid(data, block)
	switch {
	case len(runs) == 0 && remove:
		return nil, c.Remove()
	case len(data) == 0 || len(runs) == 1 && runs[0].n == uint64(len(data)):
		return nil, nil
	}
	if err := c.Truncate(0); err != nil {
		return nil, err
	}
	for _, r := range runs {
		if err := c.Write(r.off, data[r.off:r.off+r.n]); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// solid returns the ranges of data that are not blocks of zeros.
func solid(data []byte, block uint64) (runs []extent) {
	size := uint64(len(data))
	for off := uint64(0); off < size; {
		n := min(block, size-off)
		if !zero(data[off : off+n]) {
			if last := len(runs) - 1; last >= 0 && runs[last].off+runs[last].n == off {
				runs[last].n += n
			} else {
				runs = append(runs, extent{off, n})
			}
		}
		off += n
	}
	return runs
}

func zero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// States of a snapshot context that a client may insist on
// (AssertSnapcSeqState).
const (
	seqAbove = 0 // newer than the object's newest snapshot
	seqUpTo  = 1
)

// assertSnapSeq takes u64 newest snapshot of the client's context, u8 state. ERANGE
// if the object's is not as the client thinks. An object that does not exist has
// no snapshots.
func assertSnapSeq(c objclass.Context, in []byte) ([]byte, error) {
	var seq uint64
	var want uint8
	if err := objclass.Parse(in, func(d *wire.Decoder) { seq, want = d.U64(), d.U8() }); err != nil {
		return nil, err
	}
	have, err := c.SnapSeq()
	found, err := present(err)
	if err != nil {
		return nil, err
	}
	above := !found || seq > have
	switch {
	case want > seqUpTo:
		return nil, errno.EOPNOTSUPP
	case above != (want == seqAbove):
		return nil, errno.ERANGE
	}
	return nil, nil
}
