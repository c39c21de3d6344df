package classes

import (
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
	"github.com/pulpo-storage/pulpo/osd/objclass/log"
	"github.com/pulpo-storage/pulpo/osd/objclass/timeindex"
	"github.com/pulpo-storage/pulpo/osd/objclass/user"
)

const enodata = -61

func init() {
	families = append(families,
		family{"log", "log", log.Class(), logScenario},
		family{"timeindex", "timeindex", timeindex.Class(), timeindexScenario},
		family{"user", "user", user.Class(), userScenario},
	)
}

// when is a time that is not now.
func when(sec, nsec int64) time.Time { return time.Unix(sec, nsec) }

func logEntry(at time.Time, id string) env {
	return env{2, 1, seq{"section", "name", at, []byte("data"), id}}
}

func logAdd(monotonic bool, entries ...any) env {
	return env{2, 1, seq{uint32(len(entries)), seq(entries), monotonic}}
}

func logScenario(s *scenario) {
	never := time.Time{}
	s.want(enoent, "none", "list", v1(never, "", never, uint32(0)))
	s.want(enoent, "none", "info", v1())
	s.want(enodata, "none", "trim", env{2, 1, seq{never, never, "", ""}})
	s.want(ok, "none", "add", logAdd(true))

	// The keys of these are made from versions of the placement group.
	s.loose("auto", "add", logAdd(true, logEntry(when(100, 5000), ""), logEntry(when(100, 5000), "")))
	s.loose("auto", "add", v1(uint32(1), v1("s", "n", when(300, 1), []byte("x"))))
	s.loose("auto", "trim", v1(never, when(200, 0)))
	s.loose("auto", "list", v1(never, "", never, uint32(0)))
	s.want(ok, "l", "add", logAdd(true, logEntry(when(100, 5000), "1_0000000100.000005_a"), logEntry(when(200, 999), "1_0000000200.000000_b")))
	s.want(ok, "l", "info", v1())
	s.want(ok, "l", "add", logAdd(true, logEntry(when(50, 0), "1_0000000050.000000_c")))
	s.want(ok, "l", "add", logAdd(false, logEntry(when(60, 0), "1_0000000060.000000_d")))
	s.want(ok, "l", "add", logAdd(true), raw("rest"))
	s.put("l", &classtest.State{})
	s.want(ok, "l", "add", logAdd(true, logEntry(when(100, 5000), "1_0000000100.000005_a"), logEntry(when(200, 999), "1_0000000200.000000_b"),
		logEntry(when(300, 999), "1_0000000300.000000_c"), logEntry(when(300, 999), "other")))
	s.want(ok, "l", "info", v1())
	list := func(from time.Time, marker string, to time.Time, n uint32) {
		s.t.Helper()
		s.want(ok, "l", "list", v1(from, marker, to, n))
	}
	list(never, "", never, 0)
	list(never, "", never, 1)
	list(never, "", never, 2)
	list(never, "", never, 3)
	list(never, "", never, 4)
	list(never, "", when(200, 0), 0)
	list(when(1, 0), "", when(200, 0), 0)
	list(when(100, 5000), "", when(200, 0), 0)
	list(when(100, 6000), "", when(300, 0), 0)
	list(when(100, 5000), "", when(300, 1000), 1)
	list(when(200, 0), "", when(100, 0), 0)
	list(never, "1_0000000100.000005_a", never, 1)
	list(when(1, 0), "1_0000000100.000005_a", when(250, 0), 9)
	list(never, "2", never, 1)
	list(never, "", never, 0xffffffff)

	trim := func(result int32, from, to time.Time, after, last string) {
		s.t.Helper()
		s.want(result, "l", "trim", env{2, 1, seq{from, to, after, last}})
	}
	trim(enodata, never, when(99, 0), "", "")
	trim(ok, never, when(100, 5000), "", "")
	trim(enodata, never, when(100, 5000), "", "")
	trim(ok, never, never, "1_0000000200.000000_a", "1_0000000200.000000_b")
	trim(enodata, never, never, "1_0000000300.000000_c", "1_0000000300.000000_d")
	trim(ok, never, when(1000, 999_999_999), "", "")
	trim(enodata, never, when(1000, 0), "", "")
	s.want(ok, "l", "add", logAdd(true, logEntry(when(500, 0), "1_0000000500.000000_x")))
	s.want(ok, "l", "trim", v1(never, when(600, 0)))
	s.want(ok, "l", "info", v1())

	s.put("bad", &classtest.State{Header: []byte{1, 1}, Omap: map[string]classtest.Hex{"1_0000000001.000000_a": {1}, "1_0000000002.000000_b": encode(logEntry(when(2, 0), "b"))}})
	s.want(ok, "bad", "info", v1())
	s.want(ok, "bad", "list", v1(never, "", never, uint32(0)))
	s.want(ok, "bad", "add", logAdd(true, logEntry(when(3, 0), "c")))

	many := []any{}
	for i := range 1010 {
		many = append(many, fmt.Sprintf("1_%010d.000000_x", i), logEntry(when(int64(i), 0), "x"))
	}
	s.put("many", omap(many...))
	s.verbatim = true
	for _, n := range []uint32{0, 999, 1000, 1001, 5000} {
		s.want(ok, "many", "list", v1(never, "", never, n))
	}
	s.want(ok, "many", "list", v1(never, "1_0000000500.000000_x", never, uint32(0)))
	s.want(ok, "many", "trim", env{2, 1, seq{never, when(1005, 0), "", ""}})
}

