package rbd

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd/calls"
)

// lineage tells what of a header need not be read again.
//
// Whoever changes a header tells others that it has changed, not what. Anything
// may be different then: snapshots come and go, and of those that stay the name,
// the protection, the flags, the overlap with the parent, the number of clones.
// So all of it has to be read, and an image with a thousand snapshots would pay
// for all of them with each new one.
//
// But an object has a version, which each change of its contents replaces by a
// greater one. So this client notes what it changes itself, if it can be sure
// that the header was, until then, as it knew it: it asserts the version, and
// from the reply it has the next one.
//
//	 read        add snapshot 5     protect 3      what is there now
//	version 70 ---------------> 74 -----------> 81 ------------------
//	                a link           a link           a chain to 81
//
// A header that is read again has a version too. If a chain of links leads from
// the former one to it, all snapshots are as they were but those that the links
// name, and only these are read. If not, another client changed something, and
// nothing is taken for granted. Nor if this client does not know the outcome of a
// change: then there is no link.
type lineage struct {
	// changing is held by who makes a change that is to become a link: two at a
	// time would assert the same version.
	changing semaphore

	mu    sync.Mutex
	links []link // in order of time; each begins where the one before ended, or later
}

// link is a change of the header that this client made.
type link struct {
	from, to uint64 // versions of the header object
	snap     uint64 // the one snapshot that it is about; clsrbd.HeadSnap: none
}

func newLineage() *lineage { return &lineage{changing: newSemaphore()} }

// newest is the newest version known, if that of the last header read is v. 0:
// none is.
func (l *lineage) newest(v uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.links); n > 0 {
		v = max(v, l.links[n-1].to)
	}
	return v
}

// add notes a change. Those of no snapshot that follow each other are one, for
// there may be many between two readings.
func (l *lineage) add(k link) {
	if k.to <= k.from {
		return // it changed nothing
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.links); n > 0 {
		if last := &l.links[n-1]; last.to == k.from && last.snap == k.snap {
			last.to = k.to
			return
		}
	}
	l.links = append(l.links, k)
}

// between returns the snapshots that are not as they were when the header had
// the version from, now that it has the version to. ok is false if that is not
// known.
func (l *lineage) between(from, to uint64) (changed []uint64, ok bool) {
	if from == 0 || to == 0 {
		return nil, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.links {
		if k.from == from && k.to <= to {
			from = k.to
			changed = append(changed, k.snap)
		}
	}
	return changed, from == to
}

// forget drops the links that lead to a version that was read.
func (l *lineage) forget(read uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.links = slices.DeleteFunc(l.links, func(k link) bool { return k.to <= read })
}

// tellHeader changes the header, if the image is still ours. What becomes of the
// snapshots is not noted: all are read again.
func (img *Image) tellHeader(ctx context.Context, w ...calls.Write) error {
	return img.tellOp(ctx, new(rados.WriteOp), w)
}

func (img *Image) tellOp(ctx context.Context, op *rados.WriteOp, w []calls.Write) error {
	if l, held := img.owner.held(); held {
		op.AssertLocked(l)
	}
	for _, c := range w {
		addWrite(op, c)
	}
	return img.pool.Mutate(ctx, clsrbd.Header(img.id), op)
}

// tellSnap changes the header, if the image is still ours, as tellHeader does;
// what it changes is what the header says of one snapshot, or of none
// (clsrbd.HeadSnap), and of the image itself.
func (img *Image) tellSnap(ctx context.Context, snap uint64, w ...calls.Write) error {
	l := img.lineage
	if err := l.changing.acquire(ctx); err != nil {
		return err
	}
	defer l.changing.release()
	from := l.newest(img.view.Load().version)
	if from == 0 {
		return img.tellHeader(ctx, w...)
	}
	var op rados.WriteOp
	op.AssertVersion(from)
	err := img.tellOp(ctx, &op, w)
	switch {
	case errors.Is(err, rados.ErrNewer), errors.Is(err, rados.ErrOlder):
		// Another client was there first, or it is the error of a call: then it
		// comes again.
		return img.tellHeader(ctx, w...)
	case err == nil:
		l.add(link{from, op.ObjectVersion(), snap})
	}
	return err
}

// unchanged tells whether the header is still the one that this client has read.
// To ask costs less than to read it; but who changed it himself need not ask.
func (img *Image) unchanged(ctx context.Context) bool {
	v := img.view.Load().version
	if v == 0 || img.lineage.newest(v) != v {
		return false
	}
	var op rados.ReadOp
	op.AssertVersion(v)
	return img.pool.Query(ctx, clsrbd.Header(img.id), &op) == nil
}

// inherit takes over from a header that was read earlier the snapshots that are
// as they were.
func (h *header) inherit(old *header, l *lineage) {
	if old == nil {
		return
	}
	changed, ok := l.between(old.version, h.version)
	switch {
	case !ok:
	case old.version == h.version:
		h.snaps = old.snaps
	default:
		ids := slices.Sorted(slices.Values(h.snapc.Snaps))
		h.snaps = slices.DeleteFunc(slices.Clone(old.snaps), func(s snapshot) bool {
			_, there := slices.BinarySearch(ids, s.ID)
			return !there || slices.Contains(changed, s.ID)
		})
	}
}
