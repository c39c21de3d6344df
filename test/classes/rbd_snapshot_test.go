package classes

import (
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
)

func init() {
	families = append(families,
		family{"snapshot", "rbd", rbdMethods("get_snapcontext", "snapshot_get", "get_snapshot_name", "get_snapshot_timestamp",
			"snapshot_add", "snapshot_rename", "snapshot_remove", "snapshot_trash_add", "snapshot_get_limit", "snapshot_set_limit",
			"get_protection_status", "set_protection_status", "get_size", "get_flags", "set_flags"), snapshotScenario},
		family{"parent", "rbd", rbdMethods("parent_get", "parent_overlap_get", "parent_attach", "parent_detach", "get_parent", "set_parent", "remove_parent",
			"set_size", "snapshot_add", "snapshot_remove", "set_flags", "set_protection_status"), parentScenario},
		family{"children", "rbd", rbdMethods("add_child", "remove_child", "get_children", "child_attach", "child_detach", "children_list",
			"snapshot_remove", "snapshot_trash_add"), childrenScenario},
		family{"mirrorsnapshot", "rbd", rbdMethods("mirror_image_snapshot_unlink_peer", "mirror_image_snapshot_set_copy_progress"), mirrorSnapshotScenario},
	)
}

// Namespaces of snapshots.
func userSnap() env                                 { return v1(uint32(0)) }
func memberSnap(pool int64, group, snap string) env { return v1(uint32(1), pool, group, snap) }
func trashedSnap(name string, kind uint32) env      { return v1(uint32(2), name, kind) }
func mirrorSnap(state uint8, peers ...string) env {
	return v1(uint32(3), state, true, peers, "primary", uint64(12), uint64(7), uint32(2), uint64(1), uint64(2), uint64(3), uint64(4))
}

var longAgo = time.Unix(1600000000, 123456789)

// snap is a snapshot as it is kept.
type snap struct {
	id         uint64
	name       string
	size       uint64
	protection uint8
	flags      uint64
	namespace  any
	children   uint32
	overlap    any // uint64
}

func (s snap) encoding() env {
	ns, overlap := s.namespace, seq{false}
	if ns == nil {
		ns = userSnap()
	}
	if s.overlap != nil {
		overlap = seq{true, s.overlap}
	}
	return env{8, 8, seq{s.id, s.name, s.size, s.protection, s.flags, ns, longAgo, s.children, overlap}}
}

// snaps are the pairs of snapshots for omap.
func snaps(list ...snap) (pairs []any) {
	for _, s := range list {
		pairs = append(pairs, snapKey(s.id), s.encoding())
	}
	return pairs
}

func snapKey(id uint64) string { return fmt.Sprintf("snapshot_%016x", id) }

// with is pairs, one after the other.
func with(pairs ...[]any) (all []any) {
	for _, p := range pairs {
		all = append(all, p...)
	}
	return all
}

