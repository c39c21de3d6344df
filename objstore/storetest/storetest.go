// Package storetest is the conformance suite of the objstore contract: what
// every store must do, as tests that a store's own test calls with a function
// that opens it. It also makes random histories ([Gen]) and descriptions of a
// store's whole content ([Describe]), with which two stores, or a store before
// and after a crash, are compared.
//
// No compatibility promise.
package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
)

// Harness opens a store for a test.
type Harness struct {
	// Open returns an empty store. The suite closes it.
	Open func(t testing.TB) objstore.Store
	// Reopen closes a store that Open made and opens what is there again. Nil:
	// the store forgets.
	Reopen func(t testing.TB, s objstore.Store) objstore.Store
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := &kit{t: t, s: h.Open(t), h: h}
			defer func() {
				if err := k.s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
			k.ok(func(tx *objstore.Txn) { tx.CreateColl(coll) })
			c.run(k)
		})
	}
}

var (
	coll  = objstore.PGColl(object.SPG{PG: object.PG{Pool: 1, Seed: 3}, Shard: object.NoShard})
	other = objstore.PGColl(object.SPG{PG: object.PG{Pool: 1, Seed: 4}, Shard: 2})
	a     = object.New(1, "", "", "a")
	b     = object.New(1, "ns", "key", "b")
	none  = object.New(1, "", "", "none")
)

// kit is a store under test with the sentences tests are made of.
type kit struct {
	t *testing.T
	s objstore.Store
	h Harness
}

// ok submits a transaction and waits until it is durable.
func (k *kit) ok(f func(tx *objstore.Txn)) {
	k.t.Helper()
	var tx objstore.Txn
	f(&tx)
	done := make(chan error, 1)
	if err := k.s.Submit(&tx, func(err error) { done <- err }); err != nil {
		k.t.Fatalf("submit: %v", err)
	}
	if err := <-done; err != nil {
		k.t.Fatalf("commit: %v", err)
	}
}

// refused submits a transaction that must fail and change nothing.
func (k *kit) refused(want error, f func(tx *objstore.Txn)) {
	k.t.Helper()
	before := k.describe()
	var tx objstore.Txn
	f(&tx)
	err := k.s.Submit(&tx, func(error) { k.t.Error("callback of a transaction that was refused") })
	if !errors.Is(err, want) {
		k.t.Fatalf("submit: got %v, want %v", err, want)
	}
	if after := k.describe(); after != before {
		k.t.Fatalf("a refused transaction changed the store:\n%s\nbefore:\n%s", after, before)
	}
}

func (k *kit) describe() string {
	k.t.Helper()
	d, err := Describe(k.s)
	if err != nil {
		k.t.Fatal(err)
	}
	return d.String()
}

func (k *kit) reopen() {
	k.t.Helper()
	if k.h.Reopen == nil {
		return
	}
	before := k.describe()
	k.s = k.h.Reopen(k.t, k.s)
	if after := k.describe(); after != before {
		k.t.Fatalf("after reopening:\n%s\nbefore:\n%s", after, before)
	}
}

func (k *kit) wantData(o object.ID, want string) {
	k.t.Helper()
	st, err := k.s.Stat(coll, o)
	if err != nil || st.Size != uint64(len(want)) {
		k.t.Fatalf("stat %v: %+v, %v; want size %d", o, st, err, len(want))
	}
	k.wantRead(o, 0, uint64(len(want))+100, want)
}

func (k *kit) wantRead(o object.ID, off, n uint64, want string) {
	k.t.Helper()
	l, err := k.s.Read(coll, o, off, n)
	if err != nil {
		k.t.Fatalf("read %v: %v", o, err)
	}
	defer l.Release()
	if got := l.Bytes(); string(got) != want {
		i := 0
		for i < min(len(got), len(want)) && got[i] == want[i] {
			i++
		}
		k.t.Fatalf("read %v %d~%d: %d bytes, want %d; they differ at %d", o, off, n, len(got), len(want), i)
	}
}

func (k *kit) wantNone(o object.ID) {
	k.t.Helper()
	if _, err := k.s.Stat(coll, o); !errors.Is(err, objstore.ErrNotFound) {
		k.t.Fatalf("stat %v: %v, want %v", o, err, objstore.ErrNotFound)
	}
}

func (k *kit) wantOmap(o object.ID, want string) {
	k.t.Helper()
	if got := k.scan(o, "", -1); got != want {
		k.t.Fatalf("omap of %v: %q, want %q", o, got, want)
	}
}

func (k *kit) scan(o object.ID, from string, n int) string {
	k.t.Helper()
	var w strings.Builder
	err := k.s.OmapScan(coll, o, from, func(key string, v []byte) bool {
		fmt.Fprintf(&w, "%s=%s ", key, v)
		n--
		return n != 0
	})
	if err != nil {
		k.t.Fatalf("omap scan of %v: %v", o, err)
	}
	return w.String()
}

