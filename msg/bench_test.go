package msg

import (
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// write4K is what librbd sends for a write of 4 KiB.
func write4K() *OSDOp {
	op := Op{Code: OpWrite, In: buffer.Wrap(make([]byte, 4096))}
	op.SetExtent(1<<20, 4096)
	hint := Op{Code: OpSetAllocHint, Flags: OpFlagFailOK}
	hint.PutU64(0, 4<<20)
	hint.PutU64(8, 4<<20)
	return &OSDOp{
		PG: object.SPG{PG: object.PG{Pool: 1, Seed: 17}, Shard: object.NoShard}, Hash: 0x12345611, Epoch: 42,
		Flags: FlagOnDisk | FlagWrite | FlagKnownRedir, MTime: time.Unix(1700000000, 5).UTC(),
		Locator: object.Locator{Pool: 1, Hash: -1}, OID: "rbd_data.1056a6b8b4567.000000000000001f",
		Ops: []Op{hint, op}, SnapID: object.NoSnap, Features: 0x3f01cfbdfffdffff,
	}
}

func reply4K() *OSDOpReply {
	w := write4K()
	r := &OSDOpReply{OID: w.OID, PG: w.PG.PG, Flags: uint64(FlagAck | FlagOnDisk), Epoch: 42, Ops: w.Ops, UserVersion: 7}
	r.ReplayVersion = object.Version{Epoch: 42, Version: 7}
	for i := range r.Ops {
		r.Ops[i].In = buffer.Ref{}
	}
	return r
}

func read4K() *OSDOpReply {
	r := reply4K()
	r.Ops = r.Ops[1:]
	r.Ops[0].Code, r.Ops[0].Out = OpRead, buffer.ListOf(make([]byte, 4096))
	return r
}

var bodies = map[string]func() Body{
	"write":      func() Body { return write4K() },
	"writeReply": func() Body { return reply4K() },
	"readReply":  func() Body { return read4K() },
}

func BenchmarkDecode4K(b *testing.B) {
	for name, mk := range bodies {
		b.Run(name, func(b *testing.B) {
			m := mk()
			raw, data := front(m), buffer.ListOf(m.Payload().Bytes())
			v, c := m.Versions()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(m.MsgType(), v, c, raw, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode4K(b *testing.B) {
	for name, mk := range bodies {
		b.Run(name, func(b *testing.B) {
			m := mk()
			e := wire.NewEncoder(make([]byte, 0, 1024))
			b.ReportAllocs()
			for b.Loop() {
				e.Reset()
				m.EncodeFront(e)
				m.Payload()
			}
		})
	}
}
