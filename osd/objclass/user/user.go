// Package user is the class "user": the buckets of a user of radosgw and what
// they take up (cls_user).
//
// The object of a user has an omap with an entry for each bucket. Its header has
// the sum of all entries that were counted, so that a quota is checked without
// reading them.
//
// No compatibility promise.
package user

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

const maxList = 1000 // buckets in an answer

// Class returns the class.
func Class() objclass.Class {
	const rd, wr = objclass.Read, objclass.Write
	return objclass.Class{
		"set_buckets_info":    {Flags: rd | wr, Call: setBuckets},
		"complete_stats_sync": {Flags: rd | wr, Call: completeSync},
		"remove_bucket":       {Flags: rd | wr, Call: removeBucket},
		"list_buckets":        {Flags: rd, Call: listBuckets},
		"get_header":          {Flags: rd, Call: getHeader},
		"reset_user_stats":    {Flags: rd | wr, Call: resetStats},
		"reset_user_stats2":   {Flags: rd | wr, Call: resetStatsFrom},
	}
}

// decodeStored decodes what the class wrote; EIO if it is damaged.
func decodeStored(b []byte, v wire.Unmarshaler) error {
	d := wire.NewDecoder(b)
	v.Decode(d)
	if err := d.Err(); err != nil {
		return fmt.Errorf("%w: %w", err, errno.EIO)
	}
	return nil
}

func readHeader(c objclass.Context) (h header, err error) {
	b, err := c.OmapHeader()
	if err != nil || len(b) == 0 {
		return h, err
	}
	return h, decodeStored(b, &h)
}

// setBuckets either adds buckets or counts them anew. One to be counted that is
// not there was removed meanwhile.
func setBuckets(c objclass.Context, in []byte) ([]byte, error) {
	var updates []entry
	var add bool
	var at time.Time
	err := objclass.ParseStruct(in, "cls_user_set_buckets_op", 1, func(d *wire.Decoder, _ uint8) {
		updates = wire.DecodeSlice(d, 6, func() (n entry) { n.Decode(d); return n })
		add = d.Bool()
		at = d.Time()
	})
	if err != nil {
		return nil, err
	}
	h, err := readHeader(c)
	if err != nil {
		return nil, err
	}
	var kvs []objclass.Entry
	for _, u := range updates {
		n, err := readEntry(c, u.bucket.name)
		switch {
		case errors.Is(err, errno.ENOENT) && !add:
			continue
		case errors.Is(err, errno.ENOENT):
			n = u
		case err != nil:
			return nil, err
		}
		if n.counted {
			h.stats.remove(n)
		}
		if add { // it may have been made anew, or cut into more pieces
			n.bucket.id, n.created = u.bucket.id, u.created
		} else {
			n.size, n.rounded, n.count = u.size, u.rounded, u.count
		}
		n.counted = true
		h.stats.add(n)
		kvs = append(kvs, objclass.Entry{Key: u.bucket.name, Value: wire.Marshal(n)})
	}
	if len(kvs) > 0 {
		if err := c.SetOmap(kvs); err != nil {
			return nil, err
		}
	}
	if h.updated.Before(at) {
		h.updated = at
	}
	return nil, c.SetOmapHeader(wire.Marshal(h))
}

// readEntry returns ENOENT if the user has no such bucket.
func readEntry(c objclass.Context, name string) (n entry, err error) {
	if name == "" {
		return n, errno.EINVAL
	}
	b, err := c.OmapValue(name)
	if err != nil {
		return n, err
	}
	return n, decodeStored(b, &n)
}

// completeSync notes that all buckets were counted.
func completeSync(c objclass.Context, in []byte) ([]byte, error) {
	var at time.Time
	err := objclass.ParseStruct(in, "cls_user_complete_stats_sync_op", 1, func(d *wire.Decoder, _ uint8) { at = d.Time() })
	if err != nil {
		return nil, err
	}
	h, err := readHeader(c)
	if err != nil {
		return nil, err
	}
	if h.synced.Before(at) {
		h.synced = at
	}
	return nil, c.SetOmapHeader(wire.Marshal(h))
}

