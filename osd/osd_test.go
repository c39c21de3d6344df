package osd

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/admin"
	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore/memstore"
	"github.com/pulpo-storage/pulpo/osd/pg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// house is an OSD with all its shards and a monitor that does what it is asked,
// in one goroutine: what the shell does, without a shell.
type house struct {
	t     *testing.T
	store *memstore.Store
	osd   *OSD
	now   time.Time
	addr  entity.AddrVec
	opts  *config.Config

	maps    []*osdmap.Map // of the monitor, by epoch from 1
	incs    [][]byte
	toMon   []msg.Body
	sends   []pg.Send
	replies []CommandReply
	notes   []string
	wants   []Event
	depth   int
	noAlive bool // the monitor ignores what is said of who was alive
	noBoot  bool // the monitor ignores boots
	noDown  bool // and who wants to be marked down
	stopped bool
	most    uint32 // maps in a message; 0: any number
}

var (
	fsid = entity.UUID{1}
	disk = entity.UUID{2}
)

func newHouse(t *testing.T) *house {
	h := &house{t: t, store: memstore.NewStepped(), now: time.Unix(1700000000, 0).UTC(), opts: config.New(entity.AuthName{Type: entity.OSD, ID: "0"}, "host")}
	if err := Format(h.store, fsid, disk, 0); err != nil {
		t.Fatal(err)
	}
	m := osdmap.New()
	m.FSID, m.Epoch = fsid, 1
	m.Crush, _ = crush.BuildDefault("osd")
	m.FullRatio, m.BackfillfullRatio, m.NearfullRatio = 0.95, 0.9, 0.85
	full := m.Encode()
	inc := osdmap.NewIncremental(fsid, 1)
	inc.FullMap = full
	got, err := osdmap.Decode(full)
	if err != nil {
		t.Fatal(err)
	}
	h.maps, h.incs = []*osdmap.Map{got}, [][]byte{inc.Encode(osdmap.FullCRC(full))}
	h.start(1)
	return h
}

