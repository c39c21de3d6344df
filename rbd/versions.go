package rbd

import (
	"context"
	"slices"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/rados"
)

// versions are the states of a data object that its snapshots keep (SnapSet), in
// the order of time. A version serves the snapshots from first to last, both
// included; where no version does there was no object. The newest version, the
// object as it is, serves from the snapshot after the newest that it was written
// with on, which need not exist yet, to HeadSnap.
type versions []version

type version struct {
	first, last uint64
	size        uint64
	overlap     ranges // bytes that are the same in the next version
}

// listVersions asks for the versions of a data object; none, if there is none.
func (img *Image) listVersions(ctx context.Context, n uint64) (versions, error) {
	s, err := img.data.Snaps(ctx, img.object(n))
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return newVersions(s), nil
}

func newVersions(s rados.ObjectSnaps) versions {
	var out versions
	for _, c := range s.Clones {
		v := version{size: c.Size}
		if c.ID == rados.HeadClone {
			v.first, v.last = s.Seq+1, clsrbd.HeadSnap
		} else if len(c.Snaps) > 0 {
			v.first, v.last = slices.Min(c.Snaps), slices.Max(c.Snaps)
		} else {
			continue // it is about to be trimmed
		}
		for _, x := range c.Overlap {
			v.overlap = v.overlap.union(span(x.Offset, x.Length))
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b version) int {
		if a.last < b.last {
			return -1
		}
		return 1
	})
	return out
}

// at is the index of the version that there was at a snapshot, -1 if there was
// no object.
func (vs versions) at(snap uint64) int {
	for i, v := range vs {
		if v.first <= snap && snap <= v.last {
			return i
		}
	}
	return -1
}

// changed is what differs at one snapshot from a former one; from 0 it is all
// that there is.
func (vs versions) changed(from, to uint64) ranges {
	i, j := -1, vs.at(to)
	if from != 0 {
		i = vs.at(from)
	}
	switch {
	case i == j:
		return nil
	case i < 0:
		return span(0, vs[j].size)
	case j < 0:
		return span(0, vs[i].size)
	}
	var out ranges
	for ; i < j; i++ {
		out = out.union(span(0, max(vs[i].size, vs[i+1].size)).without(vs[i].overlap))
	}
	return out
}

// states is what the object maps of snapshots, in ascending order, say of the
// object.
func (vs versions) states(snaps []uint64, fastDiff bool) []clsrbd.ObjectState {
	out := make([]clsrbd.ObjectState, len(snaps))
	before := -1
	for i, s := range snaps {
		now := vs.at(s)
		switch {
		case now < 0:
			out[i] = clsrbd.ObjectNonexistent
		case now == before && fastDiff:
			out[i] = clsrbd.ObjectExistsClean
		default:
			out[i] = clsrbd.ObjectExists
		}
		before = now
	}
	return out
}
