package diskstore

import (
	"sync"
	"sync/atomic"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/journal"
)

// A read of an object whose blocks lie apart is many reads of the file. They are
// made a few at a time: the medium has more than one to do, and one is checked
// while others are on their way. A run of blocks is not taken apart, up to
// maxReadRun: that costs more CPU than it gains.

const (
	readHelpers = 7  // for one read, beside the caller
	maxHelpers  = 16 // for a store
)

// fileRead is blocks of an object, from block i on, that lie side by side in the
// file. It borrows dst, whose sums it sets.
type fileRead struct {
	dst buffer.Ref
	i   uint64
}

// readAll makes the reads. With an error it tells of which block of the object.
func (s *Store) readAll(n *onode, reads []fileRead) (bad uint64, err error) {
	if len(reads) == 0 {
		return 0, nil
	}
	if len(reads) == 1 {
		return s.readChecked(n, reads[0])
	}
	var (
		next atomic.Int64
		mu   sync.Mutex
		wg   sync.WaitGroup
	)
	work := func() {
		for {
			k := int(next.Add(1)) - 1
			if k >= len(reads) {
				return
			}
			if at, e := s.readChecked(n, reads[k]); e != nil {
				next.Store(int64(len(reads))) // the others need not begin
				mu.Lock()
				if err == nil || at < bad {
					bad, err = at, e
				}
				mu.Unlock()
			}
		}
	}
	for range min(readHelpers, len(reads)-1) {
		select {
		case s.helpers <- struct{}{}:
			wg.Go(func() {
				work()
				<-s.helpers
			})
			continue
		default:
		}
		break
	}
	work()
	wg.Wait()
	return bad, err
}

// checkRun is how many blocks are read before they are checked: so few that they
// still are in the processor's cache.
const checkRun = 256 << 10 / blockSize

// readChecked reads blocks and holds them against their checksums.
func (s *Store) readChecked(n *onode, r fileRead) (bad uint64, err error) {
	b, sums := r.dst.Bytes(), r.dst.Sums()
	at := n.block(r.i).phys()
	for j := 0; j < len(sums); {
		end := min(j+checkRun, len(sums))
		if err := s.readFile(b[j*blockSize:end*blockSize], at+uint64(j)); err != nil {
			return r.i + uint64(j), err
		}
		for ; j < end; j++ {
			sums[j] = journal.Checksum(b[j*blockSize : (j+1)*blockSize])
			if sums[j] != n.block(r.i+uint64(j)).crc {
				return r.i + uint64(j), errChecksum
			}
		}
	}
	return 0, nil
}
