package objecter

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
)

// testMap is an OSD map written down: each pool's placement groups by seed.
type testMap struct {
	epoch               uint32
	pools               map[int64]Pool
	acting              map[object.PG][]int32
	up                  map[int32]uint32 // nonce of running OSDs
	reads, writes, full bool
}

func (m *testMap) Epoch() uint32                      { return m.epoch }
func (m *testMap) Paused() (reads, writes, full bool) { return m.reads, m.writes, m.full }
func (m *testMap) Pool(id int64) (Pool, bool)         { p, ok := m.pools[id]; return p, ok }
func (m *testMap) Place(pg object.PG) Placement {
	a := m.acting[pg]
	p := Placement{Up: a, Acting: a, UpPrimary: -1, Primary: -1}
	if len(a) > 0 {
		p.UpPrimary, p.Primary = a[0], a[0]
	}
	return p
}
func (m *testMap) Up(osd int32) (entity.AddrVec, bool) {
	nonce, ok := m.up[osd]
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(osd)}), 6800)
	return entity.AddrVec{{Type: entity.AddrMsgr2, Nonce: nonce, AP: addr}}, ok
}

// next is a copy of the next epoch.
func (m *testMap) next(change func(*testMap)) *testMap {
	n := &testMap{epoch: m.epoch + 1, pools: map[int64]Pool{}, acting: map[object.PG][]int32{}, up: map[int32]uint32{}, reads: m.reads, writes: m.writes, full: m.full}
	for k, v := range m.pools {
		n.pools[k] = v
	}
	for k, v := range m.acting {
		n.acting[k] = v
	}
	for k, v := range m.up {
		n.up[k] = v
	}
	change(n)
	return n
}

// twoOSDs is a map of pool 1 with two groups, one led by each OSD.
func twoOSDs() *testMap {
	return &testMap{
		epoch: 10,
		pools: map[int64]Pool{1: {PGNum: 2, Size: 2, MinSize: 1}},
		acting: map[object.PG][]int32{
			{Pool: 1, Seed: 0}: {0, 1},
			{Pool: 1, Seed: 1}: {1, 0},
		},
		up: map[int32]uint32{0: 100, 1: 101},
	}
}

// talk is a conversation with a core.
type talk struct {
	t        *testing.T
	c        *Core
	now      time.Time
	m        *testMap
	sessions map[int32]uint64 // newest asked for, by OSD
}

func newTalk(t *testing.T) *talk {
	k := &talk{t: t, c: NewCore(), now: time.Unix(1000, 0), m: twoOSDs(), sessions: map[int32]uint64{}}
	k.expect("a map arrives", NewMaps{Maps: []Map{k.m}})
	return k
}

// expect steps the core and compares what it decides, one phrase for each
// effect.
func (k *talk) expect(why string, in Event, want ...string) {
	k.t.Helper()
	k.c.Step(k.now, in)
	if err := k.c.Check(); err != nil {
		k.t.Fatalf("%s: %v", why, err)
	}
	var got []string
	r := k.c.Ready()
	for _, id := range r.Close {
		got = append(got, fmt.Sprintf("close osd.%d", k.osd(id)))
	}
	for _, o := range r.Open {
		k.sessions[o.OSD] = o.Session
		got = append(got, fmt.Sprintf("open osd.%d", o.OSD))
	}
	for _, s := range r.Send {
		switch b := s.Body.(type) {
		case *msg.OSDOp:
			retry := ""
			if b.Retry > 0 {
				retry = fmt.Sprintf(" retry %d", b.Retry)
			}
			if (b.Flags&msg.FlagRetry != 0) != (b.Retry > 0) {
				k.t.Fatalf("%s: retry %d with flags %#x", why, b.Retry, b.Flags)
			}
			got = append(got, fmt.Sprintf("osd.%d: #%d %s in %v e%d%s%s", k.osd(s.Session), s.TID, b.OID, b.PG, b.Epoch, retry, lingerWords(&b.Ops[0])))
		case *msg.OSDBackoff:
			got = append(got, fmt.Sprintf("osd.%d: backoff %d acknowledged", k.osd(s.Session), b.ID))
		}
	}
	if s := r.Subscribe; s != nil {
		got = append(got, fmt.Sprintf("want map %d continuous %v", s.Start, s.Continuous))
	}
	if r.AskNewest {
		got = append(got, "ask for the newest epoch")
	}
	for _, d := range r.Done {
		how := "answered"
		if d.Err != nil {
			how = d.Err.Error()
		}
		got = append(got, fmt.Sprintf("#%d %s", d.Op.TID(), how))
	}
	for _, n := range r.Notices {
		got = append(got, noticeWords(n))
	}
	if !slices.Equal(got, want) {
		k.t.Fatalf("%s:\n got  %s\n want %s", why, strings.Join(got, "\n      "), strings.Join(want, "\n      "))
	}
}

