package osd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/pg"
)

// One limit holds for the groups of all shards, and the answer goes to the shard
// that asked.
func TestPlacesAreTheOSDs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.send(1)
	id := func(seed uint32) object.SPG {
		return object.SPG{PG: object.PG{Pool: 1, Seed: seed}, Shard: object.NoShard}
	}
	told := func() string {
		var got []string
		for _, ts := range h.osd.Ready().ToShards {
			if ev, ok := ts.Event.(ForPG); ok {
				if ts.Shard != ShardOf(ev.PG.PG, 2) {
					t.Errorf("%v goes to shard %d", ev.PG, ts.Shard)
				}
				p := ev.Event.(pg.Place)
				got = append(got, fmt.Sprintf("%v %d %v", ev.PG, p.Kind, p.Verdict))
			}
		}
		return strings.Join(got, ", ")
	}
	ask := func(asks ...pg.PlaceAsk) string {
		h.osd.Step(h.now, Places{asks})
		return told()
	}
	for _, c := range []struct {
		what string
		asks []pg.PlaceAsk
		want string
	}{
		{"one of two gets a place", []pg.PlaceAsk{{PG: id(0), Priority: 180}, {PG: id(1), Priority: 180}}, "1.0 0 granted"},
		{"places for others are apart", []pg.PlaceAsk{{PG: id(0), Kind: pg.PlaceRemote, Priority: 100, Backfill: true}}, "1.0 1 granted"},
		{"what is urgent goes first", []pg.PlaceAsk{{PG: id(2), Priority: 255}}, "1.0 0 preempted, 1.2 0 granted"},
		{"and then the others", []pg.PlaceAsk{{PG: id(2), Cancel: true}}, "1.1 0 granted"},
		{"nobody is left", []pg.PlaceAsk{{PG: id(0), Kind: pg.PlaceRemote, Cancel: true}, {PG: id(1), Cancel: true}}, ""},
	} {
		if got := ask(c.asks...); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}

	// Almost full, an OSD takes back what it had, and nothing more.
	fill := func(part float64) {
		var txn objstore.Txn
		txn.Write(objstore.MetaColl, object.New(-1, "", "", "filler"), 0, buffer.ListOf(make([]byte, 1<<20)))
		if err := h.store.Submit(&txn, nil); err != nil {
			t.Fatal(err)
		}
		h.store.SetCapacity(uint64(float64(h.store.Usage().Allocated) / part))
	}
	fill(0.92)
	if got := ask(pg.PlaceAsk{PG: id(0), Kind: pg.PlaceRemote, Backfill: true}); got != "1.0 1 too full" {
		t.Errorf("backfill of an OSD that is almost full: %q", got)
	}
	if got := ask(pg.PlaceAsk{PG: id(0), Kind: pg.PlaceRemote, Priority: 180}); got != "1.0 1 granted" {
		t.Errorf("recovery of an OSD that is almost full: %q", got)
	}
	fill(0.97)
	if got := ask(pg.PlaceAsk{PG: id(1), Kind: pg.PlaceRemote}); got != "1.1 1 too full" {
		t.Errorf("recovery of a full OSD: %q", got)
	}

	// More places, by an option.
	ask(pg.PlaceAsk{PG: id(4)}, pg.PlaceAsk{PG: id(5)}, pg.PlaceAsk{PG: id(6)})
	if err := h.opts.Set("osd_max_backfills", "2"); err != nil {
		t.Fatal(err)
	}
	h.osd.renew()
	h.osd.reconfigure()
	if got := told(); got != "1.5 0 granted" {
		t.Errorf("a second place: %q", got)
	}
	h.step(Command{Text: []string{`{"prefix":"dump_recovery_reservations","format":"json"}`}})
	want := `{"local_reservations":{"max_allowed":2,"min_priority":0,"queues":[{"priority":0,"items":[{"item":"1.6","prio":0,"can_preempt":true}]}],` +
		`"in_progress":[{"item":"1.4","prio":0,"can_preempt":true},{"item":"1.5","prio":0,"can_preempt":true}]},"remote_reservations":{"max_allowed":2,` +
		`"min_priority":0,"queues":[],"in_progress":[{"item":"1.0","prio":180,"can_preempt":true}]}}`
	if got := strings.TrimSpace(string(h.replies[len(h.replies)-1].Out)); got != want {
		t.Errorf("dump: %s, want %s", got, want)
	}
}
