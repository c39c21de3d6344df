package diskstore

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pulpo-storage/pulpo/disk"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/alloc"
)

// idleCheckpoint is after how long records are written out even if nothing asks
// for it, so that the next opening has little to replay.
const idleCheckpoint = 10 * time.Second

// checkpointer runs checkpoints, one at a time.
type checkpointer struct {
	kick  chan struct{}
	quit  chan struct{}
	ended chan struct{}
	last  error // why the goroutine has ended early, for want of room

	run     sync.Mutex    // held during a checkpoint; what follows is under it
	durable *alloc.Bitmap // as Pebble has it
	dirty   map[int]bool  // chunks of durable that differ from Pebble's
	buf     []byte
}

func (c *checkpointer) start(s *Store) {
	c.kick = make(chan struct{}, 1)
	c.quit = make(chan struct{})
	c.ended = make(chan struct{})
	go func() {
		defer close(c.ended)
		tick := time.NewTicker(idleCheckpoint)
		defer tick.Stop()
		for {
			select {
			case <-c.quit:
				return
			case <-c.kick:
			case <-tick.C:
			}
			s.lookForRoom()
			switch err := s.checkpoint(); {
			case errors.Is(err, errMetaRoom):
				c.last = err
				return // the store is being closed
			case err != nil:
				s.fail(err)
				return
			}
		}
	}()
}

// ask asks for a checkpoint and does not wait.
func (c *checkpointer) ask() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// consider asks for a checkpoint if there is enough to do.
func (c *checkpointer) consider(s *Store) {
	if s.jrnl.HalfFull() {
		c.ask()
	}
}

// stop ends the goroutine and makes a last checkpoint. If there is no room for
// that the journal has it all.
func (c *checkpointer) stop(s *Store) error {
	close(c.quit)
	<-c.ended
	if s.failed.Load() != nil {
		return nil
	}
	err := c.last
	if err == nil {
		err = s.checkpoint()
	}
	if errors.Is(err, errMetaRoom) {
		s.opt.Log.Warn("closed without a checkpoint", "path", s.opt.Disk.Path(), "err", err)
		return nil
	}
	return err
}

// checkpoint passes the records that are durable in the journal.
func (s *Store) checkpoint() error {
	c := &s.ckpt
	c.run.Lock()
	defer c.run.Unlock()
	s.applied.Lock()
	to := s.jrnl.Durable() // of these Pebble has the batches
	s.applied.Unlock()
	records := s.recordsBefore(to.Seq)
	if len(records) == 0 {
		return nil
	}
	begun := time.Now()
	s.space.mu.Lock()
	size := s.space.used.Size()
	s.space.mu.Unlock()
	wrote, err := s.writePending(records)
	if err != nil {
		return err
	}
	if wrote || size > c.durable.Size() {
		// The file must be as long as the bitmap that is about to say so.
		if err := s.file.Sync(); err != nil {
			return fmt.Errorf("data sync: %w", err)
		}
	}

	b := s.db.NewBatch()
	defer b.Close()
	c.durable.Grow(size)
	for _, r := range records {
		if err := c.fold(r); err != nil {
			return err
		}
	}
	for chunk := range c.dirty {
		if err := b.Set(numKey(keyBitmap, uint64(chunk)), c.durable.AppendChunk(nil, chunk), nil); err != nil {
			return err
		}
	}
	ck := checkpoint{to.Seq, uint64(to.Off), c.durable.Size()}
	if err := b.Set([]byte{keyCheckpoint}, ck.encode(), nil); err != nil {
		return err
	}
	if err := s.db.Apply(b, pebble.NoSync); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if err := s.flush(); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	clear(c.dirty)

	// All of it is durable: the past may go.
	for _, r := range records {
		for i := range r.placed {
			if p := &r.placed[i]; !p.direct {
				s.pending.remove(p.run)
				p.data.Release()
			}
		}
	}
	free, err := s.forget(records)
	if err != nil {
		return err
	}
	s.jrnl.Release(to)

	s.stats.checkpoints.Add(1)
	s.stats.checkpointTime.Add(int64(time.Since(begun)))
	s.measure()
	if free*blockSize < growStep/2 {
		s.grow(0)
	}
	return nil
}

// maxLevel0 is above how many sublevels of Pebble's level 0, each of which every
// read must look at, a checkpoint waits for a compaction.
const maxLevel0 = 40

