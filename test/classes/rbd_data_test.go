package classes

import (
	"bytes"
	"fmt"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
	"github.com/pulpo-storage/pulpo/wire"
)

func init() {
	families = append(families,
		family{"objectmap", "rbd", rbdMethods("object_map_load", "object_map_save", "object_map_resize", "object_map_update",
			"object_map_snap_add", "object_map_snap_remove"), objectMapScenario},
		family{"data", "rbd", rbdMethods("copyup", "sparse_copyup", "sparsify", "assert_snapc_seq"), dataScenario},
		family{"v1", "rbd", rbdMethods("snap_list", "snap_add", "snap_remove", "snap_rename", "snapshot_set_limit", "snapshot_get_limit"), v1Scenario},
	)
}

// vector is an object map of these states, again and again up to n.
func vector(n uint64, states ...uint8) *clsrbd.BitVector {
	v := clsrbd.NewBitVector(n)
	for i := range n {
		v.Set(i, states[i%uint64(len(states))])
	}
	return v
}

// onDisk is an object with an object map.
func onDisk(v *clsrbd.BitVector) *classtest.State {
	var e wire.Encoder
	v.EncodeDisk(&e)
	return &classtest.State{Data: e.Bytes()}
}

func objectMapScenario(s *scenario) {
	s.want(enoent, "none", "object_map_load")
	s.want(enoent, "none", "object_map_snap_add")
	s.want(enoent, "none", "object_map_snap_remove", vector(1, 0))
	s.want(enoent, "none", "object_map_update", uint64(0), uint64(1), uint8(1), false)
	s.want(einval, "none", "object_map_resize", uint64(256000001), uint8(0))
	s.put("empty", &classtest.State{})
	s.want(enoent, "empty", "object_map_load")
	s.want(enoent, "empty", "object_map_snap_add")
	s.want(einval, "empty", "object_map_update", uint64(0), uint64(1), uint8(1), false)
	s.want(ok, "empty", "object_map_resize", uint64(3), uint8(1))
	s.want(ok, "empty", "object_map_load")

	s.want(ok, "m", "object_map_resize", uint64(0), uint8(1))
	s.want(ok, "m", "object_map_load")
	s.want(erange, "m", "object_map_update", uint64(0), uint64(1), uint8(1), false)
	for _, n := range []uint64{1, 4, 7, 8, 9, 33} {
		s.want(ok, "m", "object_map_resize", n, uint8(n))
		s.want(ok, "m", "object_map_load")
	}
	s.want(estale, "m", "object_map_resize", uint64(9), uint8(0))
	s.want(estale, "m", "object_map_resize", uint64(9), uint8(5))
	s.want(ok, "m", "object_map_resize", uint64(12), uint8(1))
	s.want(ok, "m", "object_map_load")

	for _, states := range [][]uint8{{0}, {1}, {2}, {3}, {0, 1, 2, 3}, {3, 3, 1}} {
		for _, n := range []uint64{0, 1, 5, 64} {
			o := fmt.Sprint("save", states, n)
			s.want(ok, o, "object_map_save", vector(n, states...))
			s.want(ok, o, "object_map_load")
			s.want(ok, o, "object_map_snap_add")
			s.want(ok, o, "object_map_snap_remove", vector(n, 0, 1, 3))
			s.put(o, onDisk(vector(n, states...)))
			s.want(ok, o, "object_map_snap_remove", vector(n/2, 1, 0))
			s.put(o, onDisk(vector(n, states...)))
			s.want(ok, o, "object_map_snap_remove", vector(2*n, 2))
		}
	}

	states := onDisk(vector(23, 0, 1, 2, 3))
	for _, x := range []struct{ from, to uint64 }{{0, 1}, {0, 23}, {22, 23}, {3, 9}, {4, 4}, {5, 4}, {22, 24}, {23, 24}, {1 << 40, 1 << 41}, {0, ^uint64(0)}} {
		for state := range uint8(5) {
			s.put("u", states)
			s.call("u", "object_map_update", x.from, x.to, state, false)
			for old := range uint8(5) {
				s.put("u", states)
				s.call("u", "object_map_update", x.from, x.to, state, true, old)
			}
		}
	}

	s.verbatim = true
	big := vector(3*16384+5, 0, 1, 2, 3, 3)
	s.want(ok, "big", "object_map_save", big)
	s.want(ok, "big", "object_map_load")
	for _, x := range []struct{ from, to uint64 }{{0, 1}, {16383, 16384}, {16384, 16385}, {16383, 16385}, {16000, 40000}, {49151, 49157}, {49156, 49157}, {0, 49157}} {
		s.want(ok, "big", "object_map_update", x.from, x.to, uint8(2), true, uint8(3))
		s.want(ok, "big", "object_map_update", x.from, x.to, uint8(1), true, uint8(2))
		s.want(ok, "big", "object_map_update", x.from, x.to, uint8(1), false)
	}
	s.want(ok, "big", "object_map_load")
	s.want(ok, "big", "object_map_snap_add")
	s.want(ok, "big", "object_map_snap_remove", vector(20000, 1, 0))
	s.want(ok, "big", "object_map_resize", uint64(70000), uint8(0))
	s.want(ok, "big", "object_map_resize", uint64(16384*4+1), uint8(0))
	s.want(ok, "big", "object_map_resize", uint64(16384*4), uint8(0))
	s.want(estale, "big", "object_map_resize", uint64(40000), uint8(0))
	s.verbatim = false

	good := states.Data
	damaged := map[string][]byte{"short": good[:len(good)-1], "header": good[:17], "data": good[:20], "nofooter": good[:24]}
	for name, at := range map[string]int{"version": 5, "crc": 30, "bytes": 19, "sum": 39} {
		b := bytes.Clone(good)
		b[at]++
		damaged[name] = b
	}
	damaged["trailing"] = append(bytes.Clone(good), 1, 2, 3)
	for name, b := range damaged {
		s.put(name, &classtest.State{Data: b})
		s.call(name, "object_map_load")
		s.call(name, "object_map_snap_add")
		s.call(name, "object_map_snap_remove", vector(1, 1))
		s.call(name, "object_map_resize", uint64(24), uint8(0))
		// What Ceph updates depends here on memory that it did not write.
		if name != "short" && name != "data" && name != "nofooter" {
			s.put(name, &classtest.State{Data: b})
			s.call(name, "object_map_update", uint64(0), uint64(23), uint8(1), false)
		}
	}
	for name, b := range damaged {
		s.verbatim = true
		s.call("saved"+name, "object_map_save", raw(b))
		s.put("whole", states)
		s.call("whole", "object_map_snap_remove", raw(b))
		s.verbatim = false
	}
	s.put("nosums", &classtest.State{Data: encode(vector(23, 0, 1, 2, 3))})
	s.want(ok, "nosums", "object_map_load")
}

