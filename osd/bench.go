package osd

import (
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/objstore"
)

// bench is a run of "bench": it writes to the store, past all that makes
// requests, and says how long that took.
type bench struct {
	call    *call
	began   time.Time
	size    int64
	left    int64
	total   int64
	objects int
	tokens  []uint64 // under way
}

const (
	benchWindow   = 16 // transactions under way
	benchMaxBytes = 1 << 30
)

func (c *call) runBench() {
	o := c.o
	count, size := c.args.Int("count", 1<<30), c.args.Int("size", 4<<20)
	switch {
	case o.bench != nil:
		c.fail(errno.EBUSY, "a bench is running")
		return
	case size <= 0 || size > 64<<20:
		c.fail(errno.EINVAL, fmt.Sprintf("block 'size' values are capped at %d. If you wish to use a higher value, please adjust 'osd_bench_max_block_size'", 64<<20))
		return
	case count < size || count > benchMaxBytes:
		c.fail(errno.EINVAL, fmt.Sprintf("'count' values greater than %d for a block size of %d, assuming 100 IOPS, for 30 seconds, can cause ill effects on osd. "+
			" Please adjust 'osd_bench_small_size_max_iops' with a higher value if you wish to use a higher 'count'.", benchMaxBytes, size))
		return
	}
	// It goes past all that keeps clients from filling the store.
	if free := o.store.Usage().Available; free < 2*uint64(count) {
		c.fail(errno.ENOSPC, fmt.Sprintf("a bench of %d bytes needs twice the room, %d are free", count, free))
		return
	}
	o.bench = &bench{call: c, began: c.now, size: size, left: count / size, total: count / size * size}
	o.benchMore()
}

func (o *OSD) benchMore() {
	b := o.bench
	for b.left > 0 && len(b.tokens) < benchWindow {
		block := buffer.Alloc(int(b.size))
		for i := range block.Bytes() {
			block.Bytes()[i] = 'a'
		}
		txn := new(objstore.Txn)
		txn.Write(objstore.MetaColl, metaObject(fmt.Sprintf("bench_%d", b.objects)), 0, buffer.List{block})
		b.objects++
		b.left--
		b.tokens = append(b.tokens, o.submit(txn))
	}
}

func (o *OSD) benchCommitted(now time.Time) {
	b := o.bench
	if b == nil {
		return
	}
	for len(b.tokens) > 0 && b.tokens[0] <= o.durable {
		b.tokens = b.tokens[1:]
	}
	o.benchMore()
	if len(b.tokens) > 0 {
		return
	}
	took := now.Sub(b.began).Seconds()
	txn := new(objstore.Txn)
	for i := range b.objects {
		txn.Remove(objstore.MetaColl, metaObject(fmt.Sprintf("bench_%d", i)))
	}
	o.submit(txn)
	o.bench = nil
	rate := 0.0
	if took > 0 {
		rate = float64(b.total) / took
	}
	b.call.object(func(f *jsonfmt.Formatter) {
		f.Int("bytes_written", b.total)
		f.Int("blocksize", b.size)
		f.Float("elapsed_sec", took)
		f.Float("bytes_per_sec", rate)
		f.Float("iops", rate/float64(b.size))
	})
}
