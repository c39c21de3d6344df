package rbd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd/notify"
)

// ownership is the exclusive lock of an image (librbd::ExclusiveLock): with the
// feature, only the client that holds a lock on the header writes and changes
// the image. The lock goes from client to client as they want to write:
//
//	        request                      shut the gate, finish writes, end
//	free ----lock----> owned ---asked--> long operations, unlock ----> free
//	  ^   load object map    by another                  tell it
//	  |
//	  owned by another: ask it to release, wait until it has
//	  owned by a client that is gone: blocklist it, break its lock, lock
//
// An owner is gone if it does not watch the header any more. It may only seem
// so: a client that is cut off goes on writing when it is back. So it is
// blocklisted first, and this client waits until it has the map that says so;
// each OSD that gets a write of this client then has that map too, and refuses
// the other's.
//
// What a new owner does first is to read the header again, for the former one
// may have changed it.
type ownership struct {
	img *Image
	// change is held by who acquires or releases the lock.
	change semaphore

	mu    sync.Mutex
	lock  rados.Lock      // the lock as it is held; without name: it is not
	ready bool            // the image may be written: the lock is held, the object map loaded
	lease context.Context // ends when the lock is about to be released
	end   context.CancelCauseFunc
	kept  bool          // requests of others are refused
	news  chan struct{} // closed when another client said something about the lock

	objectMap atomic.Pointer[objectMap] // nil without the feature, or while not owned
	work      sync.WaitGroup            // operations that need the lock
}

const (
	lockTag = "internal" // of locks that go from client to client
	// cookiePrefix is followed by the cookie of the owner's watch.
	cookiePrefix = "auto "
)

var (
	// errOwned says that another client, which is alive, owns the image.
	errOwned = errors.New("image is owned by another client")
	// errHandedOver ends a long operation because another client wants the image.
	errHandedOver = errors.New("image is handed over")
)

func newOwnership(img *Image) *ownership {
	return &ownership{img: img, change: newSemaphore(), news: make(chan struct{})}
}

// held returns the lock, if this client holds it.
func (o *ownership) held() (rados.Lock, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lock, o.lock.Name != ""
}

// owned reports whether this client owns the image and has all that a write
// needs.
func (o *ownership) owned() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ready
}

// tell wakes who waits for the lock.
func (o *ownership) tell() {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.news)
	o.news = make(chan struct{})
}

func (o *ownership) heard() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.news
}

// enter makes this client the owner and passes the gate, so that at least one
// write is done before somebody else gets the lock.
func (o *ownership) enter(ctx context.Context) error {
	if err := o.change.acquire(ctx); err != nil {
		return err
	}
	defer o.change.release()
	if err := o.acquire(ctx, true); err != nil {
		return err
	}
	return o.img.gate.enter(ctx)
}

// run does something that needs the lock. A long operation is ended with
// errHandedOver when another client wants the lock; others are waited for. If
// another client owns the image it is asked to release it, or else the error is
// errOwned.
func (o *ownership) run(ctx context.Context, request, long bool, f func(context.Context) error) error {
	if err := o.change.acquire(ctx); err != nil {
		return err
	}
	if err := o.acquire(ctx, request); err != nil {
		o.change.release()
		return err
	}
	return o.runHeld(ctx, long, f)
}

// runIfOwned is run, but if this client does not own the image it does nothing
// and returns errOwned.
func (o *ownership) runIfOwned(ctx context.Context, long bool, f func(context.Context) error) error {
	if err := o.change.acquire(ctx); err != nil {
		return err
	}
	if !o.owned() {
		o.change.release()
		return errOwned
	}
	return o.runHeld(ctx, long, f)
}

