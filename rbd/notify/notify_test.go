package notify

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"reflect"
	"testing"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/wire"
)

var (
	a = ClientID{0x37fa, 0x7f0ccc0050d0}
	b = ClientID{0x37f8, 0x7f0cfc017f40}
)

// captured are payloads of librbd 16.2.15.
var captured = []struct {
	hex  string
	want Message
}{
	{"070114000000000000009f11000000000000108d01ecee7f0000", Message{Op: AcquiredLock, Client: ClientID{0x119f, 0x7feeec018d10}}},
	{"07011500000002000000fa37000000000000d05000cc0c7f000000", Message{Op: RequestLock, Client: a}},
	{"07010400000003000000", Message{Op: HeaderUpdate}},
	{"07012c00000004000000fa37000000000000d05000cc0c7f00000100000000000000af000000000000000001000000000000", Message{Op: AsyncProgress, Request: RequestID{a, 1}, Offset: 175, Total: 256}},
	{"07012000000005000000fa37000000000000d05000cc0c7f0000010000000000000000000000", Message{Op: AsyncComplete, Request: RequestID{a, 1}}},
	{"070125000000070000000000c02b00000000fa37000000000000d05000cc0c7f0000010000000000000001", Message{Op: Resize, Size: 734003200, Request: RequestID{a, 1}, AllowShrink: true}},
	{"0701340000000800000002000000707101010400000000000000fa37000000000000d05000cc0c7f000002000000000000000000000000000000", Message{Op: SnapCreate, Name: "pq", Request: RequestID{a, 2}}},
	{"07011c000000120000009711000000000000e0210174a37f00000200000000000000", Message{Op: Quiesce, Request: RequestID{ClientID{0x1197, 0x7fa3740121e0}, 2}}},
}

// composed have no captured twin; the layouts are those of WatchNotifyTypes.
var composed = []Message{
	{Op: ReleasedLock, Client: b},
	{Op: Flatten, Request: RequestID{b, 3}},
	{Op: SnapRemove, Name: "s", Request: RequestID{b, 4}, Namespace: clsrbd.SnapNamespace{Type: clsrbd.SnapTrashed, Trash: clsrbd.TrashSnap{Name: "was"}}},
	{Op: RebuildObjectMap, Request: RequestID{b, 5}},
	{Op: SnapRename, SnapID: 7, Name: "new", Request: RequestID{b, 6}},
	{Op: SnapProtect, Name: "s", Request: RequestID{b, 7}},
	{Op: SnapUnprotect, Name: "s", Request: RequestID{b, 8}},
	{Op: Rename, Name: "other", Request: RequestID{b, 9}},
	{Op: UpdateFeatures, Features: clsrbd.FastDiff, Enabled: true, Request: RequestID{b, 10}},
	{Op: Migrate, Request: RequestID{b, 11}},
	{Op: Sparsify, SparseSize: 4096, Request: RequestID{b, 12}},
	{Op: Unquiesce, Request: RequestID{b, 13}},
	{Op: 77, Rest: []byte("later")},
}

func TestMessages(t *testing.T) {
	t.Parallel()
	seen := map[Op]bool{}
	for _, c := range captured {
		seen[c.want.Op] = true
		in, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		var m Message
		if err := wire.Unmarshal(in, &m); err != nil || !reflect.DeepEqual(m, c.want) {
			t.Errorf("%s: %+v, %v", c.want.Op, m, err)
		}
		if got := wire.Marshal(&c.want); !bytes.Equal(got, in) {
			t.Errorf("%s: %x, want %x", c.want.Op, got, in)
		}
	}
	for _, want := range composed {
		seen[want.Op] = true
		var m Message
		if err := wire.Unmarshal(wire.Marshal(&want), &m); err != nil || !reflect.DeepEqual(m, want) {
			t.Errorf("%s: %+v, %v", want.Op, m, err)
		}
	}
	for i, name := range names {
		if !seen[Op(i)] || Op(i).String() != name {
			t.Errorf("%s is not tested", name)
		}
	}
}

// TestOldMessages decodes what clients before Pacific send.
func TestOldMessages(t *testing.T) {
	t.Parallel()
	var m Message
	if err := wire.Unmarshal(nil, &m); err != nil || m.Op != HeaderUpdate {
		t.Errorf("nothing: %+v, %v", m, err)
	}
	old := func(version uint8, fields func(e *wire.Encoder)) []byte {
		var e wire.Encoder
		mark := e.Begin(version, 1)
		fields(&e)
		e.End(mark)
		return e.Bytes()
	}
	for _, c := range []struct {
		b    []byte
		want Message
	}{
		{old(1, func(e *wire.Encoder) { e.U32(0) }), Message{Op: AcquiredLock}},
		{old(2, func(e *wire.Encoder) { e.U32(2); a.encode(e) }), Message{Op: RequestLock, Client: a}},
		{old(3, func(e *wire.Encoder) { e.U32(7); e.U64(9); (&RequestID{a, 1}).encode(e) }), Message{Op: Resize, Size: 9, Request: RequestID{a, 1}, AllowShrink: true}},
		{old(4, func(e *wire.Encoder) { e.U32(8); e.Str("s") }), Message{Op: SnapCreate, Name: "s"}},
		{old(6, func(e *wire.Encoder) { e.U32(9); e.Str("s"); (&clsrbd.SnapNamespace{}).Encode(e) }), Message{Op: SnapRemove, Name: "s"}},
		{old(6, func(e *wire.Encoder) { e.U32(14); e.Str("s") }), Message{Op: Rename, Name: "s"}},
	} {
		var m Message
		if err := wire.Unmarshal(c.b, &m); err != nil || !reflect.DeepEqual(m, c.want) {
			t.Errorf("%s: %+v, %v", c.want.Op, m, err)
		}
	}
}

func TestResponse(t *testing.T) {
	t.Parallel()
	if got := Respond(nil); fmt.Sprintf("%x", got) != "01010400000000000000" {
		t.Errorf("%x", got)
	}
	var r Response
	if err := wire.Unmarshal(Respond(fmt.Errorf("no: %w", errno.EROFS)), &r); err != nil || r.Result != -30 {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range captured {
		b, _ := hex.DecodeString(c.hex)
		f.Add(b)
	}
	for _, m := range composed {
		f.Add(wire.Marshal(&m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again Message
		if wire.Unmarshal(b, &m) != nil {
			return
		}
		if err := wire.Unmarshal(wire.Marshal(&m), &again); err != nil {
			t.Fatalf("%x decodes as %+v, its encoding does not: %v", b, m, err)
		}
		if !reflect.DeepEqual(m, again) {
			t.Fatalf("%+v, then %+v", m, again)
		}
	})
}
