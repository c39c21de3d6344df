package user

import (
	"strconv"
	"time"

	"github.com/pulpo-storage/pulpo/wire"
)

// bucket names a bucket (cls_user_bucket, rgw_bucket).
type bucket struct {
	name, marker, id string
	placement        string
	// Where it is, of a bucket without placement.
	dataPool, indexPool, extraPool string
}

// Encode writes the newer form only if it must: the other one is understood by
// older readers.
func (b bucket) Encode(e *wire.Encoder) {
	if b.placement != "" {
		m := e.Begin(9, 8)
		e.Str(b.name)
		e.Str(b.marker)
		e.Str(b.id)
		e.Str(b.placement)
		e.End(m)
		return
	}
	m := e.Begin(7, 3)
	e.Str(b.name)
	e.Str(b.dataPool)
	e.Str(b.marker)
	e.Str(b.id)
	e.Str(b.indexPool)
	e.Str(b.extraPool)
	e.End(m)
}

func (b *bucket) Decode(d *wire.Decoder) {
	v, end := beginLegacy(d, "cls_user_bucket", 8, 3)
	defer end()
	b.name = d.Str()
	if v < 8 {
		b.dataPool = d.Str()
	}
	if v >= 2 {
		b.marker = d.Str()
		if v <= 3 {
			b.id = strconv.FormatUint(d.U64(), 10)
		} else {
			b.id = d.Str()
		}
	}
	if v >= 8 {
		b.placement = d.Str()
		if v == 8 && b.placement == "" {
			b.dataPool, b.indexPool, b.extraPool = d.Str(), d.Str(), d.Str()
		}
		return
	}
	b.indexPool = b.dataPool
	if v >= 5 {
		b.indexPool = d.Str()
	}
	if v >= 7 {
		b.extraPool = d.Str()
	}
}

// beginLegacy opens a struct that had no envelope before some version
// (DECODE_START_LEGACY_COMPAT_LEN).
func beginLegacy(d *wire.Decoder, name string, version, enveloped uint8) (v uint8, end func()) {
	peek := *d
	if v = peek.U8(); v < enveloped {
		d.U8()
		return v, func() {}
	}
	env := d.Begin(name, version)
	return env.Version, func() { d.End(env) }
}

// entry is a bucket with what is in it (cls_user_bucket_entry).
type entry struct {
	bucket  bucket
	size    uint64 // bytes
	rounded uint64 // bytes that they take up
	count   uint64 // objects
	created time.Time
	counted bool // it is in the header's sum
}

func (n entry) Encode(e *wire.Encoder) {
	m := e.Begin(9, 5)
	e.Str("") // once the name
	e.U64(n.size)
	if n.created.IsZero() {
		e.U32(0)
	} else {
		e.U32(uint32(n.created.Unix()))
	}
	e.U64(n.count)
	n.bucket.Encode(e)
	e.U64(n.rounded)
	e.Bool(n.counted)
	e.Time(n.created)
	e.End(m)
}

func (n *entry) Decode(d *wire.Decoder) {
	v, end := beginLegacy(d, "cls_user_bucket_entry", 9, 5)
	defer end()
	d.Str()
	n.size = d.U64()
	n.rounded = n.size
	if sec := d.U32(); v < 7 && sec != 0 {
		n.created = time.Unix(int64(sec), 0).UTC()
	}
	if v >= 2 {
		n.count = d.U64()
	}
	if v >= 3 {
		n.bucket.Decode(d)
	}
	if v >= 4 {
		n.rounded = d.U64()
	}
	if v >= 6 {
		n.counted = d.Bool()
	}
	if v >= 7 {
		n.created = d.Time()
	}
	if v == 8 {
		d.Str()
	}
}

// stats is a sum of entries (cls_user_stats).
type stats struct{ count, size, rounded uint64 }

func (s *stats) add(n entry) {
	s.count += n.count
	s.size += n.size
	s.rounded += n.rounded
}

func (s *stats) remove(n entry) {
	s.count -= n.count
	s.size -= n.size
	s.rounded -= n.rounded
}

func (s stats) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U64(s.count)
	e.U64(s.size)
	e.U64(s.rounded)
	e.End(m)
}

func (s *stats) Decode(d *wire.Decoder) {
	env := d.Begin("cls_user_stats", 1)
	s.count = d.U64()
	s.size = d.U64()
	s.rounded = d.U64()
	d.End(env)
}

// header is the omap's header (cls_user_header).
type header struct {
	stats           stats
	synced, updated time.Time // all entries were counted; some were
}

func (h header) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	h.stats.Encode(e)
	e.Time(h.synced)
	e.Time(h.updated)
	e.End(m)
}

func (h *header) Decode(d *wire.Decoder) {
	env := d.Begin("cls_user_header", 1)
	h.stats.Decode(d)
	h.synced = d.Time()
	h.updated = d.Time()
	d.End(env)
}