// start makes a process of the OSD, with a nonce of its own.
func (h *house) start(nonce uint32) {
	h.t.Helper()
	a, err := entity.ParseAddr("v2:127.0.0.1:6800", entity.AddrMsgr2)
	if err != nil {
		h.t.Fatal(err)
	}
	a.Nonce = nonce
	h.addr = entity.AddrVec{a}
	h.stopped = false
	h.osd, err = New(Config{ID: 0, Public: h.addr, Shards: 2, Options: h.opts, Weight: 0x10000,
		Version: admin.Version{Number: "16.2.15", Release: "pacific", Type: "stable"}}, h.store, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	h.step(Start{})
}

// propose makes the next map.
func (h *house) propose(change func(inc *osdmap.Incremental, m *osdmap.Map)) {
	h.t.Helper()
	cur := h.maps[len(h.maps)-1]
	inc := osdmap.NewIncremental(fsid, cur.Epoch+1)
	change(inc, cur)
	next, err := cur.Apply(inc)
	if err != nil {
		h.t.Fatal(err)
	}
	h.maps = append(h.maps, next)
	h.incs = append(h.incs, inc.Encode(osdmap.FullCRC(next.Encode())))
}

// send gives the OSD the maps from an epoch on.
func (h *house) send(from uint32) {
	newest := uint32(len(h.maps))
	m := &msg.OSDMap{FSID: fsid, Oldest: 1, Newest: newest, Incrementals: map[uint32][]byte{}}
	for e := max(from, 1); e <= newest && (h.most == 0 || e-max(from, 1) < h.most); e++ {
		m.Incrementals[e] = h.incs[e-1]
	}
	h.step(MonMessage{m})
}

func (h *house) step(ev Event) {
	h.t.Helper()
	defer h.enter()()
	h.now = h.now.Add(time.Millisecond)
	h.osd.Step(h.now, ev)
	h.carryOut()
}

// enter counts how deep in steps we are. What shards want of the monitor it is
// given when the outermost one has ended: what comes of it is an event of its own.
func (h *house) enter() (leave func()) {
	h.depth++
	return func() {
		for h.depth == 1 && len(h.wants) > 0 {
			w := h.wants[0]
			h.wants = h.wants[1:]
			h.osd.Step(h.now, w)
			h.carryOut()
			h.now = h.now.Add(collect)
			h.osd.Step(h.now, Tick{})
			h.carryOut()
		}
		h.depth--
	}
}

func (h *house) toShard(i int, ev ShardEvent) {
	h.t.Helper()
	defer h.enter()()
	s := h.osd.shards[i]
	s.Step(h.now, ev)
	h.carryOutShard(s)
}

func (h *house) carryOutShard(s *Shard) {
	h.t.Helper()
	r := s.Ready()
	if r.Fatal != nil {
		h.t.Fatal(r.Fatal)
	}
	upThru := NeedUpThru{r.WantUpThru}
	type fetch struct {
		from object.SPG
		id   uint64
	}
	var events []ForPG
	for _, w := range slices.Clone(r.Writes) {
		if err := h.store.Submit(w.Txn, nil); err != nil {
			events = append(events, ForPG{w.PG, pg.SubmitFailed{Token: w.Token, Err: err}})
			continue
		}
		h.store.Step(1)
		h.deliver(w.Replies)
		events = append(events, ForPG{w.PG, pg.Committed{Token: w.Token}})
	}
	h.deliver(r.Sends)
	answers, fetches, moved := r.Answers, slices.Clone(r.Fetches), r.Moved
	for _, n := range r.Notes {
		h.notes = append(h.notes, n.Text)
	}
	for _, ev := range events {
		s.Step(h.now, ev)
		h.carryOutShard(s)
	}
	for _, f := range fetches {
		me := &pg.Session{Name: entity.Name{Type: entity.OSD, Num: 0}, Conn: fetch{f.PG, f.ID}}
		h.request(&pg.Request{Session: me, TID: f.ID, Op: f.Op, Received: h.now})
	}
	for _, a := range answers {
		h.step(a)
	}
	if len(moved) > 0 {
		h.step(Moved{moved})
	}
	if upThru.Epoch > 0 {
		h.wants = append(h.wants, upThru)
	}
	// What was fetched goes to the group that asked.
	for i := 0; i < len(h.sends); i++ {
		if f, ok := h.sends[i].To.Conn.(fetch); ok {
			reply := h.sends[i].Body.(*msg.OSDOpReply)
			h.sends = slices.Delete(h.sends, i, i+1)
			h.toShard(ShardOf(f.from.PG, 2), ForPG{f.from, pg.Fetched{ID: f.id, Reply: reply}})
			i = -1
		}
	}
	if r.More {
		h.toShard(s.index, Resume{})
	}
}

func (h *house) deliver(s []pg.Send) { h.sends = append(h.sends, s...) }

func (h *house) carryOut() {
	h.t.Helper()
	r := h.osd.Ready()
	if r.Fatal != nil {
		h.t.Fatal(r.Fatal)
	}
	h.stopped = h.stopped || r.Stopped
	h.replies = append(h.replies, r.Replies...)
	for _, n := range r.Notes {
		h.notes = append(h.notes, n.Text)
	}
	token := uint64(0)
	for _, w := range r.Writes {
		if err := h.store.Submit(w.Txn, nil); err != nil {
			h.t.Fatal(err)
		}
		h.store.Step(1)
		token = w.Token
	}
	for _, ts := range r.ToShards {
		for i := range h.osd.shards {
			if ts.Shard == i || ts.Shard == -1 {
				h.toShard(i, ts.Event)
			}
		}
	}
	if token > 0 {
		h.step(Committed{Token: token})
	}
	for _, m := range r.ToMon {
		h.toMon = append(h.toMon, m)
		h.monitor(m)
	}
	if r.Subscribe > 0 && int(r.Subscribe) <= len(h.maps) {
		h.send(r.Subscribe)
	}
}

func (h *house) monitor(m msg.Body) {
	switch m := m.(type) {
	case *msg.OSDAlive:
		if h.noAlive {
			return
		}
		h.propose(func(inc *osdmap.Incremental, cur *osdmap.Map) { inc.NewUpThru[m.ID] = m.Want })
		h.send(uint32(len(h.maps)))
	case *msg.OSDBoot:
		if h.noBoot {
			return
		}
		cur := h.maps[len(h.maps)-1]
		if cur.IsUp(m.ID) {
			h.propose(func(inc *osdmap.Incremental, _ *osdmap.Map) { inc.NewState[m.ID] = osdmap.StateUp })
		}
		h.propose(func(inc *osdmap.Incremental, cur *osdmap.Map) {
			if cur.MaxOSD == 0 {
				inc.NewMaxOSD = 1
			}
			if !cur.Exists(m.ID) {
				inc.NewState[m.ID] = osdmap.StateExists
			}
			inc.NewUpClient[m.ID], inc.NewUpCluster[m.ID] = m.Public, m.Cluster
			inc.NewHBBackUp[m.ID], inc.NewHBFrontUp[m.ID] = nil, nil
			inc.NewWeight[m.ID] = osdmap.WeightIn
			inc.NewUUID[m.ID] = m.UUID
			if _, known := cur.Crush.Parent(m.ID); !known {
				c := cur.Crush.Clone()
				c.MaxDevices = 1
				if _, err := c.CreateOrMove(m.ID, 0x10000, "osd.0", map[string]string{"root": "default"}, true); err != nil {
					h.t.Fatal(err)
				}
				inc.Crush = c.Encode()
			}
		})
		h.send(m.Epoch + 1)
	case *msg.OSDMarkDown:
		if h.noDown {
			return
		}
		h.propose(func(inc *osdmap.Incremental, _ *osdmap.Map) { inc.NewState[m.ID] = osdmap.StateUp })
		h.send(m.Epoch + 1)
	}
}

func (h *house) makePool(id int64, groups uint32) {
	h.t.Helper()
	h.propose(func(inc *osdmap.Incremental, _ *osdmap.Map) {
		p := osdmap.NewPool(osdmap.Replicated)
		p.Size, p.MinSize, p.PGNum, p.PGPNum, p.Flags = 1, 1, groups, groups, osdmap.PoolFlagHashPSPool|osdmap.PoolFlagCreating
		inc.NewPools[id], inc.NewPoolNames[id], inc.NewPoolMax = p, "pool", id
	})
	h.send(uint32(len(h.maps)))
}

func (h *house) newest() *osdmap.Map { return h.maps[len(h.maps)-1] }

func (h *house) request(r *pg.Request) {
	h.t.Helper()
	h.toShard(ShardOf(r.Op.PG.PG, 2), r)
}

var client = &pg.Session{Name: entity.Name{Type: entity.Client, Num: 4100}}

func (h *house) op(pool int64, name string, tid uint64, ops ...msg.Op) *pg.Request {
	m := h.newest()
	loc := object.Locator{Pool: pool, Hash: -1}
	raw, err := m.ObjectToPG(loc, name)
	if err != nil {
		h.t.Fatal(err)
	}
	return &pg.Request{Session: client, TID: tid, Received: h.now, Op: &msg.OSDOp{
		PG: object.SPG{PG: m.Pools[pool].RawToActual(raw), Shard: object.NoShard}, Hash: raw.Seed, Epoch: m.Epoch,
		Flags: msg.FlagAck | msg.FlagOnDisk, MTime: h.now, OID: name, Ops: ops, Locator: loc, SnapID: object.NoSnap,
	}}
}

// do sends a request and returns the answer; nil if there is none yet.
func (h *house) do(pool int64, name string, tid uint64, ops ...msg.Op) *msg.OSDOpReply {
	h.t.Helper()
	h.request(h.op(pool, name, tid, ops...))
	return h.answer(tid)
}

func (h *house) answer(tid uint64) *msg.OSDOpReply {
	for i, s := range h.sends {
		if r, ok := s.Body.(*msg.OSDOpReply); ok && s.TID == tid {
			h.sends = slices.Delete(h.sends, i, i+1)
			return r
		}
	}
	return nil
}

func writeFull(data string) msg.Op {
	o := msg.Op{Code: msg.OpWriteFull, In: buffer.Wrap([]byte(data))}
	o.SetExtent(0, uint64(len(data)))
	return o
}

func read() msg.Op { return msg.Op{Code: msg.OpRead} }

func (h *house) command(text string) CommandReply {
	h.t.Helper()
	h.replies = nil
	h.step(Command{ID: 1, Text: []string{text}})
	if len(h.replies) != 1 {
		h.t.Fatalf("%s: %d replies", text, len(h.replies))
	}
	return h.replies[0]
}

func TestBootServeRestart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if h.osd.State() != StateActive {
		t.Fatalf("state %v after boot", h.osd.State())
	}
	h.makePool(1, 8)
	for i := range 40 {
		name := "o" + string(rune('a'+i))
		if r := h.do(1, name, uint64(i+1), writeFull(name)); r == nil || r.Result != 0 {
			t.Fatalf("write %d: %+v", i, r)
		}
	}
	// The monitors hear of the groups at once, since they are news.
	h.step(Tick{})
	var seen int
	for _, m := range h.toMon {
		if r, ok := m.(*msg.OSDReport); ok {
			seen = max(seen, len(r.PGs))
		}
	}
	if seen != 8 {
		t.Errorf("reported %d groups", seen)
	}

	h.step(Stop{})
	if !h.stopped {
		t.Fatal("did not stop")
	}
	h.start(2)
	if h.osd.State() != StateActive {
		t.Fatalf("state %v after restart", h.osd.State())
	}
	for i := range 40 {
		name := "o" + string(rune('a'+i))
		if r := h.do(1, name, uint64(100+i), read()); r == nil || string(r.Ops[0].Out.Bytes()) != name {
			t.Fatalf("read %s: %+v", name, r)
		}
	}
	// A write of before the restart is not run again.
	if r := h.do(1, "oa", 1, writeFull("again")); r == nil || r.Result != 0 {
		t.Fatalf("resent: %+v", r)
	}
	if r := h.do(1, "oa", 200, read()); string(r.Ops[0].Out.Bytes()) != "oa" {
		t.Fatalf("resent write was run: %q", r.Ops[0].Out.Bytes())
	}
}

