package rados

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// exchange is a request of stock librados and the answer of a stock OSD.
type exchange struct {
	kind string
	req  *msg.OSDOp
	rep  *msg.OSDOpReply
}

func exchanges(t testing.TB) []exchange {
	f, err := os.Open("testdata/ops.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []exchange
	for s := bufio.NewScanner(z); s.Scan(); {
		var line struct {
			Kind, Front, Data string
			ReplyFront        string `json:"reply_front"`
			ReplyData         string `json:"reply_data"`
		}
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		body := func(typ, version, compat uint16, front, data string) msg.Body {
			fb, err1 := hex.DecodeString(front)
			db, err2 := hex.DecodeString(data)
			b, err3 := msg.Decode(typ, version, compat, fb, buffer.ListOf(db))
			if err := errors.Join(err1, err2, err3); err != nil {
				t.Fatalf("%s: %v", line.Kind, err)
			}
			return b
		}
		out = append(out, exchange{
			line.Kind,
			body(msg.TypeOSDOp, 8, 3, line.Front, line.Data).(*msg.OSDOp),
			body(msg.TypeOSDOpReply, 8, 2, line.ReplyFront, line.ReplyData).(*msg.OSDOpReply),
		})
	}
	return out
}

// builders make with this package's methods the request that was captured, from
// its arguments; read and write are the sequences to add to, and the result
// tells, if the request succeeded, what the answer was read as.
var builders = map[string]func(r *ReadOp, w *WriteOp, ops []msg.Op) func() string{
	"writefull": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string { w.WriteFull(ops[0].In.Bytes()); return nil },
	"stat": func(r *ReadOp, _ *WriteOp, _ []msg.Op) func() string {
		s := r.Stat()
		return func() string { return fmt.Sprintf("%d at %s", s.Size, s.ModTime.Format(time.RFC3339Nano)) }
	},
	"create": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string {
		w.Create(ops[0].Flags&msg.OpFlagExcl != 0)
		return nil
	},
	"write": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string {
		w.Write(ops[0].U64(0), ops[0].In.Bytes())
		return nil
	},
	"delete": func(_ *ReadOp, w *WriteOp, _ []msg.Op) func() string { w.Remove(); return nil },
	"getxattr": func(r *ReadOp, _ *WriteOp, ops []msg.Op) func() string {
		s := r.Xattr(string(ops[0].In.Bytes()))
		return func() string { return string(s.Data) }
	},
	"zero": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string {
		w.Zero(ops[0].U64(0), ops[0].U64(8))
		return nil
	},
	"read": func(r *ReadOp, _ *WriteOp, ops []msg.Op) func() string {
		s := r.Read(ops[0].U64(0), ops[0].U64(8))
		return func() string { return string(s.Data) }
	},
	"omap-set-header": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string {
		w.OmapSetHeader(ops[0].In.Bytes())
		return nil
	},
	"rollback": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string { w.Rollback(ops[0].U64(0)); return nil },
	"setxattr": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string {
		name, value := xattrArgs(ops[0])
		w.SetXattr(name, value)
		return nil
	},
	"omap-set-vals": func(_ *ReadOp, w *WriteOp, _ []msg.Op) func() string {
		w.OmapSet(map[string][]byte{"a": []byte("b")})
		return nil
	},
	"getxattrs": func(r *ReadOp, _ *WriteOp, _ []msg.Op) func() string {
		s := r.Xattrs()
		return func() string { return fmt.Sprintf("%q", s.Xattrs) }
	},
	"omap-get-header": func(r *ReadOp, _ *WriteOp, _ []msg.Op) func() string {
		s := r.OmapHeader()
		return func() string { return string(s.Data) }
	},
	"omap-get-vals": func(r *ReadOp, _ *WriteOp, ops []msg.Op) func() string {
		d := wire.NewDecoder(ops[0].In.Bytes())
		after, limit, prefix := d.Str(), d.U64(), d.Str()
		s := r.OmapValues(after, prefix, limit)
		return func() string { return fmt.Sprintf("%q more %v", s.Entries, s.More) }
	},
	"omap-get-keys": func(r *ReadOp, _ *WriteOp, ops []msg.Op) func() string {
		d := wire.NewDecoder(ops[0].In.Bytes())
		after, limit := d.Str(), d.U64()
		s := r.OmapKeys(after, limit)
		return func() string { return fmt.Sprintf("%q more %v", s.Keys, s.More) }
	},
	"omap-get-vals-by-keys": func(r *ReadOp, _ *WriteOp, _ []msg.Op) func() string {
		s := r.OmapValuesByKeys("q", "c", "q")
		return func() string { return fmt.Sprintf("%.1s %d", s.Entries[0].Key, len(s.Entries[0].Value)) }
	},
	"omap-rm-keys": func(_ *ReadOp, w *WriteOp, _ []msg.Op) func() string { w.OmapRemove("a"); return nil },
	"omap-clear":   func(_ *ReadOp, w *WriteOp, _ []msg.Op) func() string { w.OmapClear(); return nil },
	"append":       func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string { w.Append(ops[0].In.Bytes()); return nil },
	"truncate":     func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string { w.Truncate(ops[0].U64(0)); return nil },
	"list-snaps": func(r *ReadOp, _ *WriteOp, _ []msg.Op) func() string {
		s := r.Snaps()
		return func() string { return fmt.Sprintf("%v seq %d", s.Clones, s.Seq) }
	},
	"list-watchers": func(r *ReadOp, _ *WriteOp, _ []msg.Op) func() string {
		s := r.Watchers()
		return func() string { return fmt.Sprintf("%+v", s.Watchers) }
	},
	"rmxattr": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string {
		w.RemoveXattr(string(ops[0].In.Bytes()))
		return nil
	},
	"sparse-read": func(r *ReadOp, _ *WriteOp, ops []msg.Op) func() string {
		s := r.SparseRead(ops[0].U64(0), ops[0].U64(8))
		s.Hint(Hint(ops[0].Flags))
		return func() string { return fmt.Sprint(s.Extents, len(s.Data)) }
	},
	"write-same": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string {
		w.WriteSame(ops[0].U64(0), ops[0].U64(8), ops[0].In.Bytes())
		return nil
	},
	"cmpext,write": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string {
		w.CompareExtent(ops[0].U64(0), ops[0].In.Bytes())
		w.Write(ops[1].U64(0), ops[1].In.Bytes())
		return nil
	},
	"set-alloc-hint": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string {
		w.SetAllocHint(ops[0].U64(0), ops[0].U64(8), AllocHint(ops[0].U32(16)))
		return nil
	},
	"assert-version,writefull": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string {
		w.AssertVersion(ops[0].U64(8))
		w.WriteFull(ops[1].In.Bytes())
		return nil
	},
	"cmpxattr,writefull": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string {
		name, value := xattrArgs(ops[0])
		w.CompareXattr(name, Comparison(ops[0].Args[8]), value)
		w.WriteFull(ops[1].In.Bytes())
		return nil
	},
	"omap-rm-key-range": func(_ *ReadOp, w *WriteOp, _ []msg.Op) func() string { w.OmapRemoveRange("b", "c"); return nil },
	"omap-cmp": func(r *ReadOp, _ *WriteOp, _ []msg.Op) func() string {
		r.CompareOmap(map[string]OmapCondition{"b": {Equal, []byte("22")}})
		return nil
	},
	"checksum": func(r *ReadOp, _ *WriteOp, ops []msg.Op) func() string {
		d := wire.NewDecoder(ops[0].In.Bytes())
		t, init := ChecksumType(ops[0].Args[20]), uint64(0)
		if t == XXHash64 {
			init = d.U64()
		} else {
			init = uint64(d.U32())
		}
		s := r.Checksum(t, init, ops[0].U64(0), ops[0].U64(8), ops[0].U32(16))
		return func() string { return fmt.Sprintf("%x", s.Sums) }
	},
	"cmpext": func(r *ReadOp, _ *WriteOp, ops []msg.Op) func() string {
		r.CompareExtent(ops[0].U64(0), ops[0].In.Bytes())
		return nil
	},
	"cmpxattr": func(r *ReadOp, _ *WriteOp, ops []msg.Op) func() string {
		name, value := xattrArgs(ops[0])
		r.CompareXattr(name, Comparison(ops[0].Args[8]), value)
		return nil
	},
	"copy-from": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string {
		w.CopyFrom(&Pool{id: 2, snap: object.NoSnap}, "o1", 0)
		// The rados tool gives other hints.
		w.ops[0].Flags = ops[0].Flags
		copy(w.ops[0].Args[17:], ops[0].Args[17:])
		return nil
	},
	"call lock.lock": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string {
		d := wire.NewDecoder(ops[0].In.Bytes()[len("locklock"):])
		d.Begin("", 1)
		var l Lock
		l.Name = d.Str()
		kind := d.U8()
		l.Shared, l.Ephemeral = kind == lockShared, kind == lockEphemeral
		l.Cookie, l.Tag, l.Description, l.Duration = d.Str(), d.Str(), d.Str(), d.Duration()
		flags := d.U8()
		l.Renew, l.MustRenew = flags&lockMayRenew != 0, flags&lockMustRenew != 0
		w.Lock(l)
		return nil
	},
	"call lock.get_info": func(r *ReadOp, _ *WriteOp, ops []msg.Op) func() string {
		s := r.Call("lock", "get_info", lockInput(func(e *wire.Encoder) { e.Str("rbd_lock") }))
		return func() string {
			info, err := decodeLockInfo(s.Data)
			return fmt.Sprintf("%+v %v", info, err)
		}
	},
	"call lock.list_locks": func(r *ReadOp, _ *WriteOp, _ []msg.Op) func() string {
		s := r.Call("lock", "list_locks", nil)
		return func() string { return fmt.Sprintf("%x", s.Data) }
	},
	"call lock.unlock": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string {
		d := wire.NewDecoder(ops[0].In.Bytes()[len("lockunlock"):])
		d.Begin("", 1)
		name := d.Str()
		w.Unlock(name, d.Str())
		return nil
	},
	"call lock.break_lock": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string {
		d := wire.NewDecoder(ops[0].In.Bytes()[len("lockbreak_lock"):])
		d.Begin("", 1)
		name := d.Str()
		var who entity.Name
		who.Decode(d)
		w.breakLock(name, who, d.Str())
		return nil
	},
	"notify-ack": func(r *ReadOp, _ *WriteOp, _ []msg.Op) func() string {
		r.notifyAck(43<<32|2, 0x273a470, []byte("ack"))
		return nil
	},
	"watch": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string { w.unwatch(ops[0].U64(0)); return nil },
	"create,writefull": func(_ *ReadOp, w *WriteOp, ops []msg.Op) func() string {
		w.Create(false).MayFail()
		w.WriteFull(ops[1].In.Bytes())
		return nil
	},
}

func xattrArgs(op msg.Op) (string, []byte) {
	name, value, _, _ := op.Xattr()
	b := op.In.Bytes()
	return string(b[:name]), b[name : name+value]
}

// answers are what the answers of the successful requests say.
var answers = map[string]string{
	"stat":                  "100 at 2026-11-20T10:32:35.510983429Z",
	"getxattr":              "v",
	"read":                  "with key",
	"getxattrs":             `map["num":"10"]`,
	"omap-get-header":       "",
	"omap-get-vals":         `[{"a" "1"} {"b" "22"}] more true`,
	"omap-get-keys":         `["b" "bb"] more true`,
	"omap-get-vals-by-keys": "c 100",
	"list-snaps":            "[{4 [4] [{65536 983040}] 1048576} {18446744073709551614 [] [] 1048576}] seq 4",
	"list-watchers":         "[{Client:client.4390 Cookie:94695498235216 Timeout:30s Addr:127.0.0.1:0/172004971}]",
	"checksum":              "[610c4dce21ee28e3 610c4dce21ee28e3 610c4dce21ee28e3 610c4dce21ee28e3]",
	"call lock.get_info":    "{Holders:[] Shared:false Ephemeral:false Tag:} <nil>",
	"call lock.list_locks":  "01010900000001000000010000004c",
}

func TestRequestsAndAnswersOfStockClients(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, x := range exchanges(t) {
		if x.kind == "pgnls" {
			continue
		}
		seen[x.kind] = true
		var r ReadOp
		var w WriteOp
		build := builders[x.kind]
		if build == nil {
			t.Errorf("%s: no builder", x.kind)
			continue
		}
		result := build(&r, &w, x.req.Ops)
		v := &r.Steps
		if w.Len() > 0 {
			v = &w.Steps
		}
		for i := range x.req.Ops {
			got, want := &v.ops[i], &x.req.Ops[i]
			if got.Code != want.Code || got.Flags != want.Flags || got.Args != want.Args || !bytes.Equal(got.In.Bytes(), want.In.Bytes()) {
				t.Errorf("%s:\n got %v %#x %x %x\nwant %v %#x %x %x", x.kind, got.Code, got.Flags, got.Args, got.In.Bytes(),
					want.Code, want.Flags, want.Args, want.In.Bytes())
			}
		}
		failed, err := v.take(x.rep)
		var mismatch *MismatchError
		switch {
		case x.rep.Result <= -maxErrno:
			if !errors.As(err, &mismatch) || mismatch.Offset != 0 || failed != "cmpext" {
				t.Errorf("%s: %s %v", x.kind, failed, err)
			}
		case x.rep.Result < 0:
			if !errors.Is(err, errno.Errno(-x.rep.Result)) || !strings.HasPrefix(x.kind, failed) && failed != "writesame" {
				t.Errorf("%s: %s %v, result %d", x.kind, failed, err, x.rep.Result)
			}
		case err != nil:
			t.Errorf("%s: %v", x.kind, err)
		case result != nil:
			if got := result(); got != answers[x.kind] {
				t.Errorf("%s: answer is %s, want %s", x.kind, got, answers[x.kind])
			}
		}
	}
	if len(seen) != len(builders) {
		t.Errorf("%d kinds seen, %d known", len(seen), len(builders))
	}
}

func TestNotifyResultsOfStockOSD(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                 "{Replies:[] TimedOut:[]}",
		"0000000000000000": "{Replies:[] TimedOut:[]}",
		"010000002e1100000000000070a47302000000000300000061636b00000000": "{Replies:[{WatcherID:{Client:4398 Cookie:41133168} Payload:[97 99 107]}] TimedOut:[]}",
		"01000000e910000000000000e0ca1440000000000700000061636b6461746101000000e91000000000000040e4144000000000": "{Replies:[{WatcherID:{Client:4329 Cookie:1075104480} Payload:[97 99 107 100 97 116 97]}] " +
			"TimedOut:[{Client:4329 Cookie:1075110976}]}",
	} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		r, err := decodeNotifyResult(b)
		if got := fmt.Sprintf("%+v", r); err != nil || got != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
		if len(b) > 1 {
			if r, err := decodeNotifyResult(b[:len(b)-1]); !errors.Is(err, errno.EBADMSG) || r.Replies != nil {
				t.Errorf("%s, cut: %+v, %v", in, r, err)
			}
		}
	}
}

