// Package timeindex is the class "timeindex": an omap whose keys begin with a
// time, so that what is due comes first (cls_timeindex). radosgw keeps there
// which objects expire when.
//
// The key of an entry is 1_SECONDS.MICROSECONDS_EXTENSION, and an entry is known
// by it alone: its time comes back with the microseconds in place of nanoseconds,
// and its extension up to the first white space, as Ceph's class does it.
//
// No compatibility promise.
package timeindex

import (
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

const (
	maxList = 1000 // entries in an answer
	maxTrim = 1000 // entries removed by a call
	maxExt  = 255  // bytes of an extension that come back
)

// Class returns the class.
func Class() objclass.Class {
	const rd, wr = objclass.Read, objclass.Write
	return objclass.Class{
		"add":  {Flags: rd | wr, Call: add},
		"list": {Flags: rd, Call: list},
		"trim": {Flags: rd | wr, Call: trim},
	}
}

// compare compares a key with an end, of which it may be longer.
func compare(key, end string) int { return strings.Compare(key[:min(len(key), len(end))], end) }

func add(c objclass.Context, in []byte) ([]byte, error) {
	var kvs []objclass.Entry
	err := objclass.ParseStruct(in, "cls_timeindex_add_op", 1, func(d *wire.Decoder, _ uint8) {
		kvs = wire.DecodeSlice(d, 22, func() objclass.Entry {
			env := d.Begin("cls_timeindex_entry", 1)
			at, ext, value := d.Time(), d.Str(), d.Blob()
			d.End(env)
			return objclass.Entry{Key: objclass.TimeKey(at) + ext, Value: append([]byte{}, value...)}
		})
	})
	if err != nil {
		return nil, err
	}
	for _, kv := range kvs {
		if err := c.SetOmap([]objclass.Entry{kv}); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// parseKey takes a key apart.
func parseKey(key string) (sec, usec uint32, ext string, ok bool) {
	at, ext, _ := strings.Cut(strings.TrimPrefix(key, objclass.TimePrefix), "_")
	s, u, ok := strings.Cut(at, ".")
	n, err1 := strconv.ParseInt(s, 10, 64)
	m, err2 := strconv.ParseInt(u, 10, 64)
	if f := strings.Fields(ext); len(f) > 0 {
		ext = f[0][:min(len(f[0]), maxExt)]
	}
	return uint32(n), uint32(m), ext, ok && err1 == nil && err2 == nil
}

// list answers with entries from behind a key or a time, and to before a time, if
// that is not before the first.
func list(c objclass.Context, in []byte) ([]byte, error) {
	var from, to time.Time
	var marker string
	var limit uint32
	err := objclass.ParseStruct(in, "cls_timeindex_list_op", 1, func(d *wire.Decoder, _ uint8) {
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
	if !to.Before(from) {
		end = objclass.TimeKey(to)
	}
	kvs, more, err := c.OmapList(after, objclass.TimePrefix, uint64(min(limit, maxList)))
	if err != nil {
		return nil, err
	}
	var entries, e wire.Encoder
	n := uint32(0)
	marker = ""
	for _, kv := range kvs {
		if end != "" && compare(kv.Key, end) >= 0 {
			more = false
			break
		}
		marker = kv.Key
		sec, usec, ext, ok := parseKey(kv.Key)
		if !ok {
			c.Log("bad key %q", kv.Key)
			continue
		}
		n++
		m := entries.Begin(1, 1)
		entries.U32(sec)
		entries.U32(usec)
		entries.Str(ext)
		entries.Blob(kv.Value)
		entries.End(m)
	}
	m := e.Begin(1, 1)
	e.U32(n)
	e.Raw(entries.Bytes())
	e.Str(marker)
	e.Bool(more)
	e.End(m)
	return e.Bytes(), nil
}

// trim removes entries from behind a key or a time to a key or a time, both
// included. It returns ENODATA when there are none.
func trim(c objclass.Context, in []byte) ([]byte, error) {
	var from, to time.Time
	var after, last string
	err := objclass.ParseStruct(in, "cls_timeindex_trim_op", 1, func(d *wire.Decoder, _ uint8) {
		from, to, after, last = d.Time(), d.Time(), d.Str(), d.Str()
	})
	if err != nil {
		return nil, err
	}
	if after == "" {
		after = objclass.TimeKey(from)
	}
	if last == "" {
		last = objclass.TimeKey(to)
	}
	kvs, _, err := c.OmapList(after, objclass.TimePrefix, maxTrim)
	if err != nil {
		return nil, err
	}
	var gone []string
	for _, kv := range kvs {
		if compare(kv.Key, last) > 0 {
			break
		}
		gone = append(gone, kv.Key)
	}
	if len(gone) == 0 {
		return nil, errno.ENODATA
	}
	return nil, c.RemoveOmapKeys(gone)
}
