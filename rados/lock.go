package rados

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/wire"
)

// Lock is an advisory lock on an object (class "lock"). Locks are told apart by
// name; who holds one is known by client instance and cookie.
type Lock struct {
	Name        string
	Cookie      string
	Shared      bool
	Ephemeral   bool   // exclusive, and the object is removed with the lock
	Tag         string // holders of a shared lock must have the same one
	Description string
	Duration    time.Duration // 0: until it is released or broken
	Renew       bool          // taking it again is a renewal, not ErrExists
	MustRenew   bool          // fails with ErrNotFound if it is not held
}

// Types and flags of cls_lock.
const (
	lockExclusive = 1
	lockShared    = 2
	lockEphemeral = 3

	lockMayRenew  = 1
	lockMustRenew = 2
)

func (l *Lock) kind() uint8 {
	switch {
	case l.Shared:
		return lockShared
	case l.Ephemeral:
		return lockEphemeral
	}
	return lockExclusive
}

func lockInput(encode func(*wire.Encoder)) []byte {
	var e wire.Encoder
	m := e.Begin(1, 1)
	encode(&e)
	e.End(m)
	return e.Bytes()
}

// Lock takes the lock, as a step of a sequence. The object is created if it
// does not exist. ErrBusy: somebody else holds it; ErrExists: we do.
func (op *WriteOp) Lock(l Lock) *Step {
	return op.Call("lock", "lock", lockInput(func(e *wire.Encoder) {
		e.Str(l.Name)
		e.U8(l.kind())
		e.Str(l.Cookie)
		e.Str(l.Tag)
		e.Str(l.Description)
		e.Duration(l.Duration)
		var flags uint8
		if l.Renew {
			flags |= lockMayRenew
		}
		if l.MustRenew {
			flags |= lockMustRenew
		}
		e.U8(flags)
	})).Step
}

// Unlock releases a lock.
func (op *WriteOp) Unlock(name, cookie string) *Step {
	return op.Call("lock", "unlock", lockInput(func(e *wire.Encoder) {
		e.Str(name)
		e.Str(cookie)
	})).Step
}

// ChangeCookie gives a lock that we hold as l says another cookie. ErrBusy: we do
// not hold it so.
func (op *WriteOp) ChangeCookie(l Lock, cookie string) *Step {
	return op.Call("lock", "set_cookie", lockInput(func(e *wire.Encoder) {
		e.Str(l.Name)
		e.U8(l.kind())
		e.Str(l.Cookie)
		e.Str(l.Tag)
		e.Str(cookie)
	})).Step
}

// SetLockCookie changes the cookie under which we hold the lock as it says,
// without letting it go: after a lost watch whose cookie it was.
func (op *WriteOp) SetLockCookie(l Lock, cookie string) *Step {
	return op.Call("lock", "set_cookie", lockInput(func(e *wire.Encoder) {
		e.Str(l.Name)
		e.U8(l.kind())
		e.Str(l.Cookie)
		e.Str(l.Tag)
		e.Str(cookie)
	})).Step
}

// AssertLocked fails with ErrBusy unless we hold the lock as it says.
func (v *Steps) AssertLocked(l Lock) *Step {
	return v.Call("lock", "assert_locked", lockInput(func(e *wire.Encoder) {
		e.Str(l.Name)
		e.U8(l.kind())
		e.Str(l.Cookie)
		e.Str(l.Tag)
	})).Step
}

// Lock takes a lock on an object.
func (p *Pool) Lock(ctx context.Context, name string, l Lock) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.Lock(l) })
}

// Unlock releases a lock; ErrNotFound if it is not held.
func (p *Pool) Unlock(ctx context.Context, name, lock, cookie string) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.Unlock(lock, cookie) })
}

// SetLockCookie changes the cookie under which we hold a lock. ErrBusy: we do not
// hold it as it says.
func (p *Pool) SetLockCookie(ctx context.Context, name string, l Lock, cookie string) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.SetLockCookie(l, cookie) })
}

