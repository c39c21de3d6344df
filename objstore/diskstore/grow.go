package diskstore

import (
	"errors"
	"fmt"

	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/alloc"
)

// The file's space is allocated in the file system before blocks of it are
// handed out, so that a full file system is known of when a transaction can
// still be refused.

// least is the least that the file grows by.
const least = 1 << 20

// growRoom is how many bytes the file may grow by on its file system.
func (s *Store) growRoom() (uint64, error) {
	total, free, err := s.opt.Disk.Space()
	if keep := metaReserve(total); err == nil && free >= keep+least {
		return free - keep, nil
	}
	return 0, err
}

// grow makes the file larger, by n blocks or more if there is room, or by what
// there is. It reports whether it grew.
func (s *Store) grow(n uint64) bool {
	p := &s.space
	p.mu.Lock()
	size, most, full := p.used.Size(), p.max, p.full
	p.mu.Unlock()
	if full || size >= most {
		return false
	}
	room, err := s.growRoom()
	step := min(max(n, s.opt.growStep()/blockSize), room/blockSize, most-size)
	if err == nil && step > 0 {
		err = s.file.Allocate(int64(size*blockSize), int64(step*blockSize))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || step == 0 {
		s.opt.Log.Warn("the file cannot grow", "path", s.opt.Disk.Path(), "bytes", size*blockSize, "room", room, "err", err)
		p.full = true
		return false
	}
	p.used.Grow(size + step)
	return true
}

// growStep is by how much the file grows at a time: small stores do not all at
// once.
func (o *Options) growStep() uint64 { return min(max(o.Size/16&^(blockSize-1), 1<<20), growStep) }

// takeBlocks hands out n blocks. When there are too few it grows the file, and
// else, if enough blocks wait for a checkpoint, makes one.
func (x *exec) takeBlocks(dst []alloc.Run, n uint64) ([]alloc.Run, error) {
	s := x.s
	for {
		out, lack, held := s.space.take(dst, n, x.last)
		if lack == 0 {
			return out, nil
		}
		if s.grow(lack) {
			continue
		}
		if held < lack {
			s.ckpt.ask() // it also looks whether there is room again
			return dst, fmt.Errorf("%d bytes: %w", n*blockSize, objstore.ErrNoSpace)
		}
		// Blocks are held only by records that the journal has not released.
		if err := s.jrnl.Released(s.state.seq, x.journalRoom); err != nil {
			return dst, errors.Join(s.broken(), err)
		}
	}
}

// lookForRoom finds out whether a file system that was full still is.
func (s *Store) lookForRoom() {
	if s.room.full.Load() {
		s.room.look()
	}
	p := &s.space
	p.mu.Lock()
	full := p.full
	p.mu.Unlock()
	if !full {
		return
	}
	if room, err := s.growRoom(); err == nil && room > 0 {
		p.mu.Lock()
		p.full = false
		p.mu.Unlock()
	}
}