func TestRequestsBeforeTheMapWaitInOrder(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 1)
	early := h.op(1, "o", 1, writeFull("1"))
	early.Op.Epoch = h.newest().Epoch + 1
	h.request(early)
	if h.do(1, "o", 2, read()) != nil {
		t.Fatal("a later request of the same client overtook one that waits")
	}
	h.propose(func(*osdmap.Incremental, *osdmap.Map) {})
	h.send(h.newest().Epoch)
	if r := h.answer(1); r == nil || r.Result != 0 {
		t.Fatalf("write: %+v", r)
	}
	if r := h.answer(2); r == nil || string(r.Ops[0].Out.Bytes()) != "1" {
		t.Fatalf("read: %+v", r)
	}
}

func TestClientsWithOldMapsAreSentWhatTheyLack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 1)
	r := h.op(1, "o", 1, writeFull("1"))
	for range 3 {
		h.propose(func(*osdmap.Incremental, *osdmap.Map) {})
		h.send(h.newest().Epoch)
	}
	h.request(r)
	if a := h.answer(1); a == nil || a.Result != 0 {
		t.Fatalf("in the same interval: %+v", a)
	}
	var got *msg.OSDMap
	for _, s := range h.sends {
		got, _ = s.Body.(*msg.OSDMap)
	}
	if got == nil || len(got.Incrementals) != 3 || got.Newest != h.newest().Epoch {
		t.Fatalf("maps sent: %+v", got)
	}
}