// EvictLock takes a lock away from one who may still believe to hold it: the
// holder's client is blocklisted first, for that time (0: the cluster's default),
// so that whatever it writes after the lock has changed hands is refused.
func (p *Pool) EvictLock(ctx context.Context, name, lock string, h LockHolder, d time.Duration) error {
	if err := p.c.BlocklistAdd(ctx, h.Addr, d); err != nil {
		return err
	}
	return p.BreakLock(ctx, name, lock, h.Client, h.Cookie)
}

// BreakLock takes a lock away from who holds it, such as client "client.4123". The
// holder does not hear of it: see EvictLock.
func (p *Pool) BreakLock(ctx context.Context, name, lock, client, cookie string) error {
	kind, id, _ := strings.Cut(client, ".")
	t, ok := entity.ParseType(kind)
	n := entity.Name{Type: t}
	if _, err := fmt.Sscanf(id, "%d", &n.Num); err != nil || !ok || n.String() != client {
		return &Error{Op: "break lock", Pool: p.name, Object: name, Err: fmt.Errorf("bad client %q: %w", client, errno.EINVAL)}
	}
	return p.mutate(ctx, name, func(op *WriteOp) { op.breakLock(lock, n, cookie) })
}

func (op *WriteOp) breakLock(name string, who entity.Name, cookie string) {
	op.Call("lock", "break_lock", lockInput(func(e *wire.Encoder) {
		e.Str(name)
		who.Encode(e)
		e.Str(cookie)
	}))
}

// LockHolder is one who holds a lock.
type LockHolder struct {
	Client      string // client.4123
	Cookie      string
	Expires     time.Time // zero: never
	Addr        string    // 127.0.0.1:0/42, the form for blocklists
	Description string
}

// LockInfo is the state of a lock. Without holders it is free.
type LockInfo struct {
	Holders   []LockHolder
	Shared    bool
	Ephemeral bool
	Tag       string
}

// LockInfo tells who holds a lock.
func (p *Pool) LockInfo(ctx context.Context, name, lock string) (LockInfo, error) {
	out, err := p.Call(ctx, name, "lock", "get_info", lockInput(func(e *wire.Encoder) { e.Str(lock) }))
	if err != nil {
		return LockInfo{}, err
	}
	info, err := decodeLockInfo(out)
	if err != nil {
		return LockInfo{}, &Error{Op: "call lock.get_info", Pool: p.name, Object: name, Err: err}
	}
	return info, nil
}

func decodeLockInfo(b []byte) (info LockInfo, err error) {
	d := wire.NewDecoder(b)
	env := d.Begin("cls_lock_get_info_reply", 1)
	info.Holders = wire.DecodeSlice(d, 12, func() (h LockHolder) {
		id := d.Begin("locker_id_t", 1)
		var n entity.Name
		n.Decode(d)
		h.Client = n.String()
		h.Cookie = d.Str()
		d.End(id)
		env := d.Begin("locker_info_t", 1)
		h.Expires = d.Time()
		var a entity.Addr
		a.Decode(d)
		h.Addr = a.Legacy()
		h.Description = d.Str()
		d.End(env)
		return h
	})
	kind := d.U8()
	info.Shared, info.Ephemeral = kind == lockShared, kind == lockEphemeral
	info.Tag = d.Str()
	d.End(env)
	if err := d.Finish(); err != nil {
		return LockInfo{}, fmt.Errorf("%w: %w", errno.EBADMSG, err)
	}
	return info, nil
}

// Locks lists the names of the locks on an object, free ones included.
func (p *Pool) Locks(ctx context.Context, name string) ([]string, error) {
	out, err := p.Call(ctx, name, "lock", "list_locks", nil)
	if err != nil {
		return nil, err
	}
	d := wire.NewDecoder(slices.Clone(out))
	env := d.Begin("cls_lock_list_locks_reply", 1)
	names := wire.DecodeSlice(d, 4, d.Str)
	d.End(env)
	if err := d.Finish(); err != nil {
		return nil, &Error{Op: "call lock.list_locks", Pool: p.name, Object: name, Err: fmt.Errorf("%w: %w", errno.EBADMSG, err)}
	}
	return names, nil
}