func snapshotScenario(s *scenario) {
	s.want(enoent, "none", "get_snapcontext")
	s.want(enoent, "none", "snapshot_get_limit")
	s.want(enoent, "none", "snapshot_get", uint64(1))
	s.want(enoent, "none", "snapshot_add", "a", uint64(1))
	s.want(enoent, "none", "snapshot_rename", uint64(1), "a")
	s.want(enoent, "none", "snapshot_remove", uint64(1))
	s.want(enoent, "none", "snapshot_trash_add", uint64(1))
	s.want(enoent, "none", "set_protection_status", uint64(1), uint8(1))
	s.want(enoent, "none", "snapshot_set_limit", ^uint64(0))
	s.want(ok, "none", "snapshot_set_limit", uint64(3))
	s.want(ok, "none", "snapshot_get_limit")
	s.want(enoent, "none", "get_snapcontext")

	s.put("i", image("flags", uint64(2)))
	s.want(ok, "i", "get_snapcontext")
	s.want(ok, "i", "snapshot_get_limit")
	s.want(einval, "i", "snapshot_get", head)
	s.want(einval, "i", "get_snapshot_name", head)
	s.want(einval, "i", "get_snapshot_timestamp", head)
	s.want(einval, "i", "get_protection_status", head)
	s.want(enoent, "i", "get_protection_status", ^uint64(0))
	s.want(einval, "i", "set_protection_status", head, uint8(2))
	s.want(einval, "i", "set_protection_status", uint64(1), uint8(3))
	s.want(einval, "i", "snapshot_add", "x", head, userSnap())
	s.want(einval, "i", "snapshot_add", "x", ^uint64(0), userSnap())
	s.verbatim = true // without a namespace it is good, too
	s.want(einval, "i", "snapshot_add", "x", uint64(4), v1(uint32(9)))
	s.want(einval, "i", "snapshot_add", "x", uint64(4), raw("\x01"))
	s.want(ok, "i", "snapshot_add", "one", uint64(4))
	s.want(eexist, "i", "snapshot_add", "one", uint64(5), userSnap())
	s.want(eexist, "i", "snapshot_add", "two", uint64(4), userSnap())
	s.want(estale, "i", "snapshot_add", "two", uint64(3), userSnap())
	s.want(ok, "i", "snapshot_add", "two", uint64(5), userSnap())
	s.want(ok, "i", "snapshot_add", "one", uint64(16), memberSnap(2, "g", "s"))
	s.want(ok, "i", "snapshot_add", "one", uint64(17), memberSnap(2, "g", "t"))
	s.want(eexist, "i", "snapshot_add", "one", uint64(18), memberSnap(2, "g", "s"))
	s.want(ok, "i", "snapshot_add", "one", uint64(18), trashedSnap("three", 0))
	s.want(eexist, "i", "snapshot_add", "one", uint64(19), trashedSnap("four", 1))
	s.want(ok, "i", "snapshot_add", "m", uint64(19), mirrorSnap(0, "a", "b"))
	s.want(eexist, "i", "snapshot_add", "m", uint64(20), mirrorSnap(0, "b", "a", "b"))
	s.want(ok, "i", "snapshot_add", "m", uint64(20), mirrorSnap(1, "b", "a", "b"))
	s.want(ok, "i", "snapshot_add", "", head-1, env{2, 1, seq{uint32(0), "newer"}})
	s.verbatim = false
	s.want(ok, "i", "get_snapcontext")
	for _, id := range []uint64{4, 5, 6, 16, 17, 18, 19, 20, head - 1} {
		s.call("i", "snapshot_get", id)
		s.call("i", "get_snapshot_name", id)
		s.call("i", "get_snapshot_timestamp", id)
		s.call("i", "get_size", id)
		s.call("i", "get_flags", id)
		s.call("i", "get_protection_status", id)
	}
	s.want(ok, "i", "set_flags", uint64(1), uint64(3), uint64(4))
	s.want(ok, "i", "get_flags", uint64(4))

	s.want(eexist, "i", "snapshot_rename", uint64(4), "two")
	s.want(eexist, "i", "snapshot_rename", uint64(4), "one")
	s.want(eexist, "i", "snapshot_rename", uint64(99), "one")
	s.want(enoent, "i", "snapshot_rename", uint64(99), "ninetynine")
	s.want(einval, "i", "snapshot_rename", uint64(16), "sixteen")
	s.want(ok, "i", "snapshot_rename", uint64(4), "m")
	s.want(ok, "i", "snapshot_rename", uint64(4), "renamed")

	s.want(ok, "i", "set_protection_status", uint64(4), uint8(2))
	s.want(ok, "i", "get_protection_status", uint64(4))
	s.want(enoent, "i", "set_protection_status", uint64(6), uint8(2))
	s.want(ebusy, "i", "snapshot_remove", uint64(4))
	s.want(ebusy, "i", "snapshot_trash_add", uint64(4))
	s.want(ok, "i", "set_protection_status", uint64(4), uint8(1))
	s.want(ebusy, "i", "snapshot_remove", uint64(4))
	s.want(ok, "i", "set_protection_status", uint64(4), uint8(0))
	s.want(enoent, "i", "snapshot_trash_add", uint64(6))
	s.want(enoent, "i", "snapshot_trash_add", head)
	s.want(ok, "i", "snapshot_trash_add", uint64(4))
	s.want(eexist, "i", "snapshot_trash_add", uint64(4))
	s.want(ok, "i", "snapshot_trash_add", uint64(16))
	s.want(ok, "i", "snapshot_trash_add", uint64(19))
	s.want(ok, "i", "snapshot_get", uint64(16))
	s.want(einval, "i", "snapshot_rename", uint64(4), "x")

	s.want(erange, "i", "snapshot_set_limit", uint64(7))
	s.want(ok, "i", "snapshot_set_limit", uint64(8))
	s.want(ok, "i", "snapshot_get_limit")
	for _, id := range []uint64{4, 6, 16, 18, 19, head, head - 1, 5, 20, 17} {
		s.call("i", "snapshot_remove", id)
		s.want(ok, "i", "get_snapcontext")
	}
	s.want(ok, "i", "snapshot_set_limit", uint64(0))
	s.want(ok, "i", "snapshot_set_limit", ^uint64(0))
	s.want(ok, "i", "snapshot_set_limit", ^uint64(0))

	s.put("limit", image("snap_limit", uint64(2)))
	s.verbatim = true
	s.want(ok, "limit", "snapshot_add", "a", uint64(1), userSnap())
	s.want(ok, "limit", "snapshot_add", "b", uint64(2), userSnap())
	s.want(edquot, "limit", "snapshot_add", "c", uint64(3), userSnap())
	s.want(edquot, "limit", "snapshot_add", "b", uint64(4), userSnap())
	s.want(eexist, "limit", "snapshot_add", "a", uint64(4), userSnap())
	s.verbatim = false

	for _, lacks := range []string{"size", "snap_seq", "features"} {
		st := image(snaps(snap{id: 4, name: "a"})...)
		delete(st.Omap, lacks)
		s.put("no"+lacks, st)
		s.verbatim = true
		s.call("no"+lacks, "snapshot_add", "b", uint64(5), userSnap())
		s.call("no"+lacks, "snapshot_add", "c", uint64(6), trashedSnap("c", 0))
		s.verbatim = false
		s.call("no"+lacks, "snapshot_trash_add", uint64(4))
		s.call("no"+lacks, "snapshot_rename", uint64(4), "z")
		s.call("no"+lacks, "set_protection_status", uint64(4), uint8(0))
		s.call("no"+lacks, "snapshot_remove", uint64(4))
	}

	s.put("oldest", image(with(snaps(snap{id: 5, name: "new", overlap: uint64(9)}), legacy())...))
	legacyCalls(s, "oldest")
	s.put("oldclone", image(with(snaps(snap{id: 5, name: "new", overlap: uint64(9)}), legacy(), []any{"parent", parentOf("p", uint64(4096))})...))
	legacyCalls(s, "oldclone")

	s.put("bad", image(snapKey(4), raw("\x08"), "snap_limit", raw("")))
	s.want(eio, "bad", "snapshot_get", uint64(4))
	s.want(eio, "bad", "get_size", uint64(4))
	s.want(eio, "bad", "get_flags", uint64(4))
	s.want(eio, "bad", "set_flags", uint64(1), uint64(1), uint64(4))
	s.want(eio, "bad", "get_protection_status", uint64(4))
	s.want(eio, "bad", "set_protection_status", uint64(4), uint8(0))
	s.want(ok, "bad", "get_snapcontext")
	s.want(eio, "bad", "snapshot_get_limit")
	s.want(eio, "bad", "snapshot_rename", uint64(4), "x")
	s.want(eio, "bad", "snapshot_remove", uint64(4))
	s.want(eio, "bad", "snapshot_add", "x", uint64(5), userSnap())
	s.want(ok, "bad", "snapshot_set_limit", uint64(5))
	s.want(eio, "bad", "snapshot_add", "x", uint64(5), userSnap())
	s.put("protection", image(snaps(snap{id: 4, name: "a", protection: 3})...))
	s.want(eio, "protection", "get_protection_status", uint64(4))
	s.want(ebusy, "protection", "snapshot_remove", uint64(4))
	s.put("keys", image("snapshot_", raw("x"), "snapshot_0", raw(""), "snapshot_xyz", raw(""), "snapshot_ffffffffffffffffff", raw(""), "snapshot_12 ", raw(""),
		"snapshot_FF", raw(""), "snapshotz", raw("")))
	s.want(ok, "keys", "get_snapcontext")
	s.want(erange, "keys", "snapshot_set_limit", uint64(4))
	s.want(ok, "keys", "snapshot_set_limit", uint64(5))

	var many []snap
	for i := range uint64(150) {
		many = append(many, snap{id: 2*i + 1, name: fmt.Sprint("s", i)})
	}
	s.put("many", image(append(snaps(many...), "snap_seq", uint64(299), "zlast", raw("x"))...))
	s.want(ok, "many", "get_snapcontext")
	s.verbatim = true
	s.want(eexist, "many", "snapshot_add", "s149", uint64(300), userSnap())
	s.want(ok, "many", "snapshot_add", "s150", uint64(300), userSnap())
	s.want(eexist, "many", "snapshot_rename", uint64(1), "s149")
	s.want(erange, "many", "snapshot_set_limit", uint64(150))
	s.want(ok, "many", "snapshot_set_limit", uint64(151))
	s.want(edquot, "many", "snapshot_add", "s151", uint64(301), userSnap())
	s.want(ok, "many", "snapshot_remove", uint64(299))
	s.verbatim = false
}