// flush makes what Pebble has durable. It waits as long as there is no room for
// that, but not when the store is being closed.
func (s *Store) flush() error {
	select {
	case <-s.compacted: // long ago
	default:
	}
	if s.damage.Load() == nil && s.db.Metrics().Levels[0].Sublevels > maxLevel0 { // damage may keep it from being compacted
		select {
		case <-s.compacted:
		case <-s.room.gaveUp:
		}
	}
	done, err := s.db.AsyncFlush()
	if err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-s.room.gaveUp:
		return errMetaRoom
	}
}

// forget drops the first records, and hands out the blocks that they gave up. It
// returns how many blocks are free then.
func (s *Store) forget(records []*record) (uint64, error) {
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	for _, r := range records {
		for _, f := range r.frees {
			if err := s.space.used.Release(f); err != nil {
				return 0, fmt.Errorf("record %d gives up blocks: %w", r.seq, err)
			}
			s.space.held -= f.Len
		}
	}
	s.recMu.Lock()
	defer s.recMu.Unlock()
	s.records = slices.Delete(s.records, 0, len(records))
	return s.space.used.Free(), nil
}

// recordsBefore returns the records with lower numbers.
func (s *Store) recordsBefore(seq uint64) []*record {
	s.recMu.Lock()
	defer s.recMu.Unlock()
	n := 0
	for n < len(s.records) && s.records[n].seq < seq {
		n++
	}
	return slices.Clone(s.records[:n])
}

// fold brings the durable bitmap past a record.
func (c *checkpointer) fold(r *record) error {
	for i := range r.placed {
		if err := c.durable.Mark(r.placed[i].run); err != nil {
			return fmt.Errorf("record %d takes blocks: %w", r.seq, err)
		}
		c.touch(r.placed[i].run)
	}
	for _, f := range r.frees {
		if err := c.durable.Release(f); err != nil {
			return fmt.Errorf("record %d gives up blocks: %w", r.seq, err)
		}
		c.touch(f)
	}
	return nil
}

func (c *checkpointer) touch(r alloc.Run) {
	for i := r.Start / alloc.ChunkBlocks; i <= (r.End()-1)/alloc.ChunkBlocks; i++ {
		c.dirty[int(i)] = true
	}
}

// writeBytes is how much is gathered for one write.
const writeBytes = 1 << 20

// writePending brings the data of records to the file, but for blocks that one
// of them has given up again, in the order in which it lies there. It reports
// whether there was something to sync.
func (s *Store) writePending(records []*record) (bool, error) {
	type piece struct {
		at   uint64
		data []byte
	}
	var pieces []piece
	for _, r := range records {
		for i := range r.placed {
			p := &r.placed[i]
			if p.direct {
				continue
			}
			for k := range p.run.Len {
				pieces = append(pieces, piece{p.run.Start + k, p.data.Bytes()[k*blockSize : (k+1)*blockSize]})
			}
		}
	}
	if len(pieces) == 0 {
		return false, nil
	}
	gone := make(map[uint64]struct{})
	for _, r := range records {
		for _, f := range r.frees {
			for at := f.Start; at < f.End(); at++ {
				gone[at] = struct{}{}
			}
		}
	}
	pieces = slices.DeleteFunc(pieces, func(p piece) bool { _, ok := gone[p.at]; return ok })
	slices.SortFunc(pieces, func(a, b piece) int {
		if a.at < b.at {
			return -1
		}
		return 1
	})
	if s.ckpt.buf == nil {
		s.ckpt.buf = disk.Aligned(writeBytes)
	}
	for i := 0; i < len(pieces); {
		n := 0
		for i+n < len(pieces) && n < writeBytes/blockSize && pieces[i+n].at == pieces[i].at+uint64(n) {
			copy(s.ckpt.buf[n*blockSize:], pieces[i+n].data)
			n++
		}
		if _, err := s.file.WriteAt(s.ckpt.buf[:n*blockSize], int64(pieces[i].at*blockSize)); err != nil {
			return false, fmt.Errorf("data write: %w", err)
		}
		s.stats.deferredBytes.Add(uint64(n * blockSize))
		i += n
	}
	return true, nil
}

// measure looks at what is not worth looking at for each transaction.
func (s *Store) measure() {
	m := s.db.Metrics()
	s.stats.meta.Store(m.DiskSpaceUsage())
	if n, err := s.db.EstimateDiskUsage([]byte{keyOmap}, []byte{keyOmap + 1}); err == nil {
		s.stats.omap.Store(n)
		s.stats.omapPut.Store(0)
	}
	s.room.look()
}
