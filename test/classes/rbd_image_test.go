package classes

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
)

const (
	enoexec = -8
	exdev   = -18
	enosys  = -38
	edquot  = -122

	head = ^uint64(1) // CEPH_NOSNAP
)

func init() {
	families = append(families,
		family{"header", "rbd", rbdMethods("create", "get_object_prefix", "get_data_pool", "get_stripe_unit_count", "set_stripe_unit_count",
			"get_size", "set_size", "get_features", "set_features", "get_all_features", "op_features_get", "op_features_set", "get_flags", "set_flags",
			"get_create_timestamp", "get_access_timestamp", "get_modify_timestamp", "set_access_timestamp", "set_modify_timestamp"), headerScenario},
		family{"metadata", "rbd", rbdMethods("metadata_list", "metadata_set", "metadata_remove", "metadata_get"), metadataScenario},
	)
}

// image is the header of an image that has nothing but what all have, and then
// these values. A later value for a key replaces the earlier one.
func image(pairs ...any) *classtest.State {
	return omap(append([]any{
		"size", uint64(64 << 20), "order", uint8(22), "features", uint64(61), "object_prefix", "rbd_data.1a", "snap_seq", uint64(0),
	}, pairs...)...)
}

func headerScenario(s *scenario) {
	const prefix = "rbd_data.1a"
	order, size := uint8(22), uint64(64<<20)
	s.want(enosys, "none", "create", size, order, uint64(1<<12), prefix)
	s.want(einval, "none", "create", size, order, uint64(0), "")
	s.want(einval, "none", "create", size, order, uint64(256), prefix)
	s.want(einval, "none", "create", size, order, uint64(128), prefix)
	s.want(einval, "none", "create", size, order, uint64(128), prefix, int64(-1))
	s.want(einval, "o", "create", size, order, uint64(61), prefix, raw("cut"))
	s.verbatim = true // a beginning of it is good, too
	s.want(einval, "none", "create", size, order, uint64(0), prefix, int64(3))
	s.verbatim = false
	for _, m := range []string{"get_object_prefix", "get_data_pool", "get_all_features", "op_features_get",
		"get_create_timestamp", "get_access_timestamp", "get_modify_timestamp"} {
		s.want(enoent, "none", m)
	}
	for _, m := range []string{"set_access_timestamp", "set_modify_timestamp"} {
		s.want(enoent, "none", m)
	}
	s.want(ok, "none", "set_features", uint64(4), uint64(4))
	s.want(ok, "none2", "set_flags", uint64(1), uint64(1))
	s.want(enoent, "none3", "set_size", size)
	s.want(enoent, "none3", "op_features_set", uint64(1), uint64(1))
	s.want(enoent, "none3", "set_stripe_unit_count", uint64(1), uint64(1))
	s.want(enoent, "none3", "set_flags", uint64(1), uint64(1), uint64(4))

	s.want(ok, "a", "create", size, order, uint64(61), prefix)
	s.want(eexist, "a", "create", size, order, uint64(61), prefix)
	s.verbatim = true
	s.want(ok, "b", "create", size, order, uint64(128|61), prefix, int64(3))
	s.want(ok, "c", "create", uint64(0), uint8(0), uint64(0), "p", int64(-1))
	s.want(ok, "d", "create", size, uint8(255), uint64(2), "p", int64(-1), "rest")
	s.verbatim = false
	for _, o := range []string{"a", "b", "c", "d"} {
		s.want(ok, o, "get_object_prefix")
		s.want(ok, o, "get_data_pool")
		s.want(ok, o, "get_size", head)
		s.want(enoent, o, "get_size", uint64(4))
		s.want(ok, o, "get_features", head)
		s.want(ok, o, "get_features", head, true)
		s.want(ok, o, "get_features", uint64(77), false)
		s.want(ok, o, "get_create_timestamp")
		s.want(ok, o, "get_access_timestamp")
		s.want(ok, o, "get_modify_timestamp")
		s.want(ok, o, "set_access_timestamp")
		s.want(ok, o, "set_modify_timestamp")
	}
	s.want(ok, "a", "get_all_features")

	s.want(enoexec, "a", "get_stripe_unit_count")
	s.want(enoexec, "a", "set_stripe_unit_count", uint64(65536), uint64(4))
	s.put("striped", image("features", uint64(63)))
	s.want(ok, "striped", "get_stripe_unit_count")
	s.want(einval, "striped", "set_stripe_unit_count", uint64(0), uint64(4))
	s.want(einval, "striped", "set_stripe_unit_count", uint64(65536), uint64(0))
	s.want(einval, "striped", "set_stripe_unit_count", uint64(3), uint64(1))
	s.want(einval, "striped", "set_stripe_unit_count", uint64(8<<20), uint64(1))
	s.want(ok, "striped", "set_stripe_unit_count", uint64(4<<20), uint64(1))
	s.want(ok, "striped", "set_stripe_unit_count", uint64(65536), uint64(4))
	s.want(ok, "striped", "get_stripe_unit_count")
	s.put("noorder", omap("features", uint64(2)))
	s.want(eio, "noorder", "get_stripe_unit_count")
	s.want(enoent, "noorder", "set_stripe_unit_count", uint64(1), uint64(1))
	for _, order := range []uint8{63, 64, 65, 255} {
		o := fmt.Sprint("order", order)
		s.put(o, omap("features", uint64(2), "order", order, "size", uint64(0)))
		s.want(ok, o, "get_stripe_unit_count")
		s.want(ok, o, "set_stripe_unit_count", uint64(1), uint64(1))
		s.call(o, "set_stripe_unit_count", uint64(1<<40), uint64(1))
		s.want(ok, o, "get_size", head)
	}

	s.want(ok, "a", "set_size", uint64(1<<40))
	s.want(ok, "a", "set_size", uint64(0))
	s.want(ok, "a", "set_size", uint64(0))

	for bit := range 13 {
		f := uint64(1) << bit
		s.call("a", "set_features", f, f)
		s.call("a", "get_features", head)
		s.call("a", "set_features", uint64(0), f)
		s.call("a", "get_features", head, true)
	}
	s.want(ok, "a", "set_features", ^uint64(0), uint64(0))
	s.want(einval, "a", "set_features", ^uint64(0), ^uint64(0))
	s.put("all", image("features", ^uint64(0)))
	s.want(ok, "all", "get_features", head, true)
	s.want(ok, "all", "get_features", head, false)
	s.want(ok, "all", "set_features", uint64(0), uint64(0x5c))
	s.want(ok, "all", "set_features", uint64(0), uint64(1<<40|32))

	s.want(ok, "a", "op_features_get")
	s.want(einval, "a", "op_features_set", uint64(0), uint64(16))
	s.want(ok, "a", "op_features_set", uint64(16), uint64(0))
	for _, v := range []uint64{1, 15, 14, 2, 0, 0} {
		s.want(ok, "a", "op_features_set", v, uint64(15))
		s.want(ok, "a", "op_features_get")
		s.want(ok, "a", "get_features", head)
	}
	s.put("ops", image("op_features", uint64(0x10), "features", uint64(61)))
	s.want(ok, "ops", "op_features_set", uint64(1), uint64(1))
	s.want(ok, "ops", "op_features_set", uint64(0), uint64(15))
	s.put("nofeatures", omap("op_features", uint64(1)))
	s.want(enoent, "nofeatures", "op_features_set", uint64(1), uint64(1))
	s.want(enoent, "nofeatures", "get_features", head)

	s.want(ok, "a", "get_flags", head)
	s.want(ok, "a", "set_flags", uint64(3), uint64(1))
	s.want(ok, "a", "set_flags", uint64(2), uint64(3), head)
	s.want(ok, "a", "get_flags", head)
	s.want(enoent, "a", "get_flags", uint64(3))
	s.want(enoent, "a", "set_flags", uint64(1), uint64(1), uint64(3))

	s.put("bad", omap("size", raw("\x01"), "order", raw(""), "features", raw("\x01"), "object_prefix", raw("\x01"), "snap_seq", raw(""), "data_pool_id", raw(""),
		"op_features", raw(""), "flags", raw(""), "create_timestamp", raw(""), "access_timestamp", raw("\x01"), "modify_timestamp", raw("\x01\x02\x03\x04\x05\x06\x07")))
	for _, m := range []string{"get_object_prefix", "get_data_pool", "op_features_get", "get_create_timestamp", "get_access_timestamp", "get_modify_timestamp",
		"get_stripe_unit_count"} {
		s.want(eio, "bad", m)
	}
	s.want(eexist, "bad", "create", size, order, uint64(61), prefix)
	s.want(eio, "bad", "get_size", head)
	s.want(eio, "bad", "set_size", size)
	s.want(eio, "bad", "get_features", head)
	s.want(eio, "bad", "set_features", uint64(0), uint64(0))
	s.want(eio, "bad", "op_features_set", uint64(0), uint64(0))
	s.want(eio, "bad", "set_stripe_unit_count", uint64(1), uint64(1))
	s.want(eio, "bad", "get_flags", head)
	s.want(eio, "bad", "set_flags", uint64(0), uint64(0))
	s.want(ok, "bad", "set_modify_timestamp")
	s.put("worse", omap("order", uint8(22), "size", raw("\x01"), "features", uint64(63), "stripe_unit", raw("")))
	s.want(eio, "worse", "get_size", head)
	s.want(eio, "worse", "get_stripe_unit_count")
	s.put("worst", omap("order", raw(""), "features", uint64(63), "stripe_count", raw(""), "op_features", raw("")))
	s.want(eio, "worst", "get_stripe_unit_count")
	s.want(eio, "worst", "set_stripe_unit_count", uint64(1), uint64(1))
	s.want(eio, "worst", "op_features_set", uint64(0), uint64(0))
	s.put("stripes", omap("stripe_unit", uint64(1), "features", uint64(63), "stripe_count", raw("")))
	s.want(eio, "stripes", "get_stripe_unit_count")
}

