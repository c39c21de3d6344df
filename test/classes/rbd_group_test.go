package classes

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
)

func init() {
	families = append(families,
		family{"groupdir", "rbd", rbdMethods("group_dir_list", "group_dir_add", "group_dir_remove", "group_dir_rename"), groupDirScenario},
		family{"group", "rbd", rbdMethods("group_image_set", "group_image_remove", "group_image_list", "group_snap_set",
			"group_snap_remove", "group_snap_get_by_id", "group_snap_list"), groupScenario},
		family{"imagegroup", "rbd", rbdMethods("image_group_add", "image_group_remove", "image_group_get"), imageGroupScenario},
	)
}

func groupDirScenario(s *scenario) {
	s.want(enoent, "none", "group_dir_list", "", all)
	s.want(enoent, "none", "group_dir_remove", "a", "1")
	s.want(enoent, "none", "group_dir_rename", "a", "b", "1")
	s.want(einval, "none", "group_dir_add", "", "1")
	s.want(einval, "none", "group_dir_add", "a", "?")
	s.want(ok, "dir", "group_dir_add", "a", "1")
	s.want(eexist, "dir", "group_dir_add", "a", "2")
	s.want(ebadf, "dir", "group_dir_add", "b", "1")
	s.want(ok, "dir", "group_dir_add", "b", "2")
	s.want(ok, "dir", "group_dir_list", "", all)
	s.want(ok, "dir", "group_dir_list", "a", all)
	s.want(ok, "dir", "group_dir_list", "", uint64(1))
	s.want(eexist, "dir", "group_dir_rename", "a", "b", "1")
	s.want(eexist, "dir", "group_dir_rename", "a", "a", "1")
	s.want(einval, "dir", "group_dir_rename", "a", "", "1")
	s.want(estale, "dir", "group_dir_rename", "a", "c", "2")
	s.want(ok, "dir", "group_dir_rename", "a", "c", "1")
	s.want(estale, "dir", "group_dir_remove", "c", "2")
	s.want(enoent, "dir", "group_dir_remove", "c", "3")
	s.want(ok, "dir", "group_dir_remove", "c", "1")
	s.want(ok, "dir", "group_dir_list", "", all)
	s.put("bad", omap("name_a", raw("\x01")))
	s.want(eio, "bad", "group_dir_list", "", all)
	s.want(eio, "bad", "group_dir_remove", "a", "1")
	s.want(eexist, "bad", "group_dir_add", "a", "1")
}

// member is GroupImageSpec.
func member(id string, pool int64) env { return v1(id, pool) }

func groupSnap(id, name string, state uint8, snaps ...any) env {
	return v1(id, name, state, uint32(len(snaps)), seq(snaps))
}

func imageSnap(pool int64, image string, snap uint64) env { return v1(pool, image, snap) }

