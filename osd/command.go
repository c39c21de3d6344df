package osd

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/admin"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/osd/pg"
)

// Commands come as JSON from "ceph tell osd.N" and from the admin socket
// ("ceph daemon osd.N"); both know the same.

// call is a command that is being carried out.
type call struct {
	o      *OSD
	id     any
	prefix string
	args   admin.Args
	now    time.Time
}

// commands are those that this daemon takes.
func commands() *admin.Table[func(c *call)] {
	t := &admin.Table[func(c *call)]{}
	admin.Each(func(sig, help string, do admin.Handler) {
		t.Add(sig, help, func(c *call) { c.common(do) })
	})
	t.Add(admin.HeapSig("dump|start_profiler|stop_profiler|release|get_release_rate|set_release_rate|stats"), admin.HeapHelp,
		func(c *call) { c.common(admin.Heap) })
	t.Add("smart name=devid,type=CephString,req=false", "probe OSD devices for SMART data.", func(c *call) { c.reply([]byte("{\n}")) })
	t.Add("get_command_descriptions", "list available commands", func(c *call) { c.fmt(c.o.commands.Describe) })
	t.Add("help", "list available commands", func(c *call) { c.fmt(c.o.commands.Help) })
	t.Add("status", "high-level status of OSD", (*call).status)
	const filter = " name=filterstr,type=CephString,n=N,req=false"
	t.Add("dump_ops_in_flight"+filter, "show the ops currently in flight", (*call).opsInFlight)
	t.Add("ops"+filter, "show the ops currently in flight", (*call).opsInFlight)
	t.Add("dump_blocked_ops"+filter, "show the blocked ops currently in flight", (*call).opsInFlight)
	t.Add("dump_historic_ops"+filter, "show recent ops", (*call).historicOps)
	t.Add("dump_historic_ops_by_duration"+filter, "show slowest recent ops, sorted by duration", (*call).historicOps)
	t.Add("dump_historic_slow_ops"+filter, "show slowest recent ops", (*call).historicOps)
	t.Add("dump_watchers", "show clients which have active watches, and on which objects", (*call).watchers)
	t.Add("dump_scrubs", "print scheduled scrubs", (*call).dumpScrubs)
	t.Add("dump_scrub_reservations", "show scrub reservations", (*call).scrubReservations)
	t.Add("dump_recovery_reservations", "show recovery reservations", (*call).dumpPlaces)
	t.Add("dump_blocklist", "dump blocklisted clients and times", (*call).blocklist)
	t.Add("dump_pgstate_history", "show recent state history", (*call).stateHistory)
	t.Add("list_devices", "list OSD devices.", (*call).devices)
	t.Add("flush_pg_stats", "flush pg stats", (*call).flushStats)
	t.Add("send_beacon", "send OSD beacon to mon immediately", (*call).beacon)
	t.Add("get_latest_osdmap", "force osd to update the latest map from the mon", (*call).latestMap)
	t.Add("get_mapped_pools", "dump pools whose PG(s) are mapped to this OSD.", (*call).mappedPools)
	t.Add("cluster_log name=level,type=CephChoices,strings=error name=message,type=CephString,n=N",
		"log a message to the cluster log", (*call).clusterLog)
	t.Add("bench name=count,type=CephInt,req=false name=size,type=CephInt,req=false "+
		"name=object_size,type=CephInt,req=false name=object_num,type=CephInt,req=false",
		"OSD benchmark: write <count> <size>-byte objects(with <obj_size> <obj_num>), (default count=1G default size=4MB). Results in log.",
		(*call).runBench)
	t.Add("dump_osd_network name=value,type=CephInt,req=false", "Dump osd heartbeat network ping times", (*call).dumpNetwork)
	groupCommands(t)
	debugCommands(t)
	heapCommands(t)
	return t
}

func (o *OSD) command(now time.Time, in Command) {
	c := &call{o: o, id: in.ID, now: now}
	args, err := admin.Parse(strings.Join(in.Text, ""))
	var do func(c *call)
	if err == nil {
		c.args, c.prefix = args, args.Str("prefix")
		do, err = o.commands.Find(args)
	}
	var r *admin.Refusal
	if errors.As(err, &r) {
		c.fail(r.Errno, r.Words)
		return
	}
	do(c)
}

// common carries out a command that all daemons have.
func (c *call) common(do admin.Handler) {
	r := do(&c.o.admin, c.args)
	if r.Body != nil {
		r.Output = c.render(r.Body)
	}
	c.o.ready.Replies = append(c.o.ready.Replies, CommandReply{ID: c.id, Result: -int32(r.Errno), Status: r.Status, Out: r.Output})
}

func (c *call) reply(out []byte) {
	c.o.ready.Replies = append(c.o.ready.Replies, CommandReply{ID: c.id, Out: out})
}

func (c *call) fail(e errno.Errno, status string) {
	c.o.ready.Replies = append(c.o.ready.Replies, CommandReply{ID: c.id, Result: -int32(e), Status: status})
}

