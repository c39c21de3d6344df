package pg

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// snapc is a snapshot context: the newest first, which is also its sequence.
func snapc(snaps ...object.SnapID) object.SnapContext {
	if len(snaps) == 0 {
		return object.SnapContext{}
	}
	return object.SnapContext{Seq: snaps[0], Snaps: snaps}
}

// doAs runs operations with a snapshot context.
func (w *world) doAs(name string, sc object.SnapContext, ops ...msg.Op) *msg.OSDOpReply {
	w.t.Helper()
	r := w.request(name, 0, 0, ops...)
	r.Op.SnapContext = sc
	return w.send(r)
}

// doAt runs operations at a snapshot.
func (w *world) doAt(name string, snap object.SnapID, ops ...msg.Op) *msg.OSDOpReply {
	w.t.Helper()
	r := w.request(name, 0, 0, ops...)
	r.Op.SnapID = snap
	return w.send(r)
}

// readAt is what an object had at a snapshot, or the error.
func (w *world) readAt(name string, snap object.SnapID) string {
	w.t.Helper()
	r := w.doAt(name, snap, opRead(0, 0))
	if r.Result < 0 {
		return errno.Error(r.Result).Error()
	}
	return string(r.Ops[0].Out.Bytes())
}

func opRollback(snap object.SnapID) msg.Op {
	o := msg.Op{Code: msg.OpRollback}
	o.PutU64(0, uint64(snap))
	return o
}

// listSnaps is what list-snaps tells: clone[snaps]size overlap, and the head.
func (w *world) listSnaps(name string) string {
	w.t.Helper()
	r := w.doAt(name, object.SnapDir, msg.Op{Code: msg.OpListSnaps})
	if r.Result < 0 {
		return errno.Error(r.Result).Error()
	}
	ss := decodeListSnaps(w.t, r.Ops[0].Out.Bytes())
	var out []string
	for _, c := range ss.Clones {
		if c.ID == object.NoSnap {
			out = append(out, fmt.Sprintf("head %d", c.Size))
		} else {
			slices.Reverse(c.Snaps)
			out = append(out, fmt.Sprintf("%d%v %d %v", c.ID, c.Snaps, c.Size, c.Overlap))
		}
	}
	return strings.Join(append(out, fmt.Sprintf("seq %d", ss.Seq)), ", ")
}

// decodeListSnaps reads obj_list_snap_response_t; the head is a clone of it.
func decodeListSnaps(t testing.TB, b []byte) (ss SnapSet) {
	t.Helper()
	d := wire.NewDecoder(b)
	env := d.Begin("obj_list_snap_response_t", 2)
	ss.Clones = wire.DecodeSlice(d, 6, func() (c Clone) {
		env := d.Begin("clone_info", 1)
		c.ID = object.SnapID(d.U64())
		c.Snaps = wire.DecodeSlice(d, 8, func() object.SnapID { return object.SnapID(d.U64()) })
		slices.Reverse(c.Snaps)
		c.Overlap.Decode(d)
		c.Size = d.U64()
		d.End(env)
		return c
	})
	ss.Seq = object.SnapID(d.U64())
	d.End(env)
	if err := d.Finish(); err != nil {
		t.Fatal(err)
	}
	return ss
}

func (w *world) wantSnaps(name, want string) {
	w.t.Helper()
	if got := w.listSnaps(name); got != want {
		w.t.Errorf("list-snaps of %s:\n%s\nwant\n%s", name, got, want)
	}
}

