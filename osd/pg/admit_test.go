package pg

import (
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/cephx/caps"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/objclass/lock"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// next gives the group the next map.
func (w *world) next(change func(m *osdmap.Map)) {
	w.t.Helper()
	w.m = testMap(w.t, func(m *osdmap.Map) {
		m.Epoch = w.m.Epoch + 1
		m.Pools[testPool] = w.m.Pools[testPool].Clone()
		change(m)
	})
	w.step(MapChange{Map: w.m})
}

// silent sends a request that must get no answer at all.
func (w *world) silent(what string, r *Request) {
	w.t.Helper()
	before := len(w.sends)
	w.step(r)
	if w.replies[r.TID] != nil || len(w.sends) != before {
		w.t.Errorf("%s: answered: %+v", what, w.sends[before:])
	}
}

func TestDroppedWithoutAWord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("o", opWriteFull("x"))

	r := w.request("o", 0, 0, opRead(0, 0))
	r.Op.PG.Seed = 1
	w.silent("another group", r)
	r = w.request("o", 0, 0, opRead(0, 0))
	r.Op.Locator.Pool = 7
	w.silent("another pool", r)

	old := w.request("o", 0, 0, opRead(0, 0))
	w.next(func(m *osdmap.Map) { m.PGUpmap[w.pg.id.PG] = []int32{1} })
	w.silent("not the primary any more", w.request("o", 0, 0, opRead(0, 0)))
	w.next(func(*osdmap.Map) {})
	w.silent("of an interval before", old)
	if got := w.do("o", opRead(0, 0)); string(got.Ops[0].Out.Bytes()) != "x" {
		t.Errorf("%+v", got)
	}

	old = w.request("o", 0, 0, opRead(0, 0))
	w.next(func(*osdmap.Map) {})
	if got := w.send(old); got.Result != 0 || got.Epoch != w.m.Epoch {
		t.Errorf("of a map before, but the same interval: %+v", got)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.env.Classes["lock"] = lock.Class()
	long := func(n int) string { return strings.Repeat("x", n) }
	ns := w.request("o", 0, 0, opRead(0, 0))
	ns.Op.Locator.Namespace = long(257)
	id := object.New(testPool, ns.Op.Locator.Namespace, "", "o")
	ns.Op.Hash = id.Hash
	snap := w.request("o", 0, 0, opWriteFull("x"))
	snap.Op.SnapID = 3
	badSnapc := w.request("o", 0, 0, opWriteFull("x"))
	badSnapc.Op.SnapContext = object.SnapContext{Seq: 1, Snaps: []object.SnapID{2}}
	huge := opIn(msg.OpWrite, "x")
	huge.SetExtent(1<<40, 1)
	over := opIn(msg.OpWrite, "x")
	over.SetExtent(1<<64-1, 1)
	short := opIn(msg.OpWrite, "x")
	short.SetExtent(0, 2)
	big := opWrite(0, "")
	big.In = buffer.Wrap(make([]byte, 90<<20+1))
	big.SetExtent(0, 90<<20+1)
	call := opIn(msg.OpCall, "lockno_such")
	call.Args[0], call.Args[1] = 4, 7
	cut := opIn(msg.OpCall, "lo")
	cut.Args[0], cut.Args[1] = 4, 7
	stranger := opIn(msg.OpCall, "xm")
	stranger.Args[0], stranger.Args[1] = 1, 1
	for _, c := range []struct {
		name string
		r    *Request
		want errno.Errno
	}{
		{"no operations", w.request("o", 0, 0), errno.EINVAL},
		{"no name", w.request("", 0, 0, opRead(0, 0)), errno.EINVAL},
		{"long name", w.request(long(2049), 0, 0, opRead(0, 0)), errno.ENAMETOOLONG},
		{"long namespace", ns, errno.ENAMETOOLONG},
		{"long attribute name", w.request("o", 0, 0, opSetXattr(long(101), "v")), errno.ENAMETOOLONG},
		{"write to a snapshot", snap, errno.EINVAL},
		{"snapshots out of order", badSnapc, errno.EINVAL},
		{"offset", w.request("o", 0, 0, huge), errno.EFBIG},
		{"offset that overflows", w.request("o", 0, 0, over), errno.EFBIG},
		{"length", w.request("o", 0, 0, short), errno.EINVAL},
		{"size", w.request("o", 0, 0, big), errno.EMSGSIZE},
		{"unknown", w.request("o", 0, 0, msg.Op{Code: 0x22ff}), errno.EOPNOTSUPP},
		{"method", w.request("o", 0, 0, call), errno.EOPNOTSUPP},
		{"class", w.request("o", 0, 0, stranger), errno.EPERM},
		{"call without its name", w.request("o", 0, 0, cut), errno.EINVAL},
		{"missing object", w.request("none", 0, 0, opRead(0, 0)), errno.ENOENT},
	} {
		if got := w.send(c.r); got.Result != -int32(c.want) {
			t.Errorf("%s: %d, want %v", c.name, got.Result, c.want)
		}
	}
}

func TestCapabilities(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.env.Classes["lock"] = lock.Class()
	w.do("o", opWriteFull("x"))
	call := func() msg.Op {
		o := opIn(msg.OpCall, "locklist_locks")
		o.Args[0], o.Args[1] = 4, 10
		return o
	}
	list := msg.Op{Code: msg.OpPGNLS, In: buffer.Wrap(encodedID(object.MinID))}
	list.PutU64(0, 10)
	for _, c := range []struct {
		caps                    string
		read, write, call, list bool
	}{
		{"allow *", true, true, true, true},
		{"allow r", true, false, false, true},
		{"allow w", false, true, false, false},
		{"allow x", false, false, true, false},
		{"allow rwx pool=pool", true, true, true, true},
		{"allow rwx pool=other", false, false, false, false},
		{"allow rwx object_prefix p", false, false, false, false},
		{"allow rw namespace=n", false, false, false, false},
		{"allow class lock", false, false, true, false},
	} {
		parsed, err := caps.ParseOSD(c.caps)
		if err != nil {
			t.Fatal(err)
		}
		w.sess = &Session{Name: w.sess.Name, Caps: parsed}
		check := func(what string, want bool, r *Request) {
			t.Helper()
			got := w.send(r)
			if denied := got.Result == -int32(errno.EPERM); denied == want {
				t.Errorf("%s: %s: %d", c.caps, what, got.Result)
			}
		}
		check("read", c.read, w.request("o", 0, 0, opRead(0, 0)))
		check("write", c.write, w.request("o", 0, 0, opWriteFull("x")))
		check("call", c.call, w.request("o", 0, 0, call()))
		check("list", c.list, w.request("", 0, 0, list))
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("o", opWriteFull("x"))
	w.next(func(m *osdmap.Map) { m.Pools[testPool].Flags |= osdmap.PoolFlagFull })
	w.silent("a write", w.request("o", 0, 0, opWriteFull("larger")))
	wantResult(t, w.send(w.request("o", 0, msg.FlagFullTry, opWriteFull("larger"))), -int32(errno.ENOSPC))
	wantResult(t, w.send(w.request("o", 0, msg.FlagFullTry, opWriteFull("y"))), 0)
	wantResult(t, w.send(w.request("o", 0, msg.FlagFullForce, opWriteFull("larger"))), 0)
	wantResult(t, w.do("o", opRead(0, 0)), 0)
	wantResult(t, w.do("o", msg.Op{Code: msg.OpDelete}), 0)

	w.next(func(m *osdmap.Map) { m.Pools[testPool].Flags |= osdmap.PoolFlagFull | osdmap.PoolFlagFullQuota })
	wantResult(t, w.send(w.request("o", 0, msg.FlagFullTry, opWriteFull("larger"))), -int32(errno.EDQUOT))
	// A refusal for want of room is not what a later attempt gets.
	r := w.request("o", w.tid, msg.FlagFullTry, opWriteFull("larger"))
	w.next(func(m *osdmap.Map) { m.Pools[testPool].Flags &^= osdmap.PoolFlagFull | osdmap.PoolFlagFullQuota })
	r.Op.Epoch = w.m.Epoch
	wantResult(t, w.send(r), 0)

	w.env.Full = true // next to no room on this OSD
	w.silent("a write", w.request("o", 0, 0, opWriteFull("x")))
	wantResult(t, w.do("o", msg.Op{Code: msg.OpDelete}), 0)
}

// The store refuses a transaction: all is as before, and the client hears of it.
func TestSubmitFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("o", opWriteFull("1"), opSetXattr("k", "v"))
	stats, last := w.pg.info.Stats, w.pg.info.LastUpdate
	w.refuse = objstore.ErrNoSpace
	wantResult(t, w.do("o", opWriteFull("22"), opSetXattr("k", "w"), msg.Op{Code: msg.OpCreate}), -int32(errno.ENOSPC))
	w.refuse = objstore.ErrNoSpace
	wantResult(t, w.do("new", opWriteFull("22")), -int32(errno.ENOSPC))
	w.refuse = objstore.ErrNoSpace
	wantResult(t, w.do("o", msg.Op{Code: msg.OpCreate, Flags: msg.OpFlagExcl}), -int32(errno.ENOSPC))
	if w.pg.info.Stats != stats || w.pg.info.LastUpdate != last {
		t.Errorf("%+v, was %+v %v", w.pg.info, stats, last)
	}
	if got := w.do("o", opRead(0, 0), opGetXattr("k")); string(got.Ops[0].Out.Bytes()) != "1" || string(got.Ops[1].Out.Bytes()) != "v" {
		t.Errorf("%+v", got)
	}
	wantResult(t, w.do("new", opRead(0, 0)), -int32(errno.ENOENT))
	wantResult(t, w.do("o", opWriteFull("3")), 0)
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("o", opWriteFull("x"))
	w.next(func(m *osdmap.Map) { m.Pools[testPool].MinSize = 2 })
	if s := w.pg.State(); s&msg.PGActive != 0 {
		t.Fatalf("%v with fewer replicas than there must be", s)
	}
	w.sends = nil
	for range 2 {
		w.step(w.request("o", 0, 0, opRead(0, 0)))
	}
	if len(w.sends) != 1 {
		t.Fatalf("%d messages for two requests", len(w.sends))
	}
	b, ok := w.sends[0].Body.(*msg.OSDBackoff)
	if !ok || b.What != msg.BackoffBlock || b.PG != w.pg.id || !b.End.Max || b.Begin.Pool != testPool {
		t.Fatalf("%+v", w.sends[0].Body)
	}
	w.step(BackoffAck{w.sess, b.ID})
	w.next(func(m *osdmap.Map) { m.Pools[testPool].MinSize = 1 })
	u, ok := w.sends[1].Body.(*msg.OSDBackoff)
	if !ok || u.What != msg.BackoffUnblock || u.ID != b.ID {
		t.Fatalf("%+v", w.sends[1].Body)
	}
	if got := w.do("o", opRead(0, 0)); string(got.Ops[0].Out.Bytes()) != "x" {
		t.Errorf("%+v", got)
	}
}

// A client that was told to wait, and hears of neither map, must not wait for good
// when this OSD is deposed and comes to be the primary again.
func TestBackoffEndsWithThePrimary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.next(func(m *osdmap.Map) { m.Pools[testPool].MinSize = 2 })
	w.sends = nil
	w.step(w.request("o", 0, 0, opRead(0, 0)))
	if len(w.sends) != 1 {
		t.Fatalf("%d messages", len(w.sends))
	}
	b := w.sends[0].Body.(*msg.OSDBackoff)
	w.next(func(m *osdmap.Map) { m.PGTemp[w.pg.id.PG] = []int32{1} })
	if len(w.sends) != 2 {
		t.Fatalf("%d messages", len(w.sends))
	}
	if u, ok := w.sends[1].Body.(*msg.OSDBackoff); !ok || u.What != msg.BackoffUnblock || u.ID != b.ID {
		t.Fatalf("%+v", w.sends[1].Body)
	}
}

