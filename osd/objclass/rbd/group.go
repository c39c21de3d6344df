package rbd

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// A group is a set of images that get their snapshots together. It has a header,
// rbd_header.ID of the group, with a key for each image and each snapshot:
//
//	image_POOL_ID  whether the image is a member already (POOL has 16 hex digits)
//	snapshot_ID    the group's snapshot: which snapshots of which images it is
//
// The header of a member says in rbd_group_ref which group it belongs to: an
// image is in one at most. The names of groups are in rbd_group_directory.
var groupMethods = objclass.Class{
	"group_dir_list":   {Flags: rd, Call: dirList},
	"group_dir_add":    {Flags: rd | wr, Call: dirAdd},
	"group_dir_remove": {Flags: rd | wr, Call: dirRemove},
	"group_dir_rename": {Flags: rd | wr, Call: dirRename},

	"group_image_set":    {Flags: rd | wr, Call: groupImageSet},
	"group_image_remove": {Flags: rd | wr, Call: groupImageRemove},
	"group_image_list":   {Flags: rd, Call: groupImageList},

	"group_snap_set":       {Flags: rd | wr, Call: groupSnapSet},
	"group_snap_remove":    {Flags: rd | wr, Call: groupSnapRemove},
	"group_snap_get_by_id": {Flags: rd, Call: groupSnapGet},
	"group_snap_list":      {Flags: rd, Call: groupSnapList},

	"image_group_add":    {Flags: rd | wr, Call: imageGroupAdd},
	"image_group_remove": {Flags: rd | wr, Call: imageGroupRemove},
	"image_group_get":    {Flags: rd, Call: imageGroupGet},
}

const (
	groupImagePrefix = "image_"
	groupSnapPrefix  = "snapshot_"
	groupRefKey      = "rbd_group_ref"
)

// noPool stands for no pool where there may be one.
const noPool = -1

// groupImageSpec names an image of a group (cls::rbd::GroupImageSpec).
type groupImageSpec struct {
	id   string
	pool int64
}

func (s groupImageSpec) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.Str(s.id)
	e.S64(s.pool)
	e.End(m)
}

func (s *groupImageSpec) Decode(d *wire.Decoder) {
	env := d.Begin("GroupImageSpec", 1)
	s.id = d.Str()
	s.pool = d.S64()
	d.End(env)
}

// name is the part of the key behind the prefix.
func (s groupImageSpec) name() string { return fmt.Sprintf("%016x_%s", uint64(s.pool), s.id) }

// key is empty for an image in no pool: a listing that begins there begins with
// the first.
func (s groupImageSpec) key() string {
	if s.pool == noPool {
		return ""
	}
	return groupImagePrefix + s.name()
}

// parseName is the reverse of name.
func (s *groupImageSpec) parseName(name string) error {
	pool, id, ok := strings.Cut(name, "_")
	n, err := strconv.ParseUint(pool, 16, 64)
	if !ok || err != nil {
		return fmt.Errorf("image %q of a group: %w", name, errno.EIO)
	}
	s.pool, s.id = int64(n), id
	return nil
}

func groupImageSet(c objclass.Context, in []byte) ([]byte, error) {
	var spec groupImageSpec
	var state uint8
	err := objclass.Parse(in, func(d *wire.Decoder) {
		env := d.Begin("GroupImageStatus", 1)
		spec.Decode(d)
		state = d.U8()
		d.End(env)
	})
	if err != nil {
		return nil, err
	}
	return nil, writeKey(c, spec.key(), func(e *wire.Encoder) { e.U8(state) })
}

func groupImageRemove(c objclass.Context, in []byte) ([]byte, error) {
	var spec groupImageSpec
	if err := objclass.Parse(in, spec.Decode); err != nil {
		return nil, err
	}
	return nil, c.RemoveOmapKeys([]string{spec.key()})
}

// groupImageList answers with GroupImageStatus of each member.
func groupImageList(c objclass.Context, in []byte) ([]byte, error) {
	var start groupImageSpec
	var limit uint64
	if err := objclass.Parse(in, func(d *wire.Decoder) { start.Decode(d); limit = d.U64() }); err != nil {
		return nil, err
	}
	var list, e wire.Encoder
	n := uint32(0)
	after, _ := strings.CutPrefix(start.key(), groupImagePrefix)
	err := listing(c, groupImagePrefix, after, limit, func(name string, value []byte) error {
		var spec groupImageSpec
		var state uint8
		if err := decodeValue(groupImagePrefix+name, value, func(d *wire.Decoder) { state = d.U8() }); err != nil {
			return err
		}
		if err := spec.parseName(name); err != nil {
			return err
		}
		n++
		m := list.Begin(1, 1)
		spec.Encode(&list)
		list.U8(state)
		list.End(m)
		return nil
	})
	if err != nil {
		return nil, err
	}
	e.U32(n)
	e.Raw(list.Bytes())
	return e.Bytes(), nil
}

// groupSnap is a snapshot of a group (cls::rbd::GroupSnapshot).
type groupSnap struct {
	id, name string
	state    uint8
	snaps    []imageSnap
}

// Incomplete is the state of a snapshot whose images do not all have theirs yet.
const groupSnapIncomplete = 0

// imageSnap is a snapshot of an image (cls::rbd::ImageSnapshotSpec).
type imageSnap struct {
	pool  int64
	image string
	snap  uint64
}