func TestListingOfStockOSD(t *testing.T) {
	t.Parallel()
	i := slices.IndexFunc(exchanges(t), func(x exchange) bool { return x.kind == "pgnls" })
	x := exchanges(t)[i]
	entries, next, err := decodeListing(x.rep.Ops[0].Out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 || entries[0] != (ObjectEntry{Name: "o1"}) || next.Hash != 1 || next.Max {
		t.Fatalf("%+v, next %v", entries, next)
	}
	var at object.ID
	if err := wire.Unmarshal(x.req.Ops[0].In.Bytes(), &at); err != nil || next.Compare(at) <= 0 {
		t.Fatalf("from %v to %v, %v", at, next, err)
	}
	c := Cursor{&next}
	text, _ := c.MarshalText()
	var again Cursor
	if err := again.UnmarshalText(text); err != nil || *again.at != next {
		t.Fatalf("%v, %v", again.at, err)
	}
	for _, bad := range []string{"!", "AAAA"} {
		if again.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is a cursor", bad)
		}
	}
}

// FuzzAnswers gives each kind of read an answer of any bytes.
func FuzzAnswers(f *testing.F) {
	for _, x := range exchanges(f) {
		for i := range x.rep.Ops {
			f.Add(x.rep.Ops[i].Out.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		var op ReadOp
		buf := make([]byte, 8)
		op.Stat()
		op.Xattrs()
		op.OmapKeys("", 1)
		op.OmapValues("", "", 1)
		op.OmapValuesByKeys("a")
		op.SparseRead(0, 10)
		op.MapExtents(0, 10)
		op.Watchers()
		op.Snaps()
		op.Checksum(XXHash64, 0, 0, 10, 0)
		into := op.ReadInto(0, buf)
		for i := range op.ops {
			op.ops[i].Flags |= msg.OpFlagFailOK
		}
		rep := &msg.OSDOpReply{Ops: make([]msg.Op, op.Len())}
		for i := range rep.Ops {
			rep.Ops[i].Out = buffer.ListOf(out)
		}
		_, _ = op.take(rep)
		if into.N > len(buf) {
			t.Fatalf("%d bytes in a buffer of %d", into.N, len(buf))
		}
		_, _, _ = decodeListing(out)
		_, _ = decodeLockInfo(out)
		_, _ = decodeNotifyResult(out)
	})
}
