package pg

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
	"pgregory.net/rapid"
)

// watchModel is what watching is, as simply as it can be said: the clock ticks in
// seconds, everything is durable at once, and all is looked at each second.
type watchModel struct {
	t       *rapid.T
	w       *world
	clients []*client
	objects map[string]*watchedModel // those that exist
	told    []string                 // what clients should have heard
}

type watchedModel struct {
	watches  map[WatchKey]*watchModelWatch
	notifies map[uint64]*watchModelNotify
}

type watchModelWatch struct {
	timeout time.Duration
	by      *client // nil: not connected
	pings   bool
	end     time.Time // zero: never
}

type watchModelNotify struct {
	by      *client // nil: gone
	content string
	end     time.Time
	waits   map[WatchKey]bool
	replies map[string]bool
}

func (m *watchModel) tell(c *client, format string, args ...any) {
	m.told = append(m.told, fmt.Sprintf("%p ", c.s)+fmt.Sprintf(format, args...))
}

func (m *watchModel) finish(o *watchedModel, id uint64, result int32) {
	n := o.notifies[id]
	delete(o.notifies, id)
	if n.by != nil {
		m.tell(n.by, "%d: %d, %v missed %v", id, result, slices.Sorted(maps.Keys(n.replies)), slices.SortedFunc(maps.Keys(n.waits), WatchKey.Compare))
	}
}

// finishAll ends what waits for nobody.
func (m *watchModel) finishAll(o *watchedModel) {
	for id, n := range o.notifies {
		if len(n.waits) == 0 {
			m.finish(o, id, 0)
		}
	}
}

func (m *watchModel) drop(o *watchedModel, k WatchKey, tell bool) {
	if w := o.watches[k]; tell && w.by != nil {
		m.tell(w.by, "%d is gone", k.Cookie)
	}
	delete(o.watches, k)
	for _, n := range o.notifies {
		delete(n.waits, k)
	}
	m.finishAll(o)
}

func (m *watchModel) connect(o *watchedModel, k WatchKey, c *client, pings bool) {
	w := o.watches[k]
	if w.by == c {
		return
	}
	w.by, w.pings, w.end = c, pings, time.Time{}
	if pings {
		w.end = m.w.now.Add(w.timeout)
	}
	for id, n := range o.notifies {
		if n.waits[k] {
			m.tell(c, "%d for %d: %s", id, k.Cookie, n.content)
		}
	}
}

func (m *watchModel) disconnect(w *watchModelWatch) {
	w.by = nil
	if !w.pings {
		w.end = m.w.now.Add(w.timeout)
	}
}

// anew is what a new interval or a restart leaves.
func (m *watchModel) anew() {
	for _, o := range m.objects {
		clear(o.notifies)
		for _, w := range o.watches {
			w.by, w.pings, w.end = nil, false, m.w.now.Add(w.timeout)
		}
	}
}

// second lets a second pass for both.
func (m *watchModel) second() {
	m.w.now = m.w.now.Add(time.Second)
	for at := m.w.pg.Wake(); !at.IsZero() && !at.After(m.w.now); at = m.w.pg.Wake() {
		m.step(Tick{})
	}
	over := func(at time.Time) bool { return !at.IsZero() && !at.After(m.w.now) }
	for _, o := range m.objects {
		for id, n := range o.notifies {
			if over(n.end) {
				m.finish(o, id, etimedout)
			}
		}
	}
	for _, o := range m.objects {
		for k, w := range o.watches {
			if over(w.end) {
				m.drop(o, k, true)
			}
		}
	}
}

// step gives the group an event, in no time.
func (m *watchModel) step(ev Event) {
	m.w.pg.Step(m.w.now, ev)
	m.w.carryOut()
	m.w.pg.check()
}

func (m *watchModel) do(c *client, name string, want int32, op msg.Op) []byte {
	r := m.w.request(name, 0, 0, op)
	r.Session = c.s
	m.step(r)
	got := m.w.replies[r.TID]
	if got == nil || got.Result != want {
		m.t.Fatalf("%v of %v on %s: %+v, want %d", &op, c.s.Name, name, got, want)
	}
	return got.Ops[0].Out.Bytes()
}

