package rados

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/rados/objecter"
	"github.com/pulpo-storage/pulpo/wire"
)

// Watch is a watch of an object: its handler is called for what other clients,
// and this one, say about the object by Pool.Notify. It is how the clients of an
// image or a bucket agree on things. Nothing is stored but that somebody
// watches.
//
// A watch survives lost connections and restarts of OSDs. It is lost when the
// client was silent for longer than the timeout, when the object is removed, or
// the client blocklisted: notifications may have been missed then, so whoever
// kept state by them must look at the object itself and watch anew.
type Watch struct {
	p       *Pool
	name    string
	handler func(context.Context, *Notification)
	linger  *objecter.Linger

	ctx        context.Context // of the handler; ends with the watch
	cancel     context.CancelFunc
	stop       chan struct{} // closed by Close: no further calls of the handler
	registered chan error    // outcome of the registration; capacity 1
	lost       chan struct{}
	ended      chan struct{} // the handler is not called any more
	wake       chan struct{} // something was queued; capacity 1
	closing    sync.Once

	mu      sync.Mutex
	err     error // why it is lost
	stopped bool
	queue   []event
}

// event is what the handler's goroutine has to do; it stays queued until it is
// done.
type event struct {
	at      time.Time
	n       *Notification
	flushed chan struct{} // closed in place of a call, if n is nil
}

// maxQueued is how many notifications wait for a slow handler. Further ones are
// dropped: their senders time out.
const maxQueued = 1024

// Notification is what another client said about a watched object.
type Notification struct {
	ID       uint64
	Notifier uint64 // the client's Cluster.InstanceID
	Payload  []byte
	w        *Watch
}

// Cookie is that of the watch.
func (n *Notification) Cookie() uint64 { return n.w.Cookie() }

// Ack answers a notification, once. The one who notified waits for it.
func (n *Notification) Ack(ctx context.Context, reply []byte) error {
	var op ReadOp
	op.notifyAck(n.ID, n.w.Cookie(), reply)
	return n.w.p.Query(ctx, n.w.name, &op)
}

func (op *ReadOp) notifyAck(id, cookie uint64, reply []byte) {
	var e wire.Encoder
	e.U64(id)
	e.U64(cookie)
	e.Blob(reply)
	op.add(msg.OpNotifyAck, e.Bytes(), nil)
}

// WatchOption changes a watch.
type WatchOption func(*Watch)

// WatchTimeout sets how long the client may be silent before the OSD gives the
// watch up, in whole seconds; without, the OSD decides (30 s).
func WatchTimeout(d time.Duration) WatchOption {
	return func(w *Watch) { w.linger.Timeout = seconds(d) }
}

// seconds rounds up to what the protocol knows.
func seconds(d time.Duration) time.Duration {
	return (d + time.Second - 1) / time.Second * time.Second
}

// Watch begins to watch an object that exists. ctx bounds only this.
//
// The handler is called for one notification at a time, in a goroutine of the
// watch. It calls Ack, or lets somebody do it; one that takes longer than the
// notifier waits counts as one that does not answer. A notification may come
// again if the connection was lost meanwhile. The handler's context ends when the
// watch is lost. It may notify and execute operations, but not close the watch
// or the cluster, which wait for it.
func (p *Pool) Watch(ctx context.Context, name string, handler func(context.Context, *Notification), opts ...WatchOption) (*Watch, error) {
	if p.snap != object.NoSnap {
		return nil, &Error{Op: "watch", Pool: p.name, Object: name, Err: errReadOnly}
	}
	w := &Watch{
		p: p, name: name, handler: handler,
		registered: make(chan error, 1), stop: make(chan struct{}), lost: make(chan struct{}), ended: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	w.linger = &objecter.Linger{Object: name, Locator: p.locator(), SnapContext: p.snapc, Flags: p.flags, Notice: w.notice}
	for _, o := range opts {
		o(w)
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	p.c.watches.Go(w.run)
	p.c.objects.Begin(w.linger)
	var err error
	select {
	case err = <-w.registered:
	case <-ctx.Done():
		err = context.Cause(ctx)
		p.c.objects.End(w.linger)
		// It may be registered, and who notifies would wait for it.
		p.c.watches.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), defaultNotifyTimeout)
			defer cancel()
			_ = w.unwatch(ctx)
		})
	}
	if err != nil {
		w.cancel()
		return nil, &Error{Op: "watch", Pool: p.name, Object: name, Err: closedError(p.c.noticed(err))}
	}
	return w, nil
}

// notice hears of the watch from the objecter.
func (w *Watch) notice(n objecter.Notice) {
	switch n.Kind {
	case objecter.Registered:
		w.registered <- n.Err
	case objecter.Lost:
		w.mu.Lock()
		w.err = &Error{Op: "watch", Pool: w.p.name, Object: w.name, Err: closedError(w.p.c.noticed(n.Err))}
		w.mu.Unlock()
		close(w.lost)
		w.cancel()
	case objecter.Notified:
		if !w.push(event{at: time.Now(), n: &Notification{ID: n.Msg.NotifyID, Notifier: n.Msg.Notifier, Payload: n.Msg.Content, w: w}}) {
			w.p.c.log.Warn("notification is dropped, its watch is slow", "pool", w.p.name, "object", w.name, "notify", n.Msg.NotifyID)
		}
	}
}

func (w *Watch) push(e event) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.n != nil && len(w.queue) >= maxQueued {
		return false
	}
	w.queue = append(w.queue, e)
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return true
}