// wantStats compares objects, clones, whiteouts and bytes with the group's, and
// all of them with what the store holds.
func (w *world) wantStats(objects, clones, whiteouts, bytes int64) {
	w.t.Helper()
	s := w.pg.info.Stats
	if s.Objects != objects || s.Clones != clones || s.Whiteouts != whiteouts || s.Bytes != bytes {
		w.t.Errorf("%d objects, %d clones, %d whiteouts, %d bytes; want %d, %d, %d, %d", s.Objects, s.Clones, s.Whiteouts, s.Bytes,
			objects, clones, whiteouts, bytes)
	}
	w.audit(w.t)
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

// audit walks through the store and compares it with the group's figures, the
// index of clones and the snapshots of heads, as a scrub would.
func (w *world) audit(t fataler) {
	t.Helper()
	var got Stats
	var index []string
	ids, next, err := w.store.List(w.pg.coll, object.MinID, 1<<20)
	if err != nil || !next.Max {
		t.Fatalf("listing: %v, %v", next, err)
	}
	attr := func(id object.ID, name string, v wire.Unmarshaler) error {
		raw, err := w.store.Attr(w.pg.coll, id, name)
		if err == nil {
			err = wire.Unmarshal(raw, v)
		}
		return err
	}
	clones := 0 // of the head that follows
	for _, id := range ids {
		if id.Name == "" {
			continue
		}
		var info ObjectInfo
		if err := attr(id, attrInfo, &info); err != nil {
			t.Fatalf("%v: %v", id, err)
		}
		st, err := w.store.Stat(w.pg.coll, id)
		if err != nil || st.Size != info.Size {
			t.Fatalf("%v has %d bytes, info says %d, %v", id, st.Size, info.Size, err)
		}
		got.Objects++
		if info.Flags&ObjectOmap != 0 {
			got.OmapObjects++
		}
		var ss SnapSet
		if err := attr(id.Head(), attrSnaps, &ss); err != nil && errno.Code(err) != -int32(errno.ENODATA) {
			t.Fatalf("%v: %v", id, err)
		}
		if !id.IsHead() {
			clones++
			got.Clones++
			c := ss.find(id.Snap)
			if c == nil || c.Size != info.Size {
				t.Fatalf("%v of %d bytes: its head says %+v", id, info.Size, ss)
			}
			got.Bytes += c.bytes()
			for _, s := range c.Snaps {
				index = append(index, snapKey(s, id))
			}
			if _, err := w.store.Attr(w.pg.coll, id, attrSnaps); err == nil {
				t.Fatalf("%v has snapshots of its own", id)
			}
			continue
		}
		got.Bytes += int64(info.Size)
		if info.Flags&ObjectWhiteout != 0 {
			got.Whiteouts++
		}
		if err := ss.check(info.Size); err != nil || len(ss.Clones) != clones {
			t.Fatalf("%v with %d clones: %+v, %v", id, clones, ss, err)
		}
		clones = 0
	}
	if clones != 0 {
		t.Fatalf("%d clones without a head", clones)
	}
	var keys []string
	if err := w.store.OmapScan(w.pg.coll, w.pg.meta, snapPrefix, func(k string, _ []byte) bool {
		if strings.HasPrefix(k, snapPrefix) {
			keys = append(keys, k)
		}
		return true
	}); err != nil {
		t.Fatalf("%v", err)
	}
	slices.Sort(index)
	if !slices.Equal(index, keys) {
		t.Fatalf("index of clones:\n%q\nthe clones are\n%q", keys, index)
	}
	have := w.pg.info.Stats
	have.Reads, have.ReadKB, have.Writes, have.WriteKB = 0, 0, 0, 0
	if have != got {
		t.Fatalf("figures are %+v, the store has %+v", have, got)
	}
}

// Each version of an object stays readable at the snapshots that were made of it.
func TestClones(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wantResult(t, w.do("o", opWriteFull("one-one-one")), 0)
	wantResult(t, w.doAs("o", snapc(2), opWrite(4, "TWO")), 0)
	wantResult(t, w.doAs("o", snapc(2), opWrite(8, "2")), 0) // the clone is there already
	wantResult(t, w.doAs("o", snapc(5, 4, 2), opWriteFull("five")), 0)
	for snap, want := range map[object.SnapID]string{
		1: "No such file or directory", 2: "one-one-one", 3: "No such file or directory", 4: "one-TWO-2ne", 5: "one-TWO-2ne",
		6: "five", object.NoSnap: "five",
	} {
		if got := w.readAt("o", snap); !strings.Contains(got, want) {
			t.Errorf("at %d: %q, want %q", snap, got, want)
		}
	}
	w.wantSnaps("o", "2[2] 11 [0~4,7~1,9~2], 5[4 5] 11 [], head 4, seq 5")
	w.wantStats(3, 2, 0, 4+11+4)

	// A client with an older context writes without a clone, unless it minds.
	wantResult(t, w.doAs("o", snapc(2), opWrite(0, "F")), 0)
	r := w.request("o", 0, msg.FlagOrderSnap, opWrite(0, "g"))
	r.Op.SnapContext = snapc(4, 2)
	wantResult(t, w.send(r), -85)
	if got := w.readAt("o", object.NoSnap); got != "Five" {
		t.Error(got)
	}

	// What a clone has beside bytes.
	wantResult(t, w.doAs("o", snapc(5, 4, 2), opSetXattr("a", "1"), opIn(msg.OpOmapSetVals, mapOf(map[string]string{"k": "v"}))), 0)
	wantResult(t, w.doAs("o", snapc(6, 5, 4, 2), opSetXattr("a", "2"), msg.Op{Code: msg.OpOmapClear}), 0)
	if r := w.doAt("o", 6, opGetXattr("a"), opIn(msg.OpOmapGetVals, encoded(func(e *wire.Encoder) { e.Str(""); e.U64(9); e.Str("") }))); r.Result != 0 ||
		string(r.Ops[0].Out.Bytes()) != "1" || string(r.Ops[1].Out.Bytes()) != mapOf(map[string]string{"k": "v"})+"\x00" {
		t.Errorf("%+v", r)
	}
	// Nothing of the bytes has changed.
	w.wantSnaps("o", "2[2] 11 [0~4,7~1,9~2], 5[4 5] 11 [], 6[6] 4 [0~4], head 4, seq 6")
	w.wantStats(4, 3, 0, 4+11+4)

	// All is as it was after a restart.
	w.restart(false)
	if got := w.readAt("o", 4); got != "one-TWO-2ne" {
		t.Error(got)
	}
	w.wantStats(4, 3, 0, 4+11+4)
}

// A deleted object stays as a whiteout while it has clones.
func TestWhiteout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wantResult(t, w.do("o", opWriteFull("first")), 0)
	wantResult(t, w.doAs("o", snapc(1), msg.Op{Code: msg.OpDelete}), 0)
	w.wantStats(2, 1, 1, 5)
	w.wantSnaps("o", "1[1] 5 [], seq 1")
	if got := w.readAt("o", 1); got != "first" {
		t.Error(got)
	}
	for _, ops := range [][]msg.Op{{opRead(0, 0)}, {{Code: msg.OpStat}}, {{Code: msg.OpDelete}}, {{Code: msg.OpStat}, opWriteFull("x")}} {
		wantResult(t, w.doAs("o", snapc(1), ops...), -int32(errno.ENOENT))
	}
	// Truncation does not bring it back; creating does, without a clone of nothing.
	trunc := msg.Op{Code: msg.OpTruncate}
	trunc.SetExtent(3, 0)
	wantResult(t, w.doAs("o", snapc(2, 1), trunc), 0)
	w.restart(false)
	w.wantStats(2, 1, 1, 5)
	wantResult(t, w.doAs("o", snapc(2, 1), msg.Op{Code: msg.OpCreate, Flags: msg.OpFlagExcl}, opWrite(0, "second")), 0)
	w.wantSnaps("o", "1[1] 5 [], head 6, seq 2")
	w.wantStats(2, 1, 0, 11)
	if got := w.readAt("o", 2); !strings.Contains(got, "No such file") {
		t.Error(got)
	}
	// Deleted and made again at once.
	wantResult(t, w.doAs("o", snapc(3, 2, 1), msg.Op{Code: msg.OpDelete}, opWriteFull("third")), 0)
	w.wantSnaps("o", "1[1] 5 [], 3[3] 6 [], head 5, seq 3")
	// Made and deleted at once, where there was nothing: nothing stays.
	wantResult(t, w.doAs("p", snapc(3, 2, 1), opWriteFull("third"), msg.Op{Code: msg.OpDelete}), 0)
	w.wantStats(3, 2, 0, 16)
	// What was made after the newest snapshot goes for good.
	wantResult(t, w.doAs("p", snapc(3, 2, 1), opWriteFull("x")), 0)
	wantResult(t, w.doAs("p", snapc(3, 2, 1), msg.Op{Code: msg.OpDelete}), 0)
	w.wantSnaps("p", errno.ENOENT.Error())
	w.wantStats(3, 2, 0, 16)
}

