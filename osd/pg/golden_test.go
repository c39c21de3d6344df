package pg

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/osd/objclass/hello"
	"github.com/pulpo-storage/pulpo/osd/objclass/lock"
	"github.com/pulpo-storage/pulpo/osd/objclass/refcount"
	"github.com/pulpo-storage/pulpo/osd/objclass/version"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// pair is a request and its answer, as a stock client and a stock OSD sent them
// (testdata/osdops.jsonl.gz; bytes in hex).
type pair struct {
	Kind, Scenario         string
	TID                    uint64
	Front, Data            string
	Reply                  string
	ReplyData              string `json:"reply_data"`
	req                    *msg.OSDOp
	want                   *msg.OSDOpReply
	wantFront, wantPayload []byte
}

func goldenPairs(t *testing.T) []*pair {
	t.Helper()
	f, err := os.Open("testdata/osdops.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all []*pair
	sc := bufio.NewScanner(z)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		p := new(pair)
		if err := json.Unmarshal(sc.Bytes(), p); err != nil {
			t.Fatal(err)
		}
		raw := func(s string) []byte {
			b, err := hex.DecodeString(s)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		req, err := msg.Decode(msg.TypeOSDOp, 8, 3, raw(p.Front), buffer.ListOf(raw(p.Data)))
		if err != nil {
			t.Fatal(p.Kind, err)
		}
		p.wantFront, p.wantPayload = raw(p.Reply), raw(p.ReplyData)
		want, err := msg.Decode(msg.TypeOSDOpReply, 8, 2, p.wantFront, buffer.ListOf(p.wantPayload))
		if err != nil {
			t.Fatal(p.Kind, err)
		}
		p.req, p.want = req.(*msg.OSDOp), want.(*msg.OSDOpReply)
		all = append(all, p)
	}
	return all
}

// skip says why a sample cannot be replayed here.
func (p *pair) skip() string {
	switch {
	case p.want.Result == -11:
		return "read from a replica"
	case p.want.Result == -95 && p.Kind == "append":
		return "erasure-coded pool"
	case p.Kind == "copy-get":
		return "has the snapshots and the requests of the source; see TestCopyGetGolden"
	}
	return ""
}

// exists guesses whether the object was there.
func (p *pair) exists() bool {
	first := p.req.Ops[0]
	switch {
	case strings.Contains(p.Kind, "lock.break_lock"), strings.Contains(p.Kind, "lock.unlock"):
		return true
	case p.want.Result == -2:
		return false
	case first.Code == msg.OpCreate && first.Flags&msg.OpFlagExcl != 0 && p.want.Result == 0:
		return false
	case p.Kind == "call hello.record_hello":
		return false
	}
	return true
}

// goldenWorld is a group in the state that the stock one must have been in.
func goldenWorld(t *testing.T, p *pair, readable map[string][]byte) *world {
	w := &world{t: t, now: p.req.MTime, replies: map[uint64]*msg.OSDOpReply{}}
	groups := uint32(32)
	for groups > 1 && object.StableMod(p.req.Hash, groups, groups-1) != p.req.PG.Seed {
		groups /= 2
	}
	addr, _ := entity.ParseAddr("any:127.0.0.1:0/7", entity.AddrAny)
	pool := p.req.PG.Pool
	w.m = testMap(t, func(m *osdmap.Map) {
		m.Epoch = p.want.Epoch
		pp := m.Pools[testPool]
		delete(m.Pools, testPool)
		delete(m.PGUpmap, object.PG{Pool: testPool})
		pp.PGNum, pp.PGPNum = groups, groups
		m.Pools[pool] = pp
		m.PoolNames[pool] = "pool"
		m.PGUpmap[p.req.PG.PG] = []int32{0}
		if p.req.Ops[0].Code == msg.OpCopyFrom {
			m.Pools[2] = pp // where the source is
		}
		if p.Scenario == "blocklist" && p.want.Result == -108 {
			m.Blocklist[addr] = w.now.AddDate(1, 0, 0)
		}
	})
	w.sess = &Session{Name: entity.Name{Type: entity.Client, Num: 4100}, Addr: addr}
	w.store = newStepped()
	classes := objclass.Registry{"lock": lock.Class(), "version": version.Class(), "refcount": refcount.Class(), "hello": hello.Class()}
	w.env = &Env{Whoami: 0, Store: w.store, Config: DefaultConfig(), Classes: classes}
	w.pg = Create(w.env, p.req.PG, []*osdmap.Map{w.m}, w.now)
	w.pg.info.History = History{}
	w.carryOut()
	if p.exists() && p.want.Result != -108 && !p.req.Ops[0].Code.IsPG() {
		w.furnish(p, readable)
	}
	// Versions as they were.
	i := &w.pg.info
	switch {
	case p.req.Ops[0].Code.IsPG():
		i.LastUpdate, i.LastUserVersion = p.want.ReplayVersion, p.want.UserVersion
	case p.want.ReplayVersion.IsZero() && p.want.Result == -2:
		i.LastUpdate, i.LastUserVersion = p.want.BadReplay, p.want.UserVersion
	case !p.want.ReplayVersion.IsZero():
		i.LastUpdate = object.Version{Epoch: p.want.BadReplay.Epoch, Version: p.want.ReplayVersion.Version - 1}
		i.LastUserVersion = p.want.UserVersion
		if p.want.Result == 0 && p.want.UserVersion > 0 {
			i.LastUserVersion--
		}
		if p.want.Result == -2 {
			i.LastUpdate = p.want.BadReplay
		}
	}
	w.pg.log, w.pg.committed = pglog.Log{}, object.Version{}
	if p.req.Ops[0].Code == msg.OpNotify {
		w.env.notifies = wire.NewDecoder(p.want.Ops[0].Out.Bytes()).U32() - 1
	}
	if o := w.pg.objects.byID[p.req.Object().Head()]; o != nil {
		o.snaps.Seq = p.req.SnapContext.Seq // the clones for it were there
		o.info.UserVersion = 0
		if p.want.ReplayVersion.IsZero() || p.want.Result != 0 || p.req.Ops[0].Code == msg.OpWatch {
			o.info.UserVersion = p.want.UserVersion
		}
		if p.want.Result == 0 && p.req.Ops[0].Code == msg.OpAssertVer {
			o.info.UserVersion = p.req.Ops[0].U64(8)
		}
		if p.Kind == "zero" && p.want.UserVersion < p.want.ReplayVersion.Version {
			o.info.UserVersion = p.want.UserVersion // nothing to do
		}
		for n := range p.want.Ops {
			if out := p.want.Ops[n].Out.Bytes(); p.req.Ops[n].Code == msg.OpStat && len(out) == 16 {
				d := wire.NewDecoder(out)
				d.U64()
				o.info.MTime = d.Time()
			}
			if out := p.want.Ops[n].Out.Bytes(); p.req.Ops[n].Code == msg.OpListSnaps && len(out) > 0 {
				o.snaps = decodeListSnaps(t, out)
				if c := o.snaps.newest(); c.ID == object.NoSnap {
					o.snaps.Clones = o.snaps.Clones[:len(o.snaps.Clones)-1]
				}
			}
		}
	}
	return w
}

// furnish makes the object such that the answer comes out as it did.
func (w *world) furnish(p *pair, readable map[string][]byte) {
	w.t.Helper()
	var ops, last []msg.Op
	size := uint64(0)
	omap := map[string][]byte{}
	call := func(class, method string, in []byte) msg.Op {
		o := opIn(msg.OpCall, class+method+string(in))
		o.Args[0], o.Args[1] = byte(len(class)), byte(len(method))
		o.PutU32(3, uint32(len(in)))
		return o
	}
	takeLock := func(name, cookie, tag string, typ uint8) {
		var e wire.Encoder
		m := e.Begin(1, 1)
		e.Str(name)
		e.U8(typ)
		e.Str(cookie)
		e.Str(tag)
		e.Str("")
		e.U64(0)
		e.U8(0)
		e.End(m)
		ops = append(ops, call("lock", "lock", e.Bytes()))
	}
	for n := range p.req.Ops {
		op, out := &p.req.Ops[n], p.want.Ops[n].Out.Bytes()
		in := op.In.Bytes()
		d := wire.NewDecoder(out)
		off, length, _, _ := op.Extent()
		switch op.Code {
		case msg.OpRead:
			ops = append(ops, opWrite(off, string(out)))
			size = max(size, off+uint64(len(out)))
		case msg.OpZero:
			if p.want.UserVersion == p.want.ReplayVersion.Version {
				size = off + length + 1
			}
		case msg.OpStat, msg.OpListSnaps:
			if op.Code == msg.OpListSnaps {
				if len(out) > 0 {
					ss := decodeListSnaps(w.t, out)
					size = max(size, ss.newest().Size)
				}
			} else if n := d.U64(); d.Err() == nil {
				size = max(size, n)
			}
		case msg.OpSparseRead:
			runs := wire.DecodeMap(d, 16, func() (uint64, uint64) { return d.U64(), d.U64() })
			data := d.Blob()
			for off, n := range runs {
				ops = append(ops, opWrite(off, string(data[:n])))
				size = max(size, off+n)
			}
		case msg.OpCmpExt, msg.OpChecksum:
			if b, ok := readable[p.req.OID]; ok {
				ops = append(ops, opWriteFull(string(b)))
				size = uint64(len(b))
				break
			}
			b := bytes.Clone(in)
			if p.want.Ops[n].Result != 0 {
				b[0] ^= 1
			}
			ops = append(ops, opWrite(off, string(b)))
			size = off + length
		case msg.OpGetXattr:
			if p.want.Ops[n].Result == 0 {
				ops = append(ops, opSetXattr(string(in), string(out)))
			}
		case msg.OpGetXattrs:
			for k, v := range wire.DecodeMap(d, 8, func() (string, []byte) { return d.Str(), d.Blob() }) {
				ops = append(ops, opSetXattr(k, string(v)))
			}
		case msg.OpCmpXattr:
			name, value, _ := nameAndValue(op)
			if (p.want.Ops[n].Result < 0) == (op.Args[8] == msg.CmpEQ) {
				value = append(bytes.Clone(value), 'x')
			}
			ops = append(ops, opSetXattr(name, string(value)))
		case msg.OpOmapGetHeader:
			o := opIn(msg.OpOmapSetHeader, string(out))
			ops = append(ops, o)
		case msg.OpOmapGetVals, msg.OpOmapGetByKeys:
			for k, v := range wire.DecodeMap(d, 8, func() (string, []byte) { return d.Str(), d.Blob() }) {
				omap[k] = v
			}
			if op.Code == msg.OpOmapGetVals && d.Bool() {
				a := wire.NewDecoder(in)
				a.Str()
				a.U64()
				omap[a.Str()+"zz"] = nil
			}
		case msg.OpOmapGetKeys:
			for _, k := range wire.DecodeSlice(d, 4, d.Str) {
				omap[k] = nil
			}
			if d.Bool() {
				omap["zz"] = nil
			}
		case msg.OpOmapCmp:
			e := wire.NewDecoder(in)
			wire.DecodeMap(e, 12, func() (string, int) {
				k, v := e.Str(), e.Blob()
				e.U32()
				if p.want.Ops[n].Result == -125 {
					v = nil
				}
				omap[k] = v
				return k, 0
			})
		case msg.OpWatch:
			if what := op.Args[16]; what == msg.WatchPing || what == msg.WatchUnwatch {
				last = append(last, watches(op.U64(0)))
			}
		case msg.OpListWatchers:
			if p.want.Result == 0 {
				list := d.Begin("list", 1)
				wire.DecodeSlice(d, 1, func() (none struct{}) {
					item := d.Begin("item", 2)
					w.sess = &Session{}
					w.sess.Name.Decode(d)
					cookie := d.U64()
					d.U32()
					w.sess.Addr.Decode(d)
					d.End(item)
					last = append(last, watches(cookie))
					return
				})
				d.End(list)
			}
		case msg.OpOmapClear, msg.OpOmapRmKeys:
			omap["k"] = []byte("v")
		case msg.OpCall:
			class, method, arg, _ := splitCall(op)
			a := wire.NewDecoder(arg)
			a.Skip(min(6, len(arg)))
			switch class + "." + method {
			case "lock.lock":
				name, typ, cookie, tag := a.Str(), a.U8(), a.Str(), a.Str()
				switch p.want.Result {
				case -17:
					takeLock(name, cookie, tag, typ)
				case -16:
					takeLock(name, cookie+"x", tag, typ)
				}
			case "lock.unlock":
				if name, cookie := a.Str(), a.Str(); p.want.Result == 0 {
					takeLock(name, cookie, "", 1)
				}
			case "lock.break_lock":
				name := a.Str()
				var who entity.Name
				who.Decode(a)
				if p.want.Result == 0 {
					w.sess.Name = who
					takeLock(name, a.Str(), "", 1)
				}
			case "lock.assert_locked":
				name, typ, cookie, tag := a.Str(), a.U8(), a.Str(), a.Str()
				takeLock(name, cookie, tag, typ)
			case "lock.list_locks":
				d.Skip(6)
				for _, name := range wire.DecodeSlice(d, 4, d.Str) {
					takeLock(name, "", "", 1)
				}
			case "version.read":
				if len(out) == 24 && d.Err() == nil {
					ops = append(ops, opSetXattr("ceph.objclass.version", string(out[6:])))
				}
			case "hello.replay":
				ops = append(ops, opWriteFull(string(out)))
				size = uint64(len(out))
			}
		}
	}
	if len(omap) > 0 {
		var e wire.Encoder
		wire.EncodeMap(&e, omap, func(k string, v []byte) { e.Str(k); e.Blob(v) })
		ops = append(ops, opIn(msg.OpOmapSetVals, string(e.Bytes())))
	}
	trunc := msg.Op{Code: msg.OpTruncate}
	trunc.PutU64(0, size)
	ops = append(append(ops, msg.Op{Code: msg.OpCreate}, trunc), last...)
	r := *p.req
	r.Ops, r.Flags, r.SnapID = ops, 0, object.NoSnap
	w.step(&Request{Session: w.sess, TID: 1 << 40, Op: &r, Received: w.now})
	if got := w.replies[1<<40]; got == nil || got.Result != 0 {
		w.t.Fatalf("%s: preparing %v: %+v", p.Kind, ops, got)
	}
}

// A stock OSD's answers to a stock client's requests, to the byte.
func TestGolden(t *testing.T) {
	t.Parallel()
	pairs := goldenPairs(t)
	// The object that was read in many ways.
	b := make([]byte, 5120)
	for i := range b {
		b[i] = byte(i)
	}
	readable := map[string][]byte{"rd": b}
	skipped := map[string]int{}
	done := 0
	for _, p := range pairs {
		if why := p.skip(); why != "" {
			skipped[why]++
			continue
		}
		name := strings.ReplaceAll(p.Scenario+"/"+p.Kind, " ", "_")
		if len(p.req.Ops) > 0 && p.req.Ops[0].Code == msg.OpPGNLS {
			continue // TestListing; which objects there were is not known
		}
		t.Run(name, func(t *testing.T) {
			w := goldenWorld(t, p, readable)
			var before wire.Encoder
			p.req.EncodeFront(&before)
			delete(w.replies, p.TID)
			w.pg.Step(w.now, &Request{Session: w.sess, TID: p.TID, Op: p.req, Received: w.now})
			w.carryOut()
			for _, f := range w.fetches {
				w.pg.Step(w.now, Fetched{ID: f.ID, Reply: copyReply(t, p.want.UserVersion)})
				w.carryOut()
			}
			got := w.replies[p.TID]
			if got == nil {
				t.Fatalf("no answer to %v", p.req)
			}
			var e wire.Encoder
			got.EncodeFront(&e)
			if !bytes.Equal(e.Bytes(), p.wantFront) {
				t.Errorf("got  %x\nwant %x\n%+v\n%+v", e.Bytes(), p.wantFront, got, p.want)
			}
			if b := got.Payload().Bytes(); !bytes.Equal(b, p.wantPayload) {
				t.Errorf("got data  %x\nwant data %x", b, p.wantPayload)
			}
		})
		done++
	}
	t.Logf("%d replayed, skipped: %v", done, skipped)
	if done < 100 {
		t.Errorf("only %d samples were replayed", done)
	}
}

// copyReply is an answer to copy-get: a whole, small object.
func copyReply(t *testing.T, version uint64) *msg.OSDOpReply {
	c := copyData{size: 3, data: buffer.ListOf([]byte("abc")), cursor: copyCursor{attrsDone: true, offset: 3, dataDone: true, omapDone: true}}
	head, tail := c.encode()
	return &msg.OSDOpReply{UserVersion: version, Ops: []msg.Op{{Code: msg.OpCopyGet,
		Out: buffer.List{buffer.Wrap(head), buffer.Wrap([]byte("abc")), buffer.Wrap(tail)}}}}
}

// The pieces of objects that stock OSDs hand each other.
func TestCopyGetGolden(t *testing.T) {
	t.Parallel()
	n := 0
	for _, p := range goldenPairs(t) {
		if p.Kind != "copy-get" {
			continue
		}
		n++
		out := p.want.Ops[0].Out
		var c copyData
		if err := c.decode(out); err != nil {
			t.Fatal(err)
		}
		if !c.cursor.done() || uint64(c.data.Len()) != c.size || c.mtime.IsZero() {
			t.Errorf("%+v", c)
		}
		// All but the digests, request ids and their length is as ours.
		head, tail := c.encode()
		ours := append(append(head, c.data.Bytes()...), tail...)
		theirs := out.Bytes()
		at := len(ours) - (4 + 4 + 4 + 4 + 8 + 8 + 4)
		if !bytes.Equal(ours[6:at], theirs[6:at]) {
			t.Errorf("ours   %x\ntheirs %x", ours[:at], theirs[:at])
		}
	}
	if n < 2 {
		t.Fatalf("%d samples", n)
	}
}