// TestBackoffIDs sends a client backoffs of all groups of a daemon: each has an
// id of its own.
func TestBackoffIDs(t *testing.T) {
	t.Parallel()
	const shards, each = 3, 4
	seen := map[uint64]bool{}
	for shard := range shards {
		w := newWorld(t)
		w.env.Shard, w.env.Shards = shard, shards
		w.next(func(m *osdmap.Map) { m.Pools[testPool].MinSize = 2 })
		for range each {
			// As a group that comes in the place of this one, and has sent none.
			w.pg.backoffs, w.sends = nil, nil
			w.step(w.request("o", 0, 0, opRead(0, 0)))
			b, ok := w.sends[0].Body.(*msg.OSDBackoff)
			if !ok {
				t.Fatalf("%+v", w.sends[0].Body)
			}
			if seen[b.ID] {
				t.Errorf("id %d of shard %d was used before", b.ID, shard)
			}
			seen[b.ID] = true
		}
	}
	w := newWorld(t)
	w.next(func(m *osdmap.Map) { m.Pools[testPool].MinSize = 2 })
	other := newPG(w.env, w.pg.id)
	other.takeMap(w.pg.osdmap)
	for _, p := range []*PG{w.pg, other} {
		p.backoff(w.request("o", 0, 0, opRead(0, 0)))
	}
	if a, b := w.pg.backoffs[w.sess], other.backoffs[w.sess]; a == b {
		t.Errorf("two groups of a loop both sent id %d", a)
	}
}

