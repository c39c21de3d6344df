package storetest

import (
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
)

// Description is the content of a store, collection by collection, as text
// that is equal if and only if (but for checksum collisions) the content is.
type Description map[objstore.Coll]string

func (d Description) String() string {
	var w strings.Builder
	for _, c := range slices.SortedFunc(maps.Keys(d), func(a, b objstore.Coll) int { return strings.Compare(a.String(), b.String()) }) {
		fmt.Fprintf(&w, "%v\n%s", c, d[c])
	}
	return w.String()
}

// Describe reads the whole store.
func Describe(s objstore.Store) (Description, error) {
	colls, err := s.Collections()
	if err != nil {
		return nil, err
	}
	d := Description{}
	for _, c := range append(colls, objstore.MetaColl) {
		var w strings.Builder
		for at := object.MinID; !at.Max; {
			ids, next, err := s.List(c, at, 50)
			if err != nil {
				return nil, err
			}
			for _, o := range ids {
				if err := describeObject(&w, s, c, o); err != nil {
					return nil, fmt.Errorf("%v in %v: %w", o, c, err)
				}
			}
			at = next
		}
		d[c] = w.String()
	}
	return d, nil
}

func describeObject(w *strings.Builder, s objstore.Store, c objstore.Coll, o object.ID) error {
	st, err := s.Stat(c, o)
	if err != nil {
		return err
	}
	l, err := s.Read(c, o, 0, st.Size)
	if err != nil {
		return err
	}
	data := l.Bytes()
	if uint64(len(data)) != st.Size {
		return fmt.Errorf("read %d bytes of %d", len(data), st.Size)
	}
	// What the extents leave out must be zeros.
	ext, err := s.Extents(c, o, 0, st.Size)
	if err != nil {
		return err
	}
	at := uint64(0)
	for _, e := range append(ext, objstore.Extent{Off: st.Size}) {
		for ; at < e.Off; at++ {
			if data[at] != 0 {
				return fmt.Errorf("byte %d is %#x and in no extent of %v", at, data[at], ext)
			}
		}
		at = e.Off + e.Len
	}
	fmt.Fprintf(w, " %v size %d crc %08x\n", o, st.Size, crc32.ChecksumIEEE(data))
	l.Release()

	attrs, err := s.Attrs(c, o)
	if err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		fmt.Fprintf(w, "  attr %q %s\n", k, brief(attrs[k]))
	}
	h, err := s.OmapHeader(c, o)
	if err != nil {
		return err
	}
	if len(h) > 0 {
		fmt.Fprintf(w, "  header %s\n", brief(h))
	}
	return s.OmapScan(c, o, "", func(k string, v []byte) bool {
		fmt.Fprintf(w, "  omap %q %s\n", k, brief(v))
		return true
	})
}

func brief(b []byte) string {
	if len(b) <= 20 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%d bytes crc %08x", len(b), crc32.ChecksumIEEE(b))
}
