package clsrbd

import (
	"slices"
	"strconv"
	"time"

	"github.com/pulpo-storage/pulpo/wire"
)

// SnapType tells who made a snapshot and what for (SnapshotNamespaceType).
type SnapType uint32

const (
	SnapUser    SnapType = iota
	SnapGroup            // part of a snapshot of a group of images
	SnapTrashed          // removed, but clones need it; its name is a uuid now
	SnapMirror           // made by mirroring
)

func (t SnapType) String() string {
	switch t {
	case SnapUser:
		return "user"
	case SnapGroup:
		return "group"
	case SnapTrashed:
		return "trash"
	case SnapMirror:
		return "mirror"
	}
	return "unknown (" + strconv.FormatUint(uint64(t), 10) + ")"
}

// SnapNamespace says what kind of snapshot one is, and what there is to know of
// its kind (cls::rbd::SnapshotNamespace). Names are unique within a type. The
// zero value is that of users' snapshots.
type SnapNamespace struct {
	Type   SnapType
	Group  GroupSnap  // of SnapGroup
	Trash  TrashSnap  // of SnapTrashed
	Mirror MirrorSnap // of SnapMirror
	Rest   []byte     // of unknown types
}

// GroupSnap names the snapshot of the group (GroupSnapshotNamespace).
type GroupSnap struct {
	Pool  int64
	Group string // id
	Snap  string // id
}

// TrashSnap is what a snapshot was before (TrashSnapshotNamespace).
type TrashSnap struct {
	Name string
	Type SnapType
}

// MirrorSnapState tells what the image was when mirroring took a snapshot
// (MirrorSnapshotState).
type MirrorSnapState uint8

const (
	MirrorPrimary MirrorSnapState = iota
	MirrorPrimaryDemoted
	MirrorNonPrimary // a copy
	MirrorNonPrimaryDemoted
)

// MirrorSnap is the progress of mirroring (MirrorSnapshotNamespace).
type MirrorSnap struct {
	State       MirrorSnapState
	Complete    bool
	Peers       []string // uuids, sorted
	PrimaryUUID string
	PrimarySnap uint64 // of a primary: the snapshot since which it is clean
	LastCopied  uint64 // object number
	SnapSeqs    map[uint64]uint64
}

// Encode appends the type and what belongs to it (version 1).
func (n *SnapNamespace) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U32(uint32(n.Type))
	switch n.Type {
	case SnapUser:
	case SnapGroup:
		e.S64(n.Group.Pool)
		e.Str(n.Group.Group)
		e.Str(n.Group.Snap)
	case SnapTrashed:
		e.Str(n.Trash.Name)
		e.U32(uint32(n.Trash.Type))
	case SnapMirror:
		e.U8(uint8(n.Mirror.State))
		e.Bool(n.Mirror.Complete)
		wire.EncodeSlice(e, n.Mirror.Peers, e.Str)
		e.Str(n.Mirror.PrimaryUUID)
		e.U64(n.Mirror.PrimarySnap)
		e.U64(n.Mirror.LastCopied)
		wire.EncodeMap(e, n.Mirror.SnapSeqs, func(k, v uint64) { e.U64(k); e.U64(v) })
	default:
		e.Raw(n.Rest)
	}
	e.End(m)
}

// Decode is the inverse of Encode.
func (n *SnapNamespace) Decode(d *wire.Decoder) {
	env := d.Begin("SnapshotNamespace", 1)
	*n = SnapNamespace{Type: SnapType(d.U32())}
	switch n.Type {
	case SnapUser:
	case SnapGroup:
		n.Group = GroupSnap{Pool: d.S64(), Group: d.Str(), Snap: d.Str()}
	case SnapTrashed:
		n.Trash = TrashSnap{Name: d.Str(), Type: SnapType(d.U32())}
	case SnapMirror:
		n.Mirror = MirrorSnap{
			State:       MirrorSnapState(d.U8()),
			Complete:    d.Bool(),
			Peers:       decodeSet(d),
			PrimaryUUID: d.Str(),
			PrimarySnap: d.U64(),
			LastCopied:  d.U64(),
			SnapSeqs:    wire.DecodeMap(d, 16, func() (k, v uint64) { return d.U64(), d.U64() }),
		}
	default:
		n.Rest = slices.Clone(d.Raw(d.Left()))
	}
	d.End(env)
}

// decodeSet decodes a set of strings: in order, each once.
func decodeSet(d *wire.Decoder) []string {
	s := wire.DecodeSlice(d, 4, d.Str)
	slices.Sort(s)
	return slices.Compact(s)
}

// SnapInfo is a snapshot of an image (cls::rbd::SnapshotInfo).
type SnapInfo struct {
	ID        uint64
	Namespace SnapNamespace
	Name      string
	Size      uint64 // of the image, then; bytes
	Created   time.Time
	Children  uint32 // clones of the second format
}

// Encode appends the snapshot (version 1).
func (s *SnapInfo) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U64(s.ID)
	s.Namespace.Encode(e)
	e.Str(s.Name)
	e.U64(s.Size)
	e.Time(s.Created)
	e.U32(s.Children)
	e.End(m)
}

// Decode is the inverse of Encode.
func (s *SnapInfo) Decode(d *wire.Decoder) {
	env := d.Begin("SnapshotInfo", 1)
	s.ID = d.U64()
	s.Namespace.Decode(d)
	s.Name = d.Str()
	s.Size = d.U64()
	s.Created = d.Time()
	s.Children = d.U32()
	d.End(env)
}

// Protection tells whether a snapshot may be cloned (first format) and must not
// be removed (RBD_PROTECTION_STATUS_*).
type Protection uint8

const (
	Unprotected  Protection = iota
	Unprotecting            // on the way: no new clones, still some to look for
	Protected
)
