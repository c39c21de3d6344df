package rbd

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rados/striper"
	"github.com/pulpo-storage/pulpo/rbd/calls"
)

// header is what an image's header object said. It does not change: when the
// object has changed another one is read. The snapshots' parts may be newer than
// the rest, never older; load begins again if one is missing.
type header struct {
	version    uint64 // of the object; 0: the snapshots' parts are of another one
	size       uint64
	order      uint8
	features   clsrbd.Feature
	flags      clsrbd.Flag
	opFeatures clsrbd.OpFeature
	prefix     string
	dataPool   int64 // -1: that of the header
	stripes    calls.Stripes
	snapc      calls.SnapContext
	snaps      []snapshot // by id, oldest first
	read       int        // how many of them were read for this header
	parent     clsrbd.ParentSpec
	overlap    calls.Overlap
	group      clsrbd.GroupSpec
	created    time.Time
	accessed   time.Time
	modified   time.Time
}

// snapshot is what a header says about a snapshot.
type snapshot struct {
	clsrbd.SnapInfo
	protection clsrbd.Protection
	flags      clsrbd.Flag
	overlap    calls.Overlap
}

// snapshotsPerOp is how many snapshots are asked for in one sequence.
const snapshotsPerOp = 16

// loadHeader reads a header, for one who means to write or not. What the lineage
// can tell of the snapshots of an old one, if any, is not read again.
func loadHeader(ctx context.Context, p *rados.Pool, id string, readOnly bool, old *header, l *lineage) (*header, error) {
	for {
		h, err := loadHead(ctx, p, id, readOnly)
		if err != nil {
			return nil, err
		}
		h.inherit(old, l)
		if err = h.loadSnapshots(ctx, p, id); err == nil {
			return h, nil
		}
		if !isMissing(err) {
			return nil, err
		}
		// A snapshot was removed meanwhile, or the image: then loadHead tells.
	}
}

func loadHead(ctx context.Context, p *rados.Pool, id string, readOnly bool) (*header, error) {
	var op rados.ReadOp
	v := &op.Steps
	size := add(v, calls.GetSize(clsrbd.HeadSnap))
	prefix := add(v, calls.GetObjectPrefix())
	features := add(v, calls.GetFeatures(readOnly))
	flags := add(v, calls.GetFlags(clsrbd.HeadSnap))
	snapc := add(v, calls.GetSnapContext())
	parent := add(v, calls.GetParent())
	overlap := add(v, calls.GetOverlap(clsrbd.HeadSnap))
	opFeatures := add(v, calls.GetOpFeatures())
	dataPool := add(v, calls.GetDataPool())
	group := add(v, calls.GetImageGroup())
	stripes := tryAdd(v, calls.GetStripes())
	created := tryAdd(v, calls.GetTimestamp(calls.Created))
	accessed := tryAdd(v, calls.GetTimestamp(calls.Accessed))
	modified := tryAdd(v, calls.GetTimestamp(calls.Modified))
	err := p.Query(ctx, clsrbd.Header(id), &op)
	if err != nil {
		return nil, err
	}
	s, f := size.take(&err), features.take(&err)
	h := &header{
		version: op.ObjectVersion(),
		size:    s.Bytes, order: s.Order, prefix: prefix.take(&err),
		features: f.All, flags: flags.take(&err), opFeatures: opFeatures.take(&err),
		snapc: snapc.take(&err), parent: parent.take(&err), overlap: overlap.take(&err),
		dataPool: dataPool.take(&err), group: group.take(&err),
		stripes: stripes.take(&err, errno.ENOEXEC), // the image is not striped
		created: created.take(&err), accessed: accessed.take(&err, errno.EOPNOTSUPP), modified: modified.take(&err, errno.EOPNOTSUPP),
	}
	if err != nil {
		return nil, err
	}
	if unknown := f.Incompatible &^ clsrbd.AllFeatures; unknown != 0 {
		return nil, fmt.Errorf("features %#x are not known: %w", uint64(unknown), errno.ENOSYS)
	}
	if h.order < 9 || h.order > 40 {
		return nil, fmt.Errorf("objects of 2^%d bytes: %w", h.order, errno.EBADMSG)
	}
	return h, nil
}

// loadSnapshots reads the snapshots that were not inherited.
func (h *header) loadSnapshots(ctx context.Context, p *rados.Pool, id string) error {
	known := h.snaps
	ids := slices.DeleteFunc(slices.Clone(h.snapc.Snaps), func(id uint64) bool {
		_, found := slices.BinarySearchFunc(known, id, snapshot.compare)
		return found
	})
	read := make([]snapshot, 0, len(ids))
	for part := range slices.Chunk(ids, snapshotsPerOp) {
		var op rados.ReadOp
		v := &op.Steps
		type asked struct {
			info       *answer[clsrbd.SnapInfo]
			overlap    *answer[calls.Overlap]
			flags      *answer[clsrbd.Flag]
			protection *answer[clsrbd.Protection]
		}
		var all []asked
		for _, s := range part {
			all = append(all, asked{add(v, calls.GetSnapshot(s)), add(v, calls.GetOverlap(s)), add(v, calls.GetFlags(s)), add(v, calls.GetProtection(s))})
		}
		if err := p.Query(ctx, clsrbd.Header(id), &op); err != nil {
			return err
		}
		for _, a := range all {
			var err error
			s := snapshot{a.info.take(&err), a.protection.take(&err), a.flags.take(&err), a.overlap.take(&err)}
			if err != nil {
				return err
			}
			read = append(read, s)
		}
		if op.ObjectVersion() != h.version {
			h.version = 0
		}
	}
	if h.read = len(read); h.read > 0 {
		h.snaps = slices.Concat(known, read)
		slices.SortFunc(h.snaps, func(a, b snapshot) int { return a.compare(b.ID) })
	}
	return nil
}

func (s snapshot) compare(id uint64) int { return cmp.Compare(s.ID, id) }

// layout is how the image is cut into objects.
func (h *header) layout() (striper.Layout, error) {
	l := striper.Plain(1 << h.order)
	if h.stripes.Unit != 0 && h.stripes.Count != 0 {
		l.StripeUnit, l.StripeCount = h.stripes.Unit, h.stripes.Count
	}
	return l, l.Check()
}

// snap finds a snapshot by id.
func (h *header) snap(id uint64) *snapshot {
	i, ok := slices.BinarySearchFunc(h.snaps, id, snapshot.compare)
	if !ok {
		return nil
	}
	return &h.snaps[i]
}

// snapNamed finds a snapshot that a user made, by its name.
func (h *header) snapNamed(name string) *snapshot {
	for i := range h.snaps {
		if s := &h.snaps[i]; s.Namespace.Type == clsrbd.SnapUser && s.Name == name {
			return s
		}
	}
	return nil
}

// has reports whether the image has all of the features.
func (h *header) has(f clsrbd.Feature) bool { return h.features&f == f }
