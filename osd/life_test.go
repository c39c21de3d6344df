package osd

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore/memstore"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// sent are the messages of a type to the monitors since the last call.
func sent[T msg.Body](h *house) (list []T) {
	for _, m := range h.toMon {
		if b, ok := m.(T); ok {
			list = append(list, b)
		}
	}
	h.toMon = nil
	return list
}

func (h *house) wait(d time.Duration) {
	for end := h.now.Add(d); h.now.Before(end); {
		if w := h.osd.Wake(); w.After(end) {
			h.now = end
		} else if w.After(h.now) {
			h.now = w
		}
		h.step(Tick{})
	}
}

// Marked down by mistake an OSD says that it serves nobody any more, and comes
// back as the process that it is; but not again and again.
func TestFlapping(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 2)
	first := h.newest().Info[0].UpFrom
	for i := range 6 {
		h.toMon = nil
		h.propose(func(inc *osdmap.Incremental, _ *osdmap.Map) { inc.NewState[0] = osdmap.StateUp })
		down := h.newest().Epoch
		h.send(down)
		var boots []*msg.OSDBoot
		var dead []*msg.OSDDead
		for _, m := range h.toMon {
			switch m := m.(type) {
			case *msg.OSDBoot:
				boots = append(boots, m)
			case *msg.OSDDead:
				dead = append(dead, m)
			}
		}
		if len(dead) != 1 || dead[0].Epoch != down {
			t.Fatalf("%d: said %+v at e%d", i, dead, down)
		}
		if i < 5 && (len(boots) != 1 || boots[0].BootEpoch != first || h.osd.State() != StateActive) {
			t.Fatalf("%d: boots %+v, %v", i, boots, h.osd.State())
		}
		if i == 5 && (len(boots) > 0 || !h.stopped) {
			t.Fatalf("came back once too often: %+v, %v", boots, h.osd.State())
		}
	}
	if !slices.ContainsFunc(h.notes, func(n string) bool {
		return strings.Contains(n, "Monitor daemon marked osd.0 down, but it is still running")
	}) {
		t.Errorf("notes %q", h.notes)
	}
}

// That it was marked down long ago is not held against an OSD.
func TestFlappingLongAgo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for range 12 {
		h.propose(func(inc *osdmap.Incremental, _ *osdmap.Map) { inc.NewState[0] = osdmap.StateUp })
		h.send(h.newest().Epoch)
		h.now = h.now.Add(3 * time.Minute)
	}
	if h.stopped || h.osd.State() != StateActive {
		t.Errorf("%v", h.osd.State())
	}
}

// noup keeps an OSD from asking, until a map lets it.
func TestNoUpWaits(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.toMon = nil
	h.propose(func(inc *osdmap.Incremental, _ *osdmap.Map) {
		inc.NewFlags, inc.NewState[0] = int32(osdmap.FlagNoUp), osdmap.StateUp
	})
	h.send(h.newest().Epoch)
	h.wait(time.Minute)
	if b := sent[*msg.OSDBoot](h); len(b) > 0 || h.osd.State() != StatePreboot {
		t.Fatalf("%d boots, %v", len(b), h.osd.State())
	}
	h.propose(func(inc *osdmap.Incremental, _ *osdmap.Map) { inc.NewFlags = 0 })
	h.send(h.newest().Epoch)
	if h.osd.State() != StateActive {
		t.Errorf("%v", h.osd.State())
	}
}

// A disk that the map does not know by this number any more goes.
func TestReplaced(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(inc *osdmap.Incremental){
		"destroyed": func(inc *osdmap.Incremental) {
			inc.NewState[0], inc.NewUUID[0] = osdmap.StateUp|osdmap.StateDestroyed, [16]byte{}
		},
		"another disk": func(inc *osdmap.Incremental) { inc.NewState[0], inc.NewUUID[0] = osdmap.StateUp, [16]byte{9} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.toMon = nil
			h.propose(func(inc *osdmap.Incremental, _ *osdmap.Map) { change(inc) })
			h.send(h.newest().Epoch)
			h.wait(time.Minute)
			if b := sent[*msg.OSDBoot](h); len(b) > 0 || !h.stopped {
				t.Errorf("%d boots, %v", len(b), h.osd.State())
			}
			// Nor does it start again.
			o, err := New(h.osd.cfg, h.store, h.now)
			if err != nil {
				t.Fatal(err)
			}
			o.Step(h.now, Start{})
			if r := o.Ready(); r.Fatal == nil || len(r.ToMon) > 0 {
				t.Errorf("starts: %+v", r)
			}
		})
	}
}

