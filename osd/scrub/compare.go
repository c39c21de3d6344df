package scrub

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// Copy is an OSD's map of the chunk.
type Copy struct {
	OSD int32
	Map *Map
}

// Fix is an object that can be repaired: what the OSDs in From have is right and
// all the same, what those in To have is to be replaced by it.
type Fix struct {
	Object   object.ID
	From, To []int32 // ascending; the first of From is the one to prefer
	Version  object.Version
	// Certain: each of To is wrong for itself, or most copies agree.
	Certain bool
}

// Comparison is what comparing the maps of a chunk gave.
type Comparison struct {
	Right        Map // of each object the copy to go by
	Bad          []BadObject
	Fixes        []Fix // by object
	Missing      int   // objects with copies that are missing
	Inconsistent int   // objects with copies that are wrong
	Shallow      int   // errors
	Deep         int
	Lines        []string // for the cluster's log
}

// BadObject is an object that was found inconsistent (librados
// inconsistent_obj_t).
type BadObject struct {
	ID      object.ID
	Version uint64 // that clients see
	Errors  ObjectErrors
	Shards  []BadShard // by OSD; all copies are there, also good ones
	Union   ShardErrors
}

// BadShard is one copy of it (shard_info_t).
type BadShard struct {
	OSD        int32
	Primary    bool
	Selected   bool // its info is that the others are measured by
	Errors     ShardErrors
	Size       uint64
	Attrs      map[string][]byte // as Ceph would have them
	Data, Omap Digest
}

// copyOf is a copy under judgement.
type copyOf struct {
	osd    int32
	obj    *Object // nil: it is missing
	info   Info
	errors ShardErrors
	words  []string // what is said of it
}