func TestRollback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wantResult(t, w.do("o", opWriteFull("aaaaaaaa"), opSetXattr("x", "1"), opIn(msg.OpOmapSetVals, mapOf(map[string]string{"k": "1"}))), 0)
	wantResult(t, w.doAs("o", snapc(1), opWrite(0, "bb"), opSetXattr("x", "2"), msg.Op{Code: msg.OpOmapClear}), 0)
	wantResult(t, w.doAs("o", snapc(2, 1), opWrite(4, "cc"), opWrite(8, "dddd")), 0)
	// Reads and writes of the same vector see what the rollback brought.
	r := w.request("o", 0, msg.FlagReturnVec, opRollback(1), opGetXattr("x"), opRead(0, 0), opWrite(7, "ZZ"), opRead(5, 0))
	r.Op.SnapContext = snapc(3, 2, 1)
	got := w.send(r)
	wantResult(t, got, 0)
	if x, all, tail := string(got.Ops[1].Out.Bytes()), string(got.Ops[2].Out.Bytes()), string(got.Ops[4].Out.Bytes()); x != "1" || all != "aaaaaaaa" || tail != "aaZZ" {
		t.Errorf("%q %q %q", x, all, tail)
	}
	for snap, want := range map[object.SnapID]string{1: "aaaaaaaa", 2: "bbaaaaaa", 3: "bbaaccaadddd", object.NoSnap: "aaaaaaaZZ"} {
		if got := w.readAt("o", snap); got != want {
			t.Errorf("at %d: %q, want %q", snap, got, want)
		}
	}
	w.wantSnaps("o", "1[1] 8 [2~6], 2[2] 8 [0~4,6~2], 3[3] 12 [2~2,6~1], head 9, seq 3")
	w.wantStats(4, 3, 0, 9+(12-3)+(8-6)+(8-6))
	if n := w.pg.info.Stats.OmapObjects; n != 2 {
		t.Errorf("%d objects with an omap", n)
	}
	// To the head: it is cloned, and stays.
	wantResult(t, w.doAs("o", snapc(4, 3, 2, 1), opRollback(9)), 0)
	w.wantSnaps("o", "1[1] 8 [2~6], 2[2] 8 [0~4,6~2], 3[3] 12 [2~2,6~1], 4[4] 9 [0~9], head 9, seq 4")
	// To when there was nothing; and back from there.
	wantResult(t, w.doAs("o", snapc(4, 3, 2, 1), opRollback(0)), 0)
	if got := w.readAt("o", object.NoSnap); !strings.Contains(got, "No such file") {
		t.Error(got)
	}
	w.wantStats(5, 4, 1, 9+(12-3)+(8-6)+(8-6))
	wantResult(t, w.doAs("o", snapc(4, 3, 2, 1), opRollback(2)), 0)
	if got := w.readAt("o", object.NoSnap); got != "bbaaaaaa" {
		t.Error(got)
	}
	w.wantStats(5, 4, 0, 8+9+(12-3)+(8-6)+(8-6))
	w.restart(false)
	wantResult(t, w.doAs("o", snapc(4, 3, 2, 1), opWrite(1, "!")), 0)
	w.wantStats(5, 4, 0, 8+9+(12-3)+(8-6)+(8-6))
	// Of what never was.
	wantResult(t, w.do("nothing", opRollback(1)), 0)
	w.wantStats(5, 4, 0, 8+9+(12-3)+(8-6)+(8-6))
}

