package osd

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/admin"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/pg"
)

// Commands on one group: "ceph pg 1.2 query" and "ceph tell 1.2 query".

func groupCommands(t *admin.Table[func(c *call)]) {
	for _, cmd := range []struct {
		name, args, help string
		do               func(c *call)
	}{
		{"query", "", "show details of a specific pg", (*call).pgQuery},
		{"list_unfound", " name=offset,type=CephString,req=false",
			"list unfound objects on this pg, perhaps starting at an offset given in JSON", (*call).listUnfound},
		{"mark_unfound_lost", " name=mulcmd,type=CephChoices,strings=revert|delete",
			"mark all unfound objects in this pg as lost, either removing or reverting to a prior version if one is available", (*call).markUnfoundLost},
		{"scrub", " name=time,type=CephInt,req=false", "Trigger a scheduled scrub ", func(c *call) { c.scrubGroup(false) }},
		{"deep_scrub", " name=time,type=CephInt,req=false", "Trigger a scheduled deep scrub ", func(c *call) { c.scrubGroup(true) }},
	} {
		pgid := " name=pgid,type=CephPgid,req=false"
		if cmd.name == "query" {
			pgid = "" // sic
		}
		t.Add(cmd.name+pgid+cmd.args, cmd.help, cmd.do)
		t.Add("pg name=pgid,type=CephPgid name=cmd,type=CephChoices,strings="+cmd.name+cmd.args, "", cmd.do)
	}
}

// group asks about the group that the command names.
func (c *call) group(q Ask, then func(a Answer)) {
	if !c.args.Has("pgid") {
		c.fail(errno.EINVAL, "no pgid specified")
		return
	}
	id, err := object.ParsePG(c.args.Str("pgid"))
	if err != nil {
		c.fail(errno.EINVAL, "couldn't parse pgid '"+c.args.Str("pgid")+"'")
		return
	}
	q.PG = object.SPG{PG: id, Shard: object.NoShard}
	c.o.askOne(ShardOf(id, c.o.cfg.Shards), q, func(now time.Time, a Answer) {
		if a.PG == nil {
			c.fail(errno.ENOENT, fmt.Sprintf("i don't have pgid %v", id))
			return
		}
		then(a)
	})
}

func (c *call) pgQuery() {
	c.group(Ask{About: AboutPG}, func(a Answer) { c.object(a.PG.Dump) })
}

// listOffset is where a list is to go on, an object's id (hobject_t).
type listOffset struct {
	OID       string `json:"oid"`
	Key       string `json:"key"`
	Snap      int64  `json:"snapid"`
	Hash      uint32 `json:"hash"`
	Max       int64  `json:"max"`
	Pool      int64  `json:"pool"`
	Namespace string `json:"namespace"`
}

// jsonTypes are the numbers that Ceph's parser has for types.
var jsonTypes = map[string]int{"object": 0, "array": 1, "string": 2, "bool": 3, "number": 4}

// listUnfound lists the objects of which no replica is known.
func (c *call) listUnfound() {
	var from *listOffset
	c.group(Ask{About: AboutPG}, func(a Answer) {
		q := a.PG
		if text := c.args.Str("offset"); text != "" {
			from = &listOffset{}
			var wrong *json.UnmarshalTypeError
			if err := json.Unmarshal([]byte(text), from); errors.As(err, &wrong) && wrong.Field == "" {
				c.fail(errno.EINVAL, fmt.Sprintf("error parsing offset: value type is %d not 0", jsonTypes[wrong.Value]))
				return
			} else if err != nil {
				c.fail(errno.EINVAL, "error parsing offset: "+err.Error())
				return
			}
		}
		c.object(func(f *jsonfmt.Formatter) {
			if from != nil {
				f.Object("offset", func() {
					from.dump(f)
				})
			}
			f.Int("num_missing", int64(q.Missing))
			f.Int("num_unfound", int64(len(q.Unfound)))
			list := q.Unfound
			if from != nil {
				list = list[slices.IndexFunc(append(list, pg.Unfound{ID: object.MaxID}), func(u pg.Unfound) bool { return u.ID.Compare(from.id()) >= 0 }):]
			}
			more := len(list) > listMost
			f.Array("objects", func() {
				for _, u := range list[:min(len(list), listMost)] {
					dumpUnfound(f, &u)
				}
			})
			state := "Active"
			if !q.Active {
				state = "Peering"
			}
			f.Str("state", state)
			f.Bool("available_might_have_unfound", true)
			q.DumpMightHave(f)
			f.Bool("more", more)
		})
	})
}

// listMost is the length of a list (osd_command_max_records).
const listMost = 256

func (o *listOffset) dump(f *jsonfmt.Formatter) {
	f.Str("oid", o.OID)
	f.Str("key", o.Key)
	f.Int("snapid", o.Snap)
	f.Uint("hash", uint64(o.Hash))
	f.Int("max", o.Max)
	f.Int("pool", o.Pool)
	f.Str("namespace", o.Namespace)
}

func (o *listOffset) id() object.ID {
	return object.ID{Pool: o.Pool, Hash: o.Hash, Namespace: o.Namespace, Key: o.Key, Name: o.OID, Snap: object.SnapID(o.Snap), Max: o.Max != 0}
}

func dumpUnfound(f *jsonfmt.Formatter, u *pg.Unfound) {
	id := u.ID
	f.Object("", func() {
		f.Object("oid", func() {
			(&listOffset{OID: id.Name, Key: id.Key, Snap: int64(id.Snap), Hash: id.Hash, Pool: id.Pool, Namespace: id.Namespace}).dump(f)
		})
		f.Stringer("need", u.Need)
		f.Stringer("have", u.Have)
		f.Str("flags", "none")
		f.Array("locations", func() {})
	})
}

// markUnfoundLost gives up on such objects.
func (c *call) markUnfoundLost() {
	c.group(Ask{About: AboutLost, Revert: c.args.Str("mulcmd") == "revert"}, func(a Answer) {
		switch {
		case a.Refusal != nil:
			c.fail(a.Refusal.Errno, a.Refusal.Words)
		case a.Lost == 0:
			c.say("pg has no unfound objects")
		default:
			c.say(fmt.Sprintf("pg has %d objects unfound and apparently lost marking", a.Lost))
		}
	})
}

// say answers with a sentence.
func (c *call) say(words string) {
	c.o.ready.Replies = append(c.o.ready.Replies, CommandReply{ID: c.id, Status: words})
}