func groupScenario(s *scenario) {
	s.want(enoent, "none", "group_image_list", member("", -1), all)
	s.want(enoent, "none", "group_image_remove", member("a", 1))
	s.want(enoent, "none", "group_snap_list", groupSnap("", "", 0), all)
	s.want(enoent, "none", "group_snap_get_by_id", "a")
	s.want(enoent, "none", "group_snap_remove", "a")

	s.want(ok, "g", "group_image_set", v1(member("a", 2), uint8(1)))
	s.want(ok, "g", "group_image_set", v1(member("a", 2), uint8(0)))
	s.want(ok, "g", "group_image_set", v1(member("b_c", 2), uint8(0)))
	s.want(ok, "g", "group_image_set", v1(member("a", 17), uint8(7)))
	s.want(ok, "g", "group_image_set", v1(member("z", -3), uint8(1)))
	s.want(ok, "g", "group_image_list", member("", -1), all)
	s.want(ok, "g", "group_image_list", member("", -1), uint64(0))
	s.want(ok, "g", "group_image_list", member("", -1), uint64(2))
	s.want(ok, "g", "group_image_list", member("a", 2), all)
	s.want(ok, "g", "group_image_list", member("", 17), uint64(1))
	s.want(ok, "g", "group_image_remove", member("a", 2))
	s.want(ok, "g", "group_image_remove", member("a", 2))
	s.want(ok, "g", "group_image_list", member("", -1), all)

	s.want(einval, "g", "group_snap_set", groupSnap("1", "", 0))
	s.want(einval, "g", "group_snap_set", groupSnap("", "s1", 0))
	s.want(ok, "g", "group_snap_set", groupSnap("9", "s1", 0, imageSnap(2, "a", ^uint64(1)), imageSnap(17, "b", 5)))
	s.want(eexist, "g", "group_snap_set", groupSnap("9", "s1", 0))
	s.want(eexist, "g", "group_snap_set", groupSnap("8", "s1", 0))
	s.want(eexist, "g", "group_snap_set", groupSnap("8", "s1", 1))
	s.want(ok, "g", "group_snap_set", groupSnap("9", "s1", 1, imageSnap(2, "a", 4)))
	s.want(ok, "g", "group_snap_set", groupSnap("9", "renamed", 1, imageSnap(2, "a", 4)))
	s.want(ok, "g", "group_snap_set", groupSnap("2", "s1", 1))
	s.want(ok, "g", "group_snap_set", groupSnap("5", "s5", 3))
	s.want(ok, "g", "group_snap_list", groupSnap("", "", 0), all)
	s.want(ok, "g", "group_snap_list", groupSnap("2", "", 0), all)
	s.want(ok, "g", "group_snap_list", groupSnap("3", "nobody", 0), uint64(1))
	s.want(ok, "g", "group_snap_list", groupSnap("", "", 0), uint64(0))
	s.want(ok, "g", "group_snap_get_by_id", "9")
	s.want(enoent, "g", "group_snap_get_by_id", "")
	s.want(ok, "g", "group_snap_remove", "9")
	s.want(ok, "g", "group_snap_remove", "9")
	s.want(enoent, "g", "group_snap_get_by_id", "9")

	s.put("bad", omap("image_x", uint8(0), "snapshot_1", raw("\x01\x01\x04\x00\x00\x00")))
	s.want(eio, "bad", "group_image_list", member("", -1), all)
	s.want(ok, "bad", "group_snap_list", groupSnap("", "", 0), all) // not eio
	s.want(ok, "bad", "group_snap_list", groupSnap("1", "", 0), all)
	s.want(eio, "bad", "group_snap_get_by_id", "1")
	s.want(eio, "bad", "group_snap_set", groupSnap("2", "b", 1))
	s.put("worse", omap("image_0000000000000001_a", raw("")))
	s.want(eio, "worse", "group_image_list", member("", -1), all)

	var many []any
	for i := range 140 {
		many = append(many, fmt.Sprintf("image_%016x_i", i), uint8(0), fmt.Sprintf("snapshot_%03d", i), groupSnap(fmt.Sprintf("%03d", i), fmt.Sprint("n", i), 1))
	}
	s.put("many", omap(many...))
	for _, n := range []uint64{63, 64, 65, 128, 139, 140, 141} {
		s.want(ok, "many", "group_image_list", member("", -1), n)
		s.want(ok, "many", "group_snap_list", groupSnap("", "", 0), n)
	}
	s.want(eexist, "many", "group_snap_set", groupSnap("x", "n139", 1))
	s.want(ok, "many", "group_snap_set", groupSnap("x", "n140", 1))
}

func imageGroupScenario(s *scenario) {
	group := func(pool int64, id string) env { return v1(pool, id) }
	s.want(enoent, "none", "image_group_get")
	s.want(enoent, "none", "image_group_add", group(1, "g"))
	s.want(enoent, "none", "image_group_remove", group(1, "g"))
	s.put("empty", &classtest.State{})
	s.want(ok, "empty", "image_group_get")
	s.want(enoent, "empty", "image_group_add", group(1, "g"))
	s.want(enoent, "empty", "image_group_remove", group(1, "g"))

	s.put("image", omap("features", uint64(61)))
	s.want(ok, "image", "image_group_get")
	s.want(ok, "image", "image_group_add", group(1, "g"))
	s.want(ok, "image", "image_group_get")
	s.want(ok, "image", "image_group_add", group(1, "g"))
	s.want(eexist, "image", "image_group_add", group(2, "g"))
	s.want(eexist, "image", "image_group_add", group(1, "h"))
	s.want(ebadf, "image", "image_group_remove", group(2, "g"))
	s.want(ebadf, "image", "image_group_remove", group(1, ""))
	s.want(ok, "image", "image_group_remove", group(1, "g"))
	s.want(enoent, "image", "image_group_remove", group(1, "g"))
	s.want(ok, "image", "image_group_add", group(-1, ""))
	s.put("other", omap("features", uint64(61|256), "op_features", uint64(1)))
	s.want(ok, "other", "image_group_add", group(1, "g"))
	s.want(ok, "other", "image_group_remove", group(1, "g"))

	s.put("bad", omap("features", raw("\x01"), "rbd_group_ref", raw("\x01")))
	s.want(einval, "bad", "image_group_get")
	s.want(einval, "bad", "image_group_add", group(1, "g"))
	s.want(einval, "bad", "image_group_remove", group(1, "g"))
	s.put("worse", omap("features", raw("\x01")))
	s.want(eio, "worse", "image_group_add", group(1, "g"))
}
