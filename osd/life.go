package osd

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/heartbeat"
	"github.com/pulpo-storage/pulpo/osd/pg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// What an OSD does about how others see it: it is pinged and pings
// ([heartbeat.Machine]), it is marked down although it lives, and it asks the
// monitors for what its groups need in the map.

// NeedUpThru: a group may go active only once the map says that this OSD was up
// in an epoch.
type NeedUpThru struct{ Epoch uint32 }

// WantTemp: the primary of a group wants it served by others than CRUSH says;
// with an empty list not any more.
type WantTemp struct {
	PG   object.PG
	OSDs []int32
}

func (NeedUpThru) osdEvent() {}
func (WantTemp) osdEvent()   {}

// wishes are what the groups need in the map and what of it the monitors were
// asked for. They are asked at once, when there is a new session, and now and
// then as long as the map does not have it: a message may have been on its way to
// a monitor that led no more.
type wishes struct {
	upThru   uint32 // the highest that is needed
	asked    uint32
	temps    map[object.PG]wish // not in the map yet
	unasked  map[object.PG]bool
	deadline time.Time // until when to collect
	again    time.Time // when to ask again for what is not granted
}

// wish is who should act for a group. It is given up with the interval that it is
// about: in the next one the group may wish for something else.
type wish struct {
	osds []int32
	in   osdmap.Mapping
}

// collect is how long wishes are collected before the monitors are asked: a map
// makes many groups wish at the same time.
const collect = 10 * time.Millisecond

func (o *OSD) wish(now time.Time, in Event) {
	w := &o.wishes
	switch in := in.(type) {
	case NeedUpThru:
		if w.upThru = max(w.upThru, in.Epoch); w.upThru <= w.asked {
			return
		}
	case WantTemp:
		if was, ok := w.temps[in.PG]; ok && slices.Equal(was.osds, in.OSDs) || o.maps.Map == nil {
			return
		}
		w.temps[in.PG], w.unasked[in.PG] = wish{in.OSDs, o.maps.Map.PGToUpActing(in.PG)}, true
	}
	if w.deadline.IsZero() {
		w.deadline = now.Add(collect)
	}
}

// askWishes tells the monitors what was collected.
func (o *OSD) askWishes(now time.Time) {
	w := &o.wishes
	w.deadline, w.again = time.Time{}, now.Add(o.hbConfig.Again)
	if o.state != StateActive {
		return // the groups wish anew when there is a new interval
	}
	m := o.maps.Map
	if w.upThru > w.asked && w.upThru > m.Info[o.cfg.ID].UpThru {
		w.asked = w.upThru
		o.ready.ToMon = append(o.ready.ToMon, &msg.OSDAlive{ID: o.cfg.ID, Want: w.upThru})
	}
	if len(w.unasked) > 0 {
		b := &msg.OSDPGTemp{ID: o.cfg.ID, Epoch: m.Epoch, PGs: map[object.PG][]int32{}}
		for pg := range w.unasked {
			b.PGs[pg] = w.temps[pg].osds
		}
		clear(w.unasked)
		o.ready.ToMon = append(o.ready.ToMon, b)
	}
}

// grant forgets the wishes that a map fulfils, or that are not ours to have any
// more.
func (w *wishes) grant(m *osdmap.Map, whoami int32) {
	for g, want := range w.temps {
		at := m.PGToUpActing(g)
		if slices.Equal(m.PGTemp[g], want.osds) || at.ActingPrimary != whoami || slices.Equal(at.Up, want.osds) ||
			!slices.Equal(at.Up, want.in.Up) || !slices.Equal(at.Acting, want.in.Acting) {
			delete(w.temps, g)
			delete(w.unasked, g)
		}
	}
	if m.Exists(whoami) && m.Info[whoami].UpThru >= w.upThru {
		w.upThru, w.asked = 0, 0
	}
}

// open reports whether something is not granted.
func (w *wishes) open() bool { return w.upThru > 0 || len(w.temps) > 0 }

