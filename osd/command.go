package osd

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/pg"
)

// Commands come as JSON from "ceph tell osd.N" and from the admin socket
// ("ceph daemon osd.N"); both know the same.

// call is a command that is being carried out.
type call struct {
	o      *OSD
	id     any
	prefix string
	args   map[string]any
	now    time.Time
}

// handler answers by fmt, reply or fail, at once or later.
type handler struct {
	sig  string // as get_command_descriptions has it, a part per blank
	help string
	do   func(c *call)
}

// commands is the table, by prefix.
func commands() map[string]*handler {
	return map[string]*handler{
		"get_command_descriptions": {"get_command_descriptions", "list available commands", (*call).descriptions},
		"help":                     {"help", "list available commands", (*call).help},
		"version":                  {"version", "get ceph version", (*call).version},
		"git_version":              {"git_version", "get git sha1", (*call).gitVersion},
		"status":                   {"status", "high-level status of OSD", (*call).status},
		"perf dump":                {"perf dump name=logger,type=CephString,req=false name=counter,type=CephString,req=false", "dump perfcounters value", (*call).perf},
		"perf schema":              {"perf schema", "dump perfcounters schema", (*call).perf},
		"perf reset":               {"perf reset name=var,type=CephString", "perf reset <name>: perf reset all or one perfcounter name", (*call).perf},
		"perf histogram dump":      {"perf histogram dump name=logger,type=CephString,req=false name=counter,type=CephString,req=false", "dump perf histogram values", (*call).perf},
		"perf histogram schema":    {"perf histogram schema", "dump perf histogram schema", (*call).perf},
		"config show":              {"config show", "dump current config settings", (*call).configShow},
		"config get":               {"config get name=var,type=CephString", "config get <field>: get the config value", (*call).configGet},
		"config set":               {"config set name=var,type=CephString name=val,type=CephString,n=N", "config set <field> <val> [<val> ...]: set a config variable", (*call).configSet},
		"config diff":              {"config diff", "dump diff of current config and default config", (*call).configDiff},
		"config diff get":          {"config diff get name=var,type=CephString", "dump diff get <field>: dump diff of current and default config setting <field>", (*call).configDiff},
		"config help":              {"config help name=var,type=CephString,req=false", "get config setting schema and descriptions", (*call).configHelp},
		"injectargs":               {"injectargs name=injected_args,type=CephString,n=N", "inject configuration arguments into running daemon", (*call).injectargs},
		"dump_ops_in_flight":       {"dump_ops_in_flight name=filterstr,type=CephString,n=N,req=false", "show the ops currently in flight", (*call).opsInFlight},
		"ops":                      {"ops name=filterstr,type=CephString,n=N,req=false", "show the ops currently in flight", (*call).opsInFlight},
		"dump_blocked_ops":         {"dump_blocked_ops name=filterstr,type=CephString,n=N,req=false", "show the blocked ops currently in flight", (*call).opsInFlight},
		"dump_historic_ops":        {"dump_historic_ops name=filterstr,type=CephString,n=N,req=false", "show recent ops", (*call).historicOps},
		"dump_historic_ops_by_duration": {"dump_historic_ops_by_duration name=filterstr,type=CephString,n=N,req=false",
			"show slowest recent ops, sorted by duration", (*call).historicOps},
		"dump_historic_slow_ops":     {"dump_historic_slow_ops name=filterstr,type=CephString,n=N,req=false", "show slowest recent ops", (*call).historicOps},
		"dump_watchers":              {"dump_watchers", "show clients which have active watches, and on which objects", (*call).watchers},
		"dump_blocklist":             {"dump_blocklist", "dump blocklisted clients and times", (*call).blocklist},
		"dump_recovery_reservations": {"dump_recovery_reservations", "show recovery reservations", (*call).dumpPlaces},
		"list_devices":               {"list_devices", "list OSD devices.", (*call).devices},
		"flush_pg_stats":             {"flush_pg_stats", "flush pg stats", (*call).flushStats},
		"get_latest_osdmap":          {"get_latest_osdmap", "force osd to update the latest map from the mon", (*call).latestMap},
		"get_mapped_pools":           {"get_mapped_pools", "dump pools whose PG(s) are mapped to this OSD.", (*call).mappedPools},
		"dump_osd_network":           {"dump_osd_network name=value,type=CephInt,req=false", "Dump osd heartbeat network ping times", (*call).dumpNetwork},
		"bench": {"bench name=count,type=CephInt,req=false name=size,type=CephInt,req=false name=object_size,type=CephInt,req=false name=object_num,type=CephInt,req=false",
			"OSD benchmark: write <count> <size>-byte objects(with <obj_size> <obj_num>), (default count=1G default size=4MB). Results in log.", (*call).runBench},
		"query":        {"query", "show details of a specific pg", (*call).pgQuery},
		"list_unfound": {"list_unfound name=offset,type=CephString,req=false", "list unfound objects on this pg, perhaps starting at an offset given in JSON", (*call).listUnfound},
		"mark_unfound_lost": {"mark_unfound_lost name=pgid,type=CephPgid,req=false name=mulcmd,type=CephChoices,strings=revert|delete",
			"mark all unfound objects in this pg as lost, either removing or reverting to a prior version if one is available", (*call).markUnfoundLost},
		"pg": {"pg name=pgid,type=CephPgid name=cmd,type=CephChoices,strings=query", "", nil},
	}
}

