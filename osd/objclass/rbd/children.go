package rbd

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// Who has clones of a snapshot must keep it. For clones of the first format the
// object rbd_children of the clone's pool says so; for those of the second the
// header of the parent does.

var childMethods = objclass.Class{
	"add_child":    {Flags: rd | wr, Call: addChild},
	"remove_child": {Flags: rd | wr, Call: removeChild},
	"get_children": {Flags: rd, Call: getChildren},

	"child_attach":  {Flags: rd | wr, Call: attachChild},
	"child_detach":  {Flags: rd | wr, Call: detachChild},
	"children_list": {Flags: rd, Call: listChildren},
}

// decodeParentKey decodes u64 pool, string image, u64 snapshot, and makes the key
// of rbd_children of it, which is the same bytes.
func decodeParentKey(d *wire.Decoder) string {
	return string(encoded(func(e *wire.Encoder) { e.U64(d.U64()); e.Str(d.Str()); e.U64(d.U64()) }))
}

// readChildren returns the ids of a parent's clones in this pool.
func readChildren(c objclass.Context, key string) (ids []string, err error) {
	err = readKey(c, key, func(d *wire.Decoder) { ids = decodeSet(d) })
	return ids, err
}

func encodeStrings(s []string) []byte {
	return encoded(func(e *wire.Encoder) { wire.EncodeSlice(e, s, e.Str) })
}

// parseChild decodes a parent and string id of a clone.
func parseChild(in []byte) (key, child string, err error) {
	err = objclass.Parse(in, func(d *wire.Decoder) { key, child = decodeParentKey(d), d.Str() })
	return key, child, err
}

func addChild(c objclass.Context, in []byte) ([]byte, error) {
	key, child, err := parseChild(in)
	if err != nil {
		return nil, err
	}
	ids, err := readChildren(c, key)
	if _, err := present(err); err != nil {
		return nil, err
	}
	at, found := slices.BinarySearch(ids, child)
	if found {
		return nil, errno.EEXIST
	}
	ids = slices.Insert(ids, at, child)
	return nil, c.SetOmap([]objclass.Entry{{Key: key, Value: encodeStrings(ids)}})
}

func removeChild(c objclass.Context, in []byte) ([]byte, error) {
	key, child, err := parseChild(in)
	if err != nil {
		return nil, err
	}
	ids, err := readChildren(c, key)
	if err != nil {
		return nil, err
	}
	at, found := slices.BinarySearch(ids, child)
	if !found {
		return nil, errno.ENOENT
	}
	if ids = slices.Delete(ids, at, at+1); len(ids) == 0 {
		return nil, c.RemoveOmapKeys([]string{key})
	}
	return nil, c.SetOmap([]objclass.Entry{{Key: key, Value: encodeStrings(ids)}})
}

// getChildren takes a parent and returns a set of ids. ENOENT if there are none.
func getChildren(c objclass.Context, in []byte) ([]byte, error) {
	var key string
	if err := objclass.Parse(in, func(d *wire.Decoder) { key = decodeParentKey(d) }); err != nil {
		return nil, err
	}
	ids, err := readChildren(c, key)
	if err != nil {
		return nil, err
	}
	return encodeStrings(ids), nil
}

func compareChildren(a, b clsrbd.ChildSpec) int {
	return cmp.Or(cmp.Compare(a.Pool, b.Pool), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Image, b.Image))
}

// clones is a set of clones, as it is stored under a snapshot's childrenKey.
type clones map[clsrbd.ChildSpec]struct{}

func readClones(c objclass.Context, snap uint64) (clones, error) {
	m := clones{}
	err := readKey(c, childrenKey(snap), func(d *wire.Decoder) {
		m = wire.DecodeMap(d, 6, func() (s clsrbd.ChildSpec, _ struct{}) { s.Decode(d); return s, struct{}{} })
	})
	return m, err
}

func (m clones) Encode(e *wire.Encoder) {
	wire.EncodeSlice(e, slices.SortedFunc(maps.Keys(m), compareChildren), func(s clsrbd.ChildSpec) { s.Encode(e) })
}

// parseClone decodes u64 snapshot, ChildImageSpec.
func parseClone(in []byte) (id uint64, s clsrbd.ChildSpec, err error) {
	err = objclass.Parse(in, func(d *wire.Decoder) {
		id = d.U64()
		s.Decode(d)
	})
	return id, s, err
}

// attachChild adds a clone to a snapshot; not to one in the trash.
func attachChild(c objclass.Context, in []byte) ([]byte, error) {
	id, child, err := parseClone(in)
	if err != nil {
		return nil, err
	}
	s, err := readSnapshot(c, id)
	if err != nil {
		return nil, err
	}
	if s.namespace.Type == clsrbd.SnapTrashed {
		return nil, errno.ENOENT
	}
	all, err := readClones(c, id)
	if _, err := present(err); err != nil {
		return nil, err
	}
	if _, found := all[child]; found {
		return nil, errno.EEXIST
	}
	all[child] = struct{}{}
	if err := writeKey(c, childrenKey(id), all.Encode); err != nil {
		return nil, err
	}
	s.children++
	if err := writeSnapshot(c, id, s); err != nil {
		return nil, err
	}
	return nil, setOpFeatures(c, clsrbd.CloneParent, clsrbd.CloneParent)
}

// detachChild removes a clone from a snapshot.
func detachChild(c objclass.Context, in []byte) ([]byte, error) {
	id, child, err := parseClone(in)
	if err != nil {
		return nil, err
	}
	s, err := readSnapshot(c, id)
	if err != nil {
		return nil, err
	}
	all, err := readClones(c, id)
	if _, err := present(err); err != nil {
		return nil, err
	}
	if int(s.children) != len(all) {
		return nil, errno.EINVAL
	}
	if _, found := all[child]; !found {
		return nil, errno.ENOENT
	}
	if delete(all, child); len(all) == 0 {
		err = removeKey(c, childrenKey(id))
	} else {
		err = writeKey(c, childrenKey(id), all.Encode)
	}
	if err != nil {
		return nil, err
	}
	s.children--
	if err := writeSnapshot(c, id, s); err != nil || s.children > 0 {
		return nil, err
	}
	others, err := anySnapshot(c, func(o *snapshot) bool { return o.id != id && o.children > 0 })
	if err != nil || others {
		return nil, err
	}
	return nil, setOpFeatures(c, 0, clsrbd.CloneParent)
}

// listChildren takes u64 snapshot and returns a set of ChildImageSpec. ENOENT if
// there are none.
func listChildren(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseU64(in)
	if err != nil {
		return nil, err
	}
	if _, err := readSnapshot(c, id); err != nil {
		return nil, err
	}
	all, err := readClones(c, id)
	if err != nil {
		return nil, err
	}
	return wire.Marshal(all), nil
}
