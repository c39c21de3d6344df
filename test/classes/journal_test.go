package classes

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
	"github.com/pulpo-storage/pulpo/osd/objclass/journal"
	"github.com/pulpo-storage/pulpo/osd/objclass/numops"
)

const (
	eoverflow = -75
	ebadmsg   = -74
)

func init() {
	families = append(families,
		family{"journal", "journal", journal.Class(), journalScenario},
		family{"numops", "numops", numops.Class(), numopsScenario},
	)
}

// at is ObjectSetPosition, of triples of object, tag and entry.
func at(positions ...[3]uint64) env {
	var s seq
	for _, p := range positions {
		s = append(s, v1(p[0], p[1], p[2]))
	}
	return v1(uint32(len(s)), s)
}

func journalClient(id, data string, state uint8, positions ...[3]uint64) env {
	return v1(id, []byte(data), at(positions...), state)
}

func journalTag(tid, class uint64) env { return v1(tid, class, []byte("data")) }

func journalScenario(s *scenario) {
	const newClass = ^uint64(0)
	for _, m := range []string{"get_order", "get_splay_width", "get_pool_id", "get_minimum_set", "get_active_set", "get_next_tag_tid"} {
		s.want(enoent, "none", m)
	}
	s.want(enoent, "none", "set_minimum_set", uint64(1))
	s.want(enoent, "none", "set_active_set", uint64(1))
	s.want(enoent, "none", "get_client", "a")
	s.want(enoent, "none", "client_register", "a", []byte("x"))
	s.want(enoent, "none", "client_update_data", "a", []byte("x"))
	s.want(enoent, "none", "client_update_state", "a", uint8(1))
	s.want(enoent, "none", "client_unregister", "a")
	s.want(enoent, "none", "client_commit", "a", at())
	s.want(enoent, "none", "client_list", "", all)
	s.want(enoent, "none", "get_tag", uint64(0))
	s.want(enoent, "none", "tag_create", uint64(0), newClass, []byte(""))
	s.want(enoent, "none", "tag_list", uint64(0), all, "", false)
	s.want(ok, "none", "guard_append", uint64(5))

	s.want(ok, "j", "create", uint8(24), uint8(4), int64(-1))
	s.want(eexist, "j", "create", uint8(24), uint8(4), int64(-1))
	for _, m := range []string{"get_order", "get_splay_width", "get_pool_id", "get_minimum_set", "get_active_set", "get_next_tag_tid"} {
		s.want(ok, "j", m)
	}
	s.want(einval, "j", "set_minimum_set", uint64(1))
	s.want(ok, "j", "set_active_set", uint64(7))
	s.want(ok, "j", "set_active_set", uint64(7))
	s.want(estale, "j", "set_active_set", uint64(6))
	s.want(einval, "j", "set_minimum_set", uint64(8))
	s.want(ok, "j", "set_minimum_set", uint64(5))
	s.want(ok, "j", "set_minimum_set", uint64(5))
	s.want(estale, "j", "set_minimum_set", uint64(4))
	s.want(einval, "j", "set_active_set", uint64(4))
	s.want(ok, "j", "get_minimum_set")
	s.want(ok, "j", "get_active_set")

	s.want(ok, "j", "client_list", "", all)
	s.want(ok, "j", "client_register", "", []byte("image"))
	s.want(eexist, "j", "client_register", "", []byte("image"))
	s.want(ok, "j", "client_register", "m1", []byte("mirror"))
	s.want(ok, "j", "get_client", "")
	s.want(enoent, "j", "get_client", "x")
	s.want(ok, "j", "client_update_data", "m1", []byte("other"))
	s.want(enoent, "j", "client_update_data", "m2", []byte("other"))
	s.want(ok, "j", "client_list", "", all)
	s.want(ok, "j", "client_list", "", uint64(1))
	s.want(ok, "j", "client_list", "", uint64(0))
	s.want(ok, "j", "client_list", "m", all)
	s.want(ok, "j", "client_list", "m1", all)

	s.want(estale, "j", "tag_create", uint64(1), newClass, []byte("t"))
	s.want(einval, "j", "tag_create", uint64(0), uint64(0), []byte("t"))
	s.want(ok, "j", "tag_create", uint64(0), newClass, []byte("t0"))
	s.want(eexist, "j", "tag_create", uint64(0), newClass, []byte("t"))
	s.want(ok, "j", "tag_create", uint64(1), uint64(0), []byte("t1"))
	s.want(ok, "j", "tag_create", uint64(2), newClass, []byte("t2"))
	s.want(ok, "j", "tag_create", uint64(3), uint64(0), []byte("t3"))
	s.want(einval, "j", "tag_create", uint64(4), uint64(2), []byte("t4"))
	s.want(ok, "j", "get_tag", uint64(2))
	s.want(enoent, "j", "get_tag", uint64(4))
	s.want(ok, "j", "get_next_tag_tid")
	s.want(enoent, "j", "tag_list", uint64(0), all, "x", false)
	s.want(ok, "j", "tag_list", uint64(0), all, "", false)
	s.want(ok, "j", "tag_list", uint64(1), all, "", false)
	s.want(ok, "j", "tag_list", uint64(0), uint64(0), "", false)
	s.want(ok, "j", "tag_list", uint64(0), uint64(2), "", false)
	s.want(ok, "j", "tag_list", uint64(0), all, "", true, uint64(0))
	s.want(ok, "j", "tag_list", uint64(0), all, "", true, uint64(1))
	s.want(ok, "j", "tag_list", uint64(0), uint64(0), "", true, uint64(1))

	s.want(einval, "j", "client_commit", "m1", at([3]uint64{1, 1, 1}, [3]uint64{2, 1, 2}, [3]uint64{3, 1, 1}, [3]uint64{4, 1, 1}, [3]uint64{5, 1, 1}))
	s.want(enoent, "j", "client_commit", "m2", at())
	s.want(ok, "j", "client_commit", "m1", at())
	s.want(ok, "j", "client_commit", "m1", at([3]uint64{5, 3, 9}, [3]uint64{4, 2, 8}))
	s.want(ok, "j", "client_commit", "m1", at([3]uint64{5, 3, 9}, [3]uint64{4, 2, 8}))
	s.want(ok, "j", "tag_list", uint64(0), all, "m1", false)
	s.want(ok, "j", "tag_list", uint64(0), all, "m1", true, uint64(0))
	s.want(ok, "j", "client_register", "m2", []byte("")) // "" has not committed
	s.want(ok, "j", "client_unregister", "m2")
	s.want(enoent, "j", "client_unregister", "m2")
	s.want(ok, "j", "client_commit", "", at([3]uint64{7, 3, 5}))
	s.want(ok, "j", "client_register", "m3", []byte("")) // begins with the slowest
	s.want(ok, "j", "tag_create", uint64(4), uint64(0), []byte("t4"))
	s.want(ok, "j", "client_commit", "m3", at([3]uint64{7, 4, 5}))
	s.want(ok, "j", "client_update_state", "m1", uint8(1))
	s.want(enoent, "j", "client_update_state", "m9", uint8(1))
	s.want(ok, "j", "client_commit", "", at([3]uint64{8, 4, 1}))
	s.want(ok, "j", "tag_create", uint64(5), uint64(1), []byte("t5"))
	s.want(ok, "j", "tag_list", uint64(0), all, "", false)
	s.want(ok, "j", "client_unregister", "m3")
	s.want(ok, "j", "client_unregister", "")
	s.want(ok, "j", "client_unregister", "m1")

	s.put("bad", omap("order", raw(""), "splay_width", raw(""), "minimum_set", raw("1"), "active_set", raw("1"), "client_a", raw("\x01\x01"),
		"tag_0000000000000000", raw("\x01\x01"), "next_tag_tid", uint64(1), "next_tag_class", uint64(1)))
	s.want(eexist, "bad", "create", uint8(24), uint8(4), int64(-1))
	s.want(einval, "bad", "get_order")
	s.want(einval, "bad", "set_minimum_set", uint64(1))
	s.want(einval, "bad", "set_active_set", uint64(1))
	s.want(einval, "bad", "get_client", "a")
	s.want(einval, "bad", "client_register", "b", []byte(""))
	s.want(eio, "bad", "client_list", "", all)
	s.want(einval, "bad", "client_commit", "a", at())
	s.want(einval, "bad", "client_update_data", "a", []byte(""))
	s.want(einval, "bad", "get_tag", uint64(0))
	s.want(eio, "bad", "tag_create", uint64(1), uint64(0), []byte(""))
	s.want(ok, "bad", "client_unregister", "a")
	s.put("worse", omap("order", uint8(1), "client_a", journalClient("a", "", 0, [3]uint64{1, 2, 3}), "tag_0000000000000000", journalTag(1, 0)))
	s.want(ok, "worse", "client_unregister", "a")
	s.put("worst", omap("client_a", journalClient("a", "", 0, [3]uint64{1, 2, 3}), "client_b", journalClient("a", "", 0, [3]uint64{1, 2, 3}), "tag_0000000000000000", journalTag(1, 0)))
	s.want(einval, "worst", "client_unregister", "a") // the key is of another tag
	s.want(ok, "worst", "tag_list", uint64(0), all, "a", false)

	// More than are read at once.
	many := []any{"order", uint8(1), "splay_width", uint8(4), "next_tag_tid", uint64(200), "next_tag_class", uint64(3)}
	for i := range uint64(200) {
		many = append(many, fmt.Sprintf("tag_%016x", i), journalTag(i, i%3), fmt.Sprintf("client_%03d", i), journalClient(fmt.Sprintf("%03d", i), "", 0, [3]uint64{0, 150 + i, i}))
	}
	s.put("many", omap(many...))
	s.want(ok, "many", "tag_list", uint64(0), all, "010", false)
	s.want(ok, "many", "tag_list", uint64(0), uint64(30), "010", false)
	s.want(ok, "many", "tag_list", uint64(170), all, "000", true, uint64(1))
	s.want(ok, "many", "client_register", "new", []byte(""))
	s.want(ok, "many", "client_list", "100", uint64(70))
	s.want(ok, "many", "tag_create", uint64(200), newClass, []byte(""))
	s.want(ok, "many", "client_unregister", "000")

	s.want(ok, "data", "append", uint64(10), []byte("12345"))
	s.want(ok, "data", "guard_append", uint64(10))
	s.want(eoverflow, "data", "guard_append", uint64(5))
	s.want(ok, "data", "append", uint64(10), []byte("123456"))
	s.want(eoverflow, "data", "append", uint64(10), []byte("1"))
	s.want(eoverflow, "data", "guard_append", uint64(10))
	s.want(ok, "data", "append", uint64(12), []byte(""))
	s.want(eoverflow, "empty", "append", uint64(0), []byte("1"))
	s.want(ok, "empty", "guard_append", uint64(0))
	s.want(ok, "empty", "append", uint64(1), []byte(""))
	s.put("blank", &classtest.State{})
	s.want(eoverflow, "blank", "guard_append", uint64(0))
}