func mirrorSnapshotScenario(s *scenario) {
	const unlink, progress = "mirror_image_snapshot_unlink_peer", "mirror_image_snapshot_set_copy_progress"
	s.want(enoent, "none", unlink, uint64(4), "a")
	s.want(enoent, "none", progress, uint64(4), true, uint64(7))
	var list []snap
	for state := range uint8(5) {
		list = append(list, snap{id: uint64(state) + 4, name: fmt.Sprint(state), namespace: mirrorSnap(state, "a", "b", "c")})
	}
	list = append(list, snap{id: 9, name: "user"}, snap{id: 10, name: "unordered", namespace: mirrorSnap(0, "b", "a", "b")})
	s.put("i", image(snaps(list...)...))
	for id := uint64(4); id <= 11; id++ {
		s.call("i", progress, id, false, uint64(100))
		s.call("i", progress, id, true, ^uint64(0))
		s.call("i", unlink, id, "b")
		s.call("i", unlink, id, "b")
		s.call("i", unlink, id, "")
		s.call("i", unlink, id, "a")
	}
	s.put("bad", image(snapKey(4), raw("\x08")))
	s.want(eio, "bad", unlink, uint64(4), "a")
	s.want(eio, "bad", progress, uint64(4), true, uint64(7))
}

// legacy are snapshots as older versions kept them: each with a parent of its own.
func legacy() []any {
	parent := env{1, 1, seq{int64(3), "p", uint64(12), uint64(1 << 20)}}
	none := env{1, 1, seq{int64(-1), "", head, uint64(0)}}
	body := func(id uint64, version uint8, parent env) env {
		parts := seq{id, fmt.Sprint("v", version), uint64(1 << 22), uint64(3), parent, uint8(0), uint64(2), userSnap(), longAgo, uint32(0), seq{false}}
		return env{version, 1, parts[:version+3]}
	}
	return []any{
		snapKey(0x11), body(0x11, 1, none), snapKey(0x12), body(0x12, 2, none), snapKey(0x13), body(0x13, 3, parent), snapKey(0x14), body(0x14, 4, none),
		snapKey(0x15), body(0x15, 5, parent), snapKey(0x16), body(0x16, 6, none), snapKey(0x17), body(0x17, 7, parent), snapKey(0x18), body(0x18, 8, parent),
	}
}

