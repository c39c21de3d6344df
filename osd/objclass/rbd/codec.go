package rbd

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// head stands for the image itself where a snapshot's id is wanted.
const head = clsrbd.HeadSnap

// parseU64 is objclass.Parse for methods that want one number, mostly a snapshot's id.
func parseU64(in []byte) (v uint64, err error) {
	err = objclass.Parse(in, func(d *wire.Decoder) { v = d.U64() })
	return v, err
}

// encoded is what f encodes, on its own.
func encoded(f func(e *wire.Encoder)) []byte {
	var e wire.Encoder
	f(&e)
	return e.Bytes()
}

// exists returns ENOENT if there is no object (check_exists).
func exists(c objclass.Context) error {
	_, _, err := c.Stat()
	return err
}

// isMissing tells whether err says that something is not there.
func isMissing(err error) bool { return errors.Is(err, errno.ENOENT) }

// present makes of ENOENT that something is not there, and no error.
func present(err error) (bool, error) {
	if isMissing(err) {
		return false, nil
	}
	return err == nil, err
}

// readData reads an object's bytes; one that does not exist has none
// (cls_cxx_read in a method that writes).
func readData(c objclass.Context, off, n uint64) ([]byte, error) {
	b, err := c.Read(off, n)
	_, err = present(err)
	return b, err
}

// readKey decodes the value of an omap key (read_key): ENOENT if there is none,
// EIO if it does not decode.
func readKey(c objclass.Context, key string, fields func(d *wire.Decoder)) error {
	b, err := c.OmapValue(key)
	if err != nil {
		return err
	}
	return decodeValue(key, b, fields)
}

// decodeValue decodes what was stored under a key; EIO if it is damaged.
func decodeValue(key string, b []byte, fields func(d *wire.Decoder)) error {
	if err := objclass.ParseStored(b, fields); err != nil {
		return fmt.Errorf("omap key %q: %w", key, err)
	}
	return nil
}

// writeKey sets an omap key (write_key).
func writeKey(c objclass.Context, key string, fields func(e *wire.Encoder)) error {
	return c.SetOmap([]objclass.Entry{{Key: key, Value: encoded(fields)}})
}

// removeKey removes an omap key, which may be missing (remove_key).
func removeKey(c objclass.Context, key string) error {
	_, err := present(c.RemoveOmapKeys([]string{key}))
	return err
}

// readU64 is readKey of a number.
func readU64(c objclass.Context, key string) (v uint64, err error) {
	err = readKey(c, key, func(d *wire.Decoder) { v = d.U64() })
	return v, err
}

func writeU64(c objclass.Context, key string, v uint64) error {
	return writeKey(c, key, func(e *wire.Encoder) { e.U64(v) })
}

// readString is readKey of a string.
func readString(c objclass.Context, key string) (v string, err error) {
	err = readKey(c, key, func(d *wire.Decoder) { v = d.Str() })
	return v, err
}

func encodedU64(v uint64) []byte { return encoded(func(e *wire.Encoder) { e.U64(v) }) }

// pageSize is how many keys are listed at once. Ceph takes 64 (RBD_MAX_KEYS_READ);
// here each page is a search of its own in the store.
const pageSize = 1024

// each calls f for all entries whose keys begin with a prefix and go on, in order,
// until f fails.
func each(c objclass.Context, prefix string, f func(e objclass.Entry) error) error {
	for after, more := prefix, true; more; {
		page, m, err := c.OmapList(after, prefix, pageSize)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, e := range page {
			if err := f(e); err != nil {
				return err
			}
		}
		after, more = page[len(page)-1].Key, m
	}
	return nil
}

// keep is a copy for an omap or attribute: the input of a call is borrowed.
func keep(b []byte) []byte { return slices.Clone(b) }

// validID tells whether an image id has only letters and digits (is_valid_id).
func validID(id string) bool {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return id != ""
}

// optional is a number that may be lacking (std::optional<uint64_t>).
type optional struct {
	set bool
	n   uint64 // 0 unless set
}

func (o optional) encode(e *wire.Encoder) {
	e.Bool(o.set)
	if o.set {
		e.U64(o.n)
	}
}

func decodeOptional(d *wire.Decoder) (o optional) {
	if o.set = d.Bool(); o.set {
		o.n = d.U64()
	}
	return o
}

// pair is an entry of a map.
type pair[K, V any] struct {
	key   K
	value V
}

// decodeMap decodes a map whose entries take at least size bytes each, in order
// of the keys. Of entries with the same key the first counts.
func decodeMap[K cmp.Ordered, V any](d *wire.Decoder, size int, f func() (K, V)) []pair[K, V] {
	m := wire.DecodeSlice(d, size, func() pair[K, V] { k, v := f(); return pair[K, V]{k, v} })
	slices.SortStableFunc(m, func(a, b pair[K, V]) int { return cmp.Compare(a.key, b.key) })
	return slices.CompactFunc(m, func(a, b pair[K, V]) bool { return a.key == b.key })
}

// decodeSet decodes a set of strings: in order, each once.
func decodeSet(d *wire.Decoder) []string {
	s := wire.DecodeSlice(d, 4, d.Str)
	slices.Sort(s)
	return slices.Compact(s)
}