func (s groupSnap) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.Str(s.id)
	e.Str(s.name)
	e.U8(s.state)
	wire.EncodeSlice(e, s.snaps, func(i imageSnap) {
		m := e.Begin(1, 1)
		e.S64(i.pool)
		e.Str(i.image)
		e.U64(i.snap)
		e.End(m)
	})
	e.End(m)
}

func (s *groupSnap) Decode(d *wire.Decoder) {
	env := d.Begin("GroupSnapshot", 1)
	s.id = d.Str()
	s.name = d.Str()
	s.state = d.U8()
	s.snaps = wire.DecodeSlice(d, 26, func() (i imageSnap) {
		env := d.Begin("ImageSnapshotSpec", 1)
		i.pool = d.S64()
		i.image = d.Str()
		i.snap = d.U64()
		d.End(env)
		return i
	})
	d.End(env)
}

// groupSnapSet records a snapshot when it is begun, and again when it is
// complete. Two may not have one name.
func groupSnapSet(c objclass.Context, in []byte) ([]byte, error) {
	var snap groupSnap
	if err := objclass.Parse(in, snap.Decode); err != nil {
		return nil, err
	}
	if snap.name == "" || snap.id == "" {
		return nil, fmt.Errorf("a snapshot without name or id: %w", errno.EINVAL)
	}
	err := eachGroupSnap(c, "", math.MaxUint64, func(s groupSnap) error {
		if s.name == snap.name && s.id != snap.id {
			return errno.EEXIST
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if snap.state == groupSnapIncomplete {
		if _, err := c.OmapValue(groupSnapPrefix + snap.id); err == nil {
			return nil, errno.EEXIST
		} else if !errors.Is(err, errno.ENOENT) {
			return nil, err
		}
	}
	return nil, writeKey(c, groupSnapPrefix+snap.id, snap.Encode)
}

func eachGroupSnap(c objclass.Context, start string, limit uint64, f func(groupSnap) error) error {
	return listing(c, groupSnapPrefix, start, limit, func(id string, value []byte) error {
		var s groupSnap
		if err := decodeValue(groupSnapPrefix+id, value, s.Decode); err != nil {
			return err
		}
		return f(s)
	})
}

func groupSnapRemove(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseString(in)
	if err != nil {
		return nil, err
	}
	return nil, c.RemoveOmapKeys([]string{groupSnapPrefix + id})
}

func groupSnapGet(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseString(in)
	if err != nil {
		return nil, err
	}
	var s groupSnap
	if err := readKey(c, groupSnapPrefix+id, s.Decode); err != nil {
		return nil, err
	}
	return wire.Marshal(s), nil
}

// groupSnapList answers with the snapshots in the order of their ids, from behind
// one of which only the id matters. A damaged one ends the list, as in Ceph.
func groupSnapList(c objclass.Context, in []byte) ([]byte, error) {
	var start groupSnap
	var limit uint64
	if err := objclass.Parse(in, func(d *wire.Decoder) { start.Decode(d); limit = d.U64() }); err != nil {
		return nil, err
	}
	var all []groupSnap
	err := eachGroupSnap(c, start.id, limit, func(s groupSnap) error { all = append(all, s); return nil })
	if err != nil {
		c.Log("%v", err)
	}
	return encoded(func(e *wire.Encoder) {
		wire.EncodeSlice(e, all, func(s groupSnap) { s.Encode(e) })
	}), nil
}

// readGroupRef returns ENOENT if the image is in no group, EINVAL if what it says
// makes no sense.
func readGroupRef(c objclass.Context) (s clsrbd.GroupSpec, err error) {
	b, err := c.OmapValue(groupRefKey)
	if err != nil {
		return s, err
	}
	return s, objclass.Parse(b, s.Decode)
}

func imageGroupAdd(c objclass.Context, in []byte) ([]byte, error) {
	var group clsrbd.GroupSpec
	if err := objclass.Parse(in, group.Decode); err != nil {
		return nil, err
	}
	switch now, err := readGroupRef(c); {
	case err == nil && now == group:
		return nil, nil
	case err == nil:
		return nil, errno.EEXIST
	case !isMissing(err):
		return nil, err
	}
	if err := setOpFeatures(c, clsrbd.GroupMember, clsrbd.GroupMember); err != nil {
		return nil, err
	}
	return nil, writeKey(c, groupRefKey, group.Encode)
}

func imageGroupRemove(c objclass.Context, in []byte) ([]byte, error) {
	var group clsrbd.GroupSpec
	if err := objclass.Parse(in, group.Decode); err != nil {
		return nil, err
	}
	now, err := readGroupRef(c)
	if err != nil {
		return nil, err
	}
	if now != group {
		return nil, errno.EBADF
	}
	if err := c.RemoveOmapKeys([]string{groupRefKey}); err != nil {
		return nil, err
	}
	return nil, setOpFeatures(c, 0, clsrbd.GroupMember)
}

// imageGroupGet answers for an image in no group with a group in no pool.
func imageGroupGet(c objclass.Context, _ []byte) ([]byte, error) {
	group, err := readGroupRef(c)
	if isMissing(err) {
		group = clsrbd.GroupSpec{Pool: noPool}
	} else if err != nil {
		return nil, err
	}
	return wire.Marshal(&group), nil
}