// runHeld runs f with the lock held, and gives change back once that is noted.
func (o *ownership) runHeld(ctx context.Context, long bool, f func(context.Context) error) error {
	o.work.Add(1)
	defer o.work.Done()
	o.mu.Lock()
	lease := o.lease
	o.mu.Unlock()
	o.change.release()
	if !long {
		return f(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(lease, func() { cancel(context.Cause(lease)) })
	defer stop()
	err := f(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errHandedOver) {
		return errHandedOver
	}
	return err
}

// acquire takes the lock unless this client has it. Called with change held.
func (o *ownership) acquire(ctx context.Context, request bool) error {
	for !o.owned() {
		news := o.heard()
		err := o.try(ctx)
		if err == nil || !errors.Is(err, errOwned) || !request {
			return err
		}
		patience := time.Second
		switch err := o.img.askOwner(ctx, &notify.Message{Op: notify.RequestLock, Client: o.img.client()}); {
		case err == nil:
			patience = 10 * time.Second // it is going to; ask again if nothing happens
		case errors.Is(err, errno.EROFS):
			return fmt.Errorf("the image's owner keeps it: %w", errno.EROFS)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errno.ETIMEDOUT): // nobody says that he is the owner
			patience = 100 * time.Millisecond
		}
		timer := time.NewTimer(patience)
		select {
		case <-news:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		timer.Stop()
	}
	return nil
}

// try takes the lock if it is free, or its holder gone. errOwned: it is not.
func (o *ownership) try(ctx context.Context) error {
	img := o.img
	header := clsrbd.Header(img.id)
	l := rados.Lock{Name: clsrbd.LockName, Tag: lockTag, Cookie: cookiePrefix + strconv.FormatUint(img.client().Handle, 10)}
	for {
		err := img.pool.Lock(ctx, header, l)
		if err == nil || errors.Is(err, rados.ErrExists) {
			break
		}
		if !errors.Is(err, rados.ErrBusy) {
			return err
		}
		if err := o.breakDead(ctx); err != nil {
			return err
		}
	}
	if err := o.begin(ctx, l); err != nil {
		img.pool.Unlock(context.WithoutCancel(ctx), header, l.Name, l.Cookie)
		return err
	}
	return nil
}

// breakDead takes the lock away from a holder that is gone.
func (o *ownership) breakDead(ctx context.Context) error {
	img := o.img
	header := clsrbd.Header(img.id)
	info, err := img.pool.LockInfo(ctx, header, clsrbd.LockName)
	if err != nil || len(info.Holders) == 0 {
		return err
	}
	h := info.Holders[0]
	handle, auto := strings.CutPrefix(h.Cookie, cookiePrefix)
	if !auto || info.Tag != lockTag || info.Shared {
		return fmt.Errorf("image is locked by %s: %w", h.Client, errno.EROFS)
	}
	watchers, err := img.pool.Watchers(ctx, header)
	if err != nil {
		return err
	}
	for _, w := range watchers {
		if w.Addr == h.Addr && strconv.FormatUint(w.Cookie, 10) == handle {
			return errOwned
		}
	}
	// It may have watched anew meanwhile, with another cookie.
	again, err := img.pool.LockInfo(ctx, header, clsrbd.LockName)
	if err != nil {
		return err
	}
	if len(again.Holders) != 1 || again.Holders[0] != h {
		return nil
	}
	img.log.Warn("owner of the image is gone, its lock is broken", "client", h.Client, "addr", h.Addr)
	if c := img.pool.Cluster(); h.Addr != c.Addr() {
		if err := c.BlocklistAdd(ctx, h.Addr, 0); err != nil {
			return fmt.Errorf("blocklist %s: %w", h.Addr, err)
		}
	}
	if err := img.pool.BreakLock(ctx, header, clsrbd.LockName, h.Client, h.Cookie); err != nil && !isMissing(err) {
		return err
	}
	return nil
}

// begin is what a new owner does before anything else.
func (o *ownership) begin(ctx context.Context, l rados.Lock) error {
	img := o.img
	img.told.Add(1)
	if err := img.refresh(ctx); err != nil {
		return err
	}
	o.mu.Lock()
	o.lock = l // for flagging the image
	o.mu.Unlock()
	o.renew()
	if v := img.view.Load(); v.has(ObjectMap) {
		m, err := openObjectMap(ctx, img, v)
		if err != nil {
			o.drop(err)
			return err
		}
		o.objectMap.Store(m)
	}
	o.mu.Lock()
	o.ready = true
	o.mu.Unlock()
	img.log.Info("image is owned", "cookie", l.Cookie)
	img.announce(notify.AcquiredLock)
	return nil
}

// renew lets long operations begin.
func (o *ownership) renew() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lease, o.end = context.WithCancelCause(context.Background())
}

// adapt has the owner keep an object map, or cease to, when the feature was
// switched.
func (o *ownership) adapt(ctx context.Context) error {
	v, m := o.img.view.Load(), o.objectMap.Load()
	if !o.owned() {
		return nil
	}
	switch has := v.has(ObjectMap); {
	case has && m == nil:
		m, err := openObjectMap(ctx, o.img, v)
		if err != nil {
			return err
		}
		o.objectMap.Store(m)
	case !has && m != nil:
		o.objectMap.Store(nil) // its lock went with the object
	}
	return nil
}

// drop forgets the lock.
func (o *ownership) drop(why error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ready = false
	o.objectMap.Store(nil)
	o.lock = rados.Lock{}
	o.end(why)
}

// release gives the lock back, when all writes and operations have ended. Who
// keeps it from being given to others does not keep it himself.
func (o *ownership) release(ctx context.Context) error {
	if err := o.change.acquire(ctx); err != nil {
		return err
	}
	defer o.change.release()
	l, held := o.held()
	if !held {
		return nil
	}
	o.mu.Lock()
	o.end(errHandedOver)
	o.mu.Unlock()
	o.work.Wait() // some of it passes the gate
	if err := o.img.gate.close(ctx); err != nil {
		o.renew()
		return err
	}
	defer o.img.gate.open()
	switch err := o.img.drain(ctx); {
	case isFenced(err):
		o.img.forget(err)
	case err != nil:
		o.renew()
		return err
	}
	m := o.objectMap.Load()
	o.drop(errHandedOver)
	var err error
	if m != nil {
		err = m.release(ctx)
	}
	e := o.img.pool.Unlock(ctx, clsrbd.Header(o.img.id), l.Name, l.Cookie)
	if e != nil && !isMissing(e) {
		err = errors.Join(err, e)
	}
	o.img.log.Info("image is released", "err", err)
	o.img.announce(notify.ReleasedLock)
	return err
}

// rename makes the lock's cookie that of a new watch.
func (o *ownership) rename(ctx context.Context, handle uint64) error {
	if err := o.change.acquire(ctx); err != nil {
		return err
	}
	defer o.change.release()
	l, held := o.held()
	if !held {
		return nil
	}
	cookie := cookiePrefix + strconv.FormatUint(handle, 10)
	var op rados.WriteOp
	op.ChangeCookie(l, cookie)
	err := o.img.pool.Mutate(ctx, clsrbd.Header(o.img.id), &op)
	if err != nil {
		o.lost(err)
		return err
	}
	o.mu.Lock()
	o.lock.Cookie = cookie
	o.mu.Unlock()
	o.img.announce(notify.AcquiredLock)
	return nil
}

// verify looks whether the lock is still ours, for another client says that it
// is the owner.
func (o *ownership) verify(ctx context.Context) {
	if o.change.acquire(ctx) != nil {
		return
	}
	defer o.change.release()
	l, held := o.held()
	if !held {
		return
	}
	var op rados.ReadOp
	op.AssertLocked(l)
	if err := o.img.pool.Query(ctx, clsrbd.Header(o.img.id), &op); errors.Is(err, rados.ErrBusy) || isMissing(err) {
		o.lost(err)
	}
}

// lost notes that somebody broke the lock.
func (o *ownership) lost(err error) {
	o.img.log.Warn("lock of the image is lost", "err", err)
	err = fmt.Errorf("lock of the image is lost: %w", err)
	o.drop(err)
	o.img.forget(err)
}

// AcquireLock makes this client the owner of the image and keeps it so: others
// that want to write are refused, until ReleaseLock. Without this the lock comes
// and goes by itself. EROFS: another client keeps it.
func (img *Image) AcquireLock(ctx context.Context) error {
	if err := img.lockable(); err != nil {
		return img.fail("lock", err)
	}
	return img.fail("lock", img.owner.run(ctx, true, false, func(context.Context) error {
		img.owner.keep(true)
		return nil
	}))
}

// ReleaseLock gives the image to others, once all writes under way are done.
func (img *Image) ReleaseLock(ctx context.Context) error {
	if err := img.lockable(); err != nil {
		return img.fail("unlock", err)
	}
	img.owner.keep(false)
	return img.fail("unlock", img.owner.release(ctx))
}

// Owned reports whether this client is the image's owner.
func (img *Image) Owned() bool { return img.owner.owned() }

func (img *Image) lockable() error {
	switch {
	case img.readOnly:
		return errReadOnly
	case !img.view.Load().has(ExclusiveLock):
		return invalid("the image has not the feature exclusive-lock")
	}
	return nil
}

func (o *ownership) keep(kept bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = kept
}

func (o *ownership) keeps() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept
}
