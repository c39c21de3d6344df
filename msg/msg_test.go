package msg

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// fill gives every field that can be reached a value of its own, so that a
// field that is forgotten, or exchanged with another, is found.
func fill(v reflect.Value, r *rand.Rand) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(int64(r.Uint32()), int64(r.IntN(1e9))).UTC()))
		return
	case time.Duration:
		v.SetInt(r.Int64N(1e15))
		return
	case entity.AddrVec:
		a, _ := entity.ParseAddrVec(fmt.Sprintf("[v2:10.1.2.%d:%d/%d]", r.IntN(256), r.IntN(1<<16), r.Uint32()))
		v.Set(reflect.ValueOf(a))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int:
		v.SetInt(int64(r.Uint64()>>(64-v.Type().Bits())) >> 1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64() >> (64 - v.Type().Bits()))
	case reflect.String:
		v.SetString(fmt.Sprintf("string %x", r.Uint32()))
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), r)
		}
	case reflect.Slice:
		s := reflect.MakeSlice(v.Type(), 3, 3)
		for i := range s.Len() {
			fill(s.Index(i), r)
		}
		v.Set(s)
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		for range 3 {
			k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(k, r)
			fill(e, r)
			m.SetMapIndex(k, e)
		}
		v.Set(m)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Field(i).CanSet() {
				fill(v.Field(i), r)
			}
		}
	}
}

// internalBodies are Pulpo's own, of which there are no golden bytes.
func internalBodies() []Body {
	r := rand.New(rand.NewPCG(1, 2))
	var all []Body
	for typ := range registry {
		if typ < TypeOSDBoot {
			continue
		}
		b := registry[typ]()
		fill(reflect.ValueOf(b).Elem(), r)
		all = append(all, b)
	}
	return all
}

func TestInternalRoundTrip(t *testing.T) {
	t.Parallel()
	for _, b := range append(internalBodies(), &MonSubscribeAck{Interval: 300, FSID: FSID{1, 2, 3}}) {
		v, c := b.Versions()
		got, err := Decode(b.MsgType(), v, c, front(b), b.Payload())
		if err != nil {
			t.Errorf("%T: %v", b, err)
		} else if !reflect.DeepEqual(got, b) {
			t.Errorf("%T came back as\n%+v, was\n%+v", b, got, b)
		}
	}
}

// What a newer version appends is skipped; what cannot be decoded says so.
func TestDecodeVersions(t *testing.T) {
	t.Parallel()
	raw := front(&OSDAlive{ID: 1, Want: 2})
	long := append(raw, "appended by version 2"...)
	for _, c := range []struct {
		name           string
		typ, v, compat uint16
		in             []byte
		want           error
	}{
		{"exactly", TypeOSDAlive, 1, 1, raw, nil},
		{"newer with more", TypeOSDAlive, 2, 1, long, nil},
		{"same with more", TypeOSDAlive, 1, 1, long, errno.EBADMSG},
		{"needs a newer decoder", TypeOSDAlive, 9, 2, long, errno.EBADMSG},
		{"too short", TypeOSDAlive, 1, 1, raw[:7], errno.EBADMSG},
		{"unknown type", 9999, 1, 1, raw, errno.EOPNOTSUPP},
		{"old request", TypeOSDOp, 7, 3, raw, errno.EOPNOTSUPP},
		{"old reply", TypeOSDOpReply, 6, 2, raw, errno.EOPNOTSUPP},
	} {
		b, err := Decode(c.typ, c.v, c.compat, c.in, nil)
		if !errors.Is(err, c.want) || (err == nil) != (b != nil) {
			t.Errorf("%s: %v, %v", c.name, b, err)
		}
	}
}

// No prefix of a message decodes, and none makes trouble.
func TestTruncated(t *testing.T) {
	t.Parallel()
	for typ, s := range smallest(t) {
		switch typ {
		case TypeMgrMap, TypeServiceMap, TypeFSMap, TypeMgrOpen, TypeMgrReport:
			continue // carried as they are, to the end of the front
		}
		for n := range s.Front {
			b, err := Decode(typ, s.Version, s.Compat, s.Front[:n], s.payload())
			if err == nil && !(typ == TypeAuth && n == len(s.Front)-4) {
				t.Errorf("%T decodes from %d of %d bytes", b, n, len(s.Front))
			}
		}
	}
}

// A count that cannot be true costs no memory.
func TestHugeCounts(t *testing.T) {
	for typ, count := range map[uint16]uint32{
		TypeGetPoolStats: 1 << 24, TypeMonCommand: 1 << 31, TypeGetPoolStatsReply: 1 << 16, TypeLog: 1 << 16,
	} {
		var e wire.Encoder
		NoPaxos.encode(&e)
		FSID{}.Encode(&e)
		e.U32(count)
		e.Raw(make([]byte, 1<<20))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode(typ, 2, 1, e.Bytes(), nil)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, errno.EBADMSG) || n > 64<<10 {
			t.Errorf("type %d: %v, %d bytes", typ, err, n)
		}
	}
}

