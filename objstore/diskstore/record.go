package diskstore

import (
	"encoding/binary"
	"fmt"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/alloc"
)

// placed is a run of blocks that a transaction took, with what it put there.
type placed struct {
	run    alloc.Run
	data   buffer.Ref // holds a reference until the blocks are in the file
	crcs   []uint32
	direct bool // written to the file by the journal; else it rides in it
}

// record is what is remembered of a transaction until the checkpoint has
// passed it.
type record struct {
	seq    uint64
	placed []placed
	frees  []alloc.Run
}

// encodeRecord appends the record's part in the journal beside the data: two
// lists of runs, each a varint count and varints start and length, the first
// with lowest bit of the length telling direct runs; then the Pebble batch.
func encodeRecord(b []byte, r *record, batch []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(r.placed)))
	for i := range r.placed {
		p := &r.placed[i]
		n := p.run.Len << 1
		if p.direct {
			n |= 1
		}
		b = binary.AppendUvarint(b, p.run.Start)
		b = binary.AppendUvarint(b, n)
	}
	b = binary.AppendUvarint(b, uint64(len(r.frees)))
	for _, f := range r.frees {
		b = binary.AppendUvarint(b, f.Start)
		b = binary.AppendUvarint(b, f.Len)
	}
	return append(b, batch...)
}

// decodeRecord is the inverse; blocks and crcs are the data that rode along.
func decodeRecord(b, blocks []byte, crcs []uint32) (r *record, batch []byte, err error) {
	d := reader{b: b}
	r = &record{}
	const limit = 1 << 52
	for n := d.uint(); n > 0 && !d.bad; n-- {
		p := placed{run: alloc.Run{Start: d.uint(), Len: d.uint()}}
		p.direct, p.run.Len = p.run.Len&1 == 1, p.run.Len>>1
		if p.run.Start > limit || p.run.Len > limit || p.run.Len == 0 {
			d.bad = true
			break
		}
		if !p.direct {
			if p.run.Len > uint64(len(crcs)) {
				d.bad = true
				break
			}
			p.data = buffer.Wrap(blocks[:p.run.Len*blockSize])
			p.crcs = crcs[:p.run.Len]
			blocks, crcs = blocks[p.run.Len*blockSize:], crcs[p.run.Len:]
		}
		r.placed = append(r.placed, p)
	}
	for n := d.uint(); n > 0 && !d.bad; n-- {
		f := alloc.Run{Start: d.uint(), Len: d.uint()}
		if f.Start > limit || f.Len > limit || f.Len == 0 {
			d.bad = true
		}
		r.frees = append(r.frees, f)
	}
	if d.bad || len(crcs) != 0 {
		return nil, nil, fmt.Errorf("journal record: %w", errRecord)
	}
	return r, d.b, nil
}

// state is written with every batch: what the store was after it.
type state struct {
	seq       uint64 // of the batch's record
	nextNID   uint64
	nextColl  uint64
	stored    uint64 // bytes, as users see them
	allocated uint64 // blocks with data
}

func (s *state) encode() []byte {
	b := make([]byte, 0, 40)
	for _, v := range []uint64{s.seq, s.nextNID, s.nextColl, s.stored, s.allocated} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func decodeState(b []byte) (s state, err error) {
	if len(b) < 40 {
		return s, fmt.Errorf("state: %w", errRecord)
	}
	for i, p := range []*uint64{&s.seq, &s.nextNID, &s.nextColl, &s.stored, &s.allocated} {
		*p = binary.LittleEndian.Uint64(b[8*i:])
	}
	return s, nil
}

// checkpoint is where replay begins, and how many blocks the bitmap covers.
type checkpoint struct {
	seq    uint64 // of the first record that is needed
	off    uint64 // of its group in the journal
	blocks uint64
}

func (c *checkpoint) encode() []byte {
	b := make([]byte, 0, 24)
	for _, v := range []uint64{c.seq, c.off, c.blocks} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func decodeCheckpoint(b []byte) (c checkpoint, err error) {
	if len(b) < 24 {
		return c, fmt.Errorf("checkpoint: %w", errRecord)
	}
	for i, p := range []*uint64{&c.seq, &c.off, &c.blocks} {
		*p = binary.LittleEndian.Uint64(b[8*i:])
	}
	return c, nil
}

// batchCount is the number of entries of a Pebble batch: u64 sequence number,
// u32 count, entries.
func batchCount(repr []byte) uint32 {
	if len(repr) < 12 {
		return 0
	}
	return binary.LittleEndian.Uint32(repr[8:])
}