// A new disk under the number of an old one reads of the old one in the maps from
// before, as many at a time as a message has, and comes up.
func TestNewDiskReadsOldMaps(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.propose(func(inc *osdmap.Incremental, _ *osdmap.Map) { inc.NewUUID[0] = disk })
	old := uint32(len(h.maps))
	h.propose(func(inc *osdmap.Incremental, m *osdmap.Map) { inc.NewState[0], inc.NewUUID[0] = m.State[0], [16]byte{} })
	h.store = memstore.NewStepped()
	if err := Format(h.store, fsid, entity.UUID{9}, 0); err != nil {
		t.Fatal(err)
	}
	h.toMon, h.most = nil, old
	h.start(2)
	h.wait(time.Minute)
	if b := sent[*msg.OSDBoot](h); len(b) == 0 || b[len(b)-1].UUID != (entity.UUID{9}) || h.stopped {
		t.Errorf("%d boots, %v", len(b), h.osd.State())
	}
}

// What groups need in the map is asked for together, once, and again of a new
// monitor until the map has it.
func TestWishes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 4)
	h.toMon, h.noAlive = nil, true
	e := h.newest().Epoch
	pg := func(i uint32) object.PG { return object.PG{Pool: 1, Seed: i} }
	h.step(NeedUpThru{e})
	h.step(NeedUpThru{e - 1})
	h.step(WantTemp{pg(0), []int32{7, 0}})
	h.step(WantTemp{pg(1), []int32{7, 0}})
	h.step(WantTemp{pg(1), []int32{8, 0}})
	if len(h.toMon) > 0 {
		t.Fatalf("asked at once: %+v", h.toMon)
	}
	check := func(what string, thru, temps int) {
		t.Helper()
		h.wait(100 * time.Millisecond)
		var alive []*msg.OSDAlive
		var temp []*msg.OSDPGTemp
		for _, m := range h.toMon {
			switch m := m.(type) {
			case *msg.OSDAlive:
				alive = append(alive, m)
			case *msg.OSDPGTemp:
				temp = append(temp, m)
			}
		}
		h.toMon = nil
		if len(alive) != thru || thru > 0 && alive[0].Want != e {
			t.Errorf("%s: up_thru %+v", what, alive)
		}
		if temps == 0 && len(temp) > 0 || temps > 0 && (len(temp) != 1 || len(temp[0].PGs) != temps || !slices.Equal(temp[0].PGs[pg(1)], []int32{8, 0})) {
			t.Errorf("%s: pg_temp %+v", what, temp)
		}
	}
	check("first", 1, 2)
	h.step(NeedUpThru{e})
	h.step(WantTemp{pg(0), []int32{7, 0}})
	check("a repetition", 0, 0)
	h.wait(6 * time.Second)
	check("a while later", 1, 2)
	h.step(MonConnected{})
	check("a new monitor", 1, 2)
	h.propose(func(inc *osdmap.Incremental, _ *osdmap.Map) {
		inc.NewPGTemp[pg(0)], inc.NewUpThru[0] = []int32{7, 0}, e
	})
	h.send(h.newest().Epoch)
	h.step(MonConnected{})
	check("when one is there", 0, 1)
	h.step(WantTemp{pg(0), nil})
	h.wait(50 * time.Millisecond)
	if b := sent[*msg.OSDPGTemp](h); len(b) != 1 || b[0].PGs[pg(0)] != nil || len(b[0].PGs) != 1 {
		t.Errorf("removal: %+v", b)
	}
}