func (k *talk) osd(session uint64) int32 {
	for osd, id := range k.sessions {
		if id == session {
			return osd
		}
	}
	return -1
}

func (k *talk) opened(osd int32) Opened { return Opened{k.sessions[osd]} }

func (k *talk) lost(osd int32) Closed {
	return Closed{Session: k.sessions[osd], Err: errno.ENOTCONN}
}

func (k *talk) reply(osd int32, op *Op, retry int32) Reply {
	return Reply{Session: k.sessions[osd], TID: op.TID(), Msg: &msg.OSDOpReply{Retry: retry}}
}

func (k *talk) map_(change func(*testMap)) NewMaps {
	k.m = k.m.next(change)
	return NewMaps{Maps: []Map{k.m}}
}

// inPG makes a write of an object that hashes to a placement group of two.
func inPG(seed uint32) *Op {
	for i := 0; ; i++ {
		name := fmt.Sprintf("o%d", i)
		if object.HashName("", "", name)&1 == seed {
			return write(name)
		}
	}
}

func write(name string) *Op {
	return &Op{
		Object: name, Locator: object.Locator{Pool: 1, Hash: -1}, Flags: msg.FlagWrite, Snap: object.NoSnap,
		Ops: []msg.Op{{Code: msg.OpWriteFull, In: buffer.Wrap([]byte("x"))}},
	}
}

func read(name string) *Op {
	op := write(name)
	op.Flags = msg.FlagRead
	op.Ops = []msg.Op{{Code: msg.OpRead}}
	return op
}