func metadataScenario(s *scenario) {
	pairs := func(kv ...string) seq {
		m := seq{uint32(len(kv) / 2)}
		for i := 0; i < len(kv); i += 2 {
			m = append(m, kv[i], []byte(kv[i+1]))
		}
		return m
	}
	s.want(enoent, "none", "metadata_list", "", all)
	s.want(enoent, "none", "metadata_get", "a")
	s.want(enoent, "none", "metadata_remove", "a")
	s.want(ok, "none", "metadata_set", pairs())
	s.want(ok, "none", "metadata_list", "", all)
	s.want(ok, "none", "metadata_remove", "a")
	s.want(enoent, "none", "metadata_get", "a")

	s.want(ok, "o", "metadata_set", pairs("b", "2", "a", "1", "", "empty", "conf_x", "", "b", "3"))
	s.want(ok, "o", "metadata_set", pairs("a", "one\x00", "ä\x00", "umlaut"))
	s.want(ok, "o", "metadata_get", "a")
	s.want(ok, "o", "metadata_get", "b")
	s.want(ok, "o", "metadata_get", "")
	s.want(enoent, "o", "metadata_get", "c")
	s.want(ok, "o", "metadata_list", "", all)
	s.want(ok, "o", "metadata_list", "", uint64(0))
	s.want(ok, "o", "metadata_list", "", uint64(1))
	s.want(ok, "o", "metadata_list", "a", uint64(1))
	s.want(ok, "o", "metadata_list", "conf_", uint64(64))
	s.want(ok, "o", "metadata_list", "zz", ^uint64(0))
	s.want(ok, "o", "metadata_remove", "a")
	s.want(ok, "o", "metadata_remove", "a")
	s.want(ok, "o", "metadata_remove", "")
	s.want(ok, "o", "metadata_list", "", all)

	var many []any
	for i := range 200 {
		many = append(many, fmt.Sprintf("metadata_%03d", i), raw(fmt.Sprint(i)))
	}
	s.put("many", omap(append(many, "metadata_", raw("x"), "metadat", raw("y"), "metadatb", raw("z"))...))
	for _, n := range []uint64{0, 1, 63, 64, 65, 128, 129, 199, 200, 201, 1 << 32, ^uint64(0)} {
		s.want(ok, "many", "metadata_list", "", n)
		s.want(ok, "many", "metadata_list", "063", n)
	}
}
