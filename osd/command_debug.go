package osd

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/admin"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/pg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Commands for tests of a cluster: they change one copy of an object behind the
// group's back, or make the OSD believe that it is full. Ceph answers all of them
// with words on stdout, refusals too.

func debugCommands(t *admin.Table[func(c *call)]) {
	const at = " name=pool,type=CephString name=objname,type=CephObjectname"
	for _, cmd := range []struct {
		name, args, help string
		op               pg.TamperOp
	}{
		{"setomapval", " name=key,type=CephString name=val,type=CephString", "set omap key", pg.TamperOmapSet},
		{"rmomapkey", " name=key,type=CephString", "remove omap key", pg.TamperOmapRemove},
		{"setomapheader", " name=header,type=CephString", "set omap header", pg.TamperOmapHeader},
		{"getomap", "", "output entire object map", pg.TamperOmapGet},
		{"truncobj", " name=len,type=CephInt", "truncate object to length", pg.TamperTruncate},
	} {
		t.Add(cmd.name+at+cmd.args, cmd.help, func(c *call) { c.tamper(cmd.op) })
	}
	t.Add("injectfull name=type,type=CephString,req=false name=count,type=CephInt,req=false",
		"Inject a full disk (optional count times)", (*call).injectFull)
}

// line answers with words on stdout.
func (c *call) line(words string) { c.reply([]byte(words + "\n")) }

func (c *call) tamper(op pg.TamperOp) {
	m := c.o.maps.Map
	if m == nil {
		c.line("Invalid pool '" + c.args.Str("pool") + "''")
		return
	}
	pool, _, ok := m.PoolByName(c.args.Str("pool"))
	if n, err := strconv.ParseInt(c.args.Str("pool"), 10, 64); !ok && err == nil && m.Pools[n] != nil {
		pool, ok = n, true
	}
	if !ok {
		c.line("Invalid pool '" + c.args.Str("pool") + "''") // sic
		return
	}
	space, name, spaced := strings.Cut(c.args.Str("objname"), "/")
	if !spaced {
		space, name = "", space
	}
	raw, err := m.ObjectToPG(object.Locator{Pool: pool, Namespace: space, Hash: -1}, name)
	if err != nil || name == "" {
		c.line("Invalid namespace/objname")
		return
	}
	size := c.args.Int("len", 0)
	if s := c.args.Str("len"); size == 0 && s != "" {
		size, _ = strconv.ParseInt(s, 10, 64) // the table has seen that it is a number
	}
	if size < 0 || size > objstore.MaxObjectSize {
		c.line("error=-22")
		return
	}
	t := &pg.Tamper{Op: op, Key: c.args.Str("key"), Value: c.args.Str("val") + c.args.Str("header"), Size: uint64(size),
		Object: object.ID{Pool: pool, Namespace: space, Name: name, Snap: object.NoSnap, Hash: raw.Seed}}
	id := m.Pools[pool].RawToActual(raw)
	c.o.askOne(ShardOf(id, c.o.cfg.Shards), Ask{About: AboutTamper, PG: object.SPG{PG: id, Shard: object.NoShard}, Tamper: t},
		func(_ time.Time, a Answer) {
			switch {
			case a.Words != "":
				c.line(a.Words)
			case op == pg.TamperOmapGet:
				c.line(fmt.Sprintf("unable to open collection for %v", id))
			default:
				c.line("error=-2")
			}
		})
}

// fullTypes are what an OSD can be made to believe. Past failsafe only removals
// pass, whatever the monitors say.
var fullTypes = map[string]fullKind{
	"none": {}, "nearfull": {state: osdmap.StateNearFull}, "backfillfull": {state: osdmap.StateBackfillFull},
	"full": {state: osdmap.StateFull}, "failsafe": {state: osdmap.StateFull, failsafe: true},
}

type fullKind struct {
	state    osdmap.State
	failsafe bool
}

// pretence is how full the OSD pretends to be, for so many looks at it; -1: until
// told otherwise.
type pretence struct {
	fullKind
	left int64
}

// look is the pretence, which looking at uses up.
func (p *pretence) look() fullKind {
	if p.left == 0 {
		return fullKind{}
	}
	if p.left > 0 {
		p.left--
	}
	return p.fullKind
}

func (c *call) injectFull() {
	name, count := "full", c.args.Int("count", -1)
	if c.args.Has("type") {
		name = c.args.Str("type")
	}
	kind, ok := fullTypes[name]
	if !ok {
		c.line("Invalid type use (none, nearfull, backfillfull, full, failsafe)")
		return
	}
	if name == "none" || count == 0 {
		kind, count = fullKind{}, 0
	}
	c.o.pretence = pretence{kind, max(count, -1)}
	c.o.reconfigure()
	c.o.reports.now = true
	c.reply(nil)
}

// heapCommands are about an allocator that daemons here do not use, and answer
// as Ceph does where it does not either.
func heapCommands(t *admin.Table[func(c *call)]) {
	refuse := func(c *call, words string, more func(f *jsonfmt.Formatter)) {
		c.object(func(f *jsonfmt.Formatter) {
			f.Str("error", words)
			f.Bool("success", false)
			more(f)
		})
	}
	t.Add("get_heap_property name=property,type=CephString", "get malloc extension heap property", func(c *call) {
		refuse(c, "invalid property", func(f *jsonfmt.Formatter) { f.Int("value", 0) })
	})
	t.Add("set_heap_property name=property,type=CephString name=value,type=CephInt", "update malloc extension heap property", func(c *call) {
		words := "invalid property"
		if strings.HasPrefix(c.args.Str("value"), "-") {
			words = "negative value not allowed"
		}
		refuse(c, words, func(*jsonfmt.Formatter) {})
	})
	t.Add("cpu_profiler name=arg,type=CephChoices,strings=status|flush", "run cpu profiling on daemon", func(c *call) {
		c.reply([]byte("cpu_profiler support not linked in"))
	})
}