func removeBucket(c objclass.Context, in []byte) ([]byte, error) {
	var b bucket
	err := objclass.ParseStruct(in, "cls_user_remove_bucket_op", 1, func(d *wire.Decoder, _ uint8) { b.Decode(d) })
	if err != nil {
		return nil, err
	}
	h, err := readHeader(c)
	if err != nil {
		return nil, err
	}
	n, err := readEntry(c, b.name)
	if errors.Is(err, errno.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if n.counted {
		h.stats.remove(n)
	}
	if err := c.RemoveOmapKeys([]string{b.name}); err != nil {
		return nil, err
	}
	return nil, c.SetOmapHeader(wire.Marshal(h))
}

// listBuckets answers with buckets from behind one name and to before another, if
// that is given.
func listBuckets(c objclass.Context, in []byte) ([]byte, error) {
	var marker, end string
	var limit uint32
	err := objclass.ParseStruct(in, "cls_user_list_buckets_op", 2, func(d *wire.Decoder, v uint8) {
		marker, limit = d.Str(), d.U32()
		if v >= 2 {
			end = d.Str()
		}
	})
	if err != nil {
		return nil, err
	}
	kvs, more, err := c.OmapList(marker, "", uint64(min(limit, maxList)))
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, kv := range kvs {
		marker = kv.Key
		if end != "" && end <= kv.Key {
			more = false
			break
		}
		var n entry
		if err := decodeStored(kv.Value, &n); err != nil {
			c.Log("bucket %s: %v", kv.Key, err)
			continue
		}
		entries = append(entries, n)
	}
	if !more {
		marker = ""
	}
	var e wire.Encoder
	m := e.Begin(1, 1)
	wire.EncodeSlice(&e, entries, func(n entry) { n.Encode(&e) })
	e.Str(marker)
	e.Bool(more)
	e.End(m)
	return e.Bytes(), nil
}

func getHeader(c objclass.Context, in []byte) ([]byte, error) {
	if err := objclass.ParseStruct(in, "cls_user_get_header_op", 1, func(*wire.Decoder, uint8) {}); err != nil {
		return nil, err
	}
	h, err := readHeader(c)
	if err != nil {
		return nil, err
	}
	var e wire.Encoder
	m := e.Begin(1, 1)
	h.Encode(&e)
	e.End(m)
	return e.Bytes(), nil
}

// count adds up to limit buckets to sum; last is the name of the last.
func count(c objclass.Context, after string, limit uint64, sum *stats) (last string, more bool, err error) {
	kvs, more, err := c.OmapList(after, "", limit)
	if err != nil {
		return "", false, err
	}
	for _, kv := range kvs {
		var n entry
		if err := decodeStored(kv.Value, &n); err != nil {
			return "", false, fmt.Errorf("bucket %s: %w", kv.Key, err)
		}
		sum.add(n)
		last = kv.Key
	}
	return last, more, nil
}

// resetStats makes a new header from all buckets.
func resetStats(c objclass.Context, in []byte) ([]byte, error) {
	var h header
	err := objclass.ParseStruct(in, "cls_user_reset_stats_op", 1, func(d *wire.Decoder, _ uint8) { h.updated = d.Time() })
	if err != nil {
		return nil, err
	}
	for after, more := "", true; more; {
		if after, more, err = count(c, after, math.MaxUint64, &h.stats); err != nil {
			return nil, err
		}
		more = more && after != ""
	}
	return nil, c.SetOmapHeader(wire.Marshal(h))
}

// resetStatsFrom does the same in steps: it counts some buckets from behind a
// name and answers with the sum so far, which the caller hands back with the next
// step. The last step writes the header. (OSDs of Ceph 16 forget what the caller
// hands back.)
func resetStatsFrom(c objclass.Context, in []byte) ([]byte, error) {
	var h header
	var marker string
	err := objclass.ParseStruct(in, "cls_user_reset_stats2_op", 1, func(d *wire.Decoder, _ uint8) {
		h.updated = d.Time()
		marker = d.Str()
		h.stats.Decode(d)
	})
	if err != nil {
		return nil, err
	}
	marker, more, err := count(c, marker, maxList, &h.stats)
	if err != nil {
		return nil, err
	}
	if !more {
		if err := c.SetOmapHeader(wire.Marshal(h)); err != nil {
			return nil, err
		}
	}
	var e wire.Encoder
	m := e.Begin(1, 1)
	e.Str(marker)
	h.stats.Encode(&e)
	e.Bool(more)
	e.End(m)
	return e.Bytes(), nil
}
