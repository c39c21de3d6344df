package version

import (
	"testing"

	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
	"github.com/pulpo-storage/pulpo/wire"
)

func request(v version, conds ...condition) []byte {
	var e wire.Encoder
	m := e.Begin(1, 1)
	v.Encode(&e)
	wire.EncodeSlice(&e, conds, func(c condition) {
		m := e.Begin(1, 1)
		c.version.Encode(&e)
		e.U32(c.kind)
		e.End(m)
	})
	e.End(m)
	return e.Bytes()
}

func current(t *testing.T, o *classtest.Object) (v version) {
	b := o.Call(t, Class(), "read", nil, 0)
	d := wire.NewDecoder(b)
	env := d.Begin("reply", 1)
	v.Decode(d)
	d.End(env)
	if err := d.Finish(); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSetIncCheck(t *testing.T) {
	t.Parallel()
	o, c := classtest.New(), Class()
	if v := current(t, o); v != (version{}) {
		t.Errorf("an object without one has %v", v)
	}
	o.Call(t, c, "inc", request(version{}), 0)
	if v := current(t, o); v.num != 2 || len(v.tag) != tagSize {
		t.Errorf("begins with %v", v)
	}
	o.Call(t, c, "set", request(version{5, "tag"}), 0)
	for _, x := range []struct {
		cond condition
		want int32
	}{
		{condition{version{5, "tag"}, 1}, 0},
		{condition{version{5, "x"}, 1}, -125},
		{condition{version{4, ""}, 2}, 0},
		{condition{version{5, ""}, 2}, -125},
		{condition{version{5, ""}, 3}, 0},
		{condition{version{6, ""}, 4}, 0},
		{condition{version{5, ""}, 5}, 0},
		{condition{version{0, "tag"}, 6}, 0},
		{condition{version{0, "tag"}, 7}, -125},
	} {
		o.Call(t, c, "check_conds", request(version{}, x.cond), x.want)
	}
	o.Call(t, c, "inc_conds", request(version{}, condition{version{9, ""}, 2}), -125)
	o.Call(t, c, "inc_conds", request(version{}, condition{version{5, "tag"}, 1}), 0)
	if v := current(t, o); v != (version{6, "tag"}) {
		t.Errorf("is %v", v)
	}
	o.Call(t, c, "set", []byte("no"), -22)
}