func TestPoolDeleted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 4)
	for i := range 200 {
		h.do(1, "o"+string(rune('a'+i)), uint64(i+1), writeFull("x"))
	}
	h.propose(func(inc *osdmap.Incremental, _ *osdmap.Map) { inc.OldPools = []int64{1} })
	h.send(h.newest().Epoch)
	colls, _ := h.store.Collections()
	if len(colls) != 0 {
		t.Fatalf("left: %v", colls)
	}
	if r := h.command(`{"prefix":"status","format":"json"}`); !strings.Contains(string(r.Out), `"num_pgs":0`) {
		t.Error(string(r.Out))
	}
}

func TestCopyBetweenGroups(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 8)
	h.opts.Set("osd_copyfrom_max_chunk", "65536")
	h.step(Tick{})
	h.now = h.now.Add(time.Minute)
	h.step(Tick{})
	big := strings.Repeat("0123456789abcdef", 20000)
	h.do(1, "src", 1, writeFull(big))
	from := msg.Op{Code: msg.OpCopyFrom}
	from.PutU64(0, uint64(object.NoSnap))
	for i, name := range []string{"d1", "d2", "d3", "d4"} {
		from.In = buffer.Wrap(copyInput("src", 1))
		if r := h.do(1, name, uint64(10+i), from); r == nil || r.Result != 0 {
			t.Fatalf("copy to %s: %+v", name, r)
		}
		if r := h.do(1, name, uint64(20+i), read()); string(r.Ops[0].Out.Bytes()) != big {
			t.Fatalf("copy %s has %d bytes", name, r.Ops[0].Out.Len())
		}
	}
	from.In = buffer.Wrap(copyInput("nothing", 1))
	if r := h.do(1, "d1", 30, from); r == nil || r.Result != -2 {
		t.Fatalf("copy of nothing: %+v", r)
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 8)
	h.do(1, "o", 1, writeFull("x"))
	want := map[string]string{
		`{"prefix":"version"}`:                              "{\n    \"version\": \"16.2.15\",\n    \"release\": \"pacific\",\n    \"release_type\": \"stable\"\n}\n",
		`{"prefix":"dump_ops_in_flight"}`:                   "{\n    \"ops\": [],\n    \"num_ops\": 0\n}\n",
		`{"prefix":"dump_watchers","format":"json"}`:        "[]",
		`{"prefix":"injectargs","injected_args":[]}`:        "{}\n",
		`{"prefix":"get_latest_osdmap"}`:                    "",
		`{"prefix":"config get","var":"osd_max_backfills"}`: "{\n    \"osd_max_backfills\": \"" + h.opts.Get("osd_max_backfills") + "\"\n}\n",
		`{"prefix":"pg","pgid":"1.1","cmd":"list_unfound"}`: "{\n    \"num_missing\": 0,\n    \"num_unfound\": 0,\n    \"objects\": [],\n    \"state\": \"Active\",\n    \"available_might_have_unfound\": true,\n    \"might_have_unfound\": [],\n    \"more\": false\n}\n",
	}
	for cmd, out := range want {
		if r := h.command(cmd); r.Result != 0 || string(r.Out) != out {
			t.Errorf("%s: %d %q\n%s", cmd, r.Result, r.Status, r.Out)
		}
	}
	for _, cmd := range []string{`{"prefix":"nonsense"}`, `{`, `{"prefix":"query","pgid":"x"}`, `{"prefix":"query","pgid":"77.0"}`,
		`{"prefix":"mark_unfound_lost","pgid":"1.0","mulcmd":"nonsense"}`, `{"prefix":"config get","var":"nonsense"}`,
		`{"prefix":"query"}`, `{"prefix":"pg","pgid":"1.0","cmd":"list_unfound","offset":"0"}`,
		`{"prefix":"cluster_log","level":"nonsense","message":["x"]}`, `{"prefix":"bench","count":1073741824,"size":4096}`,
		`{"prefix":"bench","size":67108865}`, `{"prefix":"bench","count":4096,"size":0}`} {
		if r := h.command(cmd); r.Result >= 0 || r.Status == "" {
			t.Errorf("%s: %d %q %s", cmd, r.Result, r.Status, r.Out)
		}
	}
	if r := h.command(`{"prefix":"mark_unfound_lost","pgid":"1.0","mulcmd":"revert"}`); r.Result != 0 || r.Status != "pg has no unfound objects" {
		t.Errorf("mark_unfound_lost: %+v", r)
	}
	for _, cmd := range []string{"help", "get_command_descriptions", "dump_pgstate_history",
		"dump_recovery_reservations", "dump_osd_network", "git_version", "status", "config show", "config diff", "dump_historic_ops", "dump_blocked_ops",
		"dump_historic_slow_ops", "dump_blocklist", "list_devices", "get_mapped_pools", "perf dump", "config help"} {
		r := h.command(`{"prefix":"` + cmd + `"}`)
		var v any
		if err := json.Unmarshal(r.Out, &v); err != nil || r.Result != 0 {
			t.Errorf("%s: %v %d %s", cmd, err, r.Result, r.Out)
		}
	}
	var q struct {
		State string
		Info  struct {
			Stats struct {
				StatSum map[string]int64 `json:"stat_sum"`
			}
		}
	}
	objects := int64(0)
	for _, g := range []string{"0", "1", "2", "3", "4", "5", "6", "7"} {
		r := h.command(`{"prefix":"query","pgid":"1.` + g + `"}`)
		if err := json.Unmarshal(r.Out, &q); err != nil || q.State != "active+clean" {
			t.Fatalf("query: %v %s", err, r.Out)
		}
		objects += q.Info.Stats.StatSum["num_objects"]
	}
	if objects != 1 {
		t.Errorf("%d objects", objects)
	}
	if r := h.command(`{"prefix":"bench","count":65536,"size":4096,"format":"json"}`); !strings.Contains(string(r.Out), `"bytes_written":65536`) {
		t.Error(string(r.Out))
	}
	if r := h.command(`{"prefix":"flush_pg_stats"}`); len(r.Out) == 0 {
		t.Error("no sequence number")
	}
	r := h.command(`{"prefix":"dump_historic_ops"}`)
	if !strings.Contains(string(r.Out), "osd_op(client.4100.0:1 1.") || !strings.Contains(string(r.Out), ":o:head [writefull 0~1] snapc 0=[]") {
		t.Error(string(r.Out))
	}
}

func TestMarkedDownByMistakeComesBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 2)
	h.do(1, "o", 1, writeFull("x"))
	h.propose(func(inc *osdmap.Incremental, _ *osdmap.Map) { inc.NewState[0] = osdmap.StateUp })
	h.send(h.newest().Epoch)
	if h.osd.State() != StateActive || !h.newest().IsUp(0) {
		t.Fatalf("state %v", h.osd.State())
	}
	if r := h.do(1, "o", 2, read()); r == nil || string(r.Ops[0].Out.Bytes()) != "x" {
		t.Fatalf("%+v", r)
	}
}

func TestNobodyIsServedBeforeTheBoot(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 1)
	h.do(1, "o", 1, writeFull("x"))
	h.noBoot = true
	h.start(2) // after a crash: the map still shows the old process
	if h.do(1, "o", 2, read()) != nil {
		t.Fatal("served by the map of the process before")
	}
	h.noBoot = false
	h.now = h.now.Add(time.Minute)
	h.step(Tick{})
	if h.osd.State() != StateActive {
		t.Fatal(h.osd.State())
	}
	if h.answer(2) != nil {
		t.Fatal("a request of an interval that is over was served")
	}
	if r := h.do(1, "o", 2, read()); r == nil || string(r.Ops[0].Out.Bytes()) != "x" {
		t.Fatalf("%+v", r)
	}
}

