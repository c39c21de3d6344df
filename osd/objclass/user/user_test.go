package user

import (
	"fmt"
	"testing"

	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
	"github.com/pulpo-storage/pulpo/wire"
)

// TestResetInSteps: what one step of a reset counted goes into the next.
func TestResetInSteps(t *testing.T) {
	t.Parallel()
	o, c := classtest.New(), Class()
	o.Exists = true
	for i := range 2500 {
		name := fmt.Sprintf("%04d", i)
		o.KV[name] = wire.Marshal(entry{bucket: bucket{name: name}, size: 10, rounded: 4096, count: 2})
	}
	var sum stats
	marker, steps := "", 0
	for more := true; more; steps++ {
		if o.Header != nil {
			t.Fatal("a header before the last step")
		}
		var e wire.Encoder
		m := e.Begin(1, 1)
		e.U64(0)
		e.Str(marker)
		sum.Encode(&e)
		e.End(m)
		d := wire.NewDecoder(o.Call(t, c, "reset_user_stats2", e.Bytes(), 0))
		env := d.Begin("reply", 1)
		marker = d.Str()
		sum.Decode(d)
		more = d.Bool()
		d.End(env)
		if err := d.Finish(); err != nil {
			t.Fatal(err)
		}
	}
	want := stats{count: 5000, size: 25000, rounded: 2500 * 4096}
	var h header
	if err := wire.Unmarshal(o.Header, &h); err != nil || h.stats != want || sum != want || steps != 3 {
		t.Errorf("header %+v, %v; sum %+v after %d steps", h, err, sum, steps)
	}
}
