package recovery

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/extent"
)

// Limits of a piece beside its bytes: what is sparse or has tiny omap entries
// costs more than it weighs.
const (
	maxSpans   = 4096
	maxEntries = 8096 // osd_recovery_max_omap_entries_per_chunk
)

// Source is a version of an object that is to be sent. It must not change as
// long as the transfer lasts.
type Source struct {
	Store   objstore.Store
	Coll    objstore.Coll
	Object  object.ID
	Version object.Version
	Size    uint64 // as the group knows it
	// What travels, and what is taken from other versions; see [Lineage.Plan].
	Bytes   extent.Set
	Borrows []Borrow
}

// Next reads the piece that begins at a cursor. A piece has up to max bytes of
// omap and data, or one omap entry that is larger; the attributes and the omap
// header come on top of the first. Holes of the object are not read.
//
// An error that is objstore.ErrIO says that the object cannot be read, by a bad
// checksum say, or is not what the group takes it for. It must not be sent from
// here; another copy may be good.
func (s *Source) Next(at Cursor, max int) (*Push, error) {
	p := &Push{Object: s.Object, Version: s.Version, Size: s.Size, At: at}
	next := at
	room := uint64(max)
	err := func() error {
		if !next.Begun {
			if err := s.begin(p); err != nil {
				return err
			}
			next.Begun = true
		}
		if !next.OmapDone {
			if err := s.readOmap(p, &next, &room); err != nil {
				return err
			}
		}
		if next.OmapDone {
			return s.readData(p, &next, room)
		}
		return nil
	}()
	if err != nil {
		p.Release()
		if errors.Is(err, objstore.ErrNotFound) {
			err = objstore.ErrIO // the group says that it is there
		}
		return nil, fmt.Errorf("push of %v: %w", s.Object, err)
	}
	p.Next = next
	return p, nil
}

// begin reads what goes with the first piece.
func (s *Source) begin(p *Push) error {
	st, err := s.Store.Stat(s.Coll, s.Object)
	if err != nil {
		return err
	}
	if st.Size != s.Size {
		return fmt.Errorf("has %d bytes, not %d: %w", st.Size, s.Size, objstore.ErrIO)
	}
	attrs, err := s.Store.Attrs(s.Coll, s.Object)
	if err != nil {
		return err
	}
	for name, value := range attrs {
		p.Attrs = append(p.Attrs, objstore.KV{Key: name, Value: value})
	}
	slices.SortFunc(p.Attrs, func(a, b objstore.KV) int { return strings.Compare(a.Key, b.Key) })
	p.Header, err = s.Store.OmapHeader(s.Coll, s.Object)
	p.Borrows = s.Borrows
	return err
}

// readOmap adds entries to the piece.
func (s *Source) readOmap(p *Push, next *Cursor, room *uint64) error {
	next.OmapDone = true
	return s.Store.OmapScan(s.Coll, s.Object, next.Omap, func(key string, value []byte) bool {
		n := uint64(len(key) + len(value))
		if len(p.Omap) > 0 && (n > *room || len(p.Omap) == maxEntries) {
			next.OmapDone = false
			return false
		}
		p.Omap = append(p.Omap, objstore.KV{Key: strings.Clone(key), Value: slices.Clone(value)})
		*room -= min(n, *room)
		next.Omap = key + "\x00" // the least key above
		return true
	})
}

// readData adds data to the piece.
func (s *Source) readData(p *Push, next *Cursor, room uint64) error {
	for _, want := range s.Bytes {
		off := max(want.Off, next.Data)
		if off >= want.End {
			continue
		}
		runs, err := s.Store.Extents(s.Coll, s.Object, off, want.End-off)
		if err != nil {
			return err
		}
		for _, run := range runs {
			if room == 0 || len(p.Bytes) == maxSpans {
				next.Data = run.Off
				return nil
			}
			n := min(run.Len, room)
			l, err := s.Store.Read(s.Coll, s.Object, run.Off, n)
			if err != nil {
				return err
			}
			p.Data = append(p.Data, l...)
			if got := uint64(l.Len()); got != n {
				return fmt.Errorf("%d bytes at %d, not %d: %w", got, run.Off, n, objstore.ErrIO)
			}
			p.addBytes(run.Off, n)
			room -= n
			if n < run.Len {
				next.Data = run.Off + n
				return nil
			}
		}
		next.Data = want.End
	}
	next.Data, next.Done = s.Size, true
	return nil
}

// addBytes notes that data up to here is followed by n bytes from off.
func (p *Push) addBytes(off, n uint64) {
	if k := len(p.Bytes); k > 0 && p.Bytes[k-1].End == off {
		p.Bytes[k-1].End += n
		return
	}
	p.Bytes = append(p.Bytes, extent.Span{Off: off, End: off + n})
}
