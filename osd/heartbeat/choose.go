package heartbeat

import (
	"maps"
	"slices"

	"github.com/pulpo-storage/pulpo/osdmap"
)

// choose returns whom to ping: what must be, and what must be with those that fill
// up to the minimum. Who is pinged already is kept, so that there is less coming
// and going.
func choose(m *osdmap.Map, whoami int32, groups []int32, have map[int32]bool, cfg *Config) []int32 {
	want := map[int32]bool{}
	for _, o := range groups {
		want[o] = true
	}
	for _, o := range []int32{next(m, whoami, 1), next(m, whoami, -1)} {
		want[o] = true
	}
	usable := func(o int32) bool { return o != whoami && m.IsUp(o) }
	maps.DeleteFunc(want, func(o int32, _ bool) bool { return !usable(o) })

	// One of each other part of the tree, until there are enough.
	own, domains := domain(m, whoami, cfg.Level), map[string]bool{}
	for o := range want {
		if d := domain(m, o, cfg.Level); d != own {
			domains[d] = true
		}
	}
	around(m, whoami, have, func(o int32) bool {
		if len(domains) >= cfg.Reporters {
			return false
		}
		if d := domain(m, o, cfg.Level); usable(o) && d != own && !domains[d] {
			domains[d], want[o] = true, true
		}
		return true
	})
	around(m, whoami, have, func(o int32) bool {
		if len(want) >= cfg.MinPeers {
			return false
		}
		if usable(o) {
			want[o] = true
		}
		return true
	})
	return slices.Sorted(maps.Keys(want))
}

// around calls visit for the OSDs pinged already and then for all others in the
// order of their numbers from our own on, until it has enough.
func around(m *osdmap.Map, whoami int32, have map[int32]bool, visit func(o int32) bool) {
	for _, o := range slices.Sorted(maps.Keys(have)) {
		if !visit(o) {
			return
		}
	}
	for i := int32(1); i < m.MaxOSD; i++ {
		if !visit((whoami + i) % m.MaxOSD) {
			return
		}
	}
}

// next is the nearest OSD that is up in one direction, around the end; whoami if
// there is none.
func next(m *osdmap.Map, whoami, step int32) int32 {
	for i, n := int32(1), m.MaxOSD; i <= n; i++ {
		if o := ((whoami+step*i)%n + n) % n; m.IsUp(o) {
			return o
		}
	}
	return whoami
}

// domain is the part of the tree that an OSD is in; itself without one.
func domain(m *osdmap.Map, osd int32, level string) string {
	if typ, ok := m.Crush.TypeID(level); ok && typ > 0 {
		if b, ok := m.Crush.ParentOfType(osd, typ); ok {
			return m.Crush.ItemName(b)
		}
	}
	return m.Crush.ItemName(osd)
}
