package osdmon

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// What OSDs told of themselves when they booted.

func (s *Service) metadataCommands(t *command.Table) {
	t.Read("osd metadata", s.cmdMetadata)
	t.Read("osd find", s.cmdFind)
	t.Read("osd versions", func(c *command.Call) command.Reply { return s.countMetadata(c, "ceph_version") })
	t.Read("osd count-metadata", func(c *command.Call) command.Reply { return s.countMetadata(c, c.Str("property")) })
	t.Read("osd numa-status", s.cmdNUMA)
}

func (s *Service) cmdMetadata(c *command.Call) command.Reply {
	dump := func(f *jsonfmt.Formatter, name string, o int32) {
		f.Object(name, func() {
			f.Uint("id", uint64(o))
			kv := s.meta[o]
			for _, k := range slices.Sorted(maps.Keys(kv)) {
				f.Str(k, kv[k])
			}
		})
	}
	if !c.Has("id") || c.Int("id") < 0 {
		return c.Dump(func(f *jsonfmt.Formatter) {
			f.Array("osd_metadata", func() {
				for _, o := range existing(s.cur) {
					dump(f, "osd", o)
				}
			})
		})
	}
	o := int32(c.Int("id"))
	if int64(o) != c.Int("id") || !s.cur.Exists(o) {
		return command.Fail(errno.ENOENT, "osd.%d does not exist", c.Int("id"))
	}
	if s.meta[o] == nil {
		return command.Fail(errno.ENOENT, "(2) No such file or directory")
	}
	return c.Dump(func(f *jsonfmt.Formatter) { dump(f, "osd_metadata", o) })
}

func (s *Service) cmdFind(c *command.Call) command.Reply {
	if !c.Has("id") {
		return command.Fail(errno.EINVAL, "unable to parse osd id value '%s'", c.Str("id"))
	}
	o := int32(c.Int("id"))
	if int64(o) != c.Int("id") || !s.cur.Exists(o) {
		return command.Fail(errno.ENOENT, "osd.%d does not exist", c.Int("id"))
	}
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("osd_location", func() {
			f.Int("osd", int64(o))
			f.AddrVec("addrs", s.cur.ClientAddrs[o])
			f.Stringer("osd_fsid", s.cur.UUID[o])
			if h, ok := s.meta[o]["hostname"]; ok {
				f.Str("host", h)
			}
			for _, k := range []string{"pod_name", "pod_namespace", "container_name"} {
				if v, ok := s.meta[o][k]; ok {
					f.Str(k, v)
				}
			}
			loc := s.cur.Crush.Location(o)
			f.Object("crush_location", func() {
				for _, t := range slices.Sorted(maps.Keys(loc)) {
					f.Str(t, loc[t])
				}
			})
		})
	})
}

func (s *Service) countMetadata(c *command.Call, field string) command.Reply {
	count := map[string]int64{}
	for _, o := range existing(s.cur) {
		v := s.meta[o][field]
		if v == "" {
			v = "unknown"
		}
		count[v]++
	}
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object(field, func() {
			for _, v := range slices.Sorted(maps.Keys(count)) {
				f.Int(v, count[v])
			}
		})
	})
}

func (s *Service) cmdNUMA(c *command.Call) command.Reply {
	or := func(o int32, key string) string {
		if v, ok := s.meta[o][key]; ok {
			return v
		}
		return "-"
	}
	osds := slices.DeleteFunc(existing(s.cur), func(o int32) bool { return s.meta[o] == nil })
	plain := func() string {
		var t jsonfmt.Table
		t.Column("OSD", jsonfmt.Right)
		t.Column("HOST", jsonfmt.Left)
		t.ColumnRight("NETWORK")
		t.ColumnRight("STORAGE")
		t.ColumnRight("AFFINITY")
		t.Column("CPUS", jsonfmt.Left)
		for _, o := range osds {
			node, cpus := or(o, "numa_node"), or(o, "numa_node_cpus")
			if node == "-" || cpus == "-" {
				node, cpus = "-", "-"
			}
			t.Row(strconv.Itoa(int(o)), s.meta[o]["hostname"], or(o, "network_numa_nodes"), or(o, "objectstore_numa_nodes"), node, cpus)
		}
		return t.String()
	}
	ints := func(f *jsonfmt.Formatter, key, elem, list string) {
		f.Array(key, func() {
			for n := range strings.SplitSeq(list, ",") {
				if v, err := strconv.Atoi(n); err == nil {
					f.Int(elem, int64(v))
				}
			}
		})
	}
	return c.Either(plain, func(f *jsonfmt.Formatter) {
		f.Array("osds", func() {
			for _, o := range osds {
				f.Object("osd", func() {
					f.Int("osd", int64(o))
					f.Str("host", s.meta[o]["hostname"])
					for _, k := range []string{"network_numa_node", "objectstore_numa_node", "numa_node"} {
						if v, err := strconv.Atoi(s.meta[o][k]); err == nil {
							f.Int(k, int64(v))
						}
					}
					for _, k := range []string{"network_numa_nodes", "objectstore_numa_nodes"} {
						if v, ok := s.meta[o][k]; ok {
							ints(f, k, "node", v)
						}
					}
					if v, ok := s.meta[o]["numa_node_cpus"]; ok {
						ints(f, "numa_node_cpus", "cpu", v)
					}
				})
			}
		})
	})
}
