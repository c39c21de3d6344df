// Package log is the class "log": a list of entries in an omap, in the order of
// their times (cls_log). radosgw tells other zones by it what has changed.
//
// The key of an entry is 1_SECONDS.MICROSECONDS_POSITION: entries of one time
// are told apart by when they came. The omap's header has the newest time and
// the greatest key, so that a clock that goes back does not put an entry before
// one that a reader may have seen.
//
// No compatibility promise.
package log

import (
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

const (
	maxList = 1000 // entries in an answer
)

// Class returns the class.
func Class() objclass.Class {
	const rd, wr = objclass.Read, objclass.Write
	return objclass.Class{
		"add":  {Flags: rd | wr, Call: add},
		"list": {Flags: rd, Call: list},
		"trim": {Flags: rd | wr, Call: trim},
		"info": {Flags: rd, Call: info},
	}
}

// entry is cls_log_entry.
type entry struct {
	section, name string
	at            time.Time
	data          []byte
	id            string
}

func (n entry) Encode(e *wire.Encoder) {
	m := e.Begin(2, 1)
	e.Str(n.section)
	e.Str(n.name)
	e.Time(n.at)
	e.Blob(n.data)
	e.Str(n.id)
	e.End(m)
}

func (n *entry) Decode(d *wire.Decoder) {
	env := d.Begin("cls_log_entry", 2)
	n.section = d.Str()
	n.name = d.Str()
	n.at = d.Time()
	n.data = d.Blob()
	if env.Version >= 2 {
		n.id = d.Str()
	}
	d.End(env)
}

// header is cls_log_header.
type header struct {
	marker string // the greatest key
	newest time.Time
}

func (h header) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.Str(h.marker)
	e.Time(h.newest)
	e.End(m)
}

func (h *header) Decode(d *wire.Decoder) {
	env := d.Begin("cls_log_header", 1)
	h.marker = d.Str()
	h.newest = d.Time()
	d.End(env)
}

// readHeader takes a damaged header for a new one, as Ceph does.
func readHeader(c objclass.Context) (h header, err error) {
	b, err := c.OmapHeader()
	if err != nil || len(b) == 0 {
		return header{}, err
	}
	d := wire.NewDecoder(b)
	if h.Decode(d); d.Err() != nil {
		c.Log("%v", d.Err())
		return header{}, nil
	}
	return h, nil
}

// add writes entries. One that brings its key is written there.
func add(c objclass.Context, in []byte) ([]byte, error) {
	var entries []entry
	monotonic := true
	err := objclass.ParseStruct(in, "cls_log_add_op", 2, func(d *wire.Decoder, v uint8) {
		entries = wire.DecodeSlice(d, 26, func() (n entry) { n.Decode(d); return n })
		if v >= 2 {
			monotonic = d.Bool()
		}
	})
	if err != nil {
		return nil, err
	}
	h, err := readHeader(c)
	if err != nil {
		return nil, err
	}
	kvs := make([]objclass.Entry, len(entries))
	for i, n := range entries {
		at := n.at
		if monotonic && at.Before(h.newest) {
			at = h.newest
		} else if at.After(h.newest) {
			h.newest = at
		}
		if n.id == "" {
			n.id = objclass.TimeKey(at) + c.Position()
		}
		h.marker = max(h.marker, n.id)
		kvs[i] = objclass.Entry{Key: n.id, Value: wire.Marshal(n)}
	}
	if err := c.SetOmap(kvs); err != nil {
		return nil, err
	}
	return nil, c.SetOmapHeader(wire.Marshal(h))
}

// list answers with entries from behind a key or a time, and to before a time, if
// there is one. It ends early at the number that the caller wants, and says so.
func list(c objclass.Context, in []byte) ([]byte, error) {
	var from, to time.Time
	var marker string
	var limit uint32
	err := objclass.ParseStruct(in, "cls_log_list_op", 1, func(d *wire.Decoder, _ uint8) {
		from, marker, to, limit = d.Time(), d.Str(), d.Time(), d.U32()
	})
	if err != nil {
		return nil, err
	}
	after := marker
	if after == "" {
		after = objclass.TimeKey(from)
	}
	end := ""
	if !from.IsZero() && !to.Before(from) {
		end = objclass.TimeKey(to)
	}
	if limit == 0 || limit > maxList {
		limit = maxList
	}
	kvs, more, err := c.OmapList(after, objclass.TimePrefix, uint64(limit))
	if err != nil {
		return nil, err
	}
	var entries []entry
	marker = ""
	for _, kv := range kvs {
		marker = kv.Key
		if end != "" && kv.Key[:min(len(kv.Key), len(end))] >= end {
			more = false
			break
		}
		var n entry
		d := wire.NewDecoder(kv.Value)
		if n.Decode(d); d.Err() != nil {
			c.Log("entry %s: %v", kv.Key, d.Err())
			continue
		}
		entries = append(entries, n)
	}
	var e wire.Encoder
	m := e.Begin(1, 1)
	wire.EncodeSlice(&e, entries, func(n entry) { n.Encode(&e) })
	e.Str(marker)
	e.Bool(more)
	e.End(m)
	return e.Bytes(), nil
}

// trim removes the entries from behind a key or a time to a key or a time, both
// included. It returns ENODATA when there are none.
func trim(c objclass.Context, in []byte) ([]byte, error) {
	var from, to time.Time
	var after, last string
	err := objclass.ParseStruct(in, "cls_log_trim_op", 2, func(d *wire.Decoder, v uint8) {
		from, to = d.Time(), d.Time()
		if v >= 2 {
			after, last = d.Str(), d.Str()
		}
	})
	if err != nil {
		return nil, err
	}
	if after == "" {
		after = objclass.TimeKey(from)
	}
	end := last + "\x00"
	if last == "" {
		if to.IsZero() {
			to = time.Unix(0, 0)
		}
		end = objclass.TimeKey(to.Add(time.Microsecond))
	}
	first, _, err := c.OmapList(after, "", 1)
	if err != nil {
		return nil, err
	}
	if len(first) == 0 || end < first[0].Key {
		return nil, errno.ENODATA
	}
	return nil, c.RemoveOmapRange(first[0].Key, end)
}

// info answers with the header.
func info(c objclass.Context, in []byte) ([]byte, error) {
	if err := objclass.ParseStruct(in, "cls_log_info_op", 1, func(*wire.Decoder, uint8) {}); err != nil {
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
