package objstore

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// everyStep has each kind of step once.
func everyStep() *Txn {
	c := PGColl(object.SPG{PG: object.PG{Pool: 2, Seed: 0x1f}, Shard: 1})
	a, b := object.New(2, "ns", "key", "a"), object.New(2, "", "", "b").At(4)
	tx := &Txn{}
	tx.CreateColl(c)
	tx.Touch(c, a)
	tx.Write(c, a, 10, buffer.List{buffer.Wrap([]byte("hel")), buffer.Wrap([]byte("lo"))})
	tx.Zero(c, a, 1, 2)
	tx.Truncate(c, a, 3)
	tx.SetAttrs(c, a, []KV{{"x", []byte("1")}, {"", nil}})
	tx.RmAttr(c, a, "x")
	tx.RmAttrs(c, a)
	tx.OmapSet(MetaColl, a, []KV{{"k", []byte("v")}})
	tx.OmapRm(c, a, []string{"k", "l"})
	tx.OmapRmRange(c, a, "a", "b")
	tx.OmapClear(c, a)
	tx.OmapSetHeader(c, a, []byte("h"))
	tx.Clone(c, a, b)
	tx.CloneRange(c, a, b, 1, 2, 3)
	tx.Write(c, b, 1<<30, buffer.ListOf([]byte("!")))
	tx.Rename(c, a, MetaColl, b)
	tx.Remove(c, b)
	tx.RemoveColl(c)
	tx.DropColl(c)
	return tx
}

func TestEveryStepTravels(t *testing.T) {
	t.Parallel()
	tx := everyStep()
	if err := tx.Check(); err != nil {
		t.Fatal(err)
	}
	b := wire.Marshal(tx)
	var got Txn
	if err := wire.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if err := got.SetData(tx.Data()); err != nil {
		t.Fatal(err)
	}
	if len(got.Ops) != len(opShape)+1 { // there are two writes
		t.Fatalf("%d steps, there are %d kinds", len(got.Ops), len(opShape))
	}
	if !bytes.Equal(wire.Marshal(&got), b) {
		t.Fatal("encodes differently after decoding")
	}
	for i := range tx.Ops {
		want := tx.Ops[i]
		if string(got.Ops[i].Data.Bytes()) != string(want.Data.Bytes()) {
			t.Fatalf("step %d has data %q, want %q", i, got.Ops[i].Data.Bytes(), want.Data.Bytes())
		}
		got.Ops[i].Data, want.Data = nil, nil
		for k := range want.KVs {
			if len(want.KVs[k].Value) == 0 && len(got.Ops[i].KVs[k].Value) == 0 {
				got.Ops[i].KVs[k].Value, want.KVs[k].Value = nil, nil
			}
		}
		if !reflect.DeepEqual(got.Ops[i], want) {
			t.Fatalf("step %d is %+v, want %+v", i, got.Ops[i], want)
		}
	}
}

const goldenTxn = "0101a600000002000000020001011200000001010000000000000002000000ffffffffff04032200000000000000010000006ffeffff" +
	"ffffffffff012daf73000000000001000000000000000500000000000000040000000000000006010101120000000100000000000000" +
	"0000000000ffffffff0004032200000000000000010000006ffeffffffffffffff012daf730000000000010000000000000001000000" +
	"010000005f0100000069"

// The bytes go between daemons of different versions.
func TestTxnGolden(t *testing.T) {
	t.Parallel()
	tx := &Txn{}
	o := object.New(1, "", "", "o")
	tx.Write(PGColl(object.SPG{PG: object.PG{Pool: 1, Seed: 2}, Shard: object.NoShard}), o, 5, buffer.ListOf([]byte("data")))
	tx.SetAttr(MetaColl, o, "_", []byte("i"))
	if got := hex.EncodeToString(wire.Marshal(tx)); got != goldenTxn {
		t.Fatalf("got  %s\nwant %s", got, goldenTxn)
	}
}

func TestDataMustFit(t *testing.T) {
	t.Parallel()
	var tx Txn
	if err := wire.Unmarshal(wire.Marshal(everyStep()), &tx); err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"", "hell", "hello", "hello!!"} {
		if err := tx.SetData(buffer.ListOf([]byte(data))); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", data, err)
		}
	}
	if err := tx.SetData(buffer.ListOf([]byte("hello!"))); err != nil {
		t.Error(err)
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	o := object.New(1, "", "", "o")
	for name, op := range map[string]Op{
		"unknown step":    {Code: 77, OID: o},
		"no step":         {OID: o},
		"position":        {Code: OpTouch, OID: object.MaxID},
		"minimum":         {Code: OpTouch, OID: object.MinID},
		"to a position":   {Code: OpClone, OID: o, Dest: object.MaxID},
		"overflow":        {Code: OpZero, OID: o, Off: 1 << 63, Len: 1 << 63},
		"too large":       {Code: OpTruncate, OID: o, Off: MaxObjectSize + 1},
		"far destination": {Code: OpCloneRange, OID: o, Dest: o, Len: 10, DestOff: MaxObjectSize - 5},
		"less data":       {Code: OpWrite, OID: o, Len: 5},
		"meta":            {Code: OpCreateColl, Coll: MetaColl},
		"long name":       {Code: OpTouch, OID: object.ID{Name: string(make([]byte, MaxNameLen+1))}},
		"long key":        {Code: OpOmapSet, OID: o, KVs: []KV{{Key: string(make([]byte, MaxNameLen+1))}}},
	} {
		if err := (&Txn{Ops: []Op{op}}).Check(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzTxn(f *testing.F) {
	f.Add(wire.Marshal(everyStep()))
	f.Add(wire.Marshal(&Txn{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var tx Txn
		if wire.Unmarshal(b, &tx) != nil {
			return
		}
		again := wire.Marshal(&tx)
		var tx2 Txn
		if err := wire.Unmarshal(again, &tx2); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(wire.Marshal(&tx2), again) {
			t.Fatal("not stable")
		}
		_ = tx.Check()
	})
}