func TestMinimalLengths(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v    wire.Marshaler
		want int
	}{
		{ObjectStats{}, minObjectStats}, {StoreStats{}, minStoreStats}, {PoolStat{}, minPoolStat},
		{PGStat{}, minPGStat}, {LogEntry{}, minLogEntry},
	} {
		if got := len(wire.Marshal(c.v)); got != c.want {
			t.Errorf("%T takes %d bytes, not %d", c.v, got, c.want)
		}
	}
}

// A stock monitor's answer about a pool of one object of 10 MB in two copies.
func TestPoolStats(t *testing.T) {
	t.Parallel()
	for _, s := range allSamples(t) {
		if s.Type != TypeGetPoolStatsReply {
			continue
		}
		m := s.decode(t).(*GetPoolStatsReply)
		p, ok := m.Pools["rp"]
		if !ok || p.Objects.Bytes == 0 {
			continue
		}
		want := PoolStat{Categories: map[string]ObjectStats{}, LogSize: 14, OndiskLog: 14, Up: 64, Acting: 64, NumStoreStat: 3}
		want.Objects = ObjectStats{Bytes: 10_000_000, Objects: 1, Copies: 2, Reads: 12, ReadKB: 9772, Writes: 10, WriteKB: 9772, Dirty: 1}
		want.Store = StoreStats{Allocated: 20_004_864, Stored: 30_000_000}
		if !reflect.DeepEqual(p, want) || !m.PerPool {
			t.Errorf("decoded %+v, want %+v", p, want)
		}
		return
	}
	t.Fatal("the sample is gone")
}

func TestStatsAddUp(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	var a, b ObjectStats
	fill(reflect.ValueOf(&a).Elem(), r)
	fill(reflect.ValueOf(&b).Elem(), r)
	sum := a
	sum.Add(&b)
	va, vb, vs := reflect.ValueOf(a), reflect.ValueOf(b), reflect.ValueOf(sum)
	for i := range va.NumField() {
		want := va.Field(i).Int() + vb.Field(i).Int()
		if va.Field(i).Kind() == reflect.Int32 {
			want = int64(int32(want))
		}
		if got := vs.Field(i).Int(); got != want {
			t.Errorf("%s: %d, want %d", va.Type().Field(i).Name, got, want)
		}
	}
	sum.Sub(&b)
	if sum != a {
		t.Errorf("a+b-b is %+v, a is %+v", sum, a)
	}
	var s, u StoreStats
	fill(reflect.ValueOf(&u).Elem(), r)
	s.Add(&u)
	if s != u {
		t.Errorf("0+u is %+v, u is %+v", s, u)
	}
}

func TestPGState(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]PGState{
		"active+laggy+clean": PGActive | PGLaggy | PGClean,
		"unknown":            0,
		"active+clean":       PGActive | PGClean,
		"active+undersized+degraded+remapped+backfill_wait": PGBackfillWait | PGRemapped | PGDegraded | PGUndersized | PGActive,
		"active+clean+scrubbing+deep":                       PGDeepScrub | PGScrubbing | PGClean | PGActive,
		"stale+active+clean":                                PGStale | PGActive | PGClean,
		"active+recovery_wait+degraded":                     PGActive | PGRecoveryWait | PGDegraded,
		"active+recovering+degraded":                        PGActive | PGRecovering | PGDegraded,
		"undersized+degraded+peered":                        PGPeered | PGUndersized | PGDegraded,
		"creating+peering":                                  PGCreating | PGPeering,
		"active+clean+snaptrim_wait":                        PGActive | PGClean | PGSnapTrimWait,
	} {
		if got := s.String(); got != want {
			t.Errorf("%#x is %s, want %s", uint64(s), got, want)
		}
	}
	seen := PGState(0)
	for _, n := range stateNames {
		if s, ok := ParsePGState(n.name); !ok || s != n.bit || seen&s != 0 || s.String() != n.name {
			t.Errorf("%s is %#x", n.name, uint64(s))
		}
		seen |= n.bit
	}
	// Ceph has no state in bits 3 and 9.
	if want := PGState(1<<35-1) &^ (1<<3 | 1<<9); seen != want {
		t.Errorf("names for %#x, want %#x", uint64(seen), uint64(want))
	}
	if _, ok := ParsePGState("nosuch"); ok {
		t.Error("nosuch is a state")
	}
}

