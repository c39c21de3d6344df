package classes

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
	"github.com/pulpo-storage/pulpo/osd/objclass/rbd"
)

// The results of methods.
const (
	ok      = 0
	enoent  = -2
	eio     = -5
	enxio   = -6
	ebadf   = -9
	ebusy   = -16
	eexist  = -17
	einval  = -22
	estale  = -116
	erange  = -34
	enotsup = -95
)

// rbdMethods picks methods of the class rbd.
func rbdMethods(names ...string) objclass.Class {
	all, some := rbd.Class(), objclass.Class{}
	for _, n := range names {
		some[n] = all[n]
	}
	return some
}

func init() {
	families = append(families,
		family{"id", "rbd", rbdMethods("get_id", "set_id"), idScenario},
		family{"directory", "rbd", rbdMethods("dir_get_id", "dir_get_name", "dir_list", "dir_add_image", "dir_remove_image",
			"dir_rename_image", "dir_state_assert", "dir_state_set"), directoryScenario},
		family{"trash", "rbd", rbdMethods("trash_add", "trash_remove", "trash_list", "trash_get", "trash_state_set"), trashScenario},
		family{"namespace", "rbd", rbdMethods("namespace_add", "namespace_remove", "namespace_list"), namespaceScenario},
	)
}

// omap is an object with these encoded values.
func omap(pairs ...any) *classtest.State {
	m := map[string]classtest.Hex{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = encode(pairs[i+1])
	}
	return &classtest.State{Omap: m}
}

const all = uint64(1024)

func idScenario(s *scenario) {
	s.want(enoent, "none", "get_id")
	s.want(enoent, "none", "set_id", "abc")
	s.put("id", &classtest.State{})
	s.want(enoent, "id", "get_id")
	s.want(einval, "id", "set_id", "")
	s.want(einval, "id", "set_id", "a-b")
	s.want(einval, "id", "set_id", "a b")
	s.want(einval, "id", "set_id", "ä")
	s.want(ok, "id", "set_id", "10a3fB")
	s.want(eexist, "id", "set_id", "10a3fB")
	s.want(einval, "id", "set_id", "/")
	s.want(ok, "id", "get_id")
	s.want(ok, "id", "get_id", "ignored")
	s.put("short", &classtest.State{Data: []byte("\x05\x00\x00\x00abc")})
	s.want(eio, "short", "get_id")
	s.put("long", &classtest.State{Data: []byte("\x02\x00\x00\x00abc")})
	s.want(ok, "long", "get_id")
}