// Compare compares the copies of a chunk (be_compare_scrubmaps). The copy of the
// primary comes first.
func Compare(pg object.SPG, copies []Copy, f Format) *Comparison {
	c := &Comparison{}
	ids := map[object.ID]bool{}
	for _, k := range copies {
		for i := range k.Map.Objects {
			ids[k.Map.Objects[i].ID] = true
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(ids), object.ID.Compare) {
		c.compare(pg, id, copies, f)
	}
	for _, k := range copies {
		if k.Map.Unlistable && len(ids) == 0 {
			// Nothing to hang the error on.
			c.Shallow++
			c.Lines = append(c.Lines, fmt.Sprintf("%v shard %d : objects cannot be listed", pg, k.OSD))
		}
	}
	return c
}

func (c *Comparison) compare(pg object.SPG, id object.ID, copies []Copy, f Format) {
	judged := make([]*copyOf, len(copies))
	for i, k := range copies {
		j := &copyOf{osd: k.OSD, obj: k.Map.Find(id)}
		if j.obj == nil && k.Map.Unlistable {
			j.obj = &Object{ID: id, StatError: true}
		}
		judged[i] = j
		if j.obj == nil {
			j.errors = ShardMissing
			continue
		}
		j.judge(f)
		if len(j.words) > 0 {
			c.Lines = append(c.Lines, fmt.Sprintf("%v shard %d soid %v : %s", pg, k.OSD, id, strings.Join(j.words, ", ")))
		}
	}
	bad := BadObject{ID: id}
	right := selectRight(judged)
	if right == nil {
		c.Lines = append(c.Lines, fmt.Sprintf("%v soid %v : failed to pick suitable object info", pg, id))
		for _, j := range judged {
			c.count(j.errors)
		}
		bad.add(judged, nil, f)
		c.Bad = append(c.Bad, bad)
		if judged[0].obj != nil {
			c.Right.Objects = append(c.Right.Objects, *judged[0].obj)
		}
		return
	}
	c.Right.Objects = append(c.Right.Objects, *right.obj)
	bad.Version = right.info.UserVersion
	fix := Fix{Object: id, Version: right.info.Version}
	missing, wrong, outvoted := 0, 0, 0
	for _, j := range byOSD(judged) {
		if j.obj == nil {
			c.Lines = append(c.Lines, fmt.Sprintf("%v shard %d %v : missing", pg, j.osd, id))
			c.count(j.errors)
			missing++
			fix.To = append(fix.To, j.osd)
			continue
		}
		different, words := j.differs(right)
		bad.Errors |= different
		said := strings.Join(words, ", ")
		switch {
		case j.errors != 0:
			c.count(j.errors)
			if len(words) > 0 {
				c.Lines = append(c.Lines, fmt.Sprintf("%v shard %d soid %v : %s", pg, j.osd, id, said))
			}
			wrong++
			fix.To = append(fix.To, j.osd)
		case different != 0:
			c.Lines = append(c.Lines, fmt.Sprintf("%v soid %v : %s", pg, id, said))
			outvoted++
			fix.To = append(fix.To, j.osd)
		default:
			fix.From = append(fix.From, j.osd)
		}
	}
	if missing > 0 {
		c.Missing++
	}
	if wrong+outvoted > 0 {
		c.Inconsistent++
	}
	switch {
	case bad.Errors&deepObject != 0:
		c.Deep++
	case bad.Errors != 0:
		c.Shallow++
	}
	if len(fix.To) == 0 {
		return
	}
	most := 2*len(fix.From) > len(judged)
	fix.Certain = most || outvoted == 0 && 2*missing <= len(judged)
	slices.SortStableFunc(fix.From, func(a, b int32) int {
		return cmp.Compare(b2i(a != right.osd), b2i(b != right.osd))
	})
	c.Fixes = append(c.Fixes, fix)
	bad.add(judged, right, f)
	c.Bad = append(c.Bad, bad)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// count counts the errors of one copy as one.
func (c *Comparison) count(e ShardErrors) {
	if e&deepShard != 0 {
		c.Deep++
	} else if e != 0 {
		c.Shallow++
	}
}

func byOSD(judged []*copyOf) []*copyOf {
	return slices.SortedFunc(slices.Values(judged), func(a, b *copyOf) int { return cmp.Compare(a.osd, b.osd) })
}

// judge looks at a copy for itself.
func (j *copyOf) judge(f Format) {
	found := func(e ShardErrors, format string, args ...any) {
		j.errors |= e
		j.words = append(j.words, fmt.Sprintf(format, args...))
	}
	o := j.obj
	if o.ReadError {
		found(ShardReadError, "candidate had a read error")
	}
	if o.StatError {
		found(ShardStatError, "candidate had a stat error")
		return
	}
	if raw, ok := o.Attrs[AttrSnaps]; ok && o.ID.IsHead() {
		if _, err := f.SnapSet(raw); err != nil {
			found(ShardSnapSetCorrupted, "candidate had a corrupt snapset")
		}
	}
	raw, ok := o.Attrs[AttrInfo]
	if !ok {
		found(ShardInfoMissing, "candidate had a missing info key")
		return
	}
	var err error
	if j.info, err = f.Info(raw); err != nil {
		found(ShardInfoCorrupted, "candidate had a corrupt info")
		return
	}
	if o.Size != j.info.Size {
		found(ShardObjSizeInfo, "candidate size %d info size %d mismatch", o.Size, j.info.Size)
	}
}

// selectRight chooses the copy to go by (be_select_auth_object): of those that
// nothing is wrong with, and that have the newest version, one that agrees with
// the most others; the first of these, which is the primary's if it is among them.
//
// An object that no snapshot concerned has no set of clones; but what one copy of a
// version has, another has lost.
func selectRight(judged []*copyOf) *copyOf {
	var sound []*copyOf
	newest, hasSet := object.Version{}, map[object.Version]bool{}
	for _, j := range judged {
		if j.errors == 0 {
			sound = append(sound, j)
			if j.info.Version.Compare(newest) > 0 {
				newest = j.info.Version
			}
			if _, ok := j.obj.Attrs[AttrSnaps]; ok {
				hasSet[j.info.Version] = true
			}
		}
	}
	sound = slices.DeleteFunc(sound, func(j *copyOf) bool {
		_, ok := j.obj.Attrs[AttrSnaps]
		lost := !ok && j.obj.ID.IsHead() && hasSet[j.info.Version]
		if lost {
			j.errors |= ShardSnapSetMissing
		}
		return lost
	})
	var best *copyOf
	votes := 0
	for _, j := range sound {
		if j.info.Version != newest {
			continue
		}
		n := 0
		for _, k := range sound {
			if j.obj.same(k.obj) {
				n++
			}
		}
		if n > votes {
			best, votes = j, n
		}
	}
	return best
}

// same reports whether two copies are the same as far as the scrub has looked.
func (o *Object) same(p *Object) bool {
	return o.Size == p.Size && o.Data == p.Data && o.Omap == p.Omap && maps.EqualFunc(o.Attrs, p.Attrs, bytes.Equal)
}

// differs compares a copy with the right one (be_compare_scrub_objects).
func (j *copyOf) differs(right *copyOf) (found ObjectErrors, words []string) {
	a, b := right.obj, j.obj
	say := func(e ObjectErrors, format string, args ...any) {
		found |= e
		words = append(words, fmt.Sprintf(format, args...))
	}
	if a.Data.Known && b.Data.Known && a.Data != b.Data {
		say(ObjectDataDigest, "data_digest 0x%x != data_digest 0x%x from shard %d", b.Data.CRC, a.Data.CRC, right.osd)
	}
	if a.Omap.Known && b.Omap.Known && a.Omap != b.Omap {
		say(ObjectOmapDigest, "omap_digest 0x%x != omap_digest 0x%x from shard %d", b.Omap.CRC, a.Omap.CRC, right.osd)
	}
	if b.StatError {
		return found, words
	}
	if j.errors&(ShardInfoMissing|ShardInfoCorrupted) == 0 && !bytes.Equal(a.Attrs[AttrInfo], b.Attrs[AttrInfo]) {
		say(ObjectInfoInconsistency, "object info inconsistent ")
	}
	if b.ID.IsHead() && j.errors&ShardSnapSetCorrupted == 0 {
		x, had := a.Attrs[AttrSnaps]
		y, has := b.Attrs[AttrSnaps]
		switch {
		case had && !has:
			j.errors |= ShardSnapSetMissing // a copy of an older version
			words = append(words, "candidate had a missing snapset key")
		case !bytes.Equal(x, y):
			say(ObjectSnapSetInconsistency, "snapset inconsistent ")
		}
	}
	if b.Size != right.info.Size {
		j.errors |= ShardSizeInfo
		words = append(words, fmt.Sprintf("size %d != size %d from auth oi %s", b.Size, right.info.Size, right.info.Text))
	}
	if a.Size != b.Size {
		say(ObjectSize, "size %d != size %d from shard %d", b.Size, a.Size, right.osd)
	}
	for _, name := range slices.Sorted(maps.Keys(a.Attrs)) {
		if !strings.HasPrefix(name, "_") {
			continue
		}
		if v, ok := b.Attrs[name]; !ok {
			say(ObjectAttrName, "attr name mismatch '%s'", name)
		} else if !bytes.Equal(v, a.Attrs[name]) {
			say(ObjectAttrValue, "attr value mismatch '%s'", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Attrs)) {
		if _, ok := a.Attrs[name]; !ok && strings.HasPrefix(name, "_") {
			say(ObjectAttrName, "attr name mismatch '%s'", name)
		}
	}
	return found, words
}

// add notes all copies.
func (b *BadObject) add(judged []*copyOf, right *copyOf, f Format) {
	for _, j := range judged {
		b.Union |= j.errors
	}
	for i, j := range judged {
		s := BadShard{OSD: j.osd, Primary: i == 0, Selected: j == right, Errors: j.errors}
		if j.obj != nil {
			s.Size, s.Data, s.Omap = j.obj.Size, j.obj.Data, j.obj.Omap
			s.Attrs = f.ForClients(b.ID, j.obj.Attrs)
			s.Errors |= b.unsaid(&s)
		}
		b.Shards = append(b.Shards, s)
	}
	slices.SortFunc(b.Shards, func(x, y BadShard) int { return cmp.Compare(x.OSD, y.OSD) })
}

// unsaid is what must be said besides of a copy whose attributes cannot be read:
// "rados list-inconsistent-obj" shows the info of each copy if it is wrong in any,
// and the set of clones likewise, and ends itself if one is neither there nor said
// to be missing (dump_shard).
func (b *BadObject) unsaid(s *BadShard) (e ShardErrors) {
	infos := b.Union&(ShardInfoMissing|ShardInfoCorrupted) != 0 || b.Errors&ObjectInfoInconsistency != 0
	if _, ok := s.Attrs[ClientInfo]; !ok && infos {
		e |= ShardInfoMissing
	}
	sets := b.Union&(ShardSnapSetMissing|ShardSnapSetCorrupted) != 0 || b.Errors&ObjectSnapSetInconsistency != 0
	if _, ok := s.Attrs[ClientSnaps]; !ok && sets {
		e |= ShardSnapSetMissing
	}
	return e
}

// Encode writes the object as librados reads it.
func (b *BadObject) Encode(e *wire.Encoder) {
	m := e.Begin(2, 2)
	e.U64(uint64(b.Errors))
	encodeName(e, b.ID)
	e.U64(b.Version)
	e.U32(uint32(len(b.Shards)))
	for i := range b.Shards {
		s := &b.Shards[i]
		k := e.Begin(1, 1)
		e.S32(s.OSD)
		e.S8(object.NoShard)
		e.End(k)
		s.encode(e)
	}
	e.U64(uint64(b.Union))
	e.End(m)
}

func (s *BadShard) encode(e *wire.Encoder) {
	m := e.Begin(3, 3)
	e.U64(uint64(s.Errors))
	e.Bool(s.Primary)
	if s.Errors&ShardMissing == 0 {
		wire.EncodeMap(e, s.Attrs, func(k string, v []byte) { e.Str(k); e.Blob(v) })
		e.U64(s.Size)
		e.Bool(s.Omap.Known)
		e.U32(s.Omap.CRC)
		e.Bool(s.Data.Known)
		e.U32(s.Data.CRC)
		e.Bool(s.Selected)
	}
	e.End(m)
}

// encodeName writes an object's name as librados has it (object_id_t).
func encodeName(e *wire.Encoder, id object.ID) {
	m := e.Begin(1, 1)
	e.Str(id.Name)
	e.Str(id.Namespace)
	e.Str(id.Key)
	e.U64(uint64(id.Snap))
	e.End(m)
}
