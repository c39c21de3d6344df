package log

import (
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
	"github.com/pulpo-storage/pulpo/wire"
)

// TestKeysFollowTheNewest: entries without a key get one that is not before the
// newest, though the clocks of their writers are.
func TestKeysFollowTheNewest(t *testing.T) {
	t.Parallel()
	o, c := classtest.New(), Class()
	o.Exists = true
	add := func(monotonic bool, times ...int64) {
		var e wire.Encoder
		m := e.Begin(2, 1)
		wire.EncodeSlice(&e, times, func(sec int64) { entry{at: time.Unix(sec, 0)}.Encode(&e) })
		e.Bool(monotonic)
		e.End(m)
		o.Call(t, c, "add", e.Bytes(), 0)
	}
	add(true, 200, 100)
	add(false, 50)
	for _, key := range []string{"1_0000000200.000000_7.1", "1_0000000200.000000_7.2", "1_0000000050.000000_7.3"} {
		if _, ok := o.KV[key]; !ok {
			t.Errorf("no entry %s", key)
		}
	}
	if len(o.KV) != 3 {
		t.Errorf("entries %v", o.KV)
	}
	var h header
	if err := wire.Unmarshal(o.Header, &h); err != nil || h.marker != "1_0000000200.000000_7.2" || h.newest.Unix() != 200 {
		t.Errorf("header %+v, %v", h, err)
	}
}