func directoryScenario(s *scenario) {
	for _, m := range []string{"dir_get_id", "dir_get_name"} {
		s.want(enoent, "none", m, "a")
	}
	s.want(enoent, "none", "dir_list", "", all)
	s.want(enoent, "none", "dir_remove_image", "a", "1")
	s.want(enoent, "none", "dir_rename_image", "a", "b", "1")
	s.want(enoent, "none", "dir_state_assert", uint8(0))
	s.want(enoent, "none", "dir_state_set", uint8(1))
	s.want(einval, "none", "dir_state_set", uint8(2))
	s.want(einval, "none", "dir_add_image", "", "1")
	s.want(einval, "none", "dir_add_image", "a", "")
	s.want(einval, "none", "dir_add_image", "a", "1_")

	s.want(ok, "dir", "dir_add_image", "a", "1")
	s.want(eexist, "dir", "dir_add_image", "a", "1")
	s.want(eexist, "dir", "dir_add_image", "a", "2")
	s.want(ebadf, "dir", "dir_add_image", "b", "1")
	s.want(ok, "dir", "dir_add_image", "b", "2")
	s.want(ok, "dir", "dir_add_image", "name_\x00ü", "3")
	s.want(ok, "dir", "dir_get_id", "a")
	s.want(enoent, "dir", "dir_get_id", "")
	s.want(ok, "dir", "dir_get_name", "2")
	s.want(enoent, "dir", "dir_get_name", "4")
	s.want(ok, "dir", "dir_list", "", all)
	s.want(ok, "dir", "dir_list", "", uint64(0))
	s.want(ok, "dir", "dir_list", "", uint64(1))
	s.want(ok, "dir", "dir_list", "a", uint64(1))
	s.want(ok, "dir", "dir_list", "aa", all)
	s.want(ok, "dir", "dir_list", "zzz", all)
	s.want(ok, "dir", "dir_list", "", ^uint64(0))

	s.want(eexist, "dir", "dir_rename_image", "a", "b", "1")
	s.want(eexist, "dir", "dir_rename_image", "a", "a", "1")
	s.want(estale, "dir", "dir_rename_image", "a", "c", "2")
	s.want(enoent, "dir", "dir_rename_image", "x", "c", "1")
	s.want(enoent, "dir", "dir_rename_image", "a", "c", "9")
	s.want(einval, "dir", "dir_rename_image", "a", "", "1")
	s.want(ok, "dir", "dir_rename_image", "a", "c", "1")
	s.want(estale, "dir", "dir_remove_image", "c", "2")
	s.want(enoent, "dir", "dir_remove_image", "a", "1")
	s.want(enoent, "dir", "dir_remove_image", "c", "8")
	s.want(ok, "dir", "dir_remove_image", "c", "1")

	s.want(enoent, "dir", "dir_state_assert", uint8(0))
	s.want(ebusy, "dir", "dir_state_set", uint8(1))
	s.want(ok, "dir", "dir_state_set", uint8(0))
	s.want(ok, "dir", "dir_state_assert", uint8(0))
	s.want(enoent, "dir", "dir_state_assert", uint8(1))
	s.want(ok, "dir", "dir_remove_image", "b", "2")
	s.want(ok, "dir", "dir_remove_image", "name_\x00ü", "3")
	s.want(ok, "dir", "dir_state_set", uint8(1))
	s.want(ok, "dir", "dir_state_assert", uint8(1))
	s.want(ok, "dir", "dir_add_image", "late", "1")
	s.want(ok, "new", "dir_state_set", uint8(0))

	// What was damaged.
	s.put("bad", omap("name_a", raw("\x03\x00"), "id_1", raw("\x07"), "name_ok", "2", "id_2", "ok", "state", raw("")))
	s.want(eio, "bad", "dir_get_id", "a")
	s.want(eio, "bad", "dir_get_name", "1")
	s.want(eio, "bad", "dir_list", "", all)
	s.want(ok, "bad", "dir_list", "a", all)
	s.want(eexist, "bad", "dir_add_image", "a", "3")
	s.want(ebadf, "bad", "dir_add_image", "b", "1")
	s.want(eio, "bad", "dir_remove_image", "a", "1")
	s.want(eio, "bad", "dir_remove_image", "ok", "1")
	s.want(eio, "bad", "dir_state_assert", uint8(0))
	s.want(eexist, "bad", "dir_rename_image", "ok", "a", "2")

	// More than are read at once.
	many := []any{}
	for i := range 150 {
		many = append(many, fmt.Sprintf("name_%03d", i), fmt.Sprint(i))
	}
	s.put("many", omap(append(many, "namf", "x")...))
	for _, n := range []uint64{63, 64, 65, 128, 149, 150, 151} {
		s.want(ok, "many", "dir_list", "", n)
	}
	s.want(ok, "many", "dir_list", "064", uint64(70))
}

// trashSpec is TrashImageSpec.
func trashSpec(source uint8, name string, state uint8) env {
	return env{2, 1, seq{source, name, uint32(1000), uint32(5), uint32(2000), uint32(999_999_999), state}}
}

