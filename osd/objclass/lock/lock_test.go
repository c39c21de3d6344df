package lock

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
	"github.com/pulpo-storage/pulpo/wire"
)

const (
	ok      = 0
	enoent  = -2
	ebusy   = -16
	eexist  = -17
	einval  = -22
	minutes = 60
)

func encode(f func(e *wire.Encoder)) []byte {
	var e wire.Encoder
	m := e.Begin(1, 1)
	f(&e)
	e.End(m)
	return e.Bytes()
}

func lockIn(name string, kind uint8, cookie, tag string, seconds uint32, flags uint8) []byte {
	return encode(func(e *wire.Encoder) {
		e.Str(name)
		e.U8(kind)
		e.Str(cookie)
		e.Str(tag)
		e.Str("desc")
		e.U32(seconds)
		e.U32(0)
		e.U8(flags)
	})
}

func heldIn(name string, kind uint8, cookie, tag string) []byte {
	return encode(func(e *wire.Encoder) { e.Str(name); e.U8(kind); e.Str(cookie); e.Str(tag) })
}

func unlockIn(name, cookie string) []byte {
	return encode(func(e *wire.Encoder) { e.Str(name); e.Str(cookie) })
}

func TestExclusive(t *testing.T) {
	t.Parallel()
	o, c := classtest.New(), Class()
	o.Call(t, c, "lock", lockIn("l", exclusive, "c1", "", 0, 0), ok)
	if !o.Exists {
		t.Error("locking did not create the object")
	}
	o.Call(t, c, "lock", lockIn("l", exclusive, "c1", "", 0, 0), eexist)
	o.Call(t, c, "lock", lockIn("l", exclusive, "c1", "", 0, mayRenew), ok)
	o.Call(t, c, "lock", lockIn("l", exclusive, "c1", "", 0, mustRenew), ok)
	o.Call(t, c, "lock", lockIn("l", exclusive, "c2", "", 0, 0), ebusy)
	o.Call(t, c, "lock", lockIn("l", shared, "c2", "", 0, 0), ebusy)
	o.Call(t, c, "assert_locked", heldIn("l", exclusive, "c1", ""), ok)
	o.Call(t, c, "assert_locked", heldIn("l", shared, "c1", ""), ebusy)
	o.Client.Num++
	o.Call(t, c, "lock", lockIn("l", exclusive, "c1", "", 0, mayRenew), ebusy)
	o.Call(t, c, "unlock", unlockIn("l", "c1"), enoent)
	o.Client.Num--
	o.Call(t, c, "unlock", unlockIn("l", "c1"), ok)
	o.Call(t, c, "unlock", unlockIn("l", "c1"), enoent)
	o.Call(t, c, "lock", lockIn("l", exclusive, "c1", "", 0, mustRenew), enoent)
}

func TestSharedWithTag(t *testing.T) {
	t.Parallel()
	o, c := classtest.New(), Class()
	o.Call(t, c, "lock", lockIn("l", shared, "c1", "tag", 0, 0), ok)
	o.Call(t, c, "lock", lockIn("l", shared, "c2", "tag", 0, 0), ok)
	o.Call(t, c, "lock", lockIn("l", shared, "c3", "other", 0, 0), ebusy)
	o.Call(t, c, "lock", lockIn("l", exclusive, "c3", "tag", 0, 0), ebusy)
	o.Call(t, c, "unlock", unlockIn("l", "c1"), ok)
	o.Call(t, c, "unlock", unlockIn("l", "c2"), ok)
	// Nobody holds it: the tag is free too.
	o.Call(t, c, "lock", lockIn("l", exclusive, "c3", "other", 0, 0), ok)
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	o, c := classtest.New(), Class()
	o.Call(t, c, "lock", lockIn("l", exclusive, "c1", "", minutes, 0), ok)
	o.Client.Num++
	o.Call(t, c, "lock", lockIn("l", exclusive, "c2", "", 0, 0), ebusy)
	o.Time = o.Time.Add((minutes + 1) * time.Second)
	o.Call(t, c, "lock", lockIn("l", exclusive, "c2", "", 0, 0), ok)
}

