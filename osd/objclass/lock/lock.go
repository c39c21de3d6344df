// Package lock is the class "lock": advisory locks on objects, exclusive or
// shared, which librbd, radosgw and the rados tool use (cls_lock).
//
// A lock is the xattr "lock.NAME" of its object, with everyone who holds it: a
// client's entity name and a cookie of its choice. A tag says what the lock is
// for; while anybody holds it, only callers with the same tag get it too. The
// OSD enforces nothing by it: a client that is declared dead must be blocklisted
// besides having its lock broken.
//
// No compatibility promise.
package lock

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// Kinds of locks (ClsLockType).
const (
	none      = 0
	exclusive = 1
	shared    = 2
	ephemeral = 3 // exclusive; unlocking removes the object
)

// Flags of a request to lock.
const (
	mayRenew  = 1
	mustRenew = 2
)

const attrPrefix = "lock."

// Class returns the class.
func Class() objclass.Class {
	const rd, wr = objclass.Read, objclass.Write
	return objclass.Class{
		"lock":          {Flags: rd | wr, Call: take},
		"unlock":        {Flags: rd | wr, Call: unlock},
		"break_lock":    {Flags: rd | wr, Call: breakLock},
		"get_info":      {Flags: rd, Call: getInfo},
		"list_locks":    {Flags: rd, Call: list},
		"assert_locked": {Flags: rd, Call: assertLocked},
		"set_cookie":    {Flags: rd | wr, Call: setCookie},
	}
}

// holder is who holds a lock (locker_id_t).
type holder struct {
	name   entity.Name
	cookie string
}

func (h holder) compare(o holder) int {
	return cmp.Or(cmp.Compare(h.name.Type, o.name.Type), cmp.Compare(h.name.Num, o.name.Num), strings.Compare(h.cookie, o.cookie))
}

// holding is since when and from where (locker_info_t).
type holding struct {
	expires     time.Time // zero: never
	addr        entity.Addr
	description string
}

// state is one lock (lock_info_t, and the reply of get_info).
type state struct {
	holders map[holder]holding
	kind    uint8
	tag     string
}

func (s *state) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	wire.EncodeMapFunc(e, s.holders, holder.compare, func(h holder, v holding) {
		m := e.Begin(1, 1)
		h.name.Encode(e)
		e.Str(h.cookie)
		e.End(m)
		m = e.Begin(1, 1)
		e.Time(v.expires)
		v.addr.Encode(e)
		e.Str(v.description)
		e.End(m)
	})
	e.U8(s.kind)
	e.Str(s.tag)
	e.End(m)
}

func (s *state) Decode(d *wire.Decoder) {
	env := d.Begin("lock_info_t", 1)
	s.holders = wire.DecodeMap(d, 12, func() (h holder, v holding) {
		env := d.Begin("locker_id_t", 1)
		h.name.Decode(d)
		h.cookie = d.Str()
		d.End(env)
		env = d.Begin("locker_info_t", 1)
		v.expires = d.Time()
		v.addr.Decode(d)
		v.description = d.Str()
		d.End(env)
		return h, v
	})
	s.kind = d.U8()
	s.tag = d.Str()
	d.End(env)
}

// request is the input of the methods: each sends a part of it.
type request struct {
	name, cookie, tag, description, newCookie string
	kind, flags                               uint8
	duration                                  time.Duration
	locker                                    entity.Name
}

// parse decodes an input; fields reads its parts.
func parse(in []byte, fields func(d *wire.Decoder, r *request)) (*request, error) {
	var r request
	err := objclass.ParseStruct(in, "cls_lock request", 1, func(d *wire.Decoder, _ uint8) {
		r.name = d.Str()
		fields(d, &r)
	})
	return &r, err
}

// read returns a lock without those holders whose time is over. Without the
// xattr nobody holds it.
func read(c objclass.Context, name string) (*state, error) {
	b, err := c.Xattr(attrPrefix + name)
	if errors.Is(err, errno.ENODATA) {
		return &state{holders: map[holder]holding{}}, nil
	}
	if err != nil {
		return nil, err
	}
	var s state
	if err := wire.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("lock %s: %w: %w", name, err, errno.EIO)
	}
	now := c.Now()
	for h, v := range s.holders {
		if !v.expires.IsZero() && v.expires.Before(now) {
			delete(s.holders, h)
		}
	}
	return &s, nil
}

func write(c objclass.Context, name string, s *state) error {
	return c.SetXattr(attrPrefix+name, wire.Marshal(s))
}