func (o *OSD) command(now time.Time, in Command) {
	c := &call{o: o, id: in.ID, now: now}
	text := strings.Join(in.Text, "")
	if err := json.Unmarshal([]byte(text), &c.args); err != nil {
		// The admin socket also takes a bare word.
		if word := strings.TrimSpace(text); word != "" && !strings.ContainsAny(word, "{}\"") {
			c.args = map[string]any{"prefix": word}
		} else {
			c.fail(errno.EINVAL, "invalid command json")
			return
		}
	}
	c.prefix = c.str("prefix")
	if c.prefix == "pg" {
		c.prefix = c.str("cmd")
	}
	h := o.handlers[c.prefix]
	if h == nil || h.do == nil {
		c.fail(errno.EINVAL, "invalid command json")
		return
	}
	h.do(c)
}

func (c *call) str(name string) string {
	switch v := c.args[name].(type) {
	case string:
		return v
	case nil:
		return ""
	case []any:
		s := make([]string, len(v))
		for i := range v {
			s[i] = fmt.Sprint(v[i])
		}
		return strings.Join(s, " ")
	default:
		return fmt.Sprint(v)
	}
}

func (c *call) num(name string, def int64) int64 {
	if v, ok := c.args[name].(float64); ok {
		return int64(v)
	}
	return def
}

func (c *call) reply(out []byte) {
	c.o.ready.Replies = append(c.o.ready.Replies, CommandReply{ID: c.id, Out: out})
}

func (c *call) fail(e errno.Errno, status string) {
	c.o.ready.Replies = append(c.o.ready.Replies, CommandReply{ID: c.id, Result: -int32(e), Status: status})
}

// fmt answers with a document in the form that was asked for.
func (c *call) fmt(body func(f *jsonfmt.Formatter)) {
	var f jsonfmt.Formatter
	body(&f)
	if c.str("format") == "json" {
		c.reply([]byte(f.JSON()))
		return
	}
	c.reply([]byte(f.Pretty()))
}

func (c *call) object(body func(f *jsonfmt.Formatter)) {
	c.fmt(func(f *jsonfmt.Formatter) { f.Object("", func() { body(f) }) })
}

func (c *call) descriptions() {
	c.object(func(f *jsonfmt.Formatter) {
		for i, name := range slices.Sorted(maps.Keys(c.o.handlers)) {
			h := c.o.handlers[name]
			f.Object(fmt.Sprintf("cmd%03d", i), func() {
				f.Array("sig", func() {
					for _, part := range strings.Fields(h.sig) {
						describePart(f, part)
					}
				})
				f.Str("help", h.help)
				f.Str("module", "osd")
				f.Str("perm", "r")
				f.Int("flags", 0)
			})
		}
	})
}

func describePart(f *jsonfmt.Formatter, part string) {
	if !strings.Contains(part, "=") {
		f.Str("", part)
		return
	}
	f.Object("", func() {
		for kv := range strings.SplitSeq(part, ",") {
			k, v, _ := strings.Cut(kv, "=")
			if k == "req" {
				f.Bool(k, v == "true")
			} else {
				f.Str(k, v)
			}
		}
	})
}

func (c *call) help() {
	c.object(func(f *jsonfmt.Formatter) {
		for _, name := range slices.Sorted(maps.Keys(c.o.handlers)) {
			if h := c.o.handlers[name]; h.help != "" {
				f.Str(name, h.help)
			}
		}
	})
}

func (c *call) version() {
	v := c.o.cfg.Version
	c.object(func(f *jsonfmt.Formatter) {
		f.Str("version", v.Version)
		f.Str("release", v.Release)
		f.Str("release_type", v.Type)
	})
}