// "osd stop" ends a process, and so does removal; the first may start again.
func TestToldToStop(t *testing.T) {
	t.Parallel()
	for name, flip := range map[string]osdmap.State{
		"stop": osdmap.StateUp | osdmap.StateStop, "rm": osdmap.StateUp | osdmap.StateExists,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.propose(func(inc *osdmap.Incremental, _ *osdmap.Map) { inc.NewState[0] = flip })
			h.send(h.newest().Epoch)
			if !h.stopped {
				t.Fatalf("%v", h.osd.State())
			}
			if name == "rm" {
				return
			}
			h.stopped = false
			h.start(2)
			if h.osd.State() != StateActive {
				t.Errorf("after a start: %v", h.osd.State())
			}
		})
	}
}

// A boot tells of what the disk was through, and where the options say that it is.
func TestBootTells(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	boot := func() *msg.OSDBoot {
		t.Helper()
		b := sent[*msg.OSDBoot](h)
		if len(b) == 0 {
			t.Fatal("no boot")
		}
		return b[0]
	}
	if b := boot(); !b.Fresh || b.CleanBegin+b.CleanEnd != 0 || b.BootEpoch != 0 {
		t.Errorf("a new disk: %+v", b)
	}
	h.start(2)
	if b := boot(); b.Fresh || b.CleanBegin+b.CleanEnd != 0 {
		t.Errorf("after a crash: %+v", b)
	}
	up := h.newest().Info[0].UpFrom
	h.step(Stop{})
	for name, value := range map[string]string{
		"crush_location": "root=default, rack=r1 host=x", "osd_crush_initial_weight": "0.5", "osd_class_update_on_start": "false",
	} {
		if err := h.opts.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	h.toMon = nil
	h.start(3)
	b := boot()
	if b.CleanBegin != up || b.CleanEnd < up {
		t.Errorf("after a stop: %+v, was up from e%d", b, up)
	}
	if b.Location["rack"] != "r1" || b.Location["host"] != "x" || len(b.Location) != 3 || b.Weight != 0x8000 || b.Class != "" {
		t.Errorf("place %+v", b)
	}
	h.propose(func(inc *osdmap.Incremental, _ *osdmap.Map) { inc.NewState[0] = osdmap.StateUp })
	h.send(h.newest().Epoch)
	if b := boot(); b.BootEpoch == 0 || len(b.Location) != 0 {
		t.Errorf("marked down and back, where the map has it by now: %+v", b)
	}
	for _, bad := range []string{"rack", "=x", "rack=", " , "} {
		if at, ok := parseLocation(bad); ok {
			t.Errorf("%q is %v", bad, at)
		}
	}
}

// An OSD that stops serves nobody from the moment that it says so, not those either
// whose requests waited here before.
func TestStopServesNobody(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 4)
	serving := func() (n int) {
		for _, s := range h.osd.Shards() {
			for range s.Serving(h.now) {
				n++
			}
		}
		return n
	}
	h.do(1, "o", 1, writeFull("x"))
	if n := serving(); n != 4 {
		t.Fatalf("%d groups are served", n)
	}
	waits := h.op(1, "early", 3, read())
	waits.Op.Epoch = h.newest().Epoch + 1
	h.request(waits)
	h.toMon = nil
	h.noDown = true
	h.step(Stop{})
	b := sent[*msg.OSDMarkDown](h)
	if len(b) != 1 || !b[0].Dead {
		t.Fatalf("said %+v", b)
	}
	if r := h.do(1, "o", 2, read()); r != nil {
		t.Errorf("served: %+v", r)
	}
	h.propose(func(*osdmap.Incremental, *osdmap.Map) {})
	h.send(h.newest().Epoch)
	if r := h.answer(3); r != nil {
		t.Errorf("one that waited is served: %+v", r)
	}
	if n := serving(); n != 0 {
		t.Errorf("%d groups are served", n)
	}
	// The monitors do not answer; it goes all the same.
	if h.wait(10 * time.Second); !h.stopped {
		t.Errorf("%v", h.osd.State())
	}
}
