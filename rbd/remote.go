package rbd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rbd/notify"
)

// requests are what this client asked the image's owner to do, and, if it is the
// owner itself, what others asked it.
type requests struct {
	mu     sync.Mutex
	last   uint64
	sent   map[notify.RequestID]*sentRequest
	served map[notify.RequestID]*servedRequest
	lately notify.ClientID // who said last that it owns the image
}

type sentRequest struct {
	alive    chan struct{} // the owner has told of progress; capacity 1
	done     chan error    // capacity 1
	progress Progress
}

// servedRequest is kept for a while after it has ended: the client that asked
// may ask again, if it was not told.
type servedRequest struct {
	ended time.Time // zero: it has not
	err   error
}

const (
	// requestTimeout is how long the owner may be silent
	// (rbd_request_timed_out_seconds).
	requestTimeout = 30 * time.Second
	keepServed     = 10 * time.Minute
	progressEvery  = time.Second
)

// Progress is told how far a long operation has come, in units of its own. It is
// called by one goroutine at a time and must not block.
type Progress func(done, total uint64)

func newRequests() *requests {
	return &requests{sent: map[notify.RequestID]*sentRequest{}, served: map[notify.RequestID]*servedRequest{}}
}

// ask has the owner do what m says. ETIMEDOUT: nobody does, or it was silent for
// long; ERESTART: the image changed hands.
func (img *Image) ask(ctx context.Context, m notify.Message, progress Progress) error {
	r := img.remote
	s := &sentRequest{make(chan struct{}, 1), make(chan error, 1), progress}
	m.Request = r.newID(img.client())
	r.mu.Lock()
	r.sent[m.Request] = s
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.sent, m.Request)
		r.mu.Unlock()
	}()
	if err := img.askOwner(ctx, &m); err != nil {
		return err
	}
	for {
		timer := time.NewTimer(requestTimeout)
		select {
		case <-s.alive:
		case err := <-s.done:
			timer.Stop()
			return err
		case <-timer.C:
			return fmt.Errorf("%v: the image's owner is silent: %w", m.Op, errno.ETIMEDOUT)
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		timer.Stop()
	}
}

// newID names a request of a client that is this one.
func (r *requests) newID(c notify.ClientID) notify.RequestID {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	return notify.RequestID{Client: c, ID: r.last}
}

func (r *requests) progress(id notify.RequestID, done, total uint64) {
	r.mu.Lock()
	s := r.sent[id]
	r.mu.Unlock()
	if s == nil {
		return
	}
	select {
	case s.alive <- struct{}{}:
	default:
	}
	if s.progress != nil {
		s.progress(done, total)
	}
}

func (r *requests) complete(id notify.RequestID, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sent[id]; s != nil {
		s.end(err)
	}
}

func (s *sentRequest) end(err error) {
	select {
	case s.done <- err:
	default:
	}
}

// owner hears that a client owns the image or does not any more. What another
// one was asked to do must be asked anew.
func (r *requests) owner(c notify.ClientID, owns bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	restart := owns != (c == r.lately)
	switch {
	case owns:
		r.lately = c
	case c == r.lately:
		r.lately = notify.ClientID{}
	}
	if restart {
		for _, s := range r.sent {
			s.end(errno.ERESTART)
		}
	}
}

// restart has everything asked anew.
func (r *requests) restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sent {
		s.end(errno.ERESTART)
	}
}

// accept notes a request of another client. If it was made before, it is not
// fresh, and the error is what became of it.
func (r *requests) accept(id notify.RequestID) (fresh bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, s := range r.served {
		if !s.ended.IsZero() && time.Since(s.ended) > keepServed {
			delete(r.served, id)
		}
	}
	if s := r.served[id]; s != nil {
		return false, s.err
	}
	r.served[id] = &servedRequest{}
	return true, nil
}

func (r *requests) ended(id notify.RequestID, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*r.served[id] = servedRequest{time.Now(), err}
}