// poolMap changes the pool in the next map.
func (w *world) poolMap(change func(m *osdmap.Map, p *osdmap.Pool)) {
	w.t.Helper()
	old := w.m
	w.m = testMap(w.t, func(m *osdmap.Map) {
		m.Epoch = old.Epoch + 1
		m.Pools[testPool] = old.Pools[testPool].Clone()
		m.RemovedSnapsQueue = old.RemovedSnapsQueue
		m.Flags, m.PGUpmap = old.Flags, old.PGUpmap
		change(m, m.Pools[testPool])
	})
	w.step(MapChange{Map: w.m})
}

// In a pool whose snapshots the monitors name, writes go by the pool's context.
func TestPoolSnapshots(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wantResult(t, w.do("o", opWriteFull("old")), 0)
	w.poolMap(func(_ *osdmap.Map, p *osdmap.Pool) {
		p.Flags |= osdmap.PoolFlagPoolSnaps
		p.SnapSeq = 3
		p.Snaps = map[object.SnapID]osdmap.PoolSnap{1: {ID: 1, Name: "a"}, 3: {ID: 3, Name: "b"}}
	})
	// Even if the client's is nonsense.
	wantResult(t, w.doAs("o", object.SnapContext{Seq: 1, Snaps: []object.SnapID{7}}, opWriteFull("new")), 0)
	w.wantSnaps("o", "3[1 3] 3 [], head 3, seq 3")
	// A client that insists has its own.
	r := w.request("o", 0, msg.FlagEnforceSnapc, opWriteFull("newer"))
	r.Op.SnapContext = snapc(5, 3, 1)
	wantResult(t, w.send(r), 0)
	w.wantSnaps("o", "3[1 3] 3 [], 5[5] 3 [], head 5, seq 5")
	// Removed, a snapshot is gone at once.
	w.poolMap(func(m *osdmap.Map, p *osdmap.Pool) {
		delete(p.Snaps, 1)
		p.SnapSeq = 6
		m.RemovedSnapsQueue = map[int64]osdmap.SnapSet{testPool: osdmap.NewSnapSet(1)}
	})
	if got := w.readAt("o", 1); !strings.Contains(got, "No such file") {
		t.Error(got)
	}
	if got := w.readAt("o", 3); got != "old" {
		t.Error(got)
	}
}