// askAgain is for a monitor that may know nothing of what was asked.
func (w *wishes) askAgain(now time.Time) {
	w.asked = 0
	for g := range w.temps {
		w.unasked[g] = true
	}
	if w.open() {
		w.deadline = now
	}
}

// wishTick asks for what was collected, or not granted for a while.
func (o *OSD) wishTick(now time.Time) {
	w := &o.wishes
	if w.open() && w.deadline.IsZero() && !now.Before(w.again) {
		w.askAgain(now)
	}
	if !w.deadline.IsZero() && !now.Before(w.deadline) {
		o.askWishes(now)
	}
}

// tellHeartbeats hands the newest map to the heartbeats.
func (o *OSD) tellHeartbeats() {
	if m := o.maps.Map; m != nil {
		back := o.state == StateWaiting || o.state == StateBooting && o.bootEpoch > 0
		o.beat(heartbeat.Maps{Map: m, Up: o.state == StateActive && o.isUp(m), Waiting: back})
	}
}

func (o *OSD) beat(ev heartbeat.Event) { o.ready.ToHeartbeats = append(o.ready.ToHeartbeats, ev) }

// groupPeers tells the heartbeats with whom the groups are shared.
func (o *OSD) groupPeers(answers []Answer) {
	set := map[int32]bool{}
	for _, a := range answers {
		for _, p := range a.Peers {
			set[p] = true
		}
	}
	peers := slices.Sorted(maps.Keys(set))
	if !slices.Equal(peers, o.peers) {
		o.peers = peers
		o.beat(heartbeat.Groups{OSDs: peers})
	}
}

// markedDown is the map showing us down although we live. It may be that we could
// not be heard, so we wait until enough others answer; and who is marked down
// again and again does more harm by coming back than by staying away.
func (o *OSD) markedDown(now time.Time) {
	m := o.maps.Map
	o.note(pg.NoteClusterWarn, fmt.Sprintf("Monitor daemon marked osd.%d down, but it is still running", o.cfg.ID), nil)
	o.note(pg.NoteInfo, fmt.Sprintf("map e%d wrongly marked me down at e%d", m.Epoch, m.Info[o.cfg.ID].DownAt), nil)
	o.enter(StateWaiting)
	o.giveMaps()
	// The shards answer when they have the map, after which they serve nobody.
	epoch := m.Epoch
	o.askAll(Ask{About: AboutCounts}, func(time.Time, []Answer) {
		o.ready.ToMon = append(o.ready.ToMon, &msg.OSDDead{ID: o.cfg.ID, Epoch: epoch})
	})

	period := o.cfg.Options.Seconds("osd_max_markdown_period")
	o.markdowns = append(slices.DeleteFunc(o.markdowns, func(t time.Time) bool { return now.Sub(t) > period }), now)
	if n, most := len(o.markdowns), o.cfg.Options.Int("osd_max_markdown_count"); int64(n) > most {
		o.dismiss(fmt.Errorf("marked down %d > osd_max_markdown_count %d in last %.6f seconds, shutting down", n, most, period.Seconds()))
		return
	}
	o.comeBack(now)
}

// comeBack asks to be marked up again once others answer.
func (o *OSD) comeBack(now time.Time) {
	if o.state == StateWaiting && o.hb.Status().Healthy {
		o.boot(now)
	}
}

// mayBoot reports whether the newest map lets this OSD up.
func (o *OSD) mayBoot() bool {
	m := o.maps.Map
	return !m.HasFlag(osdmap.FlagNoUp) && m.NodeFlags(o.cfg.ID)&osdmap.StateNoUp == 0
}

// cleanInterval are the epochs between which the OSD was up and then stopped as it
// should; none if it did not.
func (o *OSD) cleanInterval() (i osdmap.Interval) {
	if o.super.CleanThru > 0 {
		i = osdmap.Interval{Begin: o.super.Mounted, End: o.super.CleanThru}
	}
	return i
}

// place is what an OSD that boots says of its place in the CRUSH tree.
type place struct {
	class    string
	weight   uint32
	location map[string]string
}