func numopsScenario(s *scenario) {
	s.want(ok, "n", "add", "k", "2")
	s.want(ok, "n", "add", "k", "-5.5")
	s.want(ok, "n", "mul", "k", "4")
	s.want(ok, "n", "mul", "new", "4")
	s.want(ok, "other", "mul", "new", "-4")
	s.verbatim = true
	for _, arg := range []string{
		"", " ", " 1", "\t\n\v\f\r-1", "1 ", "+1", "--1", "1e3", "1e", "1e+", "1.", ".5", ".", "0x10", "0x", "0x1.8p3", "0X.8", "0x1p", "1_000",
		"inf", "-INF", "infinity", "infinit", "nan", "-nan", "NaN(abc_1)", "nan(", "nan(-)", "1e400", "-1e400", "1e-400", "1\x002", "\x00x", "abc", "1,5", "0b1", "１",
		"123456789012345", "12345678901", "1234567890", "1234567890.5", "0.0001", "0.00001", "0.1", "0.30000000000000004", "1e22", "1e100", "5e-324", "1e-5", "99999999999", "9999999999.5", "2.5e-7",
	} {
		s.put("add", nil)
		s.call("add", "add", "k", arg)
		s.call("add", "add", "k", "0")
		s.put("mul", omap("k", raw("3")))
		s.call("mul", "mul", "k", arg)
		s.put("stored", omap("k", raw(arg)))
		s.call("stored", "add", "k", "0")
		s.call("stored", "mul", "k", "1")
	}
	s.put("stored", omap("k", raw("x")))
	s.want(ebadmsg, "stored", "add", "k", "1")
	s.want(einval, "stored", "add", "k", "y")
}