// compare checks what was heard, and who watches.
func (m *watchModel) compare() {
	var got []string
	for _, s := range m.w.sends {
		n, ok := s.Body.(*msg.WatchNotify)
		if !ok {
			continue
		}
		text := fmt.Sprintf("%d is gone", n.Cookie)
		switch n.What {
		case msg.NotifyNotify:
			text = fmt.Sprintf("%d for %d: %s", n.NotifyID, n.Cookie, n.Content)
		case msg.NotifyComplete:
			d := wire.NewDecoder(n.Data.Bytes())
			replies := wire.DecodeSlice(d, 20, func() string { return fmt.Sprintf("%d/%d=%s", d.U64(), d.U64(), d.Blob()) })
			slices.Sort(replies)
			missed := wire.DecodeSlice(d, 16, func() (k WatchKey) {
				k.Who = m.clients[0].s.Name
				k.Who.Num, k.Cookie = int64(d.U64()), d.U64()
				return k
			})
			text = fmt.Sprintf("%d: %d, %v missed %v", n.NotifyID, n.Result, replies, missed)
		}
		got = append(got, fmt.Sprintf("%p ", s.To)+text)
	}
	m.w.sends = nil
	slices.Sort(got)
	slices.Sort(m.told)
	if !slices.Equal(got, m.told) {
		m.t.Fatalf("clients heard\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(m.told, "\n"))
	}
	m.told = nil
	var have, want []string
	for _, w := range m.w.pg.Watchers() {
		have = append(have, fmt.Sprint(w.Object.Name, w.WatchKey, w.Timeout))
	}
	for name, o := range m.objects {
		for k, w := range o.watches {
			want = append(want, fmt.Sprint(name, k, int(w.timeout.Seconds())))
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		m.t.Fatalf("watched by %v, want %v", have, want)
	}
}

// act does something at random to both.
func (m *watchModel) act(t *rapid.T) {
	i := rapid.IntRange(0, len(m.clients)-1).Draw(t, "client")
	c := m.clients[i]
	name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "object")
	k := WatchKey{rapid.Uint64Range(1, 2).Draw(t, "cookie"), c.s.Name}
	o := m.objects[name]
	if o == nil {
		o = &watchedModel{}
	}
	w := o.watches[k]
	found := func(other int32) int32 {
		switch {
		case m.objects[name] == nil:
			return enoent
		case w == nil:
			return other
		}
		return 0
	}
	switch what := rapid.SampledFrom([]string{"create", "delete", "watch", "watch", "legacy", "reconnect", "reconnect", "ping", "ping", "unwatch",
		"notify", "notify", "ack", "ack", "ack", "close", "restart", "interval", "wait", "wait", "refuse"}).Draw(t, "what"); what {
	case "create":
		m.do(c, name, 0, opWriteFull("x"))
		if m.objects[name] == nil {
			m.objects[name] = &watchedModel{map[WatchKey]*watchModelWatch{}, map[uint64]*watchModelNotify{}}
		}
	case "delete":
		if m.objects[name] == nil {
			m.do(c, name, enoent, msg.Op{Code: msg.OpDelete})
			return
		}
		m.do(c, name, 0, msg.Op{Code: msg.OpDelete})
		for k := range o.watches {
			m.drop(o, k, true)
		}
		delete(m.objects, name)
	case "watch", "legacy", "refuse":
		timeout := rapid.Uint32Range(3, 9).Draw(t, "timeout")
		op := opWatch(msg.WatchWatch, k.Cookie, timeout)
		if what == "legacy" {
			op = opWatch(msg.WatchLegacyWatch, k.Cookie, timeout)
		}
		if what == "refuse" && m.objects[name] != nil && w == nil {
			m.w.refuse = objstore.ErrNoSpace
			m.do(c, name, -int32(errno.ENOSPC), op)
			return
		}
		m.do(c, name, found(0), op)
		if m.objects[name] == nil {
			return
		}
		if w == nil {
			o.watches[k] = &watchModelWatch{timeout: time.Duration(timeout) * time.Second}
		}
		m.connect(o, k, c, what != "legacy")
	case "reconnect":
		m.do(c, name, found(enotconn), reconnects(k.Cookie))
		if w != nil {
			m.connect(o, k, c, true)
		}
	case "ping":
		switch want := found(enotconn); {
		case want == 0 && w.by == nil:
			m.do(c, name, etimedout, pings(k.Cookie))
		default:
			m.do(c, name, want, pings(k.Cookie))
			if want == 0 && w.pings {
				w.end = m.w.now.Add(w.timeout)
			}
		}
	case "unwatch":
		m.do(c, name, found(0), unwatches(k.Cookie))
		if w != nil {
			m.drop(o, k, false)
		}
	case "notify":
		timeout := rapid.Uint32Range(1, 12).Draw(t, "timeout")
		out := m.do(c, name, min(found(0), 0), opNotify(0, timeout, "hi"))
		if m.objects[name] == nil {
			return
		}
		id := wire.NewDecoder(out).U64()
		n := &watchModelNotify{c, "hi", m.w.now.Add(time.Duration(timeout) * time.Second), map[WatchKey]bool{}, map[string]bool{}}
		o.notifies[id] = n
		for k, w := range o.watches {
			n.waits[k] = true
			if w.by != nil {
				m.tell(w.by, "%d for %d: hi", id, k.Cookie)
			}
		}
		m.finishAll(o)
	case "ack":
		ids := append(slices.Sorted(maps.Keys(o.notifies)), 1)
		id := rapid.SampledFrom(ids).Draw(t, "id")
		m.do(c, name, found(0), opAck(id, k.Cookie, "yes"))
		if n := o.notifies[id]; n != nil && n.waits[k] {
			delete(n.waits, k)
			n.replies[fmt.Sprintf("%d/%d=yes", k.Who.Num, k.Cookie)] = true
			m.finishAll(o)
		}
	case "close":
		m.step(SessionClosed{c.s})
		m.clients[i] = c.again()
		for _, o := range m.objects {
			for _, w := range o.watches {
				if w.by == c {
					m.disconnect(w)
				}
			}
			for _, n := range o.notifies {
				if n.by == c {
					n.by = nil
				}
			}
			m.forget(o)
		}
	case "restart":
		m.w.now = m.w.now.Add(-time.Millisecond) // which restart takes
		m.w.restart(rapid.Bool().Draw(t, "crash"))
		m.anew()
	case "interval":
		for size := range uint8(2) {
			m.w.m = testMap(m.w.t, func(n *osdmap.Map) {
				n.Epoch = m.w.m.Epoch + 1
				n.Pools[testPool].MinSize = 2 - size
			})
			m.step(MapChange{Map: m.w.m})
		}
		m.anew()
	case "wait":
		for range rapid.IntRange(1, 8).Draw(t, "seconds") {
			m.second()
		}
	}
}

// forget drops the notifications that have reached all, of senders who are gone.
func (m *watchModel) forget(o *watchedModel) {
	maps.DeleteFunc(o.notifies, func(_ uint64, n *watchModelNotify) bool {
		away := func(k WatchKey) bool { return o.watches[k].by == nil }
		return n.by == nil && !slices.ContainsFunc(slices.Collect(maps.Keys(n.waits)), away)
	})
}

// Any sequence of events does what the model says.
func TestWatchModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.now = w.now.Truncate(time.Second)
		m := &watchModel{t: rt, w: w, objects: map[string]*watchedModel{}}
		for i := range int64(3) {
			m.clients = append(m.clients, w.client(i+1, uint16(i+1)))
		}
		for range rapid.IntRange(1, 150).Draw(rt, "actions") {
			m.act(rt)
			m.compare()
		}
		// In the end everything is let go.
		for range 40 {
			m.second()
			m.compare()
			for i, c := range m.clients {
				m.step(SessionClosed{c.s})
				m.clients[i] = c.again()
			}
			for _, o := range m.objects {
				for _, w := range o.watches {
					if w.by != nil {
						m.disconnect(w)
					}
				}
				for _, n := range o.notifies {
					n.by = nil
				}
				m.forget(o)
			}
		}
		if len(w.pg.watched) > 0 || !w.pg.Wake().IsZero() {
			rt.Fatalf("%d objects are watched, wakes at %v", len(w.pg.watched), w.pg.Wake())
		}
	})
}