func take(c objclass.Context, in []byte) ([]byte, error) {
	r, err := parse(in, func(d *wire.Decoder, r *request) {
		r.kind = d.U8()
		r.cookie = d.Str()
		r.tag = d.Str()
		r.description = d.Str()
		r.duration = d.Duration()
		r.flags = d.U8()
	})
	if err != nil {
		return nil, err
	}
	if r.kind < exclusive || r.kind > ephemeral || r.name == "" || r.flags&mayRenew != 0 && r.flags&mustRenew != 0 {
		return nil, errno.EINVAL
	}
	s, err := read(c, r.name)
	if errors.Is(err, errno.ENOENT) {
		s = &state{holders: map[holder]holding{}} // locking creates the object
	} else if err != nil {
		return nil, err
	}
	name, addr := c.Origin()
	me := holder{name, r.cookie}
	if len(s.holders) > 0 && s.tag != r.tag {
		return nil, errno.EBUSY
	}
	if _, mine := s.holders[me]; mine {
		if r.flags&(mayRenew|mustRenew) == 0 {
			return nil, errno.EEXIST
		}
		delete(s.holders, me)
	} else if r.flags&mustRenew != 0 {
		return nil, errno.ENOENT
	}
	if len(s.holders) > 0 && (r.kind != shared || s.kind != shared) {
		return nil, errno.EBUSY
	}
	var expires time.Time
	if r.duration > 0 {
		expires = c.Now().Add(r.duration)
	}
	// Those who list locks feed the address to a blocklist, in its legacy form.
	addr.Type = entity.AddrLegacy
	s.kind, s.tag = r.kind, r.tag
	s.holders[me] = holding{expires, addr, r.description}
	return nil, write(c, r.name, s)
}

func unlock(c objclass.Context, in []byte) ([]byte, error) {
	r, err := parse(in, func(d *wire.Decoder, r *request) { r.cookie = d.Str() })
	if err != nil {
		return nil, err
	}
	name, _ := c.Origin()
	return nil, drop(c, r.name, holder{name, r.cookie})
}

func breakLock(c objclass.Context, in []byte) ([]byte, error) {
	r, err := parse(in, func(d *wire.Decoder, r *request) {
		r.locker.Decode(d)
		r.cookie = d.Str()
	})
	if err != nil {
		return nil, err
	}
	return nil, drop(c, r.name, holder{r.locker, r.cookie})
}

func drop(c objclass.Context, name string, h holder) error {
	s, err := read(c, name)
	if err != nil {
		return err
	}
	if _, ok := s.holders[h]; !ok {
		return errno.ENOENT
	}
	delete(s.holders, h)
	if s.kind == ephemeral {
		return c.Remove()
	}
	return write(c, name, s)
}

func getInfo(c objclass.Context, in []byte) ([]byte, error) {
	r, err := parse(in, func(*wire.Decoder, *request) {})
	if err != nil {
		return nil, err
	}
	s, err := read(c, r.name)
	if err != nil {
		return nil, err
	}
	return wire.Marshal(s), nil
}

func list(c objclass.Context, _ []byte) ([]byte, error) {
	attrs, err := c.AllXattrs()
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for a := range attrs {
		if n, ok := strings.CutPrefix(a, attrPrefix); ok {
			names[n] = true
		}
	}
	var e wire.Encoder
	m := e.Begin(1, 1)
	wire.EncodeMap(&e, names, func(n string, _ bool) { e.Str(n) })
	e.End(m)
	return e.Bytes(), nil
}

// mine reads a lock that must be held by the caller, as the request says.
func mine(c objclass.Context, r *request) (*state, holder, error) {
	name, _ := c.Origin()
	me := holder{name, r.cookie}
	if r.kind < exclusive || r.kind > ephemeral || r.name == "" {
		return nil, me, errno.EINVAL
	}
	s, err := read(c, r.name)
	if err != nil {
		return nil, me, err
	}
	if _, ok := s.holders[me]; !ok || s.kind != r.kind || s.tag != r.tag {
		return nil, me, errno.EBUSY
	}
	return s, me, nil
}

func assertLocked(c objclass.Context, in []byte) ([]byte, error) {
	r, err := parse(in, func(d *wire.Decoder, r *request) {
		r.kind = d.U8()
		r.cookie = d.Str()
		r.tag = d.Str()
	})
	if err != nil {
		return nil, err
	}
	_, _, err = mine(c, r)
	return nil, err
}

func setCookie(c objclass.Context, in []byte) ([]byte, error) {
	r, err := parse(in, func(d *wire.Decoder, r *request) {
		r.kind = d.U8()
		r.cookie = d.Str()
		r.tag = d.Str()
		r.newCookie = d.Str()
	})
	if err != nil {
		return nil, err
	}
	s, me, err := mine(c, r)
	if err != nil {
		return nil, err
	}
	next := holder{me.name, r.newCookie}
	if _, taken := s.holders[next]; taken {
		return nil, errno.EBUSY
	}
	s.holders[next] = s.holders[me]
	delete(s.holders, me)
	return nil, write(c, r.name, s)
}