// A request that made a clone is answered again, not run again; one that the
// store refused has left nothing.
func TestCloneOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wantResult(t, w.do("o", opWriteFull("one")), 0)
	before := w.pg.info
	for i, want := range []int32{-int32(errno.ENOSPC), 0, 0} {
		if i == 0 {
			w.refuse = objstore.ErrNoSpace
		}
		r := w.request("o", 77, 0, opWriteFull("two"))
		r.Op.SnapContext = snapc(1)
		wantResult(t, w.send(r), want)
		if i == 0 {
			if w.pg.info.LastUpdate != before.LastUpdate || w.pg.info.Stats != before.Stats {
				t.Errorf("info %+v after a refusal, was %+v", w.pg.info, before)
			}
			w.wantSnaps("o", "head 3, seq 0")
			continue
		}
		if got, want := w.pg.info.LastUpdate.Version, before.LastUpdate.Version+2; got != want {
			t.Errorf("version %d, want %d", got, want)
		}
	}
	w.wantSnaps("o", "1[1] 3 [], head 3, seq 1")
	w.wantStats(2, 1, 0, 6)
	n := len(w.pg.log.Entries)
	if c, m := w.pg.log.Entries[n-2], w.pg.log.Entries[n-1]; c.Kind != EntryClone || c.Object.Snap != 1 || m.Kind != EntryModify || !m.Object.IsHead() {
		t.Errorf("%+v, %+v", c, m)
	}
}

// What was read at a snapshot is told once the clone is durable.
func TestCloneDurableBeforeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wantResult(t, w.do("o", opWriteFull("one")), 0)
	w.manual = true
	w.doAs("o", snapc(1), opWriteFull("two"))
	if r := w.doAt("o", 1, opRead(0, 0)); r != nil {
		t.Fatalf("told of a clone that can be lost: %+v", r)
	}
	tid := w.tid
	w.commit(1)
	if r := w.replies[tid]; r == nil || string(r.Ops[0].Out.Bytes()) != "one" {
		t.Errorf("%+v", r)
	}
}

func TestListSnapsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wantResult(t, w.do("o", opWriteFull("one")), 0)
	wantResult(t, w.do("o", msg.Op{Code: msg.OpListSnaps}), -int32(errno.EINVAL))
	wantResult(t, w.doAt("o", object.SnapDir, opRead(0, 0)), -int32(errno.EINVAL))
	wantResult(t, w.doAt("o", object.SnapDir, opWriteFull("x")), -int32(errno.EINVAL))
	wantResult(t, w.doAt("o", 1, opWriteFull("x")), -int32(errno.EINVAL))
	wantResult(t, w.doAt("p", object.SnapDir, msg.Op{Code: msg.OpListSnaps}), -int32(errno.ENOENT))
	w.wantSnaps("o", "head 3, seq 0")
}

