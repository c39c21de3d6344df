package diskstore

import (
	"sync"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/alloc"
)

// pendingData holds the content of blocks that is not in the file yet, by block
// of the file. Reads look here first.
//
// It borrows the references of those who put data in, who must remove it before
// they release them.
type pendingData struct {
	mu     sync.RWMutex
	chunks map[uint64]*pendingChunk
	blocks int
}

// pendingBlocks is few, since blocks that lie alone pay for all of a chunk.
const pendingBlocks = 16

type pendingChunk struct {
	refs [pendingBlocks]buffer.Ref
	n    int
}

// put adds the blocks of a run; data has as many bytes.
func (p *pendingData) put(r alloc.Run, data buffer.Ref) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.chunks == nil {
		p.chunks = make(map[uint64]*pendingChunk)
	}
	var c *pendingChunk
	for i := range r.Len {
		at := r.Start + i
		if c == nil || at%pendingBlocks == 0 {
			if c = p.chunks[at/pendingBlocks]; c == nil {
				c = &pendingChunk{}
				p.chunks[at/pendingBlocks] = c
			}
		}
		c.refs[at%pendingBlocks] = data.Slice(int(i*blockSize), int((i+1)*blockSize))
		c.n++
	}
	p.blocks += int(r.Len)
}

// remove takes the blocks of a run out.
func (p *pendingData) remove(r alloc.Run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for at := r.Start; at < r.End(); at++ {
		c := p.chunks[at/pendingBlocks]
		c.refs[at%pendingBlocks] = buffer.Ref{}
		if c.n--; c.n == 0 {
			delete(p.chunks, at/pendingBlocks)
		}
	}
	p.blocks -= int(r.Len)
}

// get returns a block with a reference of its own; not ok if it is in the file.
func (p *pendingData) get(at uint64) (r buffer.Ref, ok bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	c := p.chunks[at/pendingBlocks]
	if c == nil || c.refs[at%pendingBlocks].Len() == 0 {
		return r, false
	}
	return c.refs[at%pendingBlocks].Retain(), true
}

// bytes is how much there is.
func (p *pendingData) bytes() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.blocks * blockSize
}

// firstIn returns how many blocks of a run come before the first that is here.
func (p *pendingData) firstIn(r alloc.Run) uint64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.blocks == 0 {
		return r.Len
	}
	for i := uint64(0); i < r.Len; {
		at := r.Start + i
		c := p.chunks[at/pendingBlocks]
		if c == nil {
			i += pendingBlocks - at%pendingBlocks
			continue
		}
		if c.refs[at%pendingBlocks].Len() != 0 {
			return i
		}
		i++
	}
	return r.Len
}
