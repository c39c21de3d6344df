package rbd

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// Keys of a header's snapshots, and of the clones of each.
const (
	snapPrefix     = "snapshot_"
	childrenPrefix = "snap_children_"
)

// snapshot is what a header keeps of a snapshot (cls_rbd_snap).
type snapshot struct {
	id         uint64
	name       string
	size       uint64 // of the image then, bytes
	protection clsrbd.Protection
	flags      uint64
	namespace  clsrbd.SnapNamespace
	created    time.Time
	children   uint32 // clones of the second format
	// overlap is how much the image then shared with its parent. Until Nautilus
	// each snapshot had a parent of its own; now all have that of the image.
	overlap optional
	parent  parent
}

func (s *snapshot) Encode(e *wire.Encoder) {
	m := e.Begin(8, 8)
	e.U64(s.id)
	e.Str(s.name)
	e.U64(s.size)
	e.U8(uint8(s.protection))
	e.U64(s.flags)
	s.namespace.Encode(e)
	e.Time(s.created)
	e.U32(s.children)
	s.overlap.encode(e)
	e.End(m)
}

func (s *snapshot) Decode(d *wire.Decoder) {
	s.id, s.parent = head, noParent
	env := d.Begin("cls_rbd_snap", 8)
	s.id = d.U64()
	s.name = d.Str()
	s.size = d.U64()
	if env.Compat < 8 {
		d.U64() // features; they were never used
		if env.Version >= 2 {
			s.parent.Decode(d)
		}
	}
	if env.Version >= 3 {
		s.protection = clsrbd.Protection(d.U8())
	}
	if env.Version >= 4 {
		s.flags = d.U64()
	}
	if env.Version >= 5 {
		s.namespace.Decode(d)
	}
	if env.Version >= 6 {
		s.created = d.Time()
	}
	if env.Version >= 7 {
		s.children = d.U32()
	}
	if env.Version >= 8 {
		s.overlap = decodeOptional(d)
	}
	d.End(env)
}

// hasParent tells whether the image had a parent when the snapshot was taken.
func (s *snapshot) hasParent() bool { return s.parent.Pool != noPool || s.overlap.set }

func snapKey(id uint64) string     { return fmt.Sprintf("%s%016x", snapPrefix, id) }
func childrenKey(id uint64) string { return fmt.Sprintf("%s%016x", childrenPrefix, id) }

// snapID is the id in a snapshot's key. As Ceph does, it takes the hexadecimal
// digits that it finds.
func snapID(key string) uint64 {
	s := key[len(snapPrefix):]
	if id, err := strconv.ParseUint(s, 16, 64); err == nil {
		return id // as all are that the class wrote
	}
	if end := strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) }); end >= 0 {
		s = s[:end]
	}
	id, err := strconv.ParseUint(s, 16, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return 0
	}
	return id // the highest number for one that is too high
}

// readSnapshot returns ENOENT if there is no snapshot with that id.
func readSnapshot(c objclass.Context, id uint64) (*snapshot, error) {
	var s snapshot
	if err := readKey(c, snapKey(id), s.Decode); err != nil {
		return nil, err
	}
	return &s, nil
}

// writeSnapshot keeps a snapshot under an id. A parent of its own becomes that of
// the image, unless there is one (image::snapshot::write).
func writeSnapshot(c objclass.Context, id uint64, s *snapshot) error {
	if s.parent.Exists() {
		p, err := readParent(c)
		if _, err := present(err); err != nil {
			return err
		}
		if !p.Exists() {
			p = s.parent
			p.overlap = optional{}
			if err := writeParent(c, p); err != nil {
				return err
			}
		}
		s.overlap, s.parent = s.parent.overlap, noParent
	}
	return writeKey(c, snapKey(id), s.Encode)
}

// eachSnapshot calls f for all snapshots, the oldest first, until f fails
// (image::snapshot::iterate).
func eachSnapshot(c objclass.Context, f func(s *snapshot) error) error {
	return each(c, snapPrefix, func(e objclass.Entry) error {
		var s snapshot
		if err := decodeValue(e.Key, e.Value, s.Decode); err != nil {
			return err
		}
		return f(&s)
	})
}

// sameNamespace is Ceph's equality: what snapshots in the trash were does not
// count.
func sameNamespace(a, b *clsrbd.SnapNamespace) bool {
	return a.Type == b.Type && (a.Type == clsrbd.SnapTrashed || bytes.Equal(wire.Marshal(a), wire.Marshal(b)))
}

var errFound = errors.New("found")

// anySnapshot tells whether f is true for a snapshot.
func anySnapshot(c objclass.Context, f func(s *snapshot) bool) (bool, error) {
	err := eachSnapshot(c, func(s *snapshot) error {
		if f(s) {
			return errFound
		}
		return nil
	})
	if err == errFound {
		return true, nil
	}
	return false, err
}

// parseSnapID decodes the id of a snapshot that must not be head.
func parseSnapID(in []byte) (uint64, error) {
	id, err := parseU64(in)
	if err == nil && id == head {
		err = errno.EINVAL
	}
	return id, err
}