func TestSendAndAnswer(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	a, b := inPG(0), inPG(0)
	k.expect("no session yet", Submit{a}, "open osd.0")
	k.expect("waits for the session", Submit{b})
	k.expect("both go out in order", k.opened(0), "osd.0: #1 "+a.Object+" in 1.0 e10", "osd.0: #2 "+b.Object+" in 1.0 e10")
	k.expect("answered", k.reply(0, b, 0), "#2 answered")
	k.expect("an answer twice is nothing", k.reply(0, b, 0))
	k.expect("answered", k.reply(0, a, 0), "#1 answered")
	if s := k.c.Stats(); s.InFlight != 0 || s.Sent != 2 || s.Resent != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestResendWhenSessionIsLost(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	a, b := inPG(0), inPG(0)
	k.expect("", Submit{a}, "open osd.0")
	k.expect("", k.opened(0), "osd.0: #1 "+a.Object+" in 1.0 e10")
	k.expect("", Submit{b}, "osd.0: #2 "+b.Object+" in 1.0 e10")
	old := k.reply(0, a, 0)
	k.expect("the OSD may have moved", k.lost(0), "open osd.0", "want map 11 continuous false")
	k.expect("an answer from the lost session is nothing", old)
	k.expect("same tids, marked as retries", k.opened(0), "osd.0: #1 "+a.Object+" in 1.0 e10 retry 1", "osd.0: #2 "+b.Object+" in 1.0 e10 retry 1")
	k.expect("an answer to the first attempt is nothing", k.reply(0, a, 0))
	k.expect("", k.reply(0, a, 1), "#1 answered")
	k.expect("", k.reply(0, b, 1), "#2 answered")
	k.expect("an idle session that ends is not opened again", k.lost(0))
}

func TestDialAgainLaterAndLater(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	a := inPG(0)
	k.expect("", Submit{a}, "open osd.0")
	k.expect("at once the first time", k.lost(0), "open osd.0", "want map 11 continuous false")
	var pauses []time.Duration
	for range 10 {
		k.expect("then after a pause", k.lost(0))
		for began := k.now; ; {
			k.now = k.c.Wake()
			k.c.Step(k.now, Tick{})
			if open := k.c.Ready().Open; len(open) > 0 {
				k.sessions[0] = open[0].Session
				pauses = append(pauses, k.now.Sub(began))
				break
			}
		}
	}
	if !slices.IsSorted(pauses) || pauses[0] != minReopen || pauses[9] != maxReopen {
		t.Fatalf("pauses %v", pauses)
	}
	k.expect("", k.opened(0), "osd.0: #1 "+a.Object+" in 1.0 e10")
}

func TestRefusedSessionFailsItsOps(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	a := inPG(0)
	k.expect("", Submit{a}, "open osd.0")
	refused := func() Closed {
		return Closed{Session: k.sessions[0], Err: errno.EACCES, Refused: true}
	}
	began := k.now
	k.expect("it may only lack the newest secrets", refused(), "open osd.0", "want map 11 continuous false")
	for k.now.Sub(began) < refusedFor-maxReopen {
		k.expect("patience", refused())
		for opened := false; !opened; opened = len(k.c.Ready().Open) > 0 {
			k.now = k.c.Wake()
			k.c.Step(k.now, Tick{})
		}
		k.sessions[0] = k.c.nextSession
	}
	k.now = began.Add(refusedFor)
	k.expect("enough", refused(), "#1 osd.0: Permission denied")
}

func TestNewIntervalResends(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	a, b := inPG(0), inPG(1)
	k.expect("", Submit{a}, "open osd.0")
	k.expect("", Submit{b}, "open osd.1")
	k.expect("", k.opened(0), "osd.0: #1 "+a.Object+" in 1.0 e10")
	k.expect("", k.opened(1), "osd.1: #2 "+b.Object+" in 1.1 e10")
	k.expect("a map that changes nothing here", k.map_(func(m *testMap) { m.pools[7] = Pool{PGNum: 1} }))
	k.expect("another primary", k.map_(func(m *testMap) { m.acting[object.PG{Pool: 1}] = []int32{1, 0} }),
		"osd.1: #1 "+a.Object+" in 1.0 e12 retry 1")
	k.expect("the same primary with others", k.map_(func(m *testMap) { m.acting[object.PG{Pool: 1}] = []int32{1} }),
		"osd.1: #1 "+a.Object+" in 1.0 e13 retry 2")
	k.expect("another min_size", k.map_(func(m *testMap) { m.pools[1] = Pool{PGNum: 2, Size: 2, MinSize: 2} }),
		"osd.1: #1 "+a.Object+" in 1.0 e14 retry 3", "osd.1: #2 "+b.Object+" in 1.1 e14 retry 1")
	k.expect("an old map again", NewMaps{Maps: []Map{twoOSDs()}})
	k.expect("", k.reply(1, a, 3), "#1 answered")
}

func TestThereAndBackWithinOneMessage(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	a := inPG(0)
	k.expect("", Submit{a}, "open osd.0")
	k.expect("", k.opened(0), "osd.0: #1 "+a.Object+" in 1.0 e10")
	away := k.m.next(func(m *testMap) { m.acting[object.PG{Pool: 1}] = []int32{1, 0} })
	back := away.next(func(m *testMap) { m.acting[object.PG{Pool: 1}] = []int32{0, 1} })
	k.expect("the interval between dropped it", NewMaps{Maps: []Map{away, back}}, "osd.0: #1 "+a.Object+" in 1.0 e12 retry 1")
}

func TestGapInMapsResendsAll(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	a := inPG(0)
	k.expect("", Submit{a}, "open osd.0")
	k.expect("", k.opened(0), "osd.0: #1 "+a.Object+" in 1.0 e10")
	k.m = k.m.next(func(m *testMap) { m.epoch = 99 })
	k.expect("who knows what was between", NewMaps{Maps: []Map{k.m}, Gap: true}, "osd.0: #1 "+a.Object+" in 1.0 e99 retry 1")
}

func TestOSDRestartsElsewhere(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	a := inPG(0)
	k.expect("", Submit{a}, "open osd.0")
	k.expect("", k.opened(0), "osd.0: #1 "+a.Object+" in 1.0 e10")
	k.m = k.m.next(func(m *testMap) { m.up[0] = 200 })
	k.c.Step(k.now, NewMaps{Maps: []Map{k.m}})
	r := k.c.Ready()
	if len(r.Close) != 1 || len(r.Open) != 1 || r.Close[0] != k.sessions[0] || r.Open[0].Addrs[0].Nonce != 200 {
		t.Fatalf("%+v", r)
	}
	k.sessions[0] = r.Open[0].Session
	k.expect("", k.opened(0), "osd.0: #1 "+a.Object+" in 1.0 e11 retry 1")
}

func TestNoPrimary(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	k.expect("", k.map_(func(m *testMap) { m.acting[object.PG{Pool: 1}] = nil; delete(m.up, 0) }))
	a := inPG(0)
	k.expect("nowhere to go", Submit{a}, "want map 12 continuous false")
	k.expect("asked already", Submit{inPG(0)})
	k.expect("still nobody", k.map_(func(*testMap) {}), "want map 13 continuous false")
	k.expect("somebody", k.map_(func(m *testMap) { m.acting[object.PG{Pool: 1}] = []int32{0}; m.up[0] = 5 }), "open osd.0")
	k.expect("", k.opened(0), "osd.0: #1 "+a.Object+" in 1.0 e13", "osd.0: #2 "+a.Object+" in 1.0 e13")
}

func TestSplit(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	a := inPG(0)
	k.expect("", Submit{a}, "open osd.0")
	k.expect("", k.opened(0), "osd.0: #1 "+a.Object+" in 1.0 e10")
	pg := Pool{PGNum: 4}.PG(1, object.HashName("", "", a.Object))
	k.expect("four groups now", k.map_(func(m *testMap) {
		m.pools[1] = Pool{PGNum: 4, Size: 2, MinSize: 1}
		for s := range uint32(4) {
			m.acting[object.PG{Pool: 1, Seed: s}] = []int32{0, 1}
		}
	}), fmt.Sprintf("osd.0: #1 %s in %v e11 retry 1", a.Object, pg))
}

func TestPauses(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	w, r := inPG(0), read(inPG(0).Object)
	k.expect("pausewr", k.map_(func(m *testMap) { m.writes = true }))
	k.expect("", Submit{w}, "open osd.0")
	k.expect("a write waits, and all maps are wanted", k.opened(0), "want map 12 continuous true")
	k.expect("a read does not wait", Submit{r}, "osd.0: #2 "+r.Object+" in 1.0 e11")
	k.expect("now the cluster is full", k.map_(func(m *testMap) { m.writes, m.full = false, true }), "want map 13 continuous true")
	try := inPG(0)
	try.Flags |= msg.FlagFullTry
	k.expect("who wants to know is not held back", Submit{try}, "osd.0: #3 "+try.Object+" in 1.0 e12")
	k.expect("only the pool is full", k.map_(func(m *testMap) { m.full = false; m.pools[1] = Pool{PGNum: 2, Size: 2, MinSize: 1, Full: true} }), "want map 14 continuous true")
	k.expect("space again", k.map_(func(m *testMap) { m.pools[1] = Pool{PGNum: 2, Size: 2, MinSize: 1} }), "osd.0: #1 "+w.Object+" in 1.0 e14")
	k.expect("pauserd", k.map_(func(m *testMap) { m.reads = true }))
	k.expect("", Submit{read(r.Object)}, "want map 16 continuous true")
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	a, b := inPG(0), read(inPG(0).Object)
	k.expect("", Submit{a}, "open osd.0")
	k.expect("", k.opened(0), "osd.0: #1 "+a.Object+" in 1.0 e10")
	pg := object.SPG{PG: object.PG{Pool: 1}, Shard: object.NoShard}
	block := &msg.OSDBackoff{PG: pg, What: msg.BackoffBlock, ID: 7, Begin: object.MinID, End: object.MaxID}
	k.expect("not now", Backoff{k.sessions[0], block}, "osd.0: backoff 7 acknowledged")
	k.expect("in the range", Submit{b})
	unblock := *block
	unblock.What = msg.BackoffUnblock
	unblock.ID = 8
	k.expect("of another one", Backoff{k.sessions[0], &unblock})
	unblock.ID = 7
	k.expect("all of the range, in order", Backoff{k.sessions[0], &unblock},
		"osd.0: #1 "+a.Object+" in 1.0 e10 retry 1", "osd.0: #2 "+b.Object+" in 1.0 e10")

	one := a.id()
	block.ID, block.Begin, block.End = 9, one, one
	k.expect("a single object", Backoff{k.sessions[0], block}, "osd.0: backoff 9 acknowledged")
	k.expect("", Submit{write(a.Object)})
	k.expect("a new session knows of no backoff", k.lost(0), "open osd.0", "want map 11 continuous false")
	k.expect("", k.opened(0), "osd.0: #1 "+a.Object+" in 1.0 e10 retry 2", "osd.0: #2 "+a.Object+" in 1.0 e10 retry 1", "osd.0: #3 "+a.Object+" in 1.0 e10")
}

func TestPoolIsDeleted(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	a := inPG(0)
	k.expect("", Submit{a}, "open osd.0")
	k.expect("", k.opened(0), "osd.0: #1 "+a.Object+" in 1.0 e10")
	k.expect("a pool that was there and is not any more", k.map_(func(m *testMap) { delete(m.pools, 1) }),
		"#1 pool 1 does not exist: No such file or directory")
}

func TestUnknownPool(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	new1, never := write("x"), write("y")
	new1.Locator.Pool, never.Locator.Pool = 5, 6
	k.expect("our map may be old", Submit{new1}, "ask for the newest epoch")
	k.expect("the question is under way", Submit{never})
	k.expect("it was about the first only", Newest{12}, "want map 11 continuous false", "ask for the newest epoch")
	k.expect("", Newest{12})
	k.expect("not there yet", k.map_(func(*testMap) {}), "want map 12 continuous false")
	k.expect("the newest map decides", k.map_(func(m *testMap) {
		m.pools[5] = Pool{PGNum: 1}
		m.acting[object.PG{Pool: 5}] = []int32{1}
	}), "open osd.1", "#2 pool 6 does not exist: No such file or directory")
	k.expect("", k.opened(1), "osd.1: #1 x in 5.0 e12")
}

func TestErasurePoolNamesTheShard(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	k.expect("", k.map_(func(m *testMap) { m.pools[1] = Pool{PGNum: 2, Size: 2, MinSize: 1, Erasure: true} }))
	a := inPG(1)
	k.expect("", Submit{a}, "open osd.1")
	k.expect("", k.opened(1), "osd.1: #1 "+a.Object+" in 1.1s0 e11")
}

func TestBarrier(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	k.expect("", Barrier{12}, "want map 11 continuous false")
	a := inPG(0)
	k.expect("", Submit{a}, "open osd.0")
	k.expect("not before e12", k.opened(0))
	k.expect("", k.map_(func(*testMap) {}), "want map 12 continuous false")
	k.expect("", k.map_(func(*testMap) {}), "osd.0: #1 "+a.Object+" in 1.0 e12")
}

func TestCancel(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	a, b := inPG(0), inPG(0)
	k.expect("", Submit{a}, "open osd.0")
	k.expect("given up before it was sent", Cancel{a})
	k.expect("nothing to send", k.opened(0))
	k.expect("", Submit{b}, "osd.0: #2 "+b.Object+" in 1.0 e10")
	k.expect("given up after", Cancel{b})
	k.expect("the answer comes too late", k.reply(0, b, 0))
	k.expect("twice", Cancel{b})
}

func TestLateAnswerMakesUsSuspicious(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	k.expect("", Submit{inPG(0)}, "open osd.0")
	k.c.Step(k.now, k.opened(0))
	k.c.Ready()
	for end := k.now.Add(lateAfter); k.now.Before(end); {
		k.now = k.c.Wake()
		if k.now.Sub(end) <= 0 {
			k.expect("still patient", Tick{})
		}
		k.c.Step(k.now, Barrier{}) // any event sets the next tick
		k.c.Ready()
	}
	k.now = k.now.Add(2 * tickInterval)
	k.expect("is our map old?", Tick{}, "want map 11 continuous false")
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	k.expect("", Submit{inPG(0)}, "open osd.0")
	k.expect("", Submit{inPG(1)}, "open osd.1")
	end := errors.New("the end")
	k.expect("", Shutdown{end}, "close osd.0", "close osd.1", "#1 the end", "#2 the end")
	k.expect("and later ones", Submit{inPG(0)}, "#3 the end")
}

// TestPayloadReferences: an operation holds its payload until its end, and each
// message has a reference of its own.
func TestPayloadReferences(t *testing.T) {
	k := newTalk(t)
	before := buffer.Held()
	op := write("x")
	op.Ops[0].In = buffer.Copy(make([]byte, 5000))
	k.c.Step(k.now, Submit{op})
	for range 3 {
		for _, o := range k.c.Ready().Open {
			k.c.Step(k.now, Opened{o.Session})
		}
		for _, s := range k.c.Ready().Send {
			s.Body.Payload().Release()
			k.c.Step(k.now, Closed{Session: s.Session, Err: errno.ENOTCONN})
		}
		k.now = k.now.Add(time.Minute)
		k.c.Step(k.now, Tick{})
	}
	if buffer.Held() <= before {
		t.Fatal("the payload is gone before the end")
	}
	k.c.Step(k.now, Cancel{op})
	if held := buffer.Held(); held != before {
		t.Fatalf("%d bytes still held", held-before)
	}
}

// TestRandomLife runs the core against a cluster that does anything it may, and
// checks after each step the invariants, that sends of one object keep their
// order in a session, and at the end that each operation was completed once.
func TestRandomLife(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		randomLife(t, rand.New(rand.NewPCG(seed, 1)), seed)
	}
}