// run calls the handler until the watch ends.
func (w *Watch) run() {
	defer close(w.ended)
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.stop:
			return
		case <-w.wake:
		}
		for w.ctx.Err() == nil {
			w.mu.Lock()
			if len(w.queue) == 0 || w.stopped {
				w.mu.Unlock()
				break
			}
			e := w.queue[0]
			w.mu.Unlock()
			if e.n != nil {
				w.handler(w.ctx, e.n)
			} else {
				close(e.flushed)
			}
			w.mu.Lock()
			w.queue = w.queue[1:]
			w.mu.Unlock()
		}
	}
}

// Cookie tells the watches of one client apart.
func (w *Watch) Cookie() uint64 { return w.linger.Cookie() }

// Lost is closed when the watch has ended by itself; Err says why.
func (w *Watch) Lost() <-chan struct{} { return w.lost }

// Err is why the watch was lost: ErrNotWatching if notifications may have been
// missed or the object was removed, ErrBlocklisted, ErrClosed. It is nil as long
// as the watch lives, as far as this client knows.
func (w *Watch) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Check tells how long ago it was certain that nothing was missed: the watch was
// known to be alive, and everything that came before that was handled. It is a
// few seconds while all is well. Once the watch is lost it returns Err.
func (w *Watch) Check() (time.Duration, error) {
	valid := w.p.c.objects.ValidUntil(w.linger)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	if len(w.queue) > 0 && w.queue[0].at.Before(valid) {
		valid = w.queue[0].at
	}
	return time.Since(valid), nil
}

// Flush waits until the notifications that have come are handled, or the watch
// has ended.
func (w *Watch) Flush(ctx context.Context) error {
	e := event{at: time.Now(), flushed: make(chan struct{})}
	w.push(e)
	select {
	case <-e.flushed:
	case <-w.ended:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// Close ends the watch once the handler has done with what it is about. If ctx
// ends first the handler's context ends, too. Closing a watch that is lost or
// closed does nothing.
func (w *Watch) Close(ctx context.Context) (err error) {
	w.closing.Do(func() {
		w.p.c.objects.End(w.linger)
		w.mu.Lock()
		w.stopped = true
		lost := w.err != nil
		w.mu.Unlock()
		close(w.stop)
		select {
		case <-w.ended:
		case <-ctx.Done():
		}
		w.cancel()
		if !lost {
			err = w.unwatch(ctx)
		}
	})
	return err
}

func (w *Watch) unwatch(ctx context.Context) error {
	return w.p.mutate(ctx, w.name, func(op *WriteOp) { op.unwatch(w.Cookie()) })
}

func (op *WriteOp) unwatch(cookie uint64) {
	op.add(msg.OpWatch, nil, func(o *msg.Op) {
		o.PutU64(0, cookie)
		o.SetWatch(msg.WatchUnwatch, 0, 0)
	})
}

// WatcherID names a watch in the cluster: the client's Cluster.InstanceID and
// the watch's cookie.
type WatcherID struct{ Client, Cookie uint64 }

// NotifyReply is a watcher's answer.
type NotifyReply struct {
	WatcherID
	Payload []byte
}

// NotifyResult tells what became of a notify.
type NotifyResult struct {
	Replies  []NotifyReply
	TimedOut []WatcherID // who did not answer in time
}

// defaultNotifyTimeout is that of stock clients (client_notify_timeout).
const defaultNotifyTimeout = 10 * time.Second

// Notify tells all who watch an object and waits for their answers, at most for
// the timeout, in whole seconds; 0 is ten of them. If some did not answer the
// error is ErrTimeout and the result still tells about the others. An object
// that nobody watches is no error.
func (p *Pool) Notify(ctx context.Context, name string, payload []byte, timeout time.Duration) (NotifyResult, error) {
	fail := func(r NotifyResult, err error) (NotifyResult, error) {
		return r, &Error{Op: "notify", Pool: p.name, Object: name, Err: closedError(p.c.noticed(err))}
	}
	if timeout <= 0 {
		timeout = defaultNotifyTimeout
	}
	done := make(chan objecter.Notice, 1)
	l := &objecter.Linger{
		Object: name, Locator: p.locator(), Flags: p.flags, IsNotify: true, Payload: payload, Timeout: seconds(timeout),
		Notice: func(n objecter.Notice) {
			if n.Kind == objecter.Completed || n.Err != nil {
				done <- n
			}
		},
	}
	p.c.objects.Begin(l)
	select {
	case n := <-done:
		if n.Err != nil {
			return fail(NotifyResult{}, n.Err)
		}
		r, err := decodeNotifyResult(n.Msg.Data.Bytes())
		if err == nil {
			err = errno.Error(n.Msg.Result)
		}
		if err != nil {
			return fail(r, err)
		}
		return r, nil
	case <-ctx.Done():
		p.c.objects.End(l)
		return fail(NotifyResult{}, context.Cause(ctx))
	}
}

// decodeNotifyResult reads what completes a notify; nothing at all is an empty
// result.
func decodeNotifyResult(b []byte) (r NotifyResult, err error) {
	if len(b) == 0 {
		return r, nil
	}
	d := wire.NewDecoder(b)
	id := func() WatcherID { return WatcherID{Client: d.U64(), Cookie: d.U64()} }
	r.Replies = wire.DecodeSlice(d, 20, func() NotifyReply { return NotifyReply{id(), d.Blob()} })
	r.TimedOut = wire.DecodeSlice(d, 16, id)
	if err := d.Finish(); err != nil {
		return NotifyResult{}, fmt.Errorf("%w: %w", errno.EBADMSG, err)
	}
	return r, nil
}