func dataScenario(s *scenario) {
	s.verbatim = true
	s.want(ok, "empty", "copyup", raw(""))
	s.want(ok, "bytes", "copyup", raw("some bytes"))
	s.want(ok, "bytes", "copyup", raw("others"))
	s.want(ok, "large", "copyup", raw(bytes.Repeat([]byte("pulpo"), 20000)))
	s.verbatim = false

	extents := func(list ...uint64) seq {
		m := seq{uint32(len(list) / 2)}
		for _, v := range list {
			m = append(m, v)
		}
		return m
	}
	s.want(ok, "s1", "sparse_copyup", extents(), []byte(""))
	s.want(ok, "s1", "sparse_copyup", extents(0, 1), []byte("x"))
	s.want(ok, "s2", "sparse_copyup", extents(), []byte("unused"))
	s.want(ok, "s3", "sparse_copyup", extents(4096, 3, 8192, 2), []byte("abcde"))
	s.want(ok, "s3", "sparse_copyup", extents(0, 1), []byte("x"))
	s.want(ok, "s4", "sparse_copyup", extents(4096, 3, 0, 2), []byte("abcde"))
	s.want(ok, "s5", "sparse_copyup", extents(4096, 3, 4096, 1, 0, 2), []byte("abcdefg"))
	s.want(ok, "s6", "sparse_copyup", extents(0, 3, 1, 4), []byte("abcdefg"))
	s.want(ok, "s7", "sparse_copyup", extents(100, 0), []byte(""))
	s.want(ok, "s8", "sparse_copyup", extents(0, 0), []byte(""))
	s.want(einval, "s9", "sparse_copyup", extents(0, 4), []byte("abc"))
	s.want(einval, "s9", "sparse_copyup", extents(0, 2, 10, 2), []byte("abc"))
	s.want(-27, "s9", "sparse_copyup", extents(128<<20, 1), []byte("a"))
	s.want(-27, "s9", "sparse_copyup", extents(128<<20-1, 2), []byte("ab"))

	block := func(n int, parts ...byte) (b []byte) {
		for _, p := range parts {
			b = append(b, bytes.Repeat([]byte{p}, n)...)
		}
		return b
	}
	s.want(enoent, "none", "sparsify", uint64(4096), true)
	for name, data := range map[string][]byte{
		"nothing": {}, "zero": block(4096, 0), "zeros": block(4096, 0, 0, 0), "odd": block(1000, 0, 0, 0, 0, 0), "full": block(4096, 1, 2),
		"first": block(4096, 0, 1), "last": block(4096, 1, 0), "middle": block(4096, 1, 0, 2), "alternate": block(4096, 0, 1, 0, 1, 1, 0, 0, 3, 0),
		"tail": append(block(4096, 1, 0), 0, 0, 1), "zerotail": append(block(4096, 0, 1), 0, 0), "short": []byte("\x00\x00a\x00"),
	} {
		for _, size := range []uint64{1, 512, 4096, 8192, 1 << 20, ^uint64(0)} {
			for _, remove := range []bool{false, true} {
				s.put(name, &classtest.State{Data: data, Omap: map[string]classtest.Hex{"k": []byte("v")}})
				s.verbatim = size != 512
				s.want(ok, name, "sparsify", size, remove)
			}
		}
	}
	s.verbatim = false

	for _, o := range []string{"nosuch", "zero"} {
		s.call(o, "assert_snapc_seq", uint64(0), uint8(0))
		s.call(o, "assert_snapc_seq", uint64(0), uint8(1))
		s.call(o, "assert_snapc_seq", uint64(5), uint8(0))
		s.call(o, "assert_snapc_seq", uint64(5), uint8(1))
		s.call(o, "assert_snapc_seq", uint64(5), uint8(2))
	}
}

