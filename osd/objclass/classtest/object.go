// Package classtest is an object in memory to call class methods on, for the
// tests of classes.
package classtest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
)

// Object implements objclass.Context. The fields may be set and read freely
// between calls.
type Object struct {
	Exists bool
	Bytes  []byte
	Attrs  map[string][]byte
	KV     map[string][]byte
	Header []byte
	Seq    uint64 // newest snapshot

	Watching []objclass.Watcher

	Client entity.Name
	Addr   entity.Addr
	Time   time.Time

	positions int
}

// New returns an object that does not exist, and a client to call from.
func New() *Object {
	addr, _ := entity.ParseAddr("any:127.0.0.1:0/42", entity.AddrAny)
	return &Object{
		Attrs: map[string][]byte{}, KV: map[string][]byte{}, Addr: addr,
		Client: entity.Name{Type: entity.Client, Num: 4123}, Time: time.Unix(1700000000, 0).UTC(),
	}
}

// Call calls a method and expects a result, 0 or a negative errno.
func (o *Object) Call(t *testing.T, c objclass.Class, method string, in []byte, want int32) []byte {
	t.Helper()
	m, ok := c[method]
	if !ok {
		t.Fatalf("no method %s", method)
	}
	out, err := o.try(m, in)
	if got := errno.Code(err); got != want {
		t.Fatalf("%s: result %d (%v), want %d", method, got, err, want)
	}
	return out
}

func (o *Object) Origin() (entity.Name, entity.Addr) { return o.Client, o.Addr }
func (o *Object) Now() time.Time                     { return o.Time }
func (o *Object) Unique(n int) string                { return strings.Repeat("u", n) }
func (o *Object) Position() string                   { o.positions++; return fmt.Sprint("7.", o.positions) }
func (o *Object) Log(string, ...any)                 {}
func (o *Object) Version() uint64                    { return 1 }

func (o *Object) SnapSeq() (uint64, error) { return o.Seq, o.missing() }

func (o *Object) missing() error {
	if !o.Exists {
		return errno.ENOENT
	}
	return nil
}

func (o *Object) Stat() (uint64, time.Time, error) { return uint64(len(o.Bytes)), o.Time, o.missing() }

func (o *Object) Watchers() ([]objclass.Watcher, error) { return o.Watching, o.missing() }

func (o *Object) Read(off, n uint64) ([]byte, error) {
	size := uint64(len(o.Bytes))
	off = min(off, size)
	if n == 0 || n > size-off {
		n = size - off
	}
	return bytes.Clone(o.Bytes[off : off+n]), o.missing()
}

func (o *Object) Create(exclusive bool) error {
	if o.Exists && exclusive {
		return errno.EEXIST
	}
	o.Exists = true
	return nil
}

func (o *Object) Remove() error {
	if err := o.missing(); err != nil {
		return err
	}
	o.Exists, o.Bytes, o.Header = false, nil, nil
	clear(o.Attrs)
	clear(o.KV)
	return nil
}

// maxSize is the limit of objects (osd_max_object_size), in bytes.
const maxSize = 128 << 20

func (o *Object) Write(off uint64, data []byte) error {
	if off >= maxSize || uint64(len(data)) > maxSize-off {
		return errno.EFBIG
	}
	o.Exists = true
	if end := int(off) + len(data); end > len(o.Bytes) {
		o.Bytes = append(o.Bytes, make([]byte, end-len(o.Bytes))...)
	}
	copy(o.Bytes[off:], data)
	return nil
}

func (o *Object) WriteFull(data []byte) error { o.Exists, o.Bytes = true, data; return nil }

func (o *Object) Truncate(size uint64) error {
	b := make([]byte, size)
	copy(b, o.Bytes)
	o.Bytes = b
	return o.missing()
}

func (o *Object) Zero(off, n uint64) error { return o.Write(off, make([]byte, n)) }

func (o *Object) Xattr(name string) ([]byte, error) {
	if err := o.missing(); err != nil {
		return nil, err
	}
	v, ok := o.Attrs[name]
	if !ok {
		return nil, errno.ENODATA
	}
	return v, nil
}

func (o *Object) AllXattrs() (map[string][]byte, error) { return o.Attrs, o.missing() }

func (o *Object) SetXattr(name string, value []byte) error {
	o.Exists = true
	o.Attrs[name] = value
	return nil
}

func (o *Object) RemoveXattr(name string) error { delete(o.Attrs, name); return o.missing() }

// Reading the omap of an object that does not exist is like reading an empty one.

func (o *Object) OmapHeader() ([]byte, error) { return o.Header, nil }

func (o *Object) SetOmapHeader(h []byte) error { o.Exists, o.Header = true, h; return nil }

func (o *Object) OmapValue(key string) ([]byte, error) {
	v, ok := o.KV[key]
	if !ok {
		return nil, errno.ENOENT
	}
	return v, nil
}

func (o *Object) OmapValues(keys []string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, k := range keys {
		if v, ok := o.KV[k]; ok {
			out[k] = v
		}
	}
	return out, nil
}

func (o *Object) OmapList(after, prefix string, most uint64) (list []objclass.Entry, more bool, err error) {
	for _, k := range slices.Sorted(maps.Keys(o.KV)) {
		if k <= after || !strings.HasPrefix(k, prefix) {
			continue
		}
		if uint64(len(list)) == most {
			return list, true, nil
		}
		list = append(list, objclass.Entry{Key: k, Value: o.KV[k]})
	}
	return list, false, nil
}

func (o *Object) SetOmap(entries []objclass.Entry) error {
	o.Exists = true
	for _, e := range entries {
		o.KV[e.Key] = e.Value
	}
	return nil
}

func (o *Object) RemoveOmapKeys(keys []string) error {
	for _, k := range keys {
		delete(o.KV, k)
	}
	return o.missing()
}

func (o *Object) RemoveOmapRange(from, to string) error {
	maps.DeleteFunc(o.KV, func(k string, _ []byte) bool { return k >= from && k < to })
	return o.missing()
}

func (o *Object) ClearOmap() error { clear(o.KV); o.Header = nil; return o.missing() }

var _ objclass.Context = (*Object)(nil)
