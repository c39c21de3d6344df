package pg

import (
	"slices"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore/memstore"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// world is a group with its store and a client, stepped by hand.
type world struct {
	t     testing.TB
	store *memstore.Store
	env   *Env
	pg    *PG
	m     *osdmap.Map
	now   time.Time
	tid   uint64
	sess  *Session

	replies map[uint64]*msg.OSDOpReply // by tid, as they were sent
	sends   []Send
	fetches []Fetch
	manual  bool // transactions become durable when commit is called
	inAir   []Write
	refuse  error // of the store, for the next transaction
	notes   []Note
	snap    object.SnapID // the newest snapshot; 0: there are none
}

const testPool = 1

// testMap is a map of one OSD and one pool with a single group.
func testMap(t testing.TB, change func(*osdmap.Map)) *osdmap.Map {
	t.Helper()
	m := osdmap.New()
	m.Epoch = 10
	m.MaxOSD = 2
	for _, thru := range []uint32{1 << 30, 0} {
		m.State = append(m.State, osdmap.StateExists|osdmap.StateUp)
		m.Weight = append(m.Weight, osdmap.WeightIn)
		m.Info = append(m.Info, osdmap.Info{UpFrom: 1, UpThru: thru}) // osd.0 need not ask for it
		m.XInfo = append(m.XInfo, osdmap.XInfo{})
		m.UUID = append(m.UUID, entity.UUID{})
		m.ClientAddrs = append(m.ClientAddrs, nil)
		m.ClusterAddrs = append(m.ClusterAddrs, nil)
		m.HBBackAddrs = append(m.HBBackAddrs, nil)
		m.HBFrontAddrs = append(m.HBFrontAddrs, nil)
	}
	p := osdmap.NewPool(osdmap.Replicated)
	p.Size, p.MinSize, p.PGNum, p.PGPNum = 1, 1, 1, 1
	// Nothing but what a test does wants to be woken.
	p.Flags |= osdmap.PoolFlagNoScrub | osdmap.PoolFlagNoDeepScrub
	m.Pools[testPool] = p
	m.PoolNames[testPool] = "pool"
	m.PGUpmap[object.PG{Pool: testPool}] = []int32{0}
	if change != nil {
		change(m)
	}
	got, err := osdmap.Decode(m.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, store: memstore.NewStepped(), m: testMap(t, nil), now: time.Unix(1700000000, 0), replies: map[uint64]*msg.OSDOpReply{}}
	w.sess = &Session{Name: entity.Name{Type: entity.Client, Num: 4100}}
	w.env = &Env{Whoami: 0, Store: w.store, Config: DefaultConfig(), Classes: objclass.Registry{}}
	w.pg = Create(w.env, object.SPG{PG: object.PG{Pool: testPool}, Shard: object.NoShard}, []*osdmap.Map{w.m}, w.now)
	w.carryOut()
	return w
}

// step gives the group an event and carries out what it decides.
func (w *world) step(ev Event) {
	w.t.Helper()
	w.now = w.now.Add(time.Millisecond)
	w.pg.Step(w.now, ev)
	w.carryOut()
	w.pg.check()
}

func (w *world) carryOut() {
	w.t.Helper()
	for {
		r := w.env.Ready()
		if r.Fatal != nil {
			w.t.Fatal(r.Fatal)
		}
		w.deliver(r.Sends)
		w.fetches = append(w.fetches, r.Fetches...)
		w.notes = append(w.notes, r.Notes...)
		var events []Event
		for _, wr := range slices.Clone(r.Writes) {
			if err := w.refuse; err != nil {
				w.refuse = nil
				wr.Txn.Release()
				events = append(events, SubmitFailed{wr.Token, err})
				continue
			}
			if err := w.store.Submit(wr.Txn, nil); err != nil {
				events = append(events, SubmitFailed{wr.Token, err})
				continue
			}
			if w.manual {
				w.inAir = append(w.inAir, wr)
				continue
			}
			w.store.Step(1)
			w.deliver(wr.Replies)
			events = append(events, Committed{Token: wr.Token})
		}
		if len(events) == 0 {
			if next := w.env.Next(); next != nil {
				w.pg.Step(w.now, next)
				continue
			}
			return
		}
		for _, ev := range events {
			w.pg.Step(w.now, ev)
		}
	}
}

func (w *world) deliver(sends []Send) {
	w.t.Helper()
	for _, s := range sends {
		if r, ok := s.Body.(*msg.OSDOpReply); ok {
			if w.replies[s.TID] != nil {
				w.t.Fatalf("request %d was answered twice", s.TID)
			}
			w.replies[s.TID] = r
		}
		w.sends = append(w.sends, s)
	}
}

// commit makes the oldest n transactions durable.
func (w *world) commit(n int) {
	w.t.Helper()
	for range n {
		wr := w.inAir[0]
		w.inAir = w.inAir[1:]
		w.store.Step(1)
		w.deliver(wr.Replies)
		w.step(Committed{Token: wr.Token})
	}
}

// restart loads the group from the store, as after a clean stop, or after a crash.
func (w *world) restart(crash bool) {
	w.t.Helper()
	if crash {
		w.store = w.store.Crash()
	} else {
		w.store.Sync()
	}
	w.inAir = nil
	env := &Env{Whoami: w.env.Whoami, Store: w.store, Config: w.env.Config, Classes: w.env.Classes}
	p, err := Load(env, w.pg.id, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	w.env, w.pg = env, p
	w.step(MapChange{Map: w.m})
}

// request makes a request on an object; tid 0 means the next one.
func (w *world) request(name string, tid uint64, flags uint32, ops ...msg.Op) *Request {
	if tid == 0 {
		w.tid++
		tid = w.tid
	}
	id := object.New(testPool, "", "", name)
	return &Request{Session: w.sess, TID: tid, Received: w.now, Op: &msg.OSDOp{
		PG: w.pg.id, Hash: id.Hash, Epoch: w.m.Epoch, Flags: flags | msg.FlagAck | msg.FlagOnDisk, MTime: w.now, OID: name, Ops: ops,
		Locator: object.Locator{Pool: testPool, Hash: -1}, SnapID: object.NoSnap,
	}}
}

// do runs operations on an object and returns the answer.
func (w *world) do(name string, ops ...msg.Op) *msg.OSDOpReply {
	w.t.Helper()
	return w.send(w.request(name, 0, 0, ops...))
}

func (w *world) send(r *Request) *msg.OSDOpReply {
	w.t.Helper()
	delete(w.replies, r.TID)
	w.step(r)
	got := w.replies[r.TID]
	if got == nil && !w.manual {
		w.t.Fatalf("no answer to %v", r.Op)
	}
	return got
}

// Operations.

func opIn(code msg.OpCode, in string) msg.Op { return msg.Op{Code: code, In: buffer.Wrap([]byte(in))} }

func opWrite(off uint64, data string) msg.Op {
	o := opIn(msg.OpWrite, data)
	o.SetExtent(off, uint64(len(data)))
	return o
}

func opWriteFull(data string) msg.Op {
	o := opIn(msg.OpWriteFull, data)
	o.SetExtent(0, uint64(len(data)))
	return o
}

func opRead(off, n uint64) msg.Op {
	o := msg.Op{Code: msg.OpRead}
	o.SetExtent(off, n)
	return o
}

func opSetXattr(name, value string) msg.Op {
	o := opIn(msg.OpSetXattr, name+value)
	o.PutU32(0, uint32(len(name)))
	o.PutU32(4, uint32(len(value)))
	return o
}

func opGetXattr(name string) msg.Op {
	o := opIn(msg.OpGetXattr, name)
	o.PutU32(0, uint32(len(name)))
	return o
}

func wantResult(t testing.TB, r *msg.OSDOpReply, want int32) {
	t.Helper()
	if r.Result != want {
		t.Fatalf("%s %v: result %d, want %d", r.OID, r.Ops, r.Result, want)
	}
}

func newStepped() *memstore.Store { return memstore.NewStepped() }
