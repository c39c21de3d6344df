package refcount

import (
	"testing"

	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
	"github.com/pulpo-storage/pulpo/wire"
)

func in(tag string, implicit bool) []byte {
	var e wire.Encoder
	m := e.Begin(1, 1)
	e.Str(tag)
	e.Bool(implicit)
	e.End(m)
	return e.Bytes()
}

func tags(t *testing.T, b []byte) []string {
	d := wire.NewDecoder(b)
	env := d.Begin("reply", 1)
	got := wire.DecodeSlice(d, 4, d.Str)
	d.End(env)
	if err := d.Finish(); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestGoesWithTheLast(t *testing.T) {
	t.Parallel()
	o, c := classtest.New(), Class()
	o.Exists = true
	o.Call(t, c, "get", in("a", false), 0)
	o.Call(t, c, "get", in("b", false), 0)
	if got := tags(t, o.Call(t, c, "read", []byte{1, 1, 1, 0, 0, 0, 0}, 0)); len(got) != 2 || got[0] != "a" || got[1] != "b" {
		t.Errorf("held by %v", got)
	}
	o.Call(t, c, "put", in("a", false), 0)
	o.Call(t, c, "put", in("a", false), 0) // counts once
	o.Call(t, c, "put", in("unknown", false), 0)
	if !o.Exists {
		t.Fatal("gone while b holds it")
	}
	o.Call(t, c, "put", in("b", false), 0)
	if o.Exists {
		t.Error("still there")
	}
}

func TestImplicit(t *testing.T) {
	t.Parallel()
	o, c := classtest.New(), Class()
	o.Exists = true
	o.Call(t, c, "put", in("x", false), -22) // nobody holds it
	o.Call(t, c, "get", in("a", true), 0)    // and whoever had it before
	o.Call(t, c, "put", in("a", true), 0)
	if !o.Exists {
		t.Fatal("the implicit reference did not count")
	}
	o.Call(t, c, "put", in("first", true), 0)
	if o.Exists {
		t.Error("still there")
	}
	o.Call(t, c, "get", []byte{9}, -22)
}