func TestOSDOpContent(t *testing.T) {
	t.Parallel()
	kinds := map[string]bool{}
	for _, s := range samples(t, "osdop.jsonl.gz") {
		b := s.decode(t)
		var ops []Op
		switch m := b.(type) {
		case *OSDOp:
			ops = m.Ops
			in := 0
			for i := range ops {
				in += ops[i].In.Len()
			}
			if in != max(len(s.Data), s.DataLen) {
				t.Errorf("%s: operations take %d bytes of %d", s.Kind, in, max(len(s.Data), s.DataLen))
			}
			if o := m.Object(); m.OID != "" && o.Hash != object.HashName(o.Namespace, o.Key, o.Name) && m.Flags&FlagPGOp == 0 {
				t.Errorf("%s: hash of %v is not that of its name", s.Kind, o)
			}
			if !strings.HasPrefix(m.String(), "osd_op(") {
				t.Errorf("prints as %s", m)
			}
		case *OSDOpReply:
			ops = m.Ops
		}
		names := make([]string, len(ops))
		for i := range ops {
			names[i] = ops[i].Code.String()
			kinds[names[i]] = true
			if strings.HasPrefix(names[i], "op-") {
				t.Errorf("%s: no name for %#x", s.Kind, uint16(ops[i].Code))
			}
			if op := &ops[i]; op.Code == OpCall && op.In.Len() > 0 {
				c, m, n := op.Call()
				if c+m+n != op.In.Len() {
					t.Errorf("%s: class call of %d+%d+%d bytes in %d", s.Kind, c, m, n, op.In.Len())
				}
			} else if (op.Code == OpSetXattr || op.Code == OpCmpXattr) && op.In.Len() > 0 {
				if n, v, _, _ := op.Xattr(); n+v != op.In.Len() {
					t.Errorf("%s: xattr of %d+%d bytes in %d", s.Kind, n, v, op.In.Len())
				}
			} else if (op.Code == OpWrite || op.Code == OpWriteFull || op.Code == OpAppend) && op.In.Len() > 0 {
				if _, n, _, _ := op.Extent(); n != uint64(op.In.Len()) {
					t.Errorf("%s: extent of %d bytes in %d", s.Kind, n, op.In.Len())
				}
			}
		}
	}
	if len(kinds) < 40 {
		t.Errorf("only %d kinds of operations", len(kinds))
	}
}

// The payload of a request in parts as they come from a socket.
func TestPayloadInParts(t *testing.T) {
	t.Parallel()
	want := []string{"", "abc", "defgh", "", "i"}
	m := &OSDOp{}
	for _, s := range want {
		m.Ops = append(m.Ops, Op{Code: OpAppend, In: buffer.Wrap([]byte(s))})
	}
	raw, whole := front(m), m.Payload().Bytes()
	for i := range whole {
		for j := i; j <= len(whole); j++ {
			l := buffer.List{buffer.Wrap(whole[:i]), buffer.Wrap(whole[i:j]), buffer.Wrap(whole[j:])}
			b, err := Decode(TypeOSDOp, 8, 3, raw, l)
			if err != nil {
				t.Fatal(err)
			}
			for k, op := range b.(*OSDOp).Ops {
				if string(op.In.Bytes()) != want[k] {
					t.Errorf("cut at %d, %d: operation %d has %q", i, j, k, op.In.Bytes())
				}
			}
		}
	}
	if _, err := Decode(TypeOSDOp, 8, 3, raw, buffer.ListOf(whole[:8])); !errors.Is(err, errno.EBADMSG) {
		t.Errorf("payload that is too short: %v", err)
	}
	// A longer one is that of a request whose operations do not say so.
	r := &OSDOpReply{}
	for _, s := range want {
		r.Ops = append(r.Ops, Op{Code: OpRead, Out: buffer.ListOf([]byte(s))})
	}
	b, err := Decode(TypeOSDOpReply, 8, 2, front(r), buffer.List{buffer.Wrap(whole[:4]), buffer.Wrap(whole[4:])})
	if err != nil {
		t.Fatal(err)
	}
	for k, op := range b.(*OSDOpReply).Ops {
		if string(op.Out.Bytes()) != want[k] {
			t.Errorf("operation %d of the reply has %q", k, op.Out.Bytes())
		}
	}
	if got := b.Payload().Bytes(); string(got) != string(whole) {
		t.Errorf("payload %q", got)
	}
}

func TestDecodeAllocates(t *testing.T) {
	for name, mk := range bodies {
		m := mk()
		raw, data := front(m), buffer.ListOf(m.Payload().Bytes())
		v, c := m.Versions()
		if n := testing.AllocsPerRun(100, func() { Decode(m.MsgType(), v, c, raw, data) }); n > 3 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