func TestBlocklist(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	addr, err := entity.ParseAddr("v2:10.0.0.1:0/77", entity.AddrMsgr2)
	if err != nil {
		t.Fatal(err)
	}
	w.sess = &Session{Name: w.sess.Name, Addr: addr}
	wantResult(t, w.do("o", opWriteFull("x")), 0)
	listed := addr
	listed.Type = entity.AddrAny
	until := w.now.Add(time.Second)
	w.next(func(m *osdmap.Map) { m.Blocklist[listed] = until })
	got := w.do("o", opRead(0, 0))
	wantResult(t, got, -int32(errno.EBLOCKLISTED))
	if got.Flags&uint64(msg.FlagOnDisk) == 0 || got.UserVersion != 0 {
		t.Errorf("%+v", got)
	}
	w.now = until
	wantResult(t, w.do("o", opRead(0, 0)), 0)
}

// Requests for an object that is being copied wait, in order; those of another
// OSD do not, since it may be the one that is asked.
func TestCopyHoldsUpTheObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.manual = false
	w.do("d", opWriteFull("old"))
	from := opIn(msg.OpCopyFrom, string(copyFromInput("s")))
	from.PutU64(0, uint64(object.NoSnap))
	w.step(w.request("d", 50, 0, from))
	if len(w.fetches) != 1 || w.fetches[0].Target != 0 {
		t.Fatalf("%+v", w.fetches)
	}
	w.step(w.request("d", 51, 0, opRead(0, 0)))
	o := opIn(msg.OpAppend, "+")
	o.SetExtent(0, 1)
	w.step(w.request("d", 52, 0, o))
	w.step(w.request("d", 53, 0, opRead(0, 0)))
	if w.replies[51] != nil || w.replies[53] != nil {
		t.Fatal("a later request overtook the copy")
	}
	peer := w.request("d", 60, 0, opRead(0, 0))
	peer.Session = &Session{Name: entity.Name{Type: entity.OSD, Num: 1}}
	w.step(peer)
	if r := w.replies[60]; r == nil || string(r.Ops[0].Out.Bytes()) != "old" {
		t.Fatalf("the other OSD got %+v", r)
	}
	n := 0
	w.pg.Requests(func(*Request) { n++ })
	if n != 4 {
		t.Errorf("%d requests under way", n)
	}
	w.step(Fetched{ID: w.fetches[0].ID, Reply: copyReply(&testing.T{}, 9)})
	for tid, want := range map[uint64]string{51: "abc", 53: "abc+"} {
		if r := w.replies[tid]; r == nil || string(r.Ops[0].Out.Bytes()) != want {
			t.Errorf("request %d: %+v", tid, r)
		}
	}
	if r := w.replies[50]; r == nil || r.Result != 0 || r.UserVersion != 9 {
		t.Errorf("%+v", r)
	}
}

// A copy that the end of an interval interrupts is given up; its answer that
// comes late does no harm.
func TestCopyInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	from := opIn(msg.OpCopyFrom, string(copyFromInput("s")))
	w.step(w.request("d", 50, 0, from))
	w.step(w.request("d", 51, 0, opRead(0, 0)))
	w.next(func(*osdmap.Map) {}) // no new interval: asked again
	if len(w.fetches) != 2 || w.fetches[1].Op.Epoch != w.m.Epoch {
		t.Fatalf("%+v", w.fetches)
	}
	w.step(Fetched{ID: w.fetches[0].ID, Reply: copyReply(t, 9)})
	w.next(func(m *osdmap.Map) { m.PGUpmap[w.pg.id.PG] = []int32{1} })
	w.next(func(*osdmap.Map) {})
	w.step(Fetched{ID: w.fetches[1].ID, Reply: copyReply(t, 9)})
	if len(w.replies) != 0 {
		t.Fatalf("%+v", w.replies)
	}
	wantResult(t, w.do("d", opRead(0, 0)), -int32(errno.ENOENT))
}