func timeindexScenario(s *scenario) {
	never := time.Time{}
	entry := func(at time.Time, ext, value string) env { return v1(at, ext, []byte(value)) }
	add := func(entries ...any) env { return v1(uint32(len(entries)), seq(entries)) }
	s.want(enoent, "none", "list", v1(never, "", never, uint32(9)))
	s.want(enodata, "none", "trim", v1(never, never, "", ""))
	s.call("none", "add", add())
	s.want(ok, "t", "add", add(entry(when(100, 5999), "a", "1"), entry(when(100, 5000), "b", "22"), entry(when(200, 0), "x y", ""), entry(when(300, 1000), "c_d", "3")))
	s.want(ok, "t", "add", add(entry(when(100, 5000), "a", "new")))
	for _, n := range []uint32{0, 1, 2, 3, 4, 5, 0xffffffff} {
		s.want(ok, "t", "list", v1(when(1, 0), "", never, n))
	}
	for _, to := range []time.Time{never, when(100, 5000), when(100, 6000), when(200, 0), when(300, 1000), when(300, 2000)} {
		s.want(ok, "t", "list", v1(never, "", to, uint32(9)))
		s.want(ok, "t", "list", v1(when(100, 5000), "", to, uint32(9)))
		s.want(ok, "t", "list", v1(when(100, 6000), "", to, uint32(1)))
	}
	s.want(ok, "t", "list", v1(when(1, 0), "1_0000000100.000005_a", never, uint32(2)))
	s.want(ok, "t", "list", v1(never, "1_0000000100.000005_a", when(300, 0), uint32(9)))
	s.want(enodata, "t", "trim", v1(never, when(99, 0), "", ""))
	s.want(ok, "t", "trim", v1(never, never, "1_0000000100.000005_a", "1_0000000100.000005_b"))
	s.want(ok, "t", "trim", v1(never, never, "", "1_0000000100")) // what begins so
	s.want(ok, "t", "trim", v1(never, when(200, 0), "", ""))
	s.want(ok, "t", "trim", v1(never, when(900, 0), "", ""))
	s.want(enodata, "t", "trim", v1(never, when(900, 0), "", ""))

	many := []any{"0_", "x", "2_", "y", "1_abc", "z", "1_12", "z", "1_5.x_a", "z"}
	for i := range 1010 {
		many = append(many, fmt.Sprintf("1_%010d.000000_x", i), raw("v"))
	}
	s.put("many", omap(many...))
	s.verbatim = true
	for _, n := range []uint32{999, 1000, 1001} {
		s.want(ok, "many", "list", v1(when(0, 1), "", when(0, 0), n))
	}
	s.want(ok, "many", "trim", v1(never, when(5000, 0), "", ""))
	s.want(ok, "many", "trim", v1(never, when(5000, 0), "", ""))
	s.want(enodata, "many", "trim", v1(never, when(5000, 0), "", ""))
}

