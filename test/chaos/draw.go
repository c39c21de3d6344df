package chaos

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"

	"github.com/pulpo-storage/pulpo/rados"
)

const (
	maxPayload = 256 << 10
	maxObject  = 512 << 10
	block      = 4 << 10 // stores have a path of their own for whole blocks
)

// draw chooses the next operation on an object that is in state s.
func draw(r *rand.Rand, s *State, seq int) *Op {
	op := &Op{Seq: seq}
	if !s.Exists {
		switch n := r.IntN(10); {
		case n < 3:
			op.Steps = []step{writeFull{payload(r)}}
		case n < 5:
			op.Steps = []step{appendData{payload(r)}}
		case n < 6:
			op.Steps = []step{write{offset(r, block), payload(r)}}
		case n < 7:
			op.Steps = []step{create{}, omapHeader{stamp(seq)}}
		default:
			op.Steps = append([]step{create{}}, compound(r, s, seq)...)
		}
		return op
	}
	switch n := r.IntN(100); {
	case n < 27:
		op.Steps = []step{fit(write{offset(r, len(s.Data)+block), payload(r)})}
	case n < 42:
		op.Steps = []step{writeFull{payload(r)}}
	case n < 54:
		if data := payload(r); len(s.Data)+len(data) <= maxObject {
			op.Steps = []step{appendData{data}}
		} else {
			op.Steps = []step{truncate{offset(r, block)}, appendData{data}}
		}
	case n < 62:
		op.Steps = []step{truncate{offset(r, min(len(s.Data)+block, maxObject))}}
	case n < 66:
		op.Steps = []step{zero{offset(r, len(s.Data)), 1 + r.IntN(64<<10)}}
	case n < 90:
		op.Steps = compound(r, s, seq)
	case n < 95:
		op.Steps = []step{remove{}}
	default:
		op.Steps = append([]step{create{}}, compound(r, s, seq)...)
		op.Refused = rados.ErrExists
	}
	return op
}

// compound is a sequence that changes data, xattrs and omap. Each carries the
// operation's number, so that none can be of another operation unseen.
func compound(r *rand.Rand, s *State, seq int) []step {
	steps := []step{
		fit(write{offset(r, len(s.Data)+1), payload(r)}),
		setXattr{"op", stamp(seq)},
		omapSet{map[string]string{"op": stamp(seq), key(r): value(r)}},
	}
	if r.IntN(2) == 0 {
		steps = append(steps, setXattr{key(r), value(r)})
	}
	if r.IntN(4) == 0 {
		steps = append(steps, omapHeader{stamp(seq)})
	}
	if _, there := s.Xattrs["gone"]; there {
		steps = append(steps, removeXattr{"gone"})
	} else if r.IntN(4) == 0 {
		steps = append(steps, setXattr{"gone", value(r)})
	}
	switch r.IntN(8) {
	case 0:
		steps = append(steps, omapRemove{[]string{key(r), key(r)}})
	case 1:
		steps = append([]step{omapClear{}}, steps...)
	case 2:
		steps = append(steps, truncate{offset(r, maxObject)})
	}
	r.Shuffle(len(steps), func(i, j int) {
		// What clears stays before what sets.
		if _, clears := steps[0].(omapClear); clears && (i == 0 || j == 0) {
			return
		}
		steps[i], steps[j] = steps[j], steps[i]
	})
	return steps
}

// fit keeps an object within its bound.
func fit(w write) write {
	w.off = max(0, min(w.off, maxObject-len(w.data)))
	return w
}

// payload is 1 byte to 256 KiB, sizes of each magnitude equally often, a third
// of them whole blocks. Random bytes: none is right by chance.
func payload(r *rand.Rand) []byte {
	n := 1 + r.IntN(1<<(1+r.IntN(bits.Len(maxPayload-1))))
	if r.IntN(3) == 0 {
		n = (n + block - 1) / block * block
	}
	return noise(r, n)
}

// noise is n random bytes.
func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n, n+8)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:i+8], r.Uint64())
	}
	return b[:n:n]
}

// offset is one up to max, a third of them at a block.
func offset(r *rand.Rand, max int) int {
	n := r.IntN(max + 1)
	if r.IntN(3) == 0 {
		n = n / block * block
	}
	return n
}

func stamp(seq int) string { return fmt.Sprintf("op %d", seq) }

func key(r *rand.Rand) string { return fmt.Sprintf("k%02d", r.IntN(24)) }

func value(r *rand.Rand) string {
	return fmt.Sprintf("%0*x", r.IntN(600), r.Uint64())
}
