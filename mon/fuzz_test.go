package mon

import (
	"testing"

	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/wire"
)

// What other monitors sent is applied as it came: bytes that make no sense are
// an error, whatever service they are for.
func FuzzApply(f *testing.F) {
	db := newMemory()
	ops, err := Bootstrap(genesis(f))
	if err != nil {
		f.Fatal(err)
	}
	db.write(ops, true)
	f.Add(uint8(0), []byte{})
	f.Add(uint8(1), []byte{1, 1, 4, 0, 0, 0, 0, 0, 0, 0})
	w := newWorld(f)
	s := w.admin()
	for _, c := range []struct {
		prefix string
		args   []any
	}{
		{"auth get-or-create", []any{"entity", "client.x", "caps", []string{"mon", "allow r"}}},
		{"config set", []any{"who", "osd", "name", "osd_max_backfills", "value", "2"}},
		{"health mute", []any{"code", "X", "sticky", true}},
		{"mgr module disable", []any{"module", "iostat"}},
		{"log", []any{"logtext", []string{"x"}}},
	} {
		w.must(s, c.prefix, c.args...)
	}
	for k, v := range w.db.now {
		var e entry
		if len(k) > len(keyEntry) && k[:len(keyEntry)] == keyEntry {
			for i := range v { // the entry is inside of raft's own
				if wire.Unmarshal(v[i:], &e) == nil {
					for _, c := range e.Changes {
						for j, s := range w.m.parts.services {
							if s.Name() == c.Service {
								f.Add(uint8(j), c.Data)
							}
						}
					}
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		m, err := New(Config{Name: "a", Rand: seeded(1), Keys: w.keys}, db, epoch0)
		if err != nil {
			t.Fatal(err)
		}
		svc := m.parts.services[int(which)%len(m.parts.services)]
		if err := svc.Apply(data, m.writer(svc.Name())); err != nil {
			return
		}
		// What was applied can be read again.
		if err := svc.Load(m.Reader(svc.Name())); err != nil {
			t.Fatalf("%s applied %x and does not load: %v", svc.Name(), data, err)
		}
		if p, ok := svc.(service.Checker); ok {
			p.Checks(epoch0)
		}
	})
}

func FuzzEntry(f *testing.F) {
	f.Add(wire.Marshal(entry{1, 2, []change{{"kv", []byte("x")}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var n, again entry
		if wire.Unmarshal(b, &n) == nil {
			if err := wire.Unmarshal(wire.Marshal(n), &again); err != nil || len(again.Changes) != len(n.Changes) {
				t.Fatalf("%+v came back as %+v, %v", n, again, err)
			}
		}
		var p progress
		wire.Unmarshal(b, &p)
	})
}