// v1Header is an image of format 1 with snapshots.
func v1Header(seqNo uint64, list ...snap) *classtest.State {
	var e wire.Encoder
	e.Raw(append([]byte("<<< Rados Block Device Image >>>\n"), make([]byte, 7)...))
	e.Raw(append([]byte("rb.0.1234.6b8b4567"), make([]byte, 6)...))
	e.Raw([]byte("RBD\x00001.005\x00"))
	e.Raw([]byte{22, 0, 0, 0})
	e.U64(1 << 30)
	e.U64(seqNo)
	names := 0
	for _, s := range list {
		names += len(s.name) + 1
	}
	e.U32(uint32(len(list)))
	e.U32(0)
	e.U64(uint64(names))
	for _, s := range list {
		e.U64(s.id)
		e.U64(s.size)
	}
	for _, s := range list {
		e.Raw(append([]byte(s.name), 0))
	}
	return &classtest.State{Data: e.Bytes()}
}

func v1Scenario(s *scenario) {
	s.want(enoent, "none", "snap_list")
	s.want(einval, "none", "snap_add", "a", uint64(1))
	s.want(einval, "none", "snap_remove", "a")
	s.want(einval, "none", "snap_rename", uint64(1), "a")
	s.put("short", &classtest.State{Data: v1Header(0).Data[:111]})
	s.want(einval, "short", "snap_list")
	s.want(einval, "short", "snap_add", "a", uint64(1))
	s.want(einval, "short", "snap_remove", "a")
	s.want(einval, "short", "snap_rename", uint64(1), "a")

	s.put("i", v1Header(3))
	s.want(ok, "i", "snap_list")
	s.want(enoent, "i", "snap_remove", "a")
	s.want(enoent, "i", "snap_rename", uint64(1), "a")
	s.want(estale, "i", "snap_add", "a", uint64(2))
	s.want(ok, "i", "snap_add", "a", uint64(3))
	s.want(eexist, "i", "snap_add", "a", uint64(4))
	s.want(ok, "i", "snap_add", "another", uint64(3))
	s.want(ok, "i", "snap_add", "", uint64(9))
	s.want(eexist, "i", "snap_add", "", uint64(10))
	s.want(ok, "i", "snap_list")
	s.want(eexist, "i", "snap_rename", uint64(3), "a")
	s.want(eexist, "i", "snap_rename", uint64(77), "a")
	s.want(enoent, "i", "snap_rename", uint64(77), "b")
	s.want(ok, "i", "snap_rename", uint64(9), "nine")
	s.want(ok, "i", "snap_rename", uint64(3), "a longer name than it was")
	s.want(ok, "i", "snap_list")
	s.want(enoent, "i", "snap_remove", "another")
	s.want(ok, "i", "snap_remove", "a longer name than it was")
	s.want(ok, "i", "snap_list")
	s.want(ok, "i", "snap_remove", "nine")
	s.want(ok, "i", "snap_remove", "a")
	s.want(ok, "i", "snap_list")

	three := v1Header(12, snap{id: 12, name: "c", size: 3}, snap{id: 8, name: "bb", size: 2}, snap{id: 5, name: "aaa", size: 1})
	for _, name := range []string{"c", "bb", "aaa"} {
		s.put("t", three)
		s.want(ok, "t", "snap_remove", name)
		s.want(ok, "t", "snap_list")
	}
	for _, id := range []uint64{12, 8, 5} {
		s.put("t", three)
		s.want(ok, "t", "snap_rename", id, "x")
		s.want(ok, "t", "snap_rename", id, "much longer")
	}
	s.put("t", three)
	s.want(erange, "t", "snapshot_set_limit", uint64(2))
	s.want(ok, "t", "snapshot_set_limit", uint64(3))
	s.want(edquot, "t", "snap_add", "d", uint64(13))
	s.want(ok, "t", "snapshot_set_limit", uint64(4))
	s.want(ok, "t", "snap_add", "d", uint64(13))
	s.want(ok, "t", "snapshot_get_limit")
	s.put("bad", &classtest.State{Data: three.Data, Omap: map[string]classtest.Hex{"snap_limit": []byte("\x01")}})
	s.want(eio, "bad", "snap_add", "d", uint64(13))
}
