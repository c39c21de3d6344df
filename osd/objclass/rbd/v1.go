package rbd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// Images of format 1 are no longer made, but still used. All of such an image is
// in the object NAME.rbd (rbd_obj_header_ondisk):
//
//	 0  text, name of data objects, signature, version: 76 bytes
//	76  u8 order and three more
//	80  u64 size
//	88  u64 newest snapshot
//	96  u32 snapshots, u32 reserved, u64 bytes of names
//	112 for each snapshot, newest first: u64 id, u64 size
//	    their names, each ending with a zero byte

var v1Methods = objclass.Class{
	"snap_list":   {Flags: rd, Call: listV1Snaps},
	"snap_add":    {Flags: rd | wr, Call: addV1Snap},
	"snap_remove": {Flags: rd | wr, Call: removeV1Snap},
	"snap_rename": {Flags: rd | wr, Call: renameV1Snap},
}

const (
	v1HeaderSize = 112
	v1SnapSize   = 16

	v1Size     = 80
	v1Seq      = 88
	v1Count    = 96
	v1NamesLen = 104
)

// v1Image is the content of a header.
type v1Image struct {
	fixed []byte // the first v1HeaderSize bytes
	snaps []v1Snap
	names []string
	// damaged: the last name has no end.
	damaged bool
}

type v1Snap struct{ id, size uint64 }

// readV1 reads a header; EINVAL if there is none.
func readV1(c objclass.Context) (*v1Image, error) {
	fixed, err := readData(c, 0, v1HeaderSize)
	if err != nil {
		return nil, err
	}
	if len(fixed) < v1HeaderSize {
		return nil, errno.EINVAL
	}
	v := &v1Image{fixed: fixed}
	count, names := uint64(binary.LittleEndian.Uint32(fixed[v1Count:])), binary.LittleEndian.Uint64(fixed[v1NamesLen:])
	size, _, err := c.Stat()
	if err != nil {
		return nil, err
	}
	if left := size - v1HeaderSize; names > left || count*v1SnapSize > left-names {
		return nil, fmt.Errorf("header has %d bytes, not those of %d snapshots: %w", size, count, errno.EIO)
	}
	if count == 0 && names == 0 {
		return v, nil
	}
	rest, err := c.Read(v1HeaderSize, count*v1SnapSize+names)
	if err != nil {
		return nil, err
	}
	d := wire.NewDecoder(rest)
	for range count {
		v.snaps = append(v.snaps, v1Snap{d.U64(), d.U64()})
	}
	for left := d.Raw(d.Left()); len(left) > 0; {
		name, more, found := bytes.Cut(left, []byte{0})
		v.names, v.damaged, left = append(v.names, string(name)), !found, more
	}
	return v, d.Err()
}

// write replaces the object.
func (v *v1Image) write(c objclass.Context) error {
	names := ""
	for _, n := range v.names {
		names += n + "\x00"
	}
	binary.LittleEndian.PutUint32(v.fixed[v1Count:], uint32(len(v.snaps)))
	binary.LittleEndian.PutUint64(v.fixed[v1NamesLen:], uint64(len(names)))
	e := wire.NewEncoder(v.fixed)
	for _, s := range v.snaps {
		e.U64(s.id)
		e.U64(s.size)
	}
	e.Raw([]byte(names))
	return c.WriteFull(e.Bytes())
}

// unused fails if there is a snapshot of that name, or if nobody can tell.
func (v *v1Image) unused(name string) error {
	if slices.Contains(v.names, name) {
		return errno.EEXIST
	}
	if v.damaged {
		return errno.EIO
	}
	return nil
}

// cString is a string up to its first zero byte, which ends names.
func cString(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return s
}

// listV1Snaps returns u64 newest snapshot, u32 number of snapshots, and for each
// u64 id, u64 size of the image, string name.
func listV1Snaps(c objclass.Context, _ []byte) ([]byte, error) {
	v, err := readV1(c)
	if err != nil {
		return nil, err
	}
	if len(v.names) < len(v.snaps) || v.damaged && len(v.names) == len(v.snaps) {
		return nil, errno.EIO
	}
	return encoded(func(e *wire.Encoder) {
		e.Raw(v.fixed[v1Seq : v1Seq+8])
		e.U32(uint32(len(v.snaps)))
		for i, s := range v.snaps {
			e.U64(s.id)
			e.U64(s.size)
			e.Str(v.names[i])
		}
	}), nil
}

// addV1Snap takes string name, u64 id.
func addV1Snap(c objclass.Context, in []byte) ([]byte, error) {
	v, err := readV1(c)
	if err != nil {
		return nil, err
	}
	var name string
	var id uint64
	if err := objclass.Parse(in, func(d *wire.Decoder) { name, id = cString(d.Str()), d.U64() }); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint64(v.fixed[v1Seq:]) > id {
		return nil, errno.ESTALE
	}
	limit, err := snapLimit(c)
	if err != nil {
		return nil, err
	}
	if uint64(len(v.snaps)) >= limit {
		return nil, errno.EDQUOT
	}
	if err := v.unused(name); err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint64(v.fixed[v1Seq:], id)
	v.snaps = slices.Insert(v.snaps, 0, v1Snap{id, binary.LittleEndian.Uint64(v.fixed[v1Size:])})
	v.names = slices.Insert(v.names, 0, name)
	return nil, v.write(c)
}

// removeV1Snap takes string name.
func removeV1Snap(c objclass.Context, in []byte) ([]byte, error) {
	v, err := readV1(c)
	if err != nil {
		return nil, err
	}
	name, err := parseString(in)
	if err != nil {
		return nil, err
	}
	i := slices.Index(v.names, cString(name))
	if i < 0 {
		return nil, errno.ENOENT
	}
	if i >= len(v.snaps) {
		return nil, errno.EIO
	}
	v.snaps, v.names = slices.Delete(v.snaps, i, i+1), slices.Delete(v.names, i, i+1)
	return nil, v.write(c)
}

// renameV1Snap takes u64 id, string name.
func renameV1Snap(c objclass.Context, in []byte) ([]byte, error) {
	v, err := readV1(c)
	if err != nil {
		return nil, err
	}
	var id uint64
	var name string
	if err := objclass.Parse(in, func(d *wire.Decoder) { id, name = d.U64(), cString(d.Str()) }); err != nil {
		return nil, err
	}
	if err := v.unused(name); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(v.snaps, func(s v1Snap) bool { return s.id == id })
	if i < 0 {
		return nil, errno.ENOENT
	}
	if i >= len(v.names) {
		return nil, errno.EIO
	}
	v.names[i] = name
	return nil, v.write(c)
}