// serve does, as the image's owner, what another client asks for, and returns
// the answer to it.
func (img *Image) serve(m *notify.Message) []byte {
	op := img.operation(m)
	if op.run == nil || m.Request == (notify.RequestID{}) {
		return notify.Respond(errno.EOPNOTSUPP) // then it asks for the lock and does it itself
	}
	if m.Request.Client == img.client() {
		return notify.Respond(errno.ERESTART) // it has become the owner since it asked
	}
	fresh, err := img.remote.accept(m.Request)
	if !fresh {
		return notify.Respond(err)
	}
	img.tasks.Go(func() {
		var last time.Time
		err := img.owner.runIfOwned(img.life, op.long, func(ctx context.Context) error {
			return op.run(ctx, func(done, total uint64) {
				if time.Since(last) >= progressEvery {
					last = time.Now()
					img.tasks.Go(func() {
						img.say(img.life, &notify.Message{Op: notify.AsyncProgress, Request: m.Request, Offset: done, Total: total})
					})
				}
			})
		})
		if errors.Is(err, errHandedOver) || errors.Is(err, errOwned) {
			err = errno.ERESTART
		}
		img.log.Info("request of another client has ended", "op", m.Op.String(), "err", err)
		img.remote.ended(m.Request, err)
		done := notify.Message{Op: notify.AsyncComplete, Request: m.Request, Result: errno.Code(err)}
		if err := img.say(context.WithoutCancel(img.life), &done); err != nil {
			img.log.Debug("not all were told", "op", done.Op.String(), "err", err)
		}
	})
	return notify.Respond(nil)
}

// operation is a change of the image that the owner alone makes.
type operation struct {
	msg  notify.Message // to have another client do it
	long bool           // it ends when another client wants the image, and is begun again
	run  func(ctx context.Context, progress Progress) error
}

// operation is what a message asks for; without run, if it is not known here.
func (img *Image) operation(m *notify.Message) operation {
	short := func(f func(context.Context, *notify.Message) error) operation {
		return operation{*m, false, func(ctx context.Context, _ Progress) error { return f(ctx, m) }}
	}
	long := func(f func(context.Context, Progress) error) operation { return operation{*m, true, f} }
	switch m.Op {
	case notify.SnapCreate:
		return short(img.createSnapshot)
	case notify.SnapRemove:
		return short(img.removeSnapshot)
	case notify.SnapRename:
		return short(img.renameSnapshot)
	case notify.SnapProtect:
		return short(img.protectSnapshot)
	case notify.SnapUnprotect:
		return short(img.unprotectSnapshot)
	case notify.Resize:
		return long(func(ctx context.Context, p Progress) error { return img.resize(ctx, m.Size, m.AllowShrink, p) })
	case notify.Flatten:
		return long(img.flatten)
	case notify.RebuildObjectMap:
		return long(img.rebuildObjectMap)
	case notify.Rename:
		return short(img.rename)
	case notify.UpdateFeatures:
		return short(img.updateFeatures)
	}
	return operation{}
}

// manage does an operation, or, if another client owns the image, has it do it.
func (img *Image) manage(ctx context.Context, op operation, progress Progress) error {
	if img.readOnly {
		return errReadOnly
	}
	if progress == nil {
		progress = func(uint64, uint64) {}
	}
	request := false
	for {
		v, err := img.current(ctx)
		if err != nil {
			return err
		}
		if !v.has(ExclusiveLock) {
			return op.run(ctx, progress)
		}
		err = img.owner.run(ctx, request, op.long, func(ctx context.Context) error { return op.run(ctx, progress) })
		switch {
		case errors.Is(err, errHandedOver):
			continue
		case !errors.Is(err, errOwned):
			return err
		}
		err = img.ask(ctx, op.msg, progress)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errno.EOPNOTSUPP):
			request = true
		case errors.Is(err, errno.ETIMEDOUT), errors.Is(err, errno.ERESTART):
			img.told.Add(1)
		default:
			img.told.Add(1)
			return errors.Join(err, img.refresh(ctx))
		}
	}
}