func legacyCalls(s *scenario, object string) {
	s.want(ok, object, "get_snapcontext")
	for id := uint64(0x11); id <= 0x18; id++ {
		for _, m := range []string{"snapshot_get", "get_size", "get_flags", "get_protection_status"} {
			s.want(ok, object, m, id)
		}
	}
	for id := uint64(0x11); id <= 0x18; id++ {
		s.want(ok, object, "snapshot_rename", id, fmt.Sprint("x", id))
		s.want(ok, object, "set_flags", uint64(0), uint64(3), id)
	}
	s.want(ok, object, "snapshot_remove", uint64(0x13))
	s.want(ok, object, "snapshot_remove", uint64(0x14))
}

// parentOf is a parent as an image keeps it; without an overlap the image was
// flattened.
func parentOf(id string, overlap any) env { return parentIn("", id, overlap) }

func parentIn(ns, id string, overlap any) env {
	o := seq{false}
	if overlap != nil {
		o = seq{true, overlap}
	}
	return env{2, 2, seq{int64(3), ns, id, uint64(12), o}}
}

// spec is ParentImageSpec.
func spec(pool int64, ns, id string, snap uint64) env { return v1(pool, ns, id, snap) }

func parentScenario(s *scenario) {
	size := uint64(64 << 20)
	s.want(enoent, "none", "parent_get")
	s.want(enoent, "none", "parent_overlap_get", head)
	s.want(enoent, "none", "get_parent", head)
	s.want(enoent, "none", "parent_detach")
	s.want(enoent, "none", "remove_parent")
	s.want(enoent, "none", "parent_attach", spec(3, "", "p", 12), size)
	s.want(enoent, "none", "set_parent", int64(3), "p", uint64(12), size)

	s.put("plain", image("features", uint64(4)))
	s.want(ok, "plain", "parent_get")
	s.want(ok, "plain", "parent_overlap_get", head)
	s.want(ok, "plain", "parent_overlap_get", uint64(1))
	s.want(ok, "plain", "get_parent", head)
	s.want(ok, "plain", "get_parent", uint64(1))
	s.want(enoexec, "plain", "parent_detach")
	s.want(enoexec, "plain", "remove_parent")
	s.want(enoexec, "plain", "parent_attach", spec(3, "", "p", 12), size)
	s.want(enoexec, "plain", "set_parent", int64(3), "p", uint64(12), size)

	s.put("i", image())
	s.want(ok, "i", "parent_get")
	s.want(ok, "i", "parent_overlap_get", head)
	s.want(enoent, "i", "parent_overlap_get", uint64(1))
	s.want(ok, "i", "get_parent", head)
	s.want(ok, "i", "get_parent", uint64(1))
	s.want(enoent, "i", "parent_detach")
	s.want(enoent, "i", "remove_parent")
	s.want(einval, "i", "parent_attach", spec(-1, "", "p", 12), size)
	s.want(einval, "i", "parent_attach", spec(3, "", "", 12), size)
	s.want(einval, "i", "parent_attach", spec(3, "", "p", head), size)
	s.want(einval, "i", "parent_attach", spec(3, "", "p", 12), uint64(0))
	s.want(einval, "i", "set_parent", int64(-1), "p", uint64(12), size)
	s.want(ok, "i", "parent_attach", spec(3, "ns", "p", 12), size)
	s.want(eexist, "i", "parent_attach", spec(3, "ns", "p", 12), size)
	s.want(eexist, "i", "set_parent", int64(3), "p", uint64(12), size)
	s.want(ok, "i", "parent_get")
	s.want(ok, "i", "parent_overlap_get", head)
	s.want(exdev, "i", "get_parent", head)
	s.want(exdev, "i", "get_parent", uint64(4))
	s.want(exdev, "i", "remove_parent")
	s.verbatim = true
	s.want(eexist, "i", "parent_attach", spec(3, "", "p", 12), size, false)
	s.want(ok, "i", "parent_attach", spec(3, "", "p", 12), uint64(1<<30), true)
	s.want(ok, "i", "parent_attach", spec(4, "", "q", 13), uint64(12345678), true)
	s.verbatim = false
	s.want(ok, "i", "get_parent", head)
	s.want(ok, "i", "set_size", uint64(1<<30))
	s.want(ok, "i", "set_size", uint64(5000000))
	s.want(ok, "i", "parent_overlap_get", head)
	s.verbatim = true
	s.want(ok, "i", "snapshot_add", "a", uint64(4), userSnap())
	s.want(ok, "i", "set_size", uint64(1000000))
	s.want(ok, "i", "snapshot_add", "b", uint64(5), userSnap())
	s.verbatim = false
	for _, id := range []uint64{4, 5, 6, head} {
		s.call("i", "parent_overlap_get", id)
		s.call("i", "get_parent", id)
	}
	s.want(ok, "i", "set_size", uint64(0))
	s.want(ok, "i", "parent_overlap_get", head)
	s.want(ok, "i", "parent_detach") // deep-flatten: the snapshots, too
	s.want(ok, "i", "parent_get")
	s.want(enoent, "i", "parent_detach")

	// Clones of both formats, with and without deep-flatten.
	for _, f := range []uint64{61, 61 | 256, 29, 29 | 256, 1, 0} {
		for _, overlap := range []any{nil, uint64(0), uint64(1 << 20)} {
			o := fmt.Sprint("clone", f, overlap)
			pairs := []any{"features", f, "parent", parentOf("p", overlap)}
			if f&256 != 0 {
				pairs = append(pairs, "op_features", uint64(3))
			}
			pairs = append(pairs, snaps(snap{id: 4, name: "a", overlap: uint64(77)}, snap{id: 5, name: "b"}, snap{id: 6, name: "c", overlap: uint64(0)})...)
			st := image(pairs...)
			for _, m := range []string{"parent_detach", "remove_parent"} {
				s.put(o, st)
				s.want(ok, o, "parent_get")
				s.call(o, m)
				s.want(ok, o, "parent_get")
				s.call(o, "parent_overlap_get", head)
				s.call(o, "get_parent", head)
				for _, id := range []uint64{4, 5, 6} {
					s.call(o, "parent_overlap_get", id)
					s.call(o, "get_parent", id)
				}
				s.call(o, m)
			}
			s.call(o, "parent_attach", spec(3, "", "p", 12), size)
			s.put(o, st)
			s.call(o, "parent_attach", spec(3, "", "p", 12), size)
			s.call(o, "parent_attach", spec(3, "", "other", 12), size)
			s.put(o, st)
			for _, id := range []uint64{5, 4, 6} {
				s.want(ok, o, "snapshot_remove", id)
			}
			s.put(o, st)
			s.verbatim = true
			s.want(ok, o, "snapshot_add", "d", uint64(7), userSnap())
			s.verbatim = false
			s.want(ok, o, "snapshot_remove", uint64(4))
			s.want(ok, o, "snapshot_remove", uint64(6))
		}
	}

	// Parents that are kept as older versions did.
	old := func(pool int64, overlap uint64) env { return env{1, 1, seq{pool, "p", uint64(12), overlap}} }
	for name, st := range map[string]*classtest.State{
		"old":      image("parent", old(3, 4096)),
		"oldnone":  image("parent", old(-1, 0)),
		"oldsnaps": image(legacy()...),
		"both":     image(append(legacy(), "parent", old(3, 4096))...),
		"other":    image(append(legacy(), "parent", parentIn("ns", "q", uint64(1)))...),
		"flat":     image(append(legacy(), "parent", parentOf("q", nil), "features", uint64(1))...),
	} {
		s.put(name, st)
		s.call(name, "parent_get")
		for _, id := range []uint64{head, 0x11, 0x12, 0x13, 0x14, 0x18, 0x19} {
			s.call(name, "parent_overlap_get", id)
			s.call(name, "get_parent", id)
		}
		s.call(name, "set_flags", uint64(1), uint64(1), uint64(0x13))
		s.call(name, "set_protection_status", uint64(0x14), uint8(2))
		s.put(name, st)
		s.call(name, "parent_attach", spec(3, "", "p", 12), size)
		s.put(name, st)
		s.call(name, "set_size", uint64(1000))
		s.call(name, "parent_detach")
		s.put(name, st)
		s.call(name, "remove_parent")
		s.put(name, st)
		if name != "flat" { // Ceph takes the parent of 0x18 for one of 0x20, too
			s.verbatim = true
			s.call(name, "snapshot_add", "new", uint64(0x20), userSnap())
			s.verbatim = false
		}
		for id := uint64(0x11); id <= 0x18; id++ {
			s.call(name, "snapshot_remove", id)
		}
	}

	s.put("bad", image("parent", raw("\x02")))
	s.want(eio, "bad", "parent_get")
	s.want(eio, "bad", "parent_overlap_get", head)
	s.want(eio, "bad", "get_parent", head)
	s.want(eio, "bad", "get_parent", uint64(1))
	s.want(eio, "bad", "parent_detach")
	s.want(eio, "bad", "remove_parent")
	s.want(eio, "bad", "parent_attach", spec(3, "", "p", 12), size)
	s.want(eio, "bad", "set_size", uint64(0))
	s.want(ok, "bad", "set_size", size)
	s.verbatim = true
	s.want(eio, "bad", "snapshot_add", "x", uint64(5), userSnap())
	s.verbatim = false
	s.put("worse", image("parent", parentOf("p", size), snapKey(4), raw("\x08")))
	s.want(ok, "worse", "parent_get")
	s.want(eio, "worse", "parent_detach")
	s.want(eio, "worse", "get_parent", uint64(4))
	s.want(eio, "worse", "parent_overlap_get", uint64(4))
	s.put("snaps", image(snapKey(4), raw("\x08")))
	s.want(eio, "snaps", "parent_get")
	s.put("features", image("features", raw("\x01")))
	s.want(ok, "features", "parent_get")
	s.want(ok, "features", "parent_overlap_get", head)
	s.want(ok, "features", "get_parent", head)
	s.want(eio, "features", "parent_attach", spec(3, "", "p", 12), size)
	s.put("nosize", omap("features", uint64(1)))
	s.want(enoent, "nosize", "parent_attach", spec(3, "", "p", 12), size)
	s.put("lost", image(append(snaps(snap{id: 4, name: "a", overlap: uint64(5)}), "features", uint64(1))...))
	s.want(einval, "lost", "get_parent", uint64(4))
	s.want(ok, "lost", "parent_overlap_get", uint64(4))
}