// render makes a document in the form that was asked for.
func (c *call) render(body func(f *jsonfmt.Formatter)) []byte {
	var f jsonfmt.Formatter
	body(&f)
	switch format := c.args.Str("format"); format {
	case "json":
		return []byte(f.JSON())
	case "xml", "xml-pretty":
		return []byte(f.XML(c.prefix, format == "xml-pretty"))
	}
	return []byte(f.Pretty())
}

// fmt answers with a document.
func (c *call) fmt(body func(f *jsonfmt.Formatter)) { c.reply(c.render(body)) }

func (c *call) object(body func(f *jsonfmt.Formatter)) {
	c.fmt(func(f *jsonfmt.Formatter) { f.Object("", func() { body(f) }) })
}

func (c *call) status() {
	o := c.o
	o.askAll(Ask{About: AboutCounts}, func(now time.Time, answers []Answer) {
		groups := 0
		for _, a := range answers {
			groups += a.Count
		}
		c.object(func(f *jsonfmt.Formatter) {
			f.Str("cluster_fsid", o.super.FSID.String())
			f.Str("osd_fsid", o.super.UUID.String())
			f.Int("whoami", int64(o.cfg.ID))
			f.Str("state", o.state.String())
			f.Uint("oldest_map", uint64(o.super.OldestMap))
			f.Uint("cluster_osdmap_trim_lower_bound", uint64(o.maps.Oldest))
			f.Uint("newest_map", uint64(o.super.NewestMap))
			f.Int("num_pgs", int64(groups))
		})
	})
}

func (c *call) watchers() {
	c.o.askAll(Ask{About: AboutWatchers}, func(now time.Time, answers []Answer) {
		c.fmt(func(f *jsonfmt.Formatter) {
			f.Array("", func() {
				for _, a := range answers {
					for i := range a.Watchers {
						dumpWatcher(f, &a.Watchers[i])
					}
				}
			})
		})
	})
}

func dumpWatcher(f *jsonfmt.Formatter, w *pg.Watcher) {
	f.Object("watch", func() {
		f.Str("namespace", w.Object.Namespace)
		f.Str("object", w.Object.Name)
		f.Object("entity_name", func() {
			f.Str("type", w.Who.Type.String())
			f.Int("num", w.Who.Num)
		})
		f.Uint("cookie", w.Cookie)
		f.Uint("timeout", uint64(w.Timeout))
		f.Object("entity_addr_t", func() { f.Addr(w.Addr) })
	})
}

func (c *call) blocklist() {
	c.fmt(func(f *jsonfmt.Formatter) {
		f.Array("", func() {
			if c.o.maps.Map == nil {
				return
			}
			for _, l := range []struct {
				name  string
				addrs []blocked
			}{{"entity_addr_t", sortedBlocklist(c.o.maps.Map.Blocklist)}, {"entity_addr_t", sortedBlocklist(c.o.maps.Map.RangeBlocklist)}} {
				for _, b := range l.addrs {
					f.Object("", func() {
						f.Object(l.name, func() { f.Addr(b.addr) })
						f.Str("expire_time", jsonfmt.Time(b.until))
					})
				}
			}
		})
	})
}

func (c *call) devices() {
	c.fmt(func(f *jsonfmt.Formatter) {
		f.Array("", func() {
			for _, d := range c.o.cfg.Devices {
				f.Object("", func() {
					f.Str("device", d)
					f.Str("device_id", "")
				})
			}
		})
	})
}

// flushStats reports at once, and answers with the report's number, for "osd
// last-stat-seq".
func (c *call) flushStats() {
	o := c.o
	if o.state != StateActive {
		c.fail(errno.EAGAIN, "")
		return
	}
	o.sendReport(c.now, true, func(time.Time) { c.reply(fmt.Appendf(nil, "%d", o.seq())) })
}

func (c *call) latestMap() {
	c.o.subscribe()
	c.reply(nil)
}

func (c *call) mappedPools() {
	c.o.askAll(Ask{About: AboutCounts}, func(now time.Time, answers []Answer) {
		pools := map[int64]bool{}
		for _, a := range answers {
			for pool := range a.Usage {
				pools[pool] = true
			}
		}
		c.object(func(f *jsonfmt.Formatter) {
			f.Array("mapped_pools", func() {
				for _, id := range slices.Sorted(maps.Keys(pools)) {
					f.Int("", id)
				}
			})
		})
	})
}

// beacon reports at once.
func (c *call) beacon() {
	if c.o.state == StateActive {
		c.o.sendReport(c.now, true, nil)
	}
	c.reply(nil)
}

// clusterLog adds a line to the cluster's log.
func (c *call) clusterLog() {
	c.o.note(NoteCluster, c.args.Str("message"), nil)
	c.reply(nil)
}

// stateHistory shows which states the groups went through of late.
func (c *call) stateHistory() {
	c.o.askAll(Ask{About: AboutStates}, func(now time.Time, answers []Answer) {
		c.object(func(f *jsonfmt.Formatter) {
			f.Array("pgs", func() {
				for _, a := range answers {
					for i := range a.States {
						a.States[i].Dump(f)
					}
				}
			})
		})
	})
}