func (c *call) gitVersion() {
	c.object(func(f *jsonfmt.Formatter) { f.Str("git_version", "") })
}

func (c *call) status() {
	o := c.o
	o.askAll(Ask{About: AboutStats}, func(now time.Time, answers []Answer) {
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

func (c *call) perf() {
	if c.o.cfg.Perf == nil {
		c.object(func(*jsonfmt.Formatter) {})
		return
	}
	p := PerfCommand{Prefix: c.prefix, Logger: c.str("logger"), Counter: c.str("counter")}
	if c.prefix == "perf reset" {
		p.Logger = c.str("var")
	}
	c.fmt(func(f *jsonfmt.Formatter) { c.o.cfg.Perf(f, p) })
}

func (c *call) configShow() {
	all := c.o.cfg.Options.Show()
	c.object(func(f *jsonfmt.Formatter) {
		for _, k := range []string{"name", "cluster"} {
			f.Str(k, all[k])
			delete(all, k)
		}
		for _, k := range slices.Sorted(maps.Keys(all)) {
			f.Str(k, all[k])
		}
	})
}

func (c *call) configGet() {
	name := config.Name(c.str("var"))
	v, ok := c.o.cfg.Options.Show()[name]
	if !ok {
		c.fail(errno.ENOENT, fmt.Sprintf("error getting '%s': (2) No such file or directory", c.str("var")))
		return
	}
	c.object(func(f *jsonfmt.Formatter) { f.Str(name, v) })
}

func (c *call) configSet() {
	name, val := c.str("var"), c.str("val")
	if config.Find(config.Name(name)) == nil {
		c.fail(errno.ENOENT, fmt.Sprintf("error setting '%s' to '%s': (2) No such file or directory", name, val))
		return
	}
	if err := c.o.cfg.Options.Set(name, val); err != nil {
		c.fail(errno.EINVAL, fmt.Sprintf("error setting '%s' to '%s': (22) Invalid argument", name, val))
		return
	}
	c.o.reconfigure()
	c.object(func(f *jsonfmt.Formatter) { f.Str("success", "") })
}

func (c *call) configDiff() {
	only := config.Name(c.str("var"))
	diff := c.o.cfg.Options.Diff()
	dump := func(f *jsonfmt.Formatter) {
		for _, ch := range diff {
			if only != "" && ch.Name != only {
				continue
			}
			f.Object(ch.Name, func() {
				f.Str("default", ch.Default)
				f.Str(ch.From, ch.Value)
				f.Str("final", ch.Value)
			})
		}
	}
	c.object(func(f *jsonfmt.Formatter) { f.Object("diff", func() { dump(f) }) })
}

func (c *call) configHelp() {
	name := c.str("var")
	if name == "" {
		c.fmt(func(f *jsonfmt.Formatter) {
			f.Array("", func() {
				for _, opt := range config.Options() {
					f.Object("", func() { opt.Dump(f) })
				}
			})
		})
		return
	}
	opt := config.Find(config.Name(name))
	if opt == nil {
		c.fail(errno.ENOENT, "Setting not found: '"+name+"'")
		return
	}
	c.object(func(f *jsonfmt.Formatter) { opt.Dump(f) })
}

// injectargs takes --name value and --name=value, as the command line does.
func (c *call) injectargs() {
	words := strings.Fields(c.str("injected_args"))
	for i := 0; i < len(words); i++ {
		name, val, ok := strings.Cut(strings.TrimPrefix(words[i], "--"), "=")
		if !ok && i+1 < len(words) {
			i++
			val = words[i]
		}
		if config.Find(config.Name(name)) == nil {
			c.fail(errno.EINVAL, fmt.Sprintf("failed to parse arguments: %s", words[i]))
			return
		}
		if err := c.o.cfg.Options.Set(name, val); err != nil {
			c.fail(errno.EINVAL, err.Error())
			return
		}
	}
	c.o.reconfigure()
	c.object(func(*jsonfmt.Formatter) {})
}

func dumpOp(f *jsonfmt.Formatter, r *OpRecord) {
	f.Object("", func() {
		f.Str("description", r.Description)
		f.Str("initiated_at", jsonfmt.Time(r.Initiated))
		f.Float("age", r.Age.Seconds())
		f.Float("duration", r.Duration.Seconds())
		f.Object("type_data", func() {
			f.Str("flag_point", r.FlagPoint)
			f.Array("events", func() {
				event := func(name string, at time.Time, d time.Duration) {
					f.Object("", func() {
						f.Str("event", name)
						f.Str("time", jsonfmt.Time(at))
						f.Float("duration", d.Seconds())
					})
				}
				event("initiated", r.Initiated, 0)
				if r.Done {
					event("done", r.Initiated.Add(r.Duration), r.Duration)
				} else {
					event(r.FlagPoint, r.Initiated, r.Age)
				}
			})
		})
	})
}

func (c *call) opsInFlight() {
	o := c.o
	o.askAll(Ask{About: AboutOps}, func(now time.Time, answers []Answer) {
		var ops []OpRecord
		for _, a := range answers {
			for _, r := range a.InFlight {
				if c.prefix != "dump_blocked_ops" || r.Age > o.pgConfig.ComplaintTime {
					ops = append(ops, r)
				}
			}
		}
		slices.SortStableFunc(ops, func(a, b OpRecord) int { return a.Initiated.Compare(b.Initiated) })
		c.object(func(f *jsonfmt.Formatter) {
			f.Array("ops", func() {
				for i := range ops {
					dumpOp(f, &ops[i])
				}
			})
			if c.prefix == "dump_blocked_ops" {
				f.Float("complaint_time", o.pgConfig.ComplaintTime.Seconds())
				f.Int("num_blocked_ops", int64(len(ops)))
				return
			}
			f.Int("num_ops", int64(len(ops)))
		})
	})
}

func (c *call) historicOps() {
	limits := c.o.history
	keep := limits.size
	if c.prefix == "dump_historic_slow_ops" {
		keep = limits.slowSize
	}
	c.o.askAll(Ask{About: AboutOps}, func(now time.Time, answers []Answer) {
		var ops []OpRecord
		for _, a := range answers {
			if c.prefix == "dump_historic_slow_ops" {
				ops = append(ops, a.SlowOps...)
			} else {
				ops = append(ops, a.Recent...)
			}
		}
		longest := func(a, b OpRecord) int { return int(b.Duration - a.Duration) }
		slices.SortStableFunc(ops, longest)
		ops = ops[:min(len(ops), keep)]
		if c.prefix != "dump_historic_ops_by_duration" {
			slices.SortStableFunc(ops, func(a, b OpRecord) int { return a.Initiated.Compare(b.Initiated) })
		}
		c.object(func(f *jsonfmt.Formatter) {
			if c.prefix == "dump_historic_slow_ops" {
				f.Int("num to keep", int64(limits.slowSize))
				f.Int("threshold to keep", int64(limits.threshold.Seconds()))
			} else {
				f.Int("size", int64(limits.size))
				f.Int("duration", int64(limits.duration.Seconds()))
			}
			name := "ops"
			if c.prefix == "dump_historic_slow_ops" {
				name = "Ops"
			}
			f.Array(name, func() {
				for i := range ops {
					dumpOp(f, &ops[i])
				}
			})
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
	c.o.askAll(Ask{About: AboutStats}, func(now time.Time, answers []Answer) {
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

// group asks for the group that the command names.
func (c *call) group(then func(q *pg.Query)) {
	id, err := object.ParsePG(c.str("pgid"))
	if err != nil {
		c.fail(errno.EINVAL, "couldn't parse pgid '"+c.str("pgid")+"'")
		return
	}
	shard := ShardOf(id, c.o.cfg.Shards)
	c.o.askOne(shard, Ask{About: AboutPG, PG: object.SPG{PG: id, Shard: object.NoShard}}, func(now time.Time, a Answer) {
		if a.PG == nil {
			c.fail(errno.ENOENT, fmt.Sprintf("i don't have pgid %v", id))
			return
		}
		then(a.PG)
	})
}

func (c *call) pgQuery() {
	c.group(func(q *pg.Query) { c.object(q.Dump) })
}

func (c *call) listUnfound() {
	c.group(func(q *pg.Query) {
		c.object(func(f *jsonfmt.Formatter) {
			f.Int("num_missing", 0)
			f.Int("num_unfound", 0)
			f.Array("objects", func() {})
			state := "Active"
			if !q.Active {
				state = "Peering"
			}
			f.Str("state", state)
			f.Bool("available_might_have_unfound", true)
			f.Array("might_have_unfound", func() {})
			f.Bool("more", false)
		})
	})
}

func (c *call) markUnfoundLost() {
	c.group(func(q *pg.Query) {
		switch c.str("mulcmd") {
		case "revert", "delete":
			c.fail(errno.EINVAL, "pg has no unfound objects")
		default:
			c.fail(errno.EINVAL, "mode must be 'revert' or 'delete'; mark not yet implemented")
		}
	})
}