// place follows the options: crush_location instead of the host, and what is not
// to change with a start. One that was marked down and comes back says nothing: an
// operator may have moved it since it was started.
func (o *OSD) place() place {
	if o.bootEpoch > 0 {
		return place{}
	}
	c := o.cfg.Options
	p := place{o.cfg.Class, o.cfg.Weight, o.cfg.Location}
	if text := c.Get("crush_location"); text != "" {
		if at, ok := parseLocation(text); ok {
			p.location = at
		} else {
			o.note(pg.NoteClusterWarn, fmt.Sprintf("crush_location %q is not TYPE=NAME ...", text), nil)
		}
	}
	if w := c.Float("osd_crush_initial_weight"); w >= 0 {
		p.weight = uint32(min(w*0x10000, math.MaxUint32))
	}
	if !c.Bool("osd_class_update_on_start") {
		p.class = ""
	}
	if !c.Bool("osd_crush_update_on_start") {
		p.location = nil
	}
	return p
}

// parseLocation reads "root=default rack=r1 host=a"; commas and semicolons part
// as well.
func parseLocation(text string) (map[string]string, bool) {
	at := map[string]string{}
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t,;", r) }) {
		typ, name, ok := strings.Cut(part, "=")
		if !ok || typ == "" || name == "" {
			return nil, false
		}
		at[typ] = name
	}
	return at, len(at) > 0
}

// dismissed reports whether the map has done with this process, or with its disk:
// it is told to stop, or the OSD is removed, destroyed, or another disk by now. A
// disk that is to take the place of another one reads of that one in all maps from
// before; it goes by the newest that the monitors have.
func (o *OSD) dismissed() error {
	m, id := o.maps.Map, o.cfg.ID
	switch {
	case o.super.Mounted == 0 && (o.heard == 0 || m.Epoch < o.heard):
	case !m.Exists(id):
		if o.upSince > 0 {
			return fmt.Errorf("osdmap e%d says osd.%d does not exist", m.Epoch, id)
		}
	case m.State[id]&osdmap.StateStop != 0 && o.state == StateActive:
		return fmt.Errorf("osdmap e%d says osd.%d is stopped by admin", m.Epoch, id)
	case m.IsDestroyed(id):
		return fmt.Errorf("osdmap e%d says osd.%d is destroyed", m.Epoch, id)
	case !m.UUID[id].IsZero() && m.UUID[id] != o.super.UUID:
		return fmt.Errorf("osdmap e%d knows another disk as osd.%d: %v, this is %v", m.Epoch, id, m.UUID[id], o.super.UUID)
	}
	return nil
}

// dismiss ends an OSD that is not to come back. If it never was up the daemon
// cannot start; else the others in its process go on.
func (o *OSD) dismiss(err error) {
	if o.upSince == 0 {
		o.fatal(fmt.Errorf("osd.%d: %w", o.cfg.ID, err))
		return
	}
	o.note(pg.NoteWarn, fmt.Sprintf("osd.%d stops", o.cfg.ID), err)
	o.enter(StateStopping)
	o.stopped()
}

// dumpNetwork tells how long heartbeats take from here: those that take longer than
// so many milliseconds.
func (c *call) dumpNetwork() {
	o := c.o
	threshold := c.args.Int("value", -1)
	if threshold < 0 {
		if threshold = int64(o.cfg.Options.Float("mon_warn_on_slow_ping_time")); threshold == 0 {
			threshold = int64(float64(o.hbConfig.Grace.Milliseconds()) * o.cfg.Options.Float("mon_warn_on_slow_ping_ratio"))
		}
	}
	list := msg.PingLinks(o.cfg.ID, o.hb.Status().Times, uint32(min(threshold*1000, 1<<32-1)))
	c.fmt(func(f *jsonfmt.Formatter) {
		msg.DumpPingLinks(f, threshold, list, c.now, o.cfg.Options.Seconds("osd_heartbeat_stale"))
	})
}
