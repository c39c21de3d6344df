package mon

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service"
)

// DefaultVersion is what daemons say they are where nothing better is known.
// Tools read release and number out of it.
const DefaultVersion = "ceph version 16.2.15-pulpo (0000000000000000000000000000000000000000) pacific (stable)"

// ShortVersion is the number in a version string: "16.2.15-pulpo".
func ShortVersion(v string) string {
	rest := strings.TrimPrefix(v, "ceph version ")
	number, _, _ := strings.Cut(rest, " ")
	return number
}

const versionKey = "ceph_version"

// inventoryCommands registers what is asked of all daemons, or of all of a type.
func (m *Mon) inventoryCommands(t *command.Table) {
	for _, typ := range []entity.Type{entity.Mon, entity.Mgr, entity.MDS} {
		arg := map[entity.Type]string{entity.Mon: "id", entity.Mgr: "who", entity.MDS: "who"}[typ]
		t.Read(typ.String()+" metadata", func(c *command.Call) command.Reply { return m.daemonMetadata(c, typ, arg) })
		t.Read(typ.String()+" versions", func(c *command.Call) command.Reply { return m.count(c, typ, versionKey) })
		t.Read(typ.String()+" count-metadata", func(c *command.Call) command.Reply { return m.count(c, typ, c.Str("property")) })
	}
	t.Read("versions", m.versions)
	t.Read("node ls", m.nodeLs)
	t.Read("features", m.features)
	t.Find("features").Leader = true // it has the sessions of the peons that asked for something
}

func (m *Mon) daemonMetadata(c *command.Call, typ entity.Type, arg string) command.Reply {
	all := m.parts.daemons(typ)
	who := c.Str(arg)
	if who == "" {
		return c.Dump(func(f *jsonfmt.Formatter) {
			f.Array(typ.String()+"_metadata", func() {
				for _, d := range all {
					f.Object(typ.String(), func() { dumpDaemon(f, d) })
				}
			})
		}).LineIf(typ == entity.Mon)
	}
	i := slices.IndexFunc(all, func(d service.Daemon) bool { return d.ID == who })
	if i < 0 {
		if typ == entity.Mon {
			return command.Fail(errno.ENOENT, "requested mon not found")
		}
		return command.Fail(errno.ENOENT, "%v.%s does not exist", typ, who)
	}
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object(typ.String()+"_metadata", func() {
			if typ == entity.Mon {
				dumpMetadata(f, all[i]) // of which alone Ceph leaves out the name, when asked for one
			} else {
				dumpDaemon(f, all[i])
			}
		})
	})
}

func dumpDaemon(f *jsonfmt.Formatter, d service.Daemon) {
	f.Str("name", d.ID)
	dumpMetadata(f, d)
}

func dumpMetadata(f *jsonfmt.Formatter, d service.Daemon) {
	for _, k := range slices.Sorted(maps.Keys(d.Metadata)) {
		f.Str(k, d.Metadata[k])
	}
}

// tally counts daemons by a property.
func tally(all []service.Daemon, property string) map[string]int {
	n := map[string]int{}
	for _, d := range all {
		v := d.Metadata[property]
		if v == "" {
			v = "unknown"
		}
		n[v]++
	}
	return n
}

func dumpTally(f *jsonfmt.Formatter, n map[string]int) {
	for _, v := range slices.Sorted(maps.Keys(n)) {
		f.Int(v, int64(n[v]))
	}
}

func (m *Mon) count(c *command.Call, typ entity.Type, property string) command.Reply {
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("count", func() { dumpTally(f, tally(m.parts.daemons(typ), property)) })
	}).LineIf(typ == entity.Mon)
}

var daemonTypes = []entity.Type{entity.Mon, entity.Mgr, entity.OSD, entity.MDS}

func (m *Mon) versions(c *command.Call) command.Reply {
	overall := map[string]int{}
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("version", func() {
			for _, typ := range daemonTypes {
				n := tally(m.parts.daemons(typ), versionKey)
				for v, k := range n {
					overall[v] += k
				}
				f.Object(typ.String(), func() { dumpTally(f, n) })
			}
			f.Object("overall", func() { dumpTally(f, overall) })
		})
	})
}

func (m *Mon) nodeLs(c *command.Call) command.Reply {
	dump := func(f *jsonfmt.Formatter, name string, typ entity.Type) {
		hosts := map[string][]string{}
		for _, d := range m.parts.daemons(typ) {
			h := d.Metadata["hostname"]
			hosts[h] = append(hosts[h], d.ID)
		}
		f.Object(name, func() {
			for _, h := range slices.Sorted(maps.Keys(hosts)) {
				f.Array(h, func() {
					for _, id := range hosts[h] {
						if _, err := strconv.Atoi(id); err == nil && typ == entity.OSD {
							f.Raw(name, id)
						} else {
							f.Str(name, id)
						}
					}
				})
			}
		})
	}
	which := c.StrOr("type", "all")
	if which != "all" {
		typ, ok := entity.ParseType(which)
		if !ok || !slices.Contains(daemonTypes, typ) {
			return command.Reply{}
		}
		return c.Dump(func(f *jsonfmt.Formatter) { dump(f, "", typ) }).Line()
	}
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("nodes", func() {
			for _, typ := range []entity.Type{entity.Mon, entity.OSD, entity.MDS, entity.Mgr} {
				if typ != entity.MDS || len(m.parts.daemons(typ)) > 0 {
					dump(f, typ.String(), typ)
				}
			}
		})
	}).Line()
}

func (m *Mon) features(c *command.Call) command.Reply {
	count := map[entity.Type]map[uint64]int{entity.Mon: {m.Features(): len(m.Quorum().Names)}}
	for s := range m.Sessions() {
		if s.Mgr || s.Name.Type == entity.Mon {
			continue
		}
		if count[s.Name.Type] == nil {
			count[s.Name.Type] = map[uint64]int{}
		}
		count[s.Name.Type][s.Features]++
	}
	if m.parts.mgr.Map().Available {
		count[entity.Mgr] = map[uint64]int{m.parts.mgr.Map().ActiveFeatures: 1}
	}
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("features", func() {
			for _, typ := range []entity.Type{entity.Mon, entity.MDS, entity.OSD, entity.Client, entity.Mgr} {
				if len(count[typ]) == 0 {
					continue
				}
				f.Array(typ.String(), func() {
					for _, bits := range slices.Sorted(maps.Keys(count[typ])) {
						f.Object("group", func() {
							f.Str("features", fmt.Sprintf("0x%x", bits))
							f.Stringer("release", entity.ReleaseOf(bits))
							f.Int("num", int64(count[typ][bits]))
						})
					}
				})
			}
		})
	})
}
