package pg

import (
	"fmt"
	"strings"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/scrub"
	"github.com/pulpo-storage/pulpo/wire"
)

// scrubFormat is what scrubs must know of how objects are written down.
type scrubFormat struct{}

func (scrubFormat) Info(raw []byte) (scrub.Info, error) {
	var i ObjectInfo
	if err := wire.Unmarshal(raw, &i); err != nil {
		return scrub.Info{}, err
	}
	return scrub.Info{Version: i.Version, UserVersion: i.UserVersion, Size: i.Size, Whiteout: i.Flags&ObjectWhiteout != 0,
		Omap: i.Flags&ObjectOmap != 0, Text: i.text()}, nil
}

func (scrubFormat) SnapSet(raw []byte) (s scrub.SnapSet, err error) {
	var ss SnapSet
	if err := wire.Unmarshal(raw, &ss); err != nil {
		return s, err
	}
	s.Seq = ss.Seq
	for i := range ss.Clones {
		c := &ss.Clones[i]
		s.Clones = append(s.Clones, scrub.Clone{ID: c.ID, Size: c.Size, Alone: c.bytes()})
	}
	return s, nil
}

// ForClients translates the attributes of an object. One that cannot be read
// stays as it is: it is the damage that somebody looks for.
func (f scrubFormat) ForClients(id object.ID, attrs map[string][]byte) map[string][]byte {
	out := make(map[string][]byte, len(attrs))
	for name, v := range attrs {
		switch name {
		case attrInfo:
			var i ObjectInfo
			if wire.Unmarshal(v, &i) == nil {
				v = i.stock(id)
			}
			name = scrub.ClientInfo
		case attrSnaps:
			var ss SnapSet
			if wire.Unmarshal(v, &ss) == nil {
				v = ss.stock()
			}
			name = scrub.ClientSnaps
		}
		out[name] = v
	}
	if _, ok := out[scrub.ClientSnaps]; !ok && id.IsHead() && len(attrs) > 0 {
		// Of an object that no snapshot ever concerned there is none.
		out[scrub.ClientSnaps] = new(SnapSet).stock()
	}
	return out
}

var objectFlagNames = []struct {
	bit  ObjectFlags
	name string
}{{ObjectLost, "lost"}, {ObjectWhiteout, "whiteout"}, {objectDirty, "dirty"}, {ObjectOmap, "omap"}}

// objectDirty says in Ceph that a cache tier has not written the object back: of
// all objects of all other pools too.
const objectDirty ObjectFlags = 1 << 2

// text is the info as Ceph prints it, without the object's name.
func (i *ObjectInfo) text() string {
	var flags []string
	for _, f := range objectFlagNames {
		if (i.Flags|objectDirty)&f.bit != 0 {
			flags = append(flags, f.name)
		}
	}
	return fmt.Sprintf("(%v %v %s s %d uv %d alloc_hint [%d %d %d])", i.Version, i.LastReqID, strings.Join(flags, "|"), i.Size,
		i.UserVersion, i.ExpectedSize, i.ExpectedWrite, i.HintFlags)
}

// stock is the info as object_info_t. doc/protocol/osd.md#scrub
func (i *ObjectInfo) stock(id object.ID) []byte {
	var e wire.Encoder
	m := e.Begin(17, 8)
	id.Encode(&e)
	object.Locator{Pool: id.Pool, Key: id.Key, Namespace: id.Namespace, Hash: -1}.Encode(&e)
	e.U32(0) // category
	i.Version.Encode(&e)
	i.Prior.Encode(&e)
	i.LastReqID.Encode(&e)
	e.U64(i.Size)
	e.Time(i.MTime)
	if id.IsHead() {
		object.ReqID{}.Encode(&e) // held a lock once
	} else {
		e.U32(0) // snapshots, which the head knows
	}
	e.U64(uint64(i.TruncateSeq))
	e.U64(i.TruncateSize)
	e.Bool(i.Flags&ObjectLost != 0)
	e.U32(0) // watchers as they were once
	object.Version{Version: i.UserVersion}.Encode(&e)
	e.Bool(false) // has a temporary map
	e.U32(uint32(len(i.Watchers)))
	for k := range i.Watchers {
		w := &i.Watchers[k]
		e.U64(w.Cookie)
		w.Who.Encode(&e)
		n := e.Begin(4, 3)
		e.U64(w.Cookie)
		e.U32(w.Timeout)
		w.Addr.Encode(&e)
		e.End(n)
	}
	e.U32(uint32(i.Flags | objectDirty))
	e.Time(i.LocalMTime)
	e.U32(0xffffffff) // data digest, if a flag says so
	e.U32(0xffffffff) // and that of the omap
	e.U64(i.ExpectedSize)
	e.U64(i.ExpectedWrite)
	e.U32(i.HintFlags)
	e.End(m)
	return e.Bytes()
}

// stock is the set as Ceph's SnapSet.
func (s *SnapSet) stock() []byte {
	var e wire.Encoder
	snap := func(n object.SnapID) { e.U64(uint64(n)) }
	each := func(f func(c *Clone)) {
		e.U32(uint32(len(s.Clones)))
		for i := range s.Clones {
			f(&s.Clones[i])
		}
	}
	m := e.Begin(3, 2)
	snap(s.Seq)
	e.Bool(true) // there is a head
	e.U32(0)     // snapshots: the clones have them
	each(func(c *Clone) { snap(c.ID) })
	each(func(c *Clone) { snap(c.ID); c.Overlap.Encode(&e) })
	each(func(c *Clone) { snap(c.ID); e.U64(c.Size) })
	each(func(c *Clone) { snap(c.ID); wire.EncodeSlice(&e, c.Snaps, snap) })
	e.End(m)
	return e.Bytes()
}

// groupOfHash is the group as Ceph names the place of an object in it: with all
// bits of the hash.
func groupOfHash(id object.ID) object.PG { return object.PG{Pool: id.Pool, Seed: id.Hash} }

// stateOf is the states that a scrub adds to the group's.
func (s *scrubber) stateOf() (state msg.PGState) {
	if s.run != nil {
		state |= msg.PGScrubbing
		if s.run.deep {
			state |= msg.PGDeepScrub
		}
		if s.run.repair && !s.run.auto {
			state |= msg.PGRepair
		}
	}
	if s.repairing {
		state |= msg.PGRepair
	}
	if s.record.Errors() > 0 {
		state |= msg.PGInconsistent
		if s.failed {
			state |= msg.PGFailedRepair
		}
	}
	return state
}