func (h *house) setGroups(pool int64, n uint32) {
	h.t.Helper()
	h.propose(func(inc *osdmap.Incremental, m *osdmap.Map) {
		p := m.Pools[pool].Clone()
		p.PGNum, p.Flags = n, p.Flags&^osdmap.PoolFlagCreating
		inc.NewPools[pool] = p
	})
	h.send(h.newest().Epoch)
}

func TestSplit(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 2)
	name := func(i int) string { return fmt.Sprintf("object%d", i) }
	const n = 700
	for i := range n {
		if r := h.do(1, name(i), uint64(i+1), writeFull(name(i))); r == nil || r.Result != 0 {
			t.Fatalf("write %d: %+v", i, r)
		}
	}
	check := func(groups int, tid uint64) {
		t.Helper()
		for i := range n {
			if r := h.do(1, name(i), tid+uint64(i), read()); r == nil || string(r.Ops[0].Out.Bytes()) != name(i) {
				t.Fatalf("of %d groups: read %s: %+v", groups, name(i), r)
			}
		}
		objects, bytes, size := int64(0), int64(0), int64(0)
		for i := range n {
			size += int64(len(name(i)))
		}
		seen := 0
		for _, s := range h.osd.shards {
			for id, p := range s.groups {
				if ShardOf(id.PG, 2) != s.index {
					t.Errorf("%v is in shard %d", id, s.index)
				}
				if !p.Active() {
					t.Errorf("%v is %v", id, p.State())
				}
				seen++
				objects += p.Info().Stats.Objects
				bytes += p.Info().Stats.Bytes
			}
		}
		if seen != groups || objects != n || bytes != size {
			t.Errorf("%d groups with %d objects of %d bytes, want %d, %d, %d", seen, objects, bytes, groups, n, size)
		}
	}
	for i, groups := range []int{7, 8, 32} {
		h.setGroups(1, uint32(groups))
		check(groups, uint64(10000*(i+1)))
	}
	// What was answered before is answered again, whichever group has it now.
	r := h.op(1, name(n-1), n, msg.Op{Code: msg.OpDelete})
	h.request(r)
	if a := h.answer(n); a == nil || a.Result != 0 {
		t.Fatalf("resent: %+v", a)
	}
	h.step(Stop{})
	h.start(2)
	check(32, 90000)
}