func TestEphemeralGoesWithItsHolder(t *testing.T) {
	t.Parallel()
	o, c := classtest.New(), Class()
	o.Call(t, c, "lock", lockIn("l", ephemeral, "c1", "", 0, 0), ok)
	o.Call(t, c, "unlock", unlockIn("l", "c1"), ok)
	if o.Exists {
		t.Error("the object is still there")
	}
}

func TestSetCookieAndBreak(t *testing.T) {
	t.Parallel()
	o, c := classtest.New(), Class()
	o.Call(t, c, "lock", lockIn("l", exclusive, "c1", "", 0, 0), ok)
	in := encode(func(e *wire.Encoder) {
		e.Str("l")
		e.U8(exclusive)
		e.Str("c1")
		e.Str("")
		e.Str("c2")
	})
	o.Call(t, c, "set_cookie", in, ok)
	o.Call(t, c, "set_cookie", in, ebusy) // c1 holds it no more
	brk := encode(func(e *wire.Encoder) { e.Str("l"); o.Client.Encode(e); e.Str("c2") })
	o.Client.Num = 1 // whoever may write may break
	o.Call(t, c, "break_lock", brk, ok)
	o.Call(t, c, "break_lock", brk, enoent)
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	o, c := classtest.New(), Class()
	for _, m := range []string{"lock", "unlock", "break_lock", "get_info", "assert_locked", "set_cookie"} {
		o.Call(t, c, m, nil, einval)
		o.Call(t, c, m, []byte{1, 1, 200, 0, 0, 0}, einval)
	}
	o.Call(t, c, "lock", lockIn("", exclusive, "c", "", 0, 0), einval)
	o.Call(t, c, "lock", lockIn("l", 9, "c", "", 0, 0), einval)
	o.Call(t, c, "lock", lockIn("l", exclusive, "c", "", 0, mayRenew|mustRenew), einval)
	o.Call(t, c, "get_info", encode(func(e *wire.Encoder) { e.Str("l") }), enoent)
	o.Exists = true
	o.Attrs["lock.l"] = []byte("garbage")
	o.Call(t, c, "get_info", encode(func(e *wire.Encoder) { e.Str("l") }), -5)
}

// The layout of the answer by hand, as doc/protocol/osd.md has it: a map of
// holders, the kind and the tag.
func TestGoldenInfo(t *testing.T) {
	t.Parallel()
	o, c := classtest.New(), Class()
	o.Call(t, c, "lock", lockIn("L", exclusive, "c1", "t", 0, 0), ok)
	got := o.Call(t, c, "get_info", encode(func(e *wire.Encoder) { e.Str("L") }), ok)
	want := "0101" + "58000000" + "01000000" +
		"0101" + "0f000000" + "08" + "1b10000000000000" + "02000000" + "6331" +
		"0101" + "33000000" + "0000000000000000" + "01" + "0101" + "1c000000" + "01000000" + "2a000000" + "10000000" + "0200" + "0000" + "7f000001" + "0000000000000000" + "04000000" + hex.EncodeToString([]byte("desc")) +
		"01" + "01000000" + "74"
	if hex.EncodeToString(got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
	names := o.Call(t, c, "list_locks", nil, ok)
	if !strings.Contains(string(names), "L") {
		t.Errorf("locks are %q", names)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("lock", lockIn("l", shared, "c", "t", 1, 0))
	f.Add("unlock", unlockIn("l", "c"))
	f.Add("assert_locked", heldIn("l", exclusive, "c", ""))
	f.Fuzz(func(t *testing.T, method string, in []byte) {
		m, known := Class()[method]
		if !known {
			return
		}
		o := classtest.New()
		o.Exists = true
		o.Attrs["lock.l"] = in // as a stored state, too
		m.Call(o, in)
	})
}