func userScenario(s *scenario) {
	bucket := func(name string) env {
		return env{7, 3, seq{name, "pool", "marker-" + name, "id-" + name, "index", "extra"}}
	}
	placed := func(name string) env { return env{9, 8, seq{name, "marker", "id2-" + name, "placement"}} }
	entry := func(b env, size, rounded, count uint64, created time.Time, counted bool) env {
		return env{9, 5, seq{"", size, uint32(7), count, b, rounded, counted, created}}
	}
	set := func(add bool, at time.Time, entries ...any) env {
		return v1(uint32(len(entries)), seq(entries), add, at)
	}
	at := func(n int64) time.Time { return when(n, 123) }
	stats := func(a, b, c uint64) env { return v1(a, b, c) }

	s.want(enoent, "none", "get_header", v1())
	s.want(enoent, "none", "list_buckets", env{2, 1, seq{"", uint32(9), ""}})
	s.want(ok, "none", "remove_bucket", v1(bucket("a")))
	s.want(ok, "none1", "complete_stats_sync", v1(at(5)))
	s.want(ok, "none2", "set_buckets_info", set(false, at(5), entry(bucket("a"), 1, 2, 3, at(1), false)))
	s.want(ok, "none3", "reset_user_stats", v1(at(5)))
	s.want(ok, "none4", "reset_user_stats2", v1(at(5), "", stats(0, 0, 0)))

	s.want(ok, "u", "set_buckets_info", set(true, at(100), entry(bucket("a"), 10, 4096, 3, at(1), false), entry(placed("b"), 20, 8192, 4, at(2), true)))
	s.want(ok, "u", "get_header", v1())
	s.want(ok, "u", "set_buckets_info", set(false, at(50), entry(bucket("a"), 11, 4097, 5, at(9), false), entry(bucket("c"), 1, 1, 1, at(1), false)))
	s.want(ok, "u", "set_buckets_info", set(true, at(101), entry(placed("a"), 12, 4098, 6, at(9), false)))
	s.want(ok, "u", "set_buckets_info", set(true, at(102), entry(bucket("d"), 1, 2, 3, at(9), false), entry(bucket("d"), 4, 5, 6, at(8), false)))
	s.want(ok, "u", "set_buckets_info", set(true, at(102), entry(bucket("b"), 1, 2, 3, at(9), false), entry(bucket("b"), 4, 5, 6, at(8), false)))
	s.want(einval, "u", "set_buckets_info", set(true, at(103), entry(bucket(""), 1, 2, 3, at(9), false)))
	s.want(ok, "u", "set_buckets_info", set(true, at(104)))
	// Older forms.
	s.want(ok, "u", "set_buckets_info", set(true, at(105), env{5, 5, seq{"", uint64(7), uint32(1000), uint64(2), env{5, 3, seq{"e", "pool", "m", "id", "ix"}}, uint64(8)}}))
	s.want(ok, "u", "set_buckets_info", set(true, at(105), env{8, 5, seq{"", uint64(7), uint32(1000), uint64(2), env{8, 8, seq{"f", "m", "id", "", "dp", "ip", "ep"}}, uint64(8), true, at(4), "rule"}}))
	s.want(ok, "u", "set_buckets_info", set(true, at(105), seq{uint8(4), "", uint64(7), uint32(1000), uint64(2), seq{uint8(2), "g", "pool", "m", uint64(77)}, uint64(8)}))
	s.want(ok, "u", "set_buckets_info", set(true, at(105), seq{uint8(3), "", uint64(7), uint32(0), uint64(2), env{3, 3, seq{"h", "pool", "m", uint64(77)}}}))
	s.want(ok, "u", "set_buckets_info", set(true, at(105), seq{uint8(3), "", uint64(7), uint32(0), uint64(2), seq{uint8(1), "i", "pool"}}))
	s.want(einval, "u", "set_buckets_info", set(true, at(105), seq{uint8(1), "", uint64(7), uint32(0)})) // no name
	s.want(ok, "u", "get_header", v1())

	list := func(marker, end string, n uint32) {
		s.t.Helper()
		s.want(ok, "u", "list_buckets", env{2, 1, seq{marker, n, end}})
	}
	list("", "", 100)
	list("", "", 0)
	list("", "", 1)
	list("", "", 0xffffffff)
	list("a", "", 2)
	list("", "c", 100)
	list("", "b", 100)
	list("", "a", 1)
	list("", "b", 1)
	list("z", "", 1)
	s.want(ok, "u", "list_buckets", v1("b", uint32(3)))

	s.want(ok, "u", "complete_stats_sync", v1(at(200)))
	s.want(ok, "u", "complete_stats_sync", v1(at(199)))
	s.want(ok, "u", "remove_bucket", v1(bucket("b")))
	s.want(ok, "u", "remove_bucket", v1(bucket("b")))
	s.want(einval, "u", "remove_bucket", v1(bucket("")))
	s.want(ok, "u", "get_header", v1())
	s.want(ok, "u", "reset_user_stats2", v1(at(300), "", stats(0, 0, 0)))
	s.want(ok, "u", "reset_user_stats2", v1(at(301), "c", stats(0, 0, 0)))
	s.want(ok, "u", "reset_user_stats2", v1(at(301), "z", stats(0, 0, 0)))
	s.want(ok, "u", "reset_user_stats", v1(at(302)))
	s.want(ok, "u", "get_header", v1())

	s.put("bad", &classtest.State{Header: []byte{1, 1}, Omap: map[string]classtest.Hex{"a": {9, 5}}})
	s.want(eio, "bad", "get_header", v1())
	s.want(eio, "bad", "set_buckets_info", set(true, at(1)))
	s.want(eio, "bad", "complete_stats_sync", v1(at(1)))
	s.want(eio, "bad", "remove_bucket", v1(bucket("a")))
	s.want(ok, "bad", "list_buckets", v1("", uint32(9)))
	s.want(eio, "bad", "reset_user_stats", v1(at(1)))
	s.want(eio, "bad", "reset_user_stats2", v1(at(1), "", stats(0, 0, 0)))
	s.put("worse", omap("a", raw("\x09\x05")))
	s.want(eio, "worse", "remove_bucket", v1(bucket("a")))
	s.want(eio, "worse", "set_buckets_info", set(true, at(1), entry(bucket("a"), 1, 1, 1, at(1), false)))

	many := []any{}
	for i := range 1500 {
		name := fmt.Sprintf("%04d", i)
		many = append(many, name, entry(placed(name), 1, 2, 3, at(1), true))
	}
	s.put("many", omap(many...))
	s.verbatim = true
	for _, n := range []uint32{999, 1000, 1001} {
		s.want(ok, "many", "list_buckets", env{2, 1, seq{"", n, ""}})
	}
	s.want(ok, "many", "reset_user_stats2", v1(at(300), "", stats(0, 0, 0)))
	s.want(ok, "many", "reset_user_stats2", v1(at(300), "0999", stats(0, 0, 0)))
	s.want(ok, "many", "reset_user_stats", v1(at(302)))
}