func trashScenario(s *scenario) {
	s.want(enoent, "none", "trash_remove", "1")
	s.want(enoent, "none", "trash_get", "1")
	s.want(enoent, "none", "trash_list", "", all)
	s.want(enoent, "none", "trash_state_set", "1", uint8(1), uint8(0))
	s.want(einval, "none", "trash_add", "", trashSpec(0, "a", 0))
	s.want(einval, "none", "trash_add", "1-", trashSpec(0, "a", 0))
	s.want(einval, "none", "trash_add", "1", env{4, 3, seq{uint8(0), "a"}})

	s.want(ok, "trash", "trash_add", "1", trashSpec(0, "a", 1))
	s.want(eexist, "trash", "trash_add", "1", trashSpec(0, "a", 1))
	s.want(ok, "trash", "trash_add", "2", trashSpec(3, "", 9))
	s.want(ok, "trash", "trash_add", "3", v1(uint8(1), "old", uint64(5), uint64(6)))
	s.want(ok, "trash", "trash_add", "4", env{5, 2, seq{uint8(1), "new", uint64(5), uint64(6), uint8(1), "more"}})
	s.want(ok, "trash", "trash_get", "1")
	s.want(ok, "trash", "trash_get", "3")
	s.want(enoent, "trash", "trash_get", "")
	s.want(ok, "trash", "trash_list", "", all)
	s.want(ok, "trash", "trash_list", "", uint64(0))
	s.want(ok, "trash", "trash_list", "1", uint64(2))
	s.want(ok, "trash", "trash_list", "4", all)

	s.want(ok, "trash", "trash_state_set", "1", uint8(0), uint8(1))
	s.want(ok, "trash", "trash_state_set", "1", uint8(0), uint8(1)) // is what it should be
	s.want(estale, "trash", "trash_state_set", "1", uint8(2), uint8(3))
	s.want(ok, "trash", "trash_state_set", "3", uint8(7), uint8(0))
	s.want(enoent, "trash", "trash_state_set", "x", uint8(7), uint8(0))
	s.want(ok, "trash", "trash_remove", "1")
	s.want(enoent, "trash", "trash_remove", "1")

	s.put("bad", omap("id_1", raw("\x02\x01\x05\x00\x00\x00abc"), "id_2", trashSpec(0, "b", 0)))
	s.want(eio, "bad", "trash_add", "1", trashSpec(0, "a", 0))
	s.want(eio, "bad", "trash_state_set", "1", uint8(0), uint8(0))
	s.want(ok, "bad", "trash_get", "1")
	s.want(ok, "bad", "trash_list", "1", all)
	s.want(ok, "bad", "trash_remove", "1")

	many := []any{}
	for i := range 130 {
		many = append(many, fmt.Sprintf("id_%03d", i), trashSpec(0, fmt.Sprint(i), 0))
	}
	s.put("many", omap(append(many, "other", "x")...))
	for _, n := range []uint64{63, 64, 65, 129, 130, 131, ^uint64(0)} {
		s.want(ok, "many", "trash_list", "", n)
	}
}

func namespaceScenario(s *scenario) {
	s.want(enoent, "none", "namespace_list", "", all)
	s.want(enoent, "none", "namespace_remove", "a")
	s.want(ok, "ns", "namespace_add", "a")
	s.want(eexist, "ns", "namespace_add", "a")
	s.want(ok, "ns", "namespace_add", "b")
	s.want(ok, "ns", "namespace_list", "", all)
	s.want(ok, "ns", "namespace_list", "", uint64(0))
	s.want(ok, "ns", "namespace_list", "a", all)
	s.want(ok, "ns", "namespace_remove", "a")
	s.want(enoent, "ns", "namespace_remove", "a")
	s.want(ok, "ns", "namespace_add", "") // nothing forbids it
	s.want(ok, "ns", "namespace_list", "", all)
	many := []any{}
	for i := range 130 {
		many = append(many, fmt.Sprintf("name_%03d", i), raw(""))
	}
	s.put("many", omap(many...))
	for _, n := range []uint64{64, 65, 128, 131} {
		s.want(ok, "many", "namespace_list", "", n)
	}
}
