package diskstore

import (
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/alloc"
)

// The file's space is allocated in the file system before blocks of it are
// handed out, so that a full file system is known of when a transaction can
// still be refused.

// metaRetry is how long Pebble rests when it found no room, before it tries
// again. Until then, and until a checkpoint has seen that there is room, only
// transactions that give something up are taken.
const metaRetry = 50 * time.Millisecond

// metaReserve is what growing leaves free on a file system of so many bytes,
// for metadata.
func metaReserve(total uint64) uint64 { return min(total/32, 1<<30) }

// grow makes the file larger, so that at least n blocks more are free if the
// size allows. It reports whether it grew.
func (s *Store) grow(n uint64) bool {
	p := &s.space
	p.mu.Lock()
	size, most, full := p.used.Size(), p.max, p.full
	p.mu.Unlock()
	if full || size >= most {
		return false
	}
	step := max(n, min(growStep, s.opt.stepLimit())/blockSize)
	for {
		step = min(step, most-size)
		err := s.allocateFile(size, step)
		if err == nil {
			break
		}
		if step > n && n > 0 {
			step = n // the last crumbs
			continue
		}
		s.opt.Log.Warn("the file cannot grow", "path", s.opt.Disk.Path(), "bytes", size*blockSize, "err", err)
		p.mu.Lock()
		p.full = true
		p.mu.Unlock()
		return false
	}
	p.mu.Lock()
	p.used.Grow(size + step)
	p.mu.Unlock()
	return true
}

// stepLimit keeps small stores from growing all at once.
func (o *Options) stepLimit() uint64 { return max(o.Size/16&^(blockSize-1), 1<<20) }

func (s *Store) allocateFile(size, step uint64) error {
	total, free, err := s.opt.Disk.Space()
	if err != nil {
		return err
	}
	if free < step*blockSize+metaReserve(total) {
		return fmt.Errorf("%d bytes are free on the file system: %w", free, objstore.ErrNoSpace)
	}
	return s.file.Allocate(int64(size*blockSize), int64(step*blockSize))
}

// takeBlocks hands out n blocks. When there are too few it grows the file, and
// else, if enough blocks wait for a checkpoint, makes one.
func (s *Store) takeBlocks(dst []alloc.Run, n uint64, reserve bool) ([]alloc.Run, error) {
	if out, ok := s.space.take(dst, n, reserve); ok {
		return out, nil
	}
	for s.grow(n + reserveBlocks) {
		if out, ok := s.space.take(dst, n, reserve); ok {
			return out, nil
		}
	}
	s.space.mu.Lock()
	held := s.space.held
	s.space.mu.Unlock()
	if held > 0 && held+reserveBlocks >= n {
		if err := s.checkpointNow(); err != nil {
			return dst, err
		}
		if out, ok := s.space.take(dst, n, reserve); ok {
			return out, nil
		}
	}
	return dst, fmt.Errorf("%d bytes: %w", n*blockSize, objstore.ErrNoSpace)
}
