package journal

import (
	"encoding/binary"
	"fmt"

	"github.com/pulpo-storage/pulpo/disk"
)

// Replayed is a record that was found.
type Replayed struct {
	Seq    uint64
	Meta   []byte
	Blocks []byte   // len(CRCs) blocks
	CRCs   []uint32 // of the blocks
	Bad    []int    // blocks that do not match their checksum
}

// read is a group as it was found.
type read struct {
	first   uint64
	records []Replayed
	direct  []span
	next    int64 // in the ring
	bad     bool  // a block does not match
}

type span struct {
	off  int64
	n    uint32
	sums uint32
}

// Replay calls f for each record from a position on, in order, and returns the
// position where the journal ends. Slices passed to f are f's.
//
// A group whose header or records are damaged ends the journal: what comes
// after cannot be found. A group whose data is damaged ends it only if it is
// the last; else the data was durable once and the medium has lost it, which is
// the affair of f, who is told, and not a reason to lose all that came later.
func Replay(ring Ring, from Position, f func(Replayed) error) (Position, error) {
	at := from
	cur, err := readGroup(ring, at)
	for cur != nil && err == nil {
		end := Position{cur.first + uint64(len(cur.records)), cur.next}
		var next *read
		if next, err = readGroup(ring, end); err != nil {
			break
		}
		if next == nil {
			torn := cur.bad
			if !torn {
				if torn, err = directTorn(ring, cur.direct); err != nil {
					break
				}
			}
			if torn {
				return at, nil
			}
		}
		for _, r := range cur.records {
			if err = f(r); err != nil {
				return at, err
			}
		}
		at, cur = end, next
	}
	return at, err
}

// Invalidate destroys what is left of a torn group at the position where Replay
// ended. Its direct data could come to match later, when the same data happens to
// be written to the same place.
func Invalidate(ring Ring, end Position) error {
	wrote := false
	for _, off := range []int64{end.Off, 0} {
		if off+Block > ring.Size {
			continue
		}
		b := disk.Aligned(Block)
		if _, err := ring.File.ReadAt(b, ring.Off+off); err != nil {
			return fmt.Errorf("journal read: %w", err)
		}
		if _, ok := groupLen(b, ring.Salt, end.Seq); !ok {
			continue
		}
		clear(b)
		if _, err := ring.File.WriteAt(b, ring.Off+off); err != nil {
			return fmt.Errorf("journal write: %w", err)
		}
		wrote = true
	}
	if !wrote {
		return nil
	}
	return ring.File.Sync()
}

// directTorn reports whether data that the last group refers to is not there.
func directTorn(ring Ring, direct []span) (bool, error) {
	for _, d := range direct {
		size, err := ring.File.Size()
		if err != nil {
			return false, err
		}
		n := int64(d.n) * Block
		if d.off < 0 || d.off%Block != 0 || d.off > size || n > size-d.off {
			return true, nil // the file's growth was lost
		}
		b := disk.Aligned(int(min(n, 1<<20)))
		var crcs []uint32
		for n > 0 {
			m := min(n, int64(len(b)))
			if _, err := ring.File.ReadAt(b[:m], d.off); err != nil {
				return false, fmt.Errorf("journal replay: %w", err)
			}
			for i := int64(0); i < m; i += Block {
				crcs = append(crcs, Checksum(b[i:i+Block]))
			}
			n -= m
			d.off += m
		}
		if sumOfSums(crcs) != d.sums {
			return true, nil
		}
	}
	return false, nil
}

// readGroup reads the group at a position, nil if there is none.
func readGroup(ring Ring, at Position) (*read, error) {
	g, err := readGroupAt(ring, at.Seq, at.Off)
	if g == nil && err == nil && at.Off != 0 {
		g, err = readGroupAt(ring, at.Seq, 0)
	}
	return g, err
}

func readGroupAt(ring Ring, seq uint64, off int64) (*read, error) {
	if off < 0 || off%Block != 0 || off+Block > ring.Size {
		return nil, nil
	}
	head := disk.Aligned(Block)
	if _, err := ring.File.ReadAt(head, ring.Off+off); err != nil {
		return nil, fmt.Errorf("journal read: %w", err)
	}
	n, ok := groupLen(head, ring.Salt, seq)
	if !ok || n > ring.Size-off {
		return nil, nil
	}
	b := disk.Aligned(int(n))
	if _, err := ring.File.ReadAt(b, ring.Off+off); err != nil {
		return nil, fmt.Errorf("journal read: %w", err)
	}
	g := parseGroup(b, ring.Salt, seq)
	if g != nil {
		g.next = off + n
	}
	return g, nil
}

// groupLen returns how long the group is that a block begins.
func groupLen(b []byte, salt, seq uint64) (int64, bool) {
	if len(b) < headerLen || binary.LittleEndian.Uint64(b) != magic || binary.LittleEndian.Uint64(b[8:]) != salt ||
		binary.LittleEndian.Uint64(b[16:]) != seq || binary.LittleEndian.Uint32(b[24:]) == 0 {
		return 0, false
	}
	meta, blocks := int64(binary.LittleEndian.Uint32(b[28:])), int64(binary.LittleEndian.Uint32(b[32:]))
	return roundUp(headerLen+meta) + blocks*Block, true
}

// parseGroup takes a whole group apart; nil if it is damaged.
func parseGroup(b []byte, salt, seq uint64) *read {
	n, ok := groupLen(b, salt, seq)
	if !ok || n != int64(len(b)) {
		return nil
	}
	count := binary.LittleEndian.Uint32(b[24:])
	metaLen := headerLen + int64(binary.LittleEndian.Uint32(b[28:]))
	meta, blocks := b[:metaLen], b[roundUp(metaLen):]
	if groupCRC(meta) != binary.LittleEndian.Uint32(b[36:]) {
		return nil
	}
	g := &read{first: seq}
	p := meta[headerLen:]
	for i := range uint64(count) {
		if len(p) < recordLen {
			return nil
		}
		nm, nb, nd := int64(binary.LittleEndian.Uint32(p)), int64(binary.LittleEndian.Uint32(p[4:])), int64(binary.LittleEndian.Uint32(p[8:]))
		p = p[recordLen:]
		if nm+4*nb+directLen*nd > int64(len(p)) || nb*Block > int64(len(blocks)) {
			return nil
		}
		r := Replayed{Seq: seq + i, Meta: p[:nm:nm], Blocks: blocks[: nb*Block : nb*Block]}
		p, blocks = p[nm:], blocks[nb*Block:]
		for k := range nb {
			r.CRCs = append(r.CRCs, binary.LittleEndian.Uint32(p[4*k:]))
			if Checksum(r.Blocks[k*Block:(k+1)*Block]) != r.CRCs[k] {
				r.Bad = append(r.Bad, int(k))
				g.bad = true
			}
		}
		p = p[4*nb:]
		for range nd {
			g.direct = append(g.direct, span{int64(binary.LittleEndian.Uint64(p)), binary.LittleEndian.Uint32(p[8:]), binary.LittleEndian.Uint32(p[12:])})
			p = p[directLen:]
		}
		g.records = append(g.records, r)
	}
	if len(p) != 0 || len(blocks) != 0 {
		return nil
	}
	return g
}