// What an older client's writes bring of truncations, copies and calls of classes
// change the head's bytes, too.
func TestSharedBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wantResult(t, w.do("o", opWriteFull("0123456789")), 0)
	late := opWrite(2, "x")
	late.PutU64(16, 6)
	late.PutU32(24, 1)
	wantResult(t, w.doAs("o", snapc(1), late), 0)
	w.wantSnaps("o", "1[1] 10 [0~2,3~3], head 6, seq 1")
	w.wantStats(2, 1, 0, 6+5)

	// A copy shares nothing, even of itself.
	from := opIn(msg.OpCopyFrom, string(copyFromInput("o")))
	from.PutU64(0, 1)
	w.step(func() *Request {
		r := w.request("o", 90, 0, from)
		r.Op.SnapContext = snapc(2, 1)
		return r
	}())
	if len(w.fetches) != 1 || w.fetches[0].Op.SnapID != 1 || w.fetches[0].Op.Flags&msg.FlagMapSnapClone != 0 {
		t.Fatalf("%+v", w.fetches)
	}
	// Who copies reads the clone while the head waits.
	osd := &Session{Name: entity.Name{Type: entity.OSD}}
	get := &Request{Session: osd, TID: 91, Op: w.fetches[0].Op, Received: w.now}
	w.step(get)
	w.step(Fetched{ID: w.fetches[0].ID, Reply: w.replies[91]})
	wantResult(t, w.replies[90], 0)
	if got := w.readAt("o", object.NoSnap); got != "0123456789" {
		t.Errorf("%q", got)
	}
	w.wantSnaps("o", "1[1] 10 [0~2,3~3], 2[2] 6 [], head 10, seq 2")
	w.wantStats(3, 2, 0, 10+6+5)

	// What a copy tells of its source.
	for snap, want := range map[object.SnapID]copyData{1: {snaps: []object.SnapID{1}}, object.NoSnap: {snapSeq: 2}} {
		var in wire.Encoder
		copyCursor{}.Encode(&in)
		in.U64(100)
		r := w.doAt("o", snap, opIn(msg.OpCopyGet, string(in.Bytes())))
		wantResult(t, r, 0)
		var c copyData
		if err := c.decode(r.Ops[0].Out); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(c.snaps, want.snaps) || c.snapSeq != want.snapSeq || string(c.data.Bytes()) != "0123456789" || len(c.attrs) != 0 {
			t.Errorf("at %d: %+v", snap, c)
		}
	}
	// By the clone's number.
	exact := w.request("o", 0, msg.FlagMapSnapClone, opRead(0, 0))
	exact.Op.SnapID = 2
	if r := w.send(exact); r.Result != 0 || string(r.Ops[0].Out.Bytes()) != "01x345" {
		t.Errorf("%+v", r)
	}
}

// Clones go with their heads, and can be read and trimmed where they have gone.
func TestSplitClones(t *testing.T) {
	t.Parallel()
	const objects, groups = 300, 3
	w := newWorld(t)
	for i := range objects {
		name := fmt.Sprint("o", i)
		w.versions(name, 1, 2)
		if i%7 == 0 {
			wantResult(t, w.doAs(name, snapc(2, 1), msg.Op{Code: msg.OpDelete}), 0)
		}
	}
	before := w.pg.info.Stats
	w.audit(t)
	w.manual = true
	w.next(func(m *osdmap.Map) { m.Pools[testPool].PGNum = groups })
	for step := 0; len(w.inAir) > 0; step++ {
		if step == 2 {
			w.restart(true)
		}
		w.commit(len(w.inAir))
	}
	w.manual = false
	w.next(func(m *osdmap.Map) {
		m.Pools[testPool].PGNum = groups
		for seed := range uint32(groups) {
			m.PGUpmap[object.PG{Pool: testPool, Seed: seed}] = []int32{0}
		}
	})
	total := Stats{}
	for seed := range uint32(groups) {
		id := object.SPG{PG: object.PG{Pool: testPool, Seed: seed}, Shard: object.NoShard}
		p, err := Load(w.env, id, w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.pg = p
		w.step(MapChange{Map: w.m})
		w.audit(t)
		total.Add(&p.info.Stats)
		for i := range objects {
			name := fmt.Sprint("o", i)
			if p.pool.RawToActual(object.PG{Pool: testPool, Seed: object.New(testPool, "", "", name).Hash}) != id.PG {
				continue
			}
			if got := w.readAt(name, 2); got != "version 1" {
				t.Errorf("%s in %v at 2: %q", name, id, got)
			}
		}
	}
	total.Reads, total.ReadKB, before.Reads, before.ReadKB = 0, 0, 0, 0
	if total.Objects != before.Objects || total.Bytes != before.Bytes || total.Clones != before.Clones || total.Whiteouts != before.Whiteouts {
		t.Errorf("%+v, before the split %+v", total, before)
	}
	w.removeSnaps(1, 2)
	w.trim()
	w.audit(t)
	if s := w.pg.info.Stats; s.Clones != 0 || s.Whiteouts != 0 || s.Objects == 0 {
		t.Errorf("%+v", s)
	}
}
