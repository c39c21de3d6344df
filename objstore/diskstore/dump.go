package diskstore

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
)

// What Dump writes, one JSON value after the other.
type (
	dumpStore struct {
		UUID        string `json:"uuid"`
		Created     string `json:"created"`
		Compat      uint64 `json:"compat"`
		ROCompat    uint64 `json:"ro_compat"`
		Incompat    uint64 `json:"incompat"`
		Size        uint64 `json:"size"`
		JournalSize uint64 `json:"journal_size"`
		DataOff     uint64 `json:"data_offset"`
		Record      uint64 `json:"record"` // number of the last one
		Replayed    uint64 `json:"replayed"`
		Stored      uint64 `json:"stored"`
		Allocated   uint64 `json:"allocated"`
		Free        uint64 `json:"free"` // of the file as large as it is
		Collections int    `json:"collections"`
	}
	dumpColl struct {
		Collection string `json:"collection"`
		ID         uint64 `json:"id"`
		Objects    int    `json:"objects"`
	}
	dumpObject struct {
		Collection string         `json:"collection"`
		Object     string         `json:"object"`
		NID        uint64         `json:"nid"`
		Size       uint64         `json:"size"`
		Attrs      map[string]int `json:"attrs,omitempty"` // lengths of the values
		Header     int            `json:"omap_header,omitempty"`
		OmapKeys   int            `json:"omap_keys,omitempty"`
		Extents    []dumpExtent   `json:"extents,omitempty"`
	}
	dumpExtent struct {
		Off    uint64 `json:"off"`
		Len    uint64 `json:"len"`
		At     uint64 `json:"at"` // byte of the file
		Shared bool   `json:"shared,omitempty"`
	}
)

// Dump writes what a store is made of as a sequence of JSON values: the store,
// its collections, and, if asked for, each object.
func (s *Store) Dump(w io.Writer, objects bool) error {
	e := json.NewEncoder(w)
	s.mu.Lock()
	st := s.state
	s.mu.Unlock()
	s.space.mu.Lock()
	free := s.space.used.Free()
	s.space.mu.Unlock()
	colls := *s.colls.Load()
	p := s.super
	if err := e.Encode(dumpStore{
		UUID: p.uuid(), Created: p.Created.Format("2006-01-02T15:04:05Z"), Compat: p.Compat, ROCompat: p.ROCompat, Incompat: p.Incompat,
		Size: p.Size, JournalSize: p.JournalSize, DataOff: p.DataOff, Record: st.seq, Replayed: s.stats.replayed.Load(),
		Stored: st.stored, Allocated: st.allocated * blockSize, Free: free * blockSize, Collections: len(colls),
	}); err != nil {
		return err
	}
	var order []*collection
	for _, c := range colls {
		order = append(order, c)
	}
	slices.SortFunc(order, func(a, b *collection) int { return cmp.Compare(a.id, b.id) })
	for _, c := range order {
		n := 0
		if err := s.eachObject(c.name, func(object.ID) error { n++; return nil }); err != nil {
			return err
		}
		if err := e.Encode(dumpColl{c.name.String(), c.id, n}); err != nil {
			return err
		}
	}
	if !objects {
		return nil
	}
	for _, c := range order {
		if err := s.eachObject(c.name, func(o object.ID) error {
			d, err := s.dumpObject(c.name, o)
			if err != nil {
				return err
			}
			return e.Encode(d)
		}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) eachObject(c objstore.Coll, f func(object.ID) error) error {
	for at := object.MinID; !at.Max; {
		ids, next, err := s.List(c, at, 1000)
		if err != nil {
			return err
		}
		for _, o := range ids {
			if err := f(o); err != nil {
				return err
			}
		}
		at = next
	}
	return nil
}

func (s *Store) dumpObject(c objstore.Coll, o object.ID) (dumpObject, error) {
	_, n, err := s.lookup(c, o)
	if err != nil {
		return dumpObject{}, err
	}
	d := dumpObject{Collection: c.String(), Object: o.String(), NID: n.nid, Size: n.size, Header: len(n.header), Attrs: map[string]int{}}
	for _, a := range n.attrs {
		d.Attrs[a.Key] = len(a.Value)
	}
	for _, r := range n.segs {
		for i, b := range r.seg.blocks {
			if b.hole() {
				continue
			}
			off := (r.no*segBlocks + uint64(i)) * blockSize
			if k := len(d.Extents) - 1; k >= 0 {
				if x := &d.Extents[k]; x.Off+x.Len == off && x.At+x.Len == b.phys()*blockSize && x.Shared == (b.at&shared != 0) {
					x.Len += blockSize
					continue
				}
			}
			d.Extents = append(d.Extents, dumpExtent{off, blockSize, b.phys() * blockSize, b.at&shared != 0})
		}
	}
	return d, s.OmapScan(c, o, "", func(string, []byte) bool { d.OmapKeys++; return true })
}