func childrenScenario(s *scenario) {
	s.want(enoent, "none", "get_children", int64(3), "p", uint64(12))
	s.want(enoent, "none", "remove_child", int64(3), "p", uint64(12), "c")
	s.want(ok, "none", "add_child", int64(3), "p", uint64(12), "c")

	s.put("dir", &classtest.State{})
	s.want(enoent, "dir", "get_children", int64(3), "p", uint64(12))
	s.want(enoent, "dir", "remove_child", int64(3), "p", uint64(12), "c")
	for _, c := range []string{"b", "", "a", "c"} {
		s.want(ok, "dir", "add_child", int64(3), "p", uint64(12), c)
		s.want(eexist, "dir", "add_child", int64(3), "p", uint64(12), c)
		s.want(ok, "dir", "get_children", int64(3), "p", uint64(12))
	}
	s.want(ok, "dir", "add_child", int64(-3), "", head, "c")
	s.want(enoent, "dir", "remove_child", int64(3), "p", uint64(12), "d")
	for _, c := range []string{"c", "", "b", "a"} {
		s.want(ok, "dir", "remove_child", int64(3), "p", uint64(12), c)
		s.call("dir", "get_children", int64(3), "p", uint64(12))
	}
	key := string(encode(int64(3), "p", uint64(12)))
	s.put("bad", omap(key, raw("\x01")))
	s.want(eio, "bad", "get_children", int64(3), "p", uint64(12))
	s.want(eio, "bad", "add_child", int64(3), "p", uint64(12), "c")
	s.want(eio, "bad", "remove_child", int64(3), "p", uint64(12), "c")
	s.put("twice", omap(key, []string{"b", "a", "b"}))
	s.want(ok, "twice", "get_children", int64(3), "p", uint64(12))
	s.want(ok, "twice", "remove_child", int64(3), "p", uint64(12), "b")

	child := func(pool int64, ns, id string) env { return env{2, 1, seq{pool, id, ns}} }
	s.want(enoent, "none", "children_list", uint64(4))
	s.want(enoent, "none", "child_attach", uint64(4), child(1, "", "c"))
	s.want(enoent, "none", "child_detach", uint64(4), child(1, "", "c"))
	s.put("i", image(snaps(snap{id: 4, name: "a"}, snap{id: 5, name: "b"}, snap{id: 6, name: "t", namespace: trashedSnap("c", 0)})...))
	s.want(enoent, "i", "children_list", uint64(4))
	s.want(enoent, "i", "children_list", uint64(9))
	s.want(enoent, "i", "child_attach", uint64(6), child(1, "", "c"))
	s.want(enoent, "i", "child_attach", uint64(9), child(1, "", "c"))
	s.want(enoent, "i", "child_detach", uint64(4), child(1, "", "c"))
	all := []env{child(2, "", "b"), child(2, "", "a"), child(1, "z", "c"), child(1, "a", "d"), child(-1, "", ""), v1(int64(1), "old")}
	for _, c := range all {
		s.want(ok, "i", "child_attach", uint64(4), c)
		s.want(eexist, "i", "child_attach", uint64(4), c)
		s.want(ok, "i", "children_list", uint64(4))
	}
	s.want(ok, "i", "child_attach", uint64(5), all[0])
	s.want(ebusy, "i", "snapshot_remove", uint64(4))
	s.want(ok, "i", "snapshot_trash_add", uint64(4))
	s.want(enoent, "i", "child_detach", uint64(4), child(7, "", "b"))
	for _, c := range all {
		s.want(ok, "i", "child_detach", uint64(4), c)
		s.call("i", "children_list", uint64(4))
	}
	s.want(ok, "i", "child_detach", uint64(5), all[0])
	s.want(ok, "i", "snapshot_remove", uint64(4))

	kids := func(list ...env) seq {
		out := seq{uint32(len(list))}
		for _, c := range list {
			out = append(out, c)
		}
		return out
	}
	s.put("count", image(with(snaps(snap{id: 4, name: "a", children: 2}), []any{"snap_children_0000000000000004", kids(all[0])})...))
	s.want(einval, "count", "child_detach", uint64(4), all[0])
	s.want(ok, "count", "children_list", uint64(4))
	s.put("order", image(with(snaps(snap{id: 4, name: "a", children: 2}), []any{"snap_children_0000000000000004", kids(all[0], all[1], all[0])})...))
	s.want(ok, "order", "children_list", uint64(4))
	s.want(ok, "order", "child_detach", uint64(4), all[0])
	s.put("badkids", image(with(snaps(snap{id: 4, name: "a", children: 1}), []any{"snap_children_0000000000000004", raw("\x01")})...))
	s.want(eio, "badkids", "children_list", uint64(4))
	s.want(eio, "badkids", "child_attach", uint64(4), all[0])
	s.want(eio, "badkids", "child_detach", uint64(4), all[0])
	s.put("badsnap", image(snapKey(4), raw("\x08")))
	s.want(eio, "badsnap", "children_list", uint64(4))
	s.want(eio, "badsnap", "child_attach", uint64(4), all[0])
	s.want(eio, "badsnap", "child_detach", uint64(4), all[0])
	st := image(with(snaps(snap{id: 4, name: "a", children: 1}), []any{"snap_children_0000000000000004", kids(all[0])})...)
	delete(st.Omap, "features")
	s.put("nofeatures", st)
	s.want(enoent, "nofeatures", "child_attach", uint64(4), all[1])
	s.want(enoent, "nofeatures", "child_detach", uint64(4), all[0])
}