func list(s string) buffer.List { return buffer.ListOf([]byte(s)) }

func kvs(s ...string) (out []objstore.KV) {
	for i := 0; i < len(s); i += 2 {
		out = append(out, objstore.KV{Key: s[i], Value: []byte(s[i+1])})
	}
	return out
}

// fill is n bytes that differ from place to place.
func fill(seed byte, n int) string {
	p := make([]byte, n)
	for i := range p {
		p[i] = seed + byte(i) + byte(i>>8)*7 + byte(i>>12)*13
		if p[i] == 0 {
			p[i] = 1
		}
	}
	return string(p)
}

func zeros(n int) string { return strings.Repeat("\x00", n) }

var cases = []struct {
	name string
	run  func(k *kit)
}{
	{"write creates and extends", func(k *kit) {
		k.ok(func(tx *objstore.Txn) { tx.Write(coll, a, 3, list("abc")) })
		k.wantData(a, "\x00\x00\x00abc")
		k.ok(func(tx *objstore.Txn) { tx.Write(coll, a, 4, list("XYZ")) })
		k.wantData(a, "\x00\x00\x00aXYZ")
		k.wantRead(a, 5, 1, "Y")
		k.wantRead(a, 7, 10, "")
		k.wantRead(a, 1<<50, 10, "")
		k.wantRead(a, 2, 1<<63, "\x00aXYZ")
		k.reopen()
		k.wantData(a, "\x00\x00\x00aXYZ")
	}},
	{"a range of no bytes creates and does not extend", func(k *kit) {
		k.ok(func(tx *objstore.Txn) {
			tx.Write(coll, a, 100, nil)
			tx.Zero(coll, b, 100, 0)
			tx.CloneRange(coll, a, none, 0, 0, 50)
		})
		k.wantData(a, "")
		k.wantData(b, "")
		k.wantData(none, "")
	}},
	{"data arrives in many parts", func(k *kit) {
		var l buffer.List
		want := ""
		for i := range 50 {
			s := fill(byte(i), 1000+i)
			l = append(l, buffer.Copy([]byte(s)))
			want += s
		}
		k.ok(func(tx *objstore.Txn) { tx.Write(coll, a, 10, l) })
		k.wantData(a, zeros(10)+want)
		k.reopen()
		k.wantRead(a, 5000, 20000, want[4990:24990])
	}},
	{"large and small writes mix", func(k *kit) {
		want := []byte(fill(1, 300<<10))
		put := func(off int, s string) {
			k.ok(func(tx *objstore.Txn) { tx.Write(coll, a, uint64(off), list(s)) })
			if len(want) < off+len(s) {
				want = append(want, make([]byte, off+len(s)-len(want))...)
			}
			copy(want[off:], s)
			k.wantData(a, string(want))
		}
		put(0, string(want))
		put(5, "five")
		put(4094, "over")
		put(70000, fill(2, 100000))
		put(4096*20, fill(3, 4096))
		put(4096*20+100, fill(4, 200))
		put(310<<10, fill(5, 1000))
		put(1<<20+77, fill(6, 200000))
		k.reopen()
		k.wantData(a, string(want))
		put(1<<20+78, fill(7, 150000))
		put(0, fill(8, 4096))
		k.reopen()
		k.wantData(a, string(want))
	}},
	{"zero", func(k *kit) {
		s := fill(1, 20000)
		k.ok(func(tx *objstore.Txn) { tx.Write(coll, a, 0, list(s)) })
		k.ok(func(tx *objstore.Txn) { tx.Zero(coll, a, 100, 10000) })
		s = s[:100] + zeros(10000) + s[10100:]
		k.wantData(a, s)
		k.ok(func(tx *objstore.Txn) { tx.Zero(coll, a, 19000, 3000) })
		s = s[:19000] + zeros(3000)
		k.wantData(a, s)
		k.reopen()
		k.ok(func(tx *objstore.Txn) { tx.Zero(coll, b, 5, 5) })
		k.wantData(b, zeros(10))
		k.wantData(a, s)
	}},
	{"truncate", func(k *kit) {
		s := fill(1, 20000)
		k.ok(func(tx *objstore.Txn) { tx.Write(coll, a, 0, list(s)) })
		k.ok(func(tx *objstore.Txn) { tx.Truncate(coll, a, 5000) })
		k.wantData(a, s[:5000])
		k.ok(func(tx *objstore.Txn) { tx.Truncate(coll, a, 9000) })
		k.wantData(a, s[:5000]+zeros(4000))
		k.reopen()
		k.wantData(a, s[:5000]+zeros(4000))
		k.ok(func(tx *objstore.Txn) { tx.Truncate(coll, a, 4096); tx.Write(coll, a, 4100, list("x")) })
		k.wantData(a, s[:4096]+zeros(4)+"x")
		k.ok(func(tx *objstore.Txn) { tx.Truncate(coll, a, 0) })
		k.wantData(a, "")
		k.ok(func(tx *objstore.Txn) { tx.Truncate(coll, b, 7) })
		k.wantData(b, zeros(7))
	}},
	{"remove", func(k *kit) {
		k.ok(func(tx *objstore.Txn) {
			tx.Write(coll, a, 0, list(fill(1, 10000)))
			tx.SetAttr(coll, a, "x", []byte("1"))
			tx.OmapSet(coll, a, kvs("k", "v"))
			tx.OmapSetHeader(coll, a, []byte("h"))
		})
		k.ok(func(tx *objstore.Txn) { tx.Remove(coll, a) })
		k.wantNone(a)
		k.ok(func(tx *objstore.Txn) { tx.Remove(coll, a); tx.Remove(coll, none) })
		k.reopen()
		k.wantNone(a)
		// What comes after starts anew.
		k.ok(func(tx *objstore.Txn) { tx.Touch(coll, a) })
		k.wantData(a, "")
		k.wantOmap(a, "")
		if m, err := k.s.Attrs(coll, a); err != nil || len(m) != 0 {
			k.t.Fatalf("attributes %v, %v", m, err)
		}
		if h, err := k.s.OmapHeader(coll, a); err != nil || len(h) != 0 {
			k.t.Fatalf("header %q, %v", h, err)
		}
		// And so it is within one transaction.
		k.ok(func(tx *objstore.Txn) {
			tx.Write(coll, a, 0, list("old"))
			tx.OmapSet(coll, a, kvs("k", "old", "l", "old"))
			tx.Remove(coll, a)
			tx.Write(coll, a, 1, list("n"))
			tx.OmapSet(coll, a, kvs("l", "new"))
		})
		k.wantData(a, "\x00n")
		k.wantOmap(a, "l=new ")
		k.reopen()
		k.wantOmap(a, "l=new ")
	}},
	{"attributes", func(k *kit) {
		k.ok(func(tx *objstore.Txn) { tx.SetAttr(coll, a, "_", []byte("info")) })
		k.ok(func(tx *objstore.Txn) { tx.SetAttrs(coll, a, kvs("x", "1", "y", "", "_", "more")) })
		k.reopen()
		if v, err := k.s.Attr(coll, a, "_"); err != nil || string(v) != "more" {
			k.t.Fatalf("got %q, %v", v, err)
		}
		if v, err := k.s.Attr(coll, a, "y"); err != nil || len(v) != 0 {
			k.t.Fatalf("got %q, %v", v, err)
		}
		if _, err := k.s.Attr(coll, a, "z"); !errors.Is(err, objstore.ErrNoAttr) {
			k.t.Fatalf("got %v", err)
		}
		if _, err := k.s.Attr(coll, none, "z"); !errors.Is(err, objstore.ErrNotFound) {
			k.t.Fatalf("got %v", err)
		}
		k.ok(func(tx *objstore.Txn) { tx.RmAttr(coll, a, "x"); tx.RmAttr(coll, a, "z"); tx.RmAttr(coll, none, "z") })
		k.wantNone(none)
		m, err := k.s.Attrs(coll, a)
		if err != nil || !maps.EqualFunc(m, map[string][]byte{"_": []byte("more"), "y": {}}, bytes.Equal) {
			k.t.Fatalf("got %q, %v", m, err)
		}
		m["_"][0] = 'X' // ours
		if v, _ := k.s.Attr(coll, a, "_"); string(v) != "more" {
			k.t.Fatalf("the caller reached into the store: %q", v)
		}
		big := fill(9, 70000)
		k.ok(func(tx *objstore.Txn) { tx.SetAttr(coll, a, "big", []byte(big)) })
		k.reopen()
		if v, err := k.s.Attr(coll, a, "big"); err != nil || string(v) != big {
			k.t.Fatalf("large attribute: %d bytes, %v", len(v), err)
		}
		k.ok(func(tx *objstore.Txn) { tx.RmAttrs(coll, a); tx.RmAttrs(coll, none) })
		if m, err := k.s.Attrs(coll, a); err != nil || len(m) != 0 {
			k.t.Fatalf("got %q, %v", m, err)
		}
		k.wantNone(none)
	}},
	{"omap", func(k *kit) {
		k.ok(func(tx *objstore.Txn) {
			tx.OmapSet(coll, a, kvs("b", "2", "a", "1", "d", "4", "", "0", "b\x00", "nul", "\xff\xfe", "last"))
			tx.OmapSet(coll, b, kvs("q", "other"))
		})
		all := "=0 a=1 b=2 b\x00=nul d=4 \xff\xfe=last "
		k.wantOmap(a, all)
		k.reopen()
		k.wantOmap(a, all)
		k.ok(func(tx *objstore.Txn) { tx.OmapSet(coll, a, kvs("b", "22", "c", "3")) })
		if got := k.scan(a, "b", 3); got != "b=22 b\x00=nul c=3 " {
			k.t.Fatalf("got %q", got)
		}
		if got := k.scan(a, "b\x00\x00", 1); got != "c=3 " {
			k.t.Fatalf("got %q", got)
		}
		m, err := k.s.OmapGet(coll, a, []string{"a", "no", "c", ""})
		if err != nil || !maps.EqualFunc(m, map[string][]byte{"a": []byte("1"), "c": []byte("3"), "": []byte("0")}, bytes.Equal) {
			k.t.Fatalf("got %q, %v", m, err)
		}
		k.ok(func(tx *objstore.Txn) {
			tx.OmapRm(coll, a, []string{"a", "no"})
			tx.OmapRm(coll, none, []string{"a"})
			tx.OmapRmRange(coll, none, "", "")
			tx.OmapClear(coll, none)
		})
		k.wantNone(none)
		k.ok(func(tx *objstore.Txn) { tx.OmapRmRange(coll, a, "b\x00", "d") })
		k.wantOmap(a, "=0 b=22 d=4 \xff\xfe=last ")
		k.reopen()
		k.ok(func(tx *objstore.Txn) {
			tx.OmapSet(coll, a, kvs("x", "1", "z", "2"))
			tx.OmapRmRange(coll, a, "d", "")
			tx.OmapSet(coll, a, kvs("y", "after"))
		})
		k.wantOmap(a, "=0 b=22 y=after ")
		k.reopen()
		k.wantOmap(a, "=0 b=22 y=after ")
		k.wantOmap(b, "q=other ")
	}},
	{"omap header and clear", func(k *kit) {
		if _, err := k.s.OmapHeader(coll, a); !errors.Is(err, objstore.ErrNotFound) {
			k.t.Fatal(err)
		}
		k.ok(func(tx *objstore.Txn) { tx.OmapSetHeader(coll, a, []byte("head")); tx.OmapSet(coll, a, kvs("k", "v")) })
		k.reopen()
		if h, err := k.s.OmapHeader(coll, a); err != nil || string(h) != "head" {
			k.t.Fatalf("got %q, %v", h, err)
		}
		k.ok(func(tx *objstore.Txn) { tx.OmapRmRange(coll, a, "", "") })
		if h, err := k.s.OmapHeader(coll, a); err != nil || string(h) != "head" {
			k.t.Fatalf("got %q, %v", h, err)
		}
		k.ok(func(tx *objstore.Txn) { tx.OmapSet(coll, a, kvs("k", "v")) })
		k.ok(func(tx *objstore.Txn) { tx.OmapClear(coll, a); tx.OmapSet(coll, a, kvs("n", "new")) })
		k.wantOmap(a, "n=new ")
		k.reopen()
		k.wantOmap(a, "n=new ")
		if h, err := k.s.OmapHeader(coll, a); err != nil || len(h) != 0 {
			k.t.Fatalf("got %q, %v", h, err)
		}
	}},
	{"clone", func(k *kit) {
		s := fill(1, 100000)
		k.ok(func(tx *objstore.Txn) {
			tx.Write(coll, a, 0, list(s))
			tx.Write(coll, a, 200000, list("end"))
			tx.SetAttr(coll, a, "x", []byte("1"))
			tx.OmapSet(coll, a, kvs("k", "v", "l", "w"))
			tx.OmapSetHeader(coll, a, []byte("h"))
			tx.OmapSet(coll, b, kvs("gone", "v"))
			tx.SetAttr(coll, b, "gone", nil)
		})
		k.ok(func(tx *objstore.Txn) { tx.Clone(coll, a, b) })
		whole := s + zeros(100000) + "end"
		check := func(o object.ID, data string) {
			k.t.Helper()
			k.wantData(o, data)
			k.wantOmap(o, "k=v l=w ")
			if m, err := k.s.Attrs(coll, o); err != nil || len(m) != 1 || string(m["x"]) != "1" {
				k.t.Fatalf("attributes %q, %v", m, err)
			}
			if h, err := k.s.OmapHeader(coll, o); err != nil || string(h) != "h" {
				k.t.Fatalf("header %q, %v", h, err)
			}
		}
		check(b, whole)
		// Each goes its own way.
		k.ok(func(tx *objstore.Txn) {
			tx.Write(coll, a, 50, list("changed"))
			tx.Truncate(coll, a, 60000)
			tx.OmapClear(coll, a)
			tx.RmAttrs(coll, a)
		})
		check(b, whole)
		k.reopen()
		check(b, whole)
		k.wantData(a, s[:50]+"changed"+s[57:60000])
		k.ok(func(tx *objstore.Txn) { tx.Clone(coll, b, none); tx.Remove(coll, b) })
		check(none, whole)
		k.ok(func(tx *objstore.Txn) { tx.Clone(coll, none, none) })
		check(none, whole)
		k.reopen()
		check(none, whole)
		k.refused(objstore.ErrNotFound, func(tx *objstore.Txn) { tx.Clone(coll, b, a) })
	}},
	{"clone a range", func(k *kit) {
		s, u := fill(1, 50000), fill(2, 50000)
		k.ok(func(tx *objstore.Txn) { tx.Write(coll, a, 0, list(s)); tx.Write(coll, b, 0, list(u)) })
		k.ok(func(tx *objstore.Txn) { tx.CloneRange(coll, a, b, 4096, 8192, 16384) }) // aligned
		u = u[:16384] + s[4096:12288] + u[24576:]
		k.wantData(b, u)
		k.ok(func(tx *objstore.Txn) { tx.CloneRange(coll, a, b, 100, 20000, 5001) }) // not
		u = u[:5001] + s[100:20100] + u[25001:]
		k.wantData(b, u)
		k.ok(func(tx *objstore.Txn) { tx.CloneRange(coll, a, b, 40960+13, 8192, 45056+13) }) // aligned inside
		u = u[:45069] + s[40973:49165] + u[min(53261, len(u)):]
		k.wantData(b, u)
		k.ok(func(tx *objstore.Txn) { tx.CloneRange(coll, a, b, 49000, 2000, 49000) }) // beyond the end
		u = u[:49000] + s[49000:] + zeros(1000) + u[51000:]
		k.wantData(b, u)
		k.ok(func(tx *objstore.Txn) { tx.CloneRange(coll, a, none, 0, 50000, 8192) }) // creates
		k.wantData(none, zeros(8192)+s)
		k.ok(func(tx *objstore.Txn) { tx.CloneRange(coll, a, a, 0, 8192, 4096) }) // onto itself
		s = s[:4096] + s[:8192] + s[12288:]
		k.wantData(a, s)
		k.ok(func(tx *objstore.Txn) { tx.CloneRange(coll, a, a, 5, 9000, 17) })
		s = s[:17] + s[5:9005] + s[9017:]
		k.wantData(a, s)
		k.reopen()
		k.wantData(a, s)
		k.wantData(b, u)
		k.ok(func(tx *objstore.Txn) { tx.Write(coll, a, 0, list(fill(3, 60000))) })
		k.wantData(b, u)
		k.refused(objstore.ErrNotFound, func(tx *objstore.Txn) {
			tx.Remove(coll, none)
			tx.CloneRange(coll, none, a, 0, 1, 0)
		})
	}},
	{"rename", func(k *kit) {
		s := fill(1, 10000)
		k.ok(func(tx *objstore.Txn) {
			tx.CreateColl(other)
			tx.Write(coll, a, 0, list(s))
			tx.OmapSet(coll, a, kvs("k", "v"))
			tx.OmapSet(coll, b, kvs("gone", "v"))
		})
		k.ok(func(tx *objstore.Txn) { tx.Rename(coll, a, coll, b) })
		k.wantNone(a)
		k.wantData(b, s)
		k.wantOmap(b, "k=v ")
		k.ok(func(tx *objstore.Txn) { tx.Rename(coll, b, other, a); tx.Touch(coll, b) })
		k.wantData(b, "")
		k.wantOmap(b, "")
		k.reopen()
		if st, err := k.s.Stat(other, a); err != nil || st.Size != 10000 {
			k.t.Fatal(st, err)
		}
		k.ok(func(tx *objstore.Txn) {
			tx.Rename(other, a, coll, a)
			tx.Rename(coll, a, coll, a)
			tx.RemoveColl(other)
		})
		k.wantData(a, s)
		k.wantOmap(a, "k=v ")
		k.refused(objstore.ErrNotFound, func(tx *objstore.Txn) { tx.Rename(coll, none, coll, a) })
		k.refused(objstore.ErrNotFound, func(tx *objstore.Txn) { tx.Rename(coll, a, other, a) })
	}},
	{"collections", func(k *kit) {
		want := func(want ...objstore.Coll) {
			k.t.Helper()
			got, err := k.s.Collections()
			slices.SortFunc(got, func(a, b objstore.Coll) int { return a.PG.Compare(b.PG) })
			if err != nil || !slices.Equal(got, want) {
				k.t.Fatalf("collections %v, %v; want %v", got, err, want)
			}
		}
		want(coll)
		k.ok(func(tx *objstore.Txn) { tx.CreateColl(other); tx.Touch(other, a) })
		want(coll, other)
		k.refused(objstore.ErrInvalid, func(tx *objstore.Txn) { tx.CreateColl(other) })
		k.refused(objstore.ErrInvalid, func(tx *objstore.Txn) { tx.RemoveColl(other) })
		k.refused(objstore.ErrInvalid, func(tx *objstore.Txn) { tx.RemoveColl(objstore.MetaColl) })
		k.refused(objstore.ErrInvalid, func(tx *objstore.Txn) { tx.CreateColl(objstore.MetaColl) })
		k.reopen()
		want(coll, other)
		k.ok(func(tx *objstore.Txn) { tx.Remove(other, a); tx.RemoveColl(other) })
		want(coll)
		k.refused(objstore.ErrNotFound, func(tx *objstore.Txn) { tx.Touch(other, a) })
		k.refused(objstore.ErrNotFound, func(tx *objstore.Txn) { tx.RemoveColl(other) })
		if _, err := k.s.Stat(other, a); !errors.Is(err, objstore.ErrNotFound) {
			k.t.Fatal(err)
		}
		if _, _, err := k.s.List(other, object.MinID, 10); !errors.Is(err, objstore.ErrNotFound) {
			k.t.Fatal(err)
		}
		k.ok(func(tx *objstore.Txn) { tx.Touch(objstore.MetaColl, a) })
		k.reopen()
		if _, err := k.s.Stat(objstore.MetaColl, a); err != nil {
			k.t.Fatal(err)
		}
		want(coll)
		// Anew, empty, in one transaction.
		k.ok(func(tx *objstore.Txn) {
			tx.CreateColl(other)
			tx.Touch(other, b)
			tx.Remove(other, b)
			tx.RemoveColl(other)
			tx.CreateColl(other)
			tx.Write(other, a, 0, list("x"))
		})
		k.reopen()
		ids, next, err := k.s.List(other, object.MinID, 10)
		if err != nil || len(ids) != 1 || ids[0] != a || !next.Max {
			k.t.Fatal(ids, next, err)
		}
	}},
	{"dropped collection", func(k *kit) {
		k.ok(func(tx *objstore.Txn) {
			tx.CreateColl(other)
			tx.Write(other, a, 0, list(fill(1, 100000)))
			tx.Clone(other, a, b)
			tx.OmapSet(other, a, kvs("k", "v"))
			tx.Write(coll, a, 0, list("keep"))
		})
		k.ok(func(tx *objstore.Txn) { tx.DropColl(other) })
		if _, err := k.s.Stat(other, a); !errors.Is(err, objstore.ErrNotFound) {
			k.t.Fatal(err)
		}
		k.reopen()
		k.ok(func(tx *objstore.Txn) { tx.CreateColl(other); tx.Touch(other, b) })
		k.ok(func(tx *objstore.Txn) { tx.DropColl(other); tx.CreateColl(other); tx.Write(other, b, 0, list("x")) })
		k.reopen()
		ids, next, err := k.s.List(other, object.MinID, 10)
		if err != nil || len(ids) != 1 || ids[0] != b || !next.Max {
			k.t.Fatal(ids, next, err)
		}
		if err := k.s.Damaged(other); err != nil {
			k.t.Fatal(err)
		}
		k.wantData(a, "keep")
	}},
	{"all or nothing", func(k *kit) {
		k.ok(func(tx *objstore.Txn) { tx.Write(coll, a, 0, list("keep")); tx.OmapSet(coll, a, kvs("k", "v")) })
		for _, bad := range []struct {
			err error
			f   func(tx *objstore.Txn)
		}{
			{objstore.ErrNotFound, func(tx *objstore.Txn) { tx.Touch(other, a) }},
			{objstore.ErrNotFound, func(tx *objstore.Txn) { tx.Clone(coll, none, b) }},
			{objstore.ErrInvalid, func(tx *objstore.Txn) { tx.CreateColl(coll) }},
			{objstore.ErrInvalid, func(tx *objstore.Txn) { tx.RemoveColl(coll) }},
			{objstore.ErrInvalid, func(tx *objstore.Txn) { tx.DropColl(objstore.MetaColl) }},
			{objstore.ErrNotFound, func(tx *objstore.Txn) { tx.DropColl(other) }},
			{objstore.ErrInvalid, func(tx *objstore.Txn) { tx.Touch(coll, object.MaxID) }},
			{objstore.ErrInvalid, func(tx *objstore.Txn) { tx.Truncate(coll, a, 1<<62) }},
			{objstore.ErrInvalid, func(tx *objstore.Txn) { tx.Zero(coll, a, 1<<63, 1<<63) }},
			{objstore.ErrInvalid, func(tx *objstore.Txn) { tx.Ops = append(tx.Ops, objstore.Op{Code: 99, Coll: coll, OID: a}) }},
		} {
			k.refused(bad.err, func(tx *objstore.Txn) {
				tx.Write(coll, a, 0, list("lost"))
				tx.Write(coll, a, 100000, list(fill(1, 200000)))
				tx.Write(coll, b, 0, list("lost"))
				tx.OmapClear(coll, a)
				tx.SetAttr(coll, a, "x", []byte("lost"))
				bad.f(tx)
			})
		}
		k.reopen()
		k.wantData(a, "keep")
		k.wantOmap(a, "k=v ")
	}},
	{"steps see the steps before them", func(k *kit) {
		k.ok(func(tx *objstore.Txn) {
			tx.Write(coll, a, 0, list("one"))
			tx.OmapSet(coll, a, kvs("k", "1", "m", "1"))
			tx.Clone(coll, a, b)
			tx.Write(coll, a, 1, list("NE!"))
			tx.OmapRm(coll, a, []string{"k"})
			tx.CloneRange(coll, a, b, 1, 2, 10)
			tx.Rename(coll, b, coll, none)
			tx.OmapSet(coll, none, kvs("z", "2"))
		})
		k.wantData(a, "oNE!")
		k.wantOmap(a, "m=1 ")
		k.wantData(none, "one"+zeros(7)+"NE")
		k.wantOmap(none, "k=1 m=1 z=2 ")
		k.wantNone(b)
		k.reopen()
		k.wantOmap(none, "k=1 m=1 z=2 ")
	}},
	{"list in order", func(k *kit) {
		var want []object.ID
		k.ok(func(tx *objstore.Txn) {
			for i := range 300 {
				o := object.New(1, []string{"", "n", "n\x00", "nn"}[i%4], []string{"", "key", "k\x01"}[i%3], fmt.Sprintf("o%d", i/5))
				o.Snap = []object.SnapID{object.NoSnap, 1, object.SnapDir, 256}[i/7%4]
				if i%50 == 0 {
					o.Pool = -3
				}
				if i%31 == 0 {
					o.Name += "\x00\xff"
				}
				o.Hash &= 0xf000000f
				tx.Touch(coll, o)
				want = append(want, o)
			}
		})
		slices.SortFunc(want, object.ID.Compare)
		want = slices.Compact(want)
		for range 2 {
			for _, step := range []int{1, 7, len(want), len(want) + 1} {
				var got []object.ID
				for at := object.MinID; !at.Max; {
					ids, next, err := k.s.List(coll, at, step)
					if err != nil || len(ids) == 0 && !next.Max {
						k.t.Fatal(ids, next, err)
					}
					got = append(got, ids...)
					at = next
				}
				if !slices.Equal(got, want) {
					k.t.Fatalf("%d at a time: got %d objects, want %d", step, len(got), len(want))
				}
			}
			from := want[100]
			from.Snap--
			ids, _, err := k.s.List(coll, from, 5)
			if i, _ := slices.BinarySearchFunc(want, from, object.ID.Compare); err != nil || !slices.Equal(ids, want[i:i+5]) {
				k.t.Fatalf("from %v: %v, %v", from, ids, err)
			}
			k.reopen()
			k.ok(func(tx *objstore.Txn) { // some in memory only, some gone
				o := object.New(1, "", "", "late")
				tx.Touch(coll, o)
				tx.Remove(coll, want[50])
				want = slices.Delete(want, 50, 51)
				i, _ := slices.BinarySearchFunc(want, o, object.ID.Compare)
				if i == len(want) || want[i] != o {
					want = slices.Insert(want, i, o)
				}
			})
		}
	}},
	{"extents", func(k *kit) {
		k.ok(func(tx *objstore.Txn) {
			tx.Write(coll, a, 1<<20, list(fill(1, 65536)))
			tx.Write(coll, a, 3<<20, list("x"))
			tx.Truncate(coll, a, 5<<20)
		})
		for range 2 {
			got, err := k.s.Extents(coll, a, 0, 1<<40)
			if err != nil {
				k.t.Fatal(err)
			}
			if !covers(got, 1<<20, 65536) || !covers(got, 3<<20, 1) {
				k.t.Fatalf("data is not in %v", got)
			}
			sum := uint64(0)
			for i, e := range got {
				if e.Len == 0 || i > 0 && got[i-1].Off+got[i-1].Len > e.Off || e.Off+e.Len > 5<<20 {
					k.t.Fatalf("bad order in %v", got)
				}
				sum += e.Len
			}
			if sum > 256<<10 {
				k.t.Fatalf("holes are not holes: %v", got)
			}
			if got, err = k.s.Extents(coll, a, 1<<20+5000, 100); err != nil || !slices.Equal(got, []objstore.Extent{{Off: 1<<20 + 5000, Len: 100}}) {
				k.t.Fatal(got, err)
			}
			if got, err = k.s.Extents(coll, a, 4<<20, 100); err != nil || len(got) != 0 {
				k.t.Fatal(got, err)
			}
			k.reopen()
		}
		if _, err := k.s.Extents(coll, none, 0, 1); !errors.Is(err, objstore.ErrNotFound) {
			k.t.Fatal(err)
		}
	}},
	{"what is read does not change", func(k *kit) {
		s := fill(1, 30000)
		k.ok(func(tx *objstore.Txn) { tx.Write(coll, a, 0, list(s)) })
		l, err := k.s.Read(coll, a, 0, 30000)
		if err != nil {
			k.t.Fatal(err)
		}
		for i := range 20 {
			k.ok(func(tx *objstore.Txn) { tx.Write(coll, a, uint64(i*1000), list(fill(9, 9000))) })
		}
		if string(l.Bytes()) != s {
			k.t.Fatal("it did")
		}
		l.Release()
	}},
	{"references are given back", func(k *kit) {
		// A double release panics; a missing one shows as bytes that the caller
		// still may not reuse, so only the panic can be tested for all stores.
		for i := range 10 {
			r := buffer.Copy([]byte(fill(byte(i), 5000)))
			k.ok(func(tx *objstore.Txn) {
				tx.Write(coll, a, uint64(i)*5000, buffer.List{r.Retain(), r.Slice(5, 100).Retain()})
			})
			r.Release()
		}
		var tx objstore.Txn
		tx.Write(other, a, 0, buffer.List{buffer.Copy([]byte("x"))})
		if err := k.s.Submit(&tx, nil); !errors.Is(err, objstore.ErrNotFound) {
			k.t.Fatal(err)
		}
		tx.Release()
	}},
	{"callbacks run in order", func(k *kit) {
		const n = 200
		got := make(chan int, n)
		for i := range n {
			var tx objstore.Txn
			tx.Write(coll, a, uint64(i%7)*4096, list(fill(byte(i), 100*(i%50))))
			if i%13 == 0 {
				tx.Write(coll, b, 0, list(fill(byte(i), 200000)))
			}
			if err := k.s.Submit(&tx, func(err error) {
				if err != nil {
					k.t.Error(err)
				}
				got <- i
			}); err != nil {
				k.t.Fatal(err)
			}
		}
		if err := k.s.Sync(); err != nil {
			k.t.Fatal(err)
		}
		if len(got) != n {
			k.t.Fatalf("sync returned after %d callbacks of %d", len(got), n)
		}
		for want := range n {
			if i := <-got; i != want {
				k.t.Fatalf("callback %d came as %d", i, want)
			}
		}
	}},
	{"an empty transaction commits", func(k *kit) {
		k.ok(func(*objstore.Txn) {})
	}},
	{"usage", func(k *kit) {
		before := k.s.Usage()
		k.ok(func(tx *objstore.Txn) {
			tx.Write(coll, a, 0, list(fill(1, 1<<20)))
			tx.OmapSet(coll, a, kvs("key", "value"))
		})
		u := k.s.Usage()
		if u.Stored != before.Stored+1<<20 || u.Allocated < before.Allocated+1<<20 || u.Omap < before.Omap+8 || u.Available >= before.Available {
			k.t.Fatalf("usage %+v, before %+v", u, before)
		}
		k.reopen()
		if v := k.s.Usage(); v.Stored != u.Stored || v.Allocated != u.Allocated {
			k.t.Fatalf("usage %+v after reopening, %+v before", v, u)
		}
		k.ok(func(tx *objstore.Txn) { tx.Remove(coll, a) })
		k.reopen()
		if v := k.s.Usage(); v.Stored != before.Stored || v.Allocated != before.Allocated {
			k.t.Fatalf("usage %+v after removal, %+v before", v, before)
		}
	}},
	{"closed", func(k *kit) {
		var tx objstore.Txn
		tx.Touch(coll, a)
		committed := false
		if err := k.s.Submit(&tx, func(err error) { committed = err == nil }); err != nil {
			k.t.Fatal(err)
		}
		if err := k.s.Close(); err != nil {
			k.t.Fatal(err)
		}
		if !committed {
			k.t.Fatal("close did not wait for the last transaction")
		}
		var late objstore.Txn
		late.Touch(coll, b)
		if err := k.s.Submit(&late, nil); !errors.Is(err, objstore.ErrClosed) {
			k.t.Fatalf("got %v", err)
		}
	}},
}

func covers(l []objstore.Extent, off, n uint64) bool {
	return slices.ContainsFunc(l, func(e objstore.Extent) bool { return e.Off <= off && e.Off+e.Len >= off+n })
}