func randomLife(t *testing.T, r *rand.Rand, seed uint64) {
	const pgs = 4
	now := time.Unix(1000, 0)
	c := NewCore()
	m := &testMap{epoch: 1, pools: map[int64]Pool{1: {PGNum: pgs, Size: 2}}, acting: map[object.PG][]int32{}, up: map[int32]uint32{0: 1, 1: 1, 2: 1}}
	shuffle := func(m *testMap) {
		for s := range uint32(pgs) {
			if r.IntN(3) > 0 {
				continue
			}
			var a []int32
			for _, o := range r.Perm(3) {
				if _, ok := m.up[int32(o)]; ok && len(a) < 2 {
					a = append(a, int32(o))
				}
			}
			m.acting[object.PG{Pool: 1, Seed: s}] = a
		}
		for pg, a := range m.acting {
			m.acting[pg] = slices.DeleteFunc(slices.Clone(a), func(o int32) bool { _, ok := m.up[o]; return !ok })
		}
	}
	type attempt struct {
		session uint64
		tid     uint64
		retry   int32
	}
	var opening, open []uint64
	var flying []attempt
	live := map[uint64]*Op{}
	last := map[string]uint64{} // session and object -> tid last sent
	done, cancelled, submitted := 0, 0, 0
	settle := false

	var watches []*Linger
	registered := map[*Linger]int{}

	step := func(in Event) {
		c.Step(now, in)
		if err := c.Check(); err != nil {
			t.Fatalf("seed %d after %T: %v", seed, in, err)
		}
		ready := c.Ready()
		for _, id := range ready.Close {
			open = slices.DeleteFunc(open, func(x uint64) bool { return x == id })
			opening = slices.DeleteFunc(opening, func(x uint64) bool { return x == id })
		}
		for _, o := range ready.Open {
			opening = append(opening, o.Session)
		}
		for _, s := range ready.Send {
			b, ok := s.Body.(*msg.OSDOp)
			if !ok {
				continue
			}
			if !slices.Contains(open, s.Session) {
				t.Fatalf("seed %d: sent on session %d, which is not open", seed, s.Session)
			}
			key := fmt.Sprint(s.Session, b.OID)
			// Within one round the tids ascend; a round begins with a map or a lost
			// session.
			if s.TID < last[key] && b.Retry == 0 {
				t.Fatalf("seed %d: #%d of %s first sent after #%d", seed, s.TID, b.OID, last[key])
			}
			last[key] = max(last[key], s.TID)
			flying = append(flying, attempt{s.Session, s.TID, b.Retry})
		}
		for _, d := range ready.Done {
			if live[d.Op.TID()] != d.Op {
				t.Fatalf("seed %d: #%d completed twice or after it was given up", seed, d.Op.TID())
			}
			delete(live, d.Op.TID())
			done++
		}
		for _, n := range ready.Notices {
			if registered[n.Linger]++; n.Kind != Registered || n.Err != nil || registered[n.Linger] > 1 {
				t.Fatalf("seed %d: %s", seed, noticeWords(n))
			}
		}
		if ready.AskNewest {
			t.Fatalf("seed %d: no pool is unknown", seed)
		}
	}
	newMap := func(change func(*testMap)) NewMaps {
		var maps []Map
		for range 1 + r.IntN(3) {
			m = m.next(change)
			maps = append(maps, m)
		}
		return NewMaps{Maps: maps}
	}
	step(newMap(shuffle))
	for i := range 400 {
		now = now.Add(time.Duration(r.IntN(int(5 * time.Second))))
		if i > 350 {
			settle = true
		}
		switch n := r.IntN(14); {
		case n == 12 && !settle:
			w := &Linger{Object: fmt.Sprintf("o%d", r.IntN(6)), Locator: object.Locator{Pool: 1, Hash: -1}}
			watches = append(watches, w)
			step(Begin{w})
		case n == 13 && len(watches) > 5:
			j := r.IntN(len(watches))
			step(End{watches[j]})
			watches = slices.Delete(watches, j, j+1)
		case n < 4 && !settle:
			op := write(fmt.Sprintf("o%d", r.IntN(6)))
			submitted++
			live[c.nextTID+1] = op
			step(Submit{op})
		case n == 4 && !settle:
			for _, op := range live {
				delete(live, op.TID())
				cancelled++
				step(Cancel{op})
				break
			}
		case n == 5 && !settle:
			step(newMap(func(m *testMap) {
				osd := int32(r.IntN(3))
				if _, ok := m.up[osd]; ok && len(m.up) > 1 && r.IntN(2) == 0 {
					delete(m.up, osd)
				} else {
					m.up[osd] = r.Uint32()
				}
				m.writes = r.IntN(4) == 0
				shuffle(m)
			}))
		case n == 6 && len(opening) > 0:
			id := opening[0]
			opening = opening[1:]
			if r.IntN(2) == 0 || settle {
				open = append(open, id)
				step(Opened{id})
			} else {
				step(Closed{Session: id, Err: errno.ECONNREFUSED})
			}
		case n == 7 && len(open) > 0 && !settle:
			j := r.IntN(len(open))
			id := open[j]
			open = slices.Delete(open, j, j+1)
			step(Closed{Session: id, Err: errno.ENOTCONN})
		case n == 8:
			step(Tick{})
		case len(flying) > 0:
			j := r.IntN(len(flying))
			f := flying[j]
			flying = slices.Delete(flying, j, j+1)
			step(Reply{Session: f.session, TID: f.tid, Msg: &msg.OSDOpReply{Retry: f.retry}})
		}
	}
	// The cluster calms down: everything is answered.
	step(newMap(func(m *testMap) {
		m.up = map[int32]uint32{0: 9, 1: 9, 2: 9}
		m.writes = false
		for s := range uint32(pgs) {
			m.acting[object.PG{Pool: 1, Seed: s}] = []int32{int32(s % 3)}
		}
	}))
	registering := func(w *Linger) bool { return w.op != nil }
	for i := 0; len(live) > 0 || slices.ContainsFunc(watches, registering); i++ {
		if i > 1000 {
			t.Fatalf("seed %d: %d operations are never answered: %+v", seed, len(live), c.Stats())
		}
		for len(opening) > 0 {
			id := opening[0]
			opening = opening[1:]
			open = append(open, id)
			step(Opened{id})
		}
		for len(flying) > 0 {
			f := flying[0]
			flying = flying[1:]
			step(Reply{Session: f.session, TID: f.tid, Msg: &msg.OSDOpReply{Retry: f.retry}})
		}
		now = now.Add(maxReopen)
		step(Tick{})
	}
	step(newMap(func(*testMap) {})) // who is lost registers now at the latest
	for i, w := range watches {
		if w.session == nil || registered[w] != 1 {
			t.Fatalf("seed %d: watch %d of %d is not registered: %+v", seed, i, len(watches), w)
		}
	}
	if done+cancelled != submitted {
		t.Fatalf("seed %d: %d submitted, %d done, %d given up", seed, submitted, done, cancelled)
	}
}
