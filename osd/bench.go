package osd

import (
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
)

// bench is a run of "bench": it writes to the store, past all that makes
// requests, and says how long that took. Each write is an object of its own; or
// first some objects are made, and then the writes go to random places in them.
type bench struct {
	call  *call
	count int64 // bytes that were asked for
	block int64 // bytes of a write that were asked for, and are reported
	size  int64 // of a write; no more than an object has
	left  int64 // writes

	objectSize, objects int64
	filled              int64 // objects that were made first

	began  time.Time
	made   int64    // objects to clean up
	random uint64   // state of a generator
	tokens []uint64 // under way
}

// benchWindow is how many transactions are under way.
const benchWindow = 16

// benchLimit says what is wrong with a bench, "" for nothing: it must not keep
// the daemon from its work for long.
func (c *call) benchLimit(count, size int64) string {
	opt := c.o.cfg.Options
	span := opt.Int("osd_bench_duration")
	if most := opt.Int("osd_bench_max_block_size"); size > most {
		return fmt.Sprintf("block 'size' values are capped at %s. If you wish to use a higher value, please adjust 'osd_bench_max_block_size'",
			jsonfmt.Bytes(uint64(most)))
	}
	name, rate, assuming := "osd_bench_large_size_max_throughput", int64(0), ""
	most := int64(0)
	if size < 1<<20 {
		name = "osd_bench_small_size_max_iops"
		rate = opt.Int(name)
		most, assuming = size*span*rate, fmt.Sprintf("%d IOPS", rate)
	} else {
		rate = opt.Int(name)
		most, assuming = max(size, rate*span), jsonfmt.Bytes(uint64(rate))+"/s"
	}
	if count <= most {
		return ""
	}
	return fmt.Sprintf("'count' values greater than %d for a block size of %s, assuming %s, for %d seconds, can cause ill effects on osd. "+
		" Please adjust '%s' with a higher value if you wish to use a higher 'count'.", most, jsonfmt.Bytes(uint64(max(size, 0))), assuming, span, name)
}

func (c *call) runBench() {
	o := c.o
	b := &bench{call: c, count: c.args.Int("count", 1<<30), size: c.args.Int("size", 4<<20), random: uint64(c.now.UnixNano())}
	if o.bench != nil {
		c.fail(errno.EBUSY, "a bench is running")
		return
	}
	if words := c.benchLimit(b.count, b.size); words != "" {
		c.fail(errno.EINVAL, words)
		return
	}
	osize, onum := c.args.Int("object_size", 0), c.args.Int("object_num", 0)
	if osize < 0 || onum < 0 || b.size <= 0 {
		c.fail(errno.EINVAL, "sizes and numbers of objects must be positive")
		return
	}
	b.block = b.size
	if osize > 0 {
		b.size = min(b.size, osize)
	}
	if osize > 0 && onum > 0 {
		if words := c.benchLimit(0, osize); words != "" { // an object is made with one write
			c.fail(errno.EINVAL, words)
			return
		}
		b.objectSize, b.objects = osize, onum
	}
	b.left = (max(b.count, 0) + b.size - 1) / b.size
	// It goes past all that keeps clients from filling the store.
	need := uint64(b.left) * uint64(b.size)
	if b.objects > 0 {
		need += uint64(osize) * uint64(min(onum, 1<<30))
	}
	if free := o.store.Usage().Available; free/2 < need {
		c.fail(errno.ENOSPC, fmt.Sprintf("a bench of %d bytes needs twice the room, %d are free", need, free))
		return
	}
	o.bench = b
	if b.objects == 0 {
		b.began = c.now
	}
	o.benchCommitted(c.now)
}

// next is where the next write goes; false: there is none to begin now.
func (b *bench) next() (n, offset, size int64, ok bool) {
	switch {
	case b.filled < b.objects:
		b.filled++
		b.made = b.filled
		return b.filled - 1, 0, b.objectSize, true
	case b.began.IsZero() || b.left == 0: // the objects are being made, or all is written
		return 0, 0, 0, false
	}
	b.left--
	if b.objects == 0 {
		b.made++
		return b.made - 1, 0, b.size, true
	}
	b.random = b.random*6364136223846793005 + 1442695040888963407
	r := int64(b.random >> 33)
	return r % b.objects, r % (b.objectSize / b.size) * b.size, b.size, true
}

// benchCommitted goes on with the bench after something became durable.
func (o *OSD) benchCommitted(now time.Time) {
	b := o.bench
	if b == nil {
		return
	}
	for len(b.tokens) > 0 && b.tokens[0] <= o.durable {
		b.tokens = b.tokens[1:]
	}
	if len(b.tokens) == 0 && b.filled == b.objects && b.began.IsZero() {
		b.began = now
	}
	for len(b.tokens) < benchWindow {
		n, offset, size, ok := b.next()
		if !ok {
			break
		}
		block := buffer.Alloc(int(size))
		for i := range block.Bytes() {
			block.Bytes()[i] = 'a'
		}
		txn := new(objstore.Txn)
		txn.Write(objstore.MetaColl, benchObject(n), uint64(offset), buffer.List{block})
		b.tokens = append(b.tokens, o.submit(txn))
	}
	if len(b.tokens) > 0 {
		return
	}
	txn := new(objstore.Txn)
	for i := range b.made {
		txn.Remove(objstore.MetaColl, benchObject(i))
	}
	if !txn.Empty() {
		o.submit(txn)
	}
	o.bench = nil
	took := now.Sub(b.began).Seconds()
	rate := 0.0
	if took > 0 {
		rate = float64(b.count) / took
	}
	b.call.object(func(f *jsonfmt.Formatter) {
		f.Int("bytes_written", b.count)
		f.Int("blocksize", b.block)
		f.Float("elapsed_sec", took)
		f.Float("bytes_per_sec", rate)
		f.Float("iops", rate/float64(b.block))
	})
}

func benchObject(n int64) object.ID { return metaObject(fmt.Sprintf("disk_bw_test_%d", n)) }
