package rbd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd/notify"
	"github.com/pulpo-storage/pulpo/wire"
)

// notifyTimeout is how long the others have to answer (librbd's
// Notifier::NOTIFY_TIMEOUT).
const notifyTimeout = 5 * time.Second

// watch begins to watch the header and to tend the watch until life ends.
func (img *Image) watch(ctx context.Context) error {
	w, err := img.watchOnce(ctx)
	if err != nil {
		return err
	}
	img.tasks.Go(func() { img.tend(w) })
	return nil
}

func (img *Image) watchOnce(ctx context.Context) (*rados.Watch, error) {
	// What is said before it is known here who we are waits until it is.
	known, watches := make(chan struct{}), false
	defer close(known)
	w, err := img.pool.Watch(ctx, clsrbd.Header(img.id), func(ctx context.Context, n *rados.Notification) {
		if <-known; watches {
			img.hear(ctx, n)
		}
	})
	if err != nil {
		return nil, err
	}
	img.mu.Lock()
	img.watching = w
	img.mu.Unlock()
	watches = true
	return w, nil
}

// client is how others know this handle of the image.
func (img *Image) client() notify.ClientID {
	img.mu.Lock()
	defer img.mu.Unlock()
	return notify.ClientID{Instance: img.pool.Cluster().InstanceID(), Handle: img.watching.Cookie()}
}

// tend reads the header when it has changed, and watches again when the watch is
// lost.
func (img *Image) tend(w *rados.Watch) {
	for {
		select {
		case <-img.life.Done():
			return
		case <-img.kick:
			if _, err := img.current(img.life); err != nil && img.life.Err() == nil {
				img.log.Warn("header cannot be read", "err", err)
			}
			continue
		case <-w.Lost():
		}
		img.log.Warn("watch is lost", "err", w.Err())
		if errors.Is(w.Err(), errno.EBLOCKLISTED) {
			return // nothing works any more
		}
		if w = img.watchAgain(); w == nil {
			return
		}
	}
}

func (img *Image) watchAgain() *rados.Watch {
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		w, err := img.watchOnce(img.life)
		if err == nil {
			// Something may have been said meanwhile.
			img.stale()
			img.owner.tell()
			img.remote.restart()
			if err := img.owner.rename(img.life, w.Cookie()); err != nil {
				img.log.Warn("lock of the image is lost with the watch", "err", err)
			}
			return w
		}
		if errors.Is(err, errno.EBLOCKLISTED) || isMissing(err) {
			img.log.Error("image cannot be watched any more", "err", err)
			return nil
		}
		img.log.Warn("image cannot be watched", "err", err)
		select {
		case <-time.After(delay):
		case <-img.life.Done():
			return nil
		}
	}
}

// stale notes that the header has changed; it is read in the background, and by
// the next operation if that comes first.
func (img *Image) stale() {
	img.told.Add(1)
	select {
	case img.kick <- struct{}{}:
	default:
	}
}

// hear is told what clients of the image say, this one included.
func (img *Image) hear(ctx context.Context, n *rados.Notification) {
	var m notify.Message
	var reply []byte
	if err := wire.Unmarshal(n.Payload, &m); err != nil {
		img.log.Warn("notification is not understood", "err", err)
	} else {
		img.log.Debug("notified", "op", m.Op.String(), "from", n.Notifier)
		reply = img.answer(&m)
	}
	if err := n.Ack(ctx, reply); err != nil && ctx.Err() == nil {
		img.log.Warn("notification cannot be answered", "err", err)
	}
}

// answer does what a message asks for, or begins it, and returns what to say.
func (img *Image) answer(m *notify.Message) []byte {
	switch m.Op {
	case notify.HeaderUpdate:
		img.stale()
	case notify.AcquiredLock:
		img.remote.owner(m.Client, true)
		if m.Client == img.client() {
			return nil
		}
		img.owner.tell()
		if img.owner.owned() {
			img.tasks.Go(func() { img.owner.verify(img.life) })
		}
	case notify.ReleasedLock:
		img.remote.owner(m.Client, false)
		img.owner.tell()
	case notify.RequestLock:
		if m.Client == img.client() || !img.owner.owned() {
			return nil
		}
		if img.owner.keeps() {
			return notify.Respond(errno.EROFS)
		}
		img.tasks.Go(func() {
			if err := img.owner.release(img.life); err != nil && img.life.Err() == nil {
				img.log.Error("image cannot be released", "err", err)
			}
		})
		return notify.Respond(nil)
	case notify.AsyncProgress:
		img.remote.progress(m.Request, m.Offset, m.Total)
	case notify.AsyncComplete:
		img.remote.complete(m.Request, errno.Error(m.Result))
	case notify.Quiesce:
		return notify.Respond(nil) // the owner writes back before it makes the snapshot
	case notify.Unquiesce:
	default:
		if img.owner.owned() {
			return img.serve(m)
		}
	}
	return nil
}

// announce tells all who have the image open, without waiting for them.
func (img *Image) announce(op notify.Op) {
	m := notify.Message{Op: op, Client: img.client()}
	img.tasks.Go(func() {
		if err := img.say(context.WithoutCancel(img.life), &m); err != nil {
			img.log.Debug("not all were told", "op", op.String(), "err", err)
		}
	})
}

// say tells all who have the image open, and waits until they have heard it.
func (img *Image) say(ctx context.Context, m *notify.Message) error {
	_, err := img.pool.Notify(ctx, clsrbd.Header(img.id), wire.Marshal(m), notifyTimeout)
	return err
}

// updated tells everybody that the header has changed, and reads it.
func (img *Image) updated(ctx context.Context) error {
	img.told.Add(1)
	if err := img.say(ctx, &notify.Message{Op: notify.HeaderUpdate}); err != nil && !errors.Is(err, errno.ETIMEDOUT) {
		return err
	}
	return img.refresh(ctx)
}

// tellAll is say, with the answers of those who have something to answer.
func (img *Image) tellAll(ctx context.Context, m *notify.Message) ([]notify.Response, error) {
	r, err := img.pool.Notify(ctx, clsrbd.Header(img.id), wire.Marshal(m), notifyTimeout)
	var out []notify.Response
	for _, a := range r.Replies {
		var resp notify.Response
		if len(a.Payload) == 0 {
			continue
		}
		if e := wire.Unmarshal(a.Payload, &resp); e != nil {
			return nil, fmt.Errorf("answer of client %d: %w: %w", a.Client, e, errno.EBADMSG)
		}
		out = append(out, resp)
	}
	return out, err
}

// askOwner tells everybody and returns what the image's owner answers. ETIMEDOUT:
// nobody says that it is the owner.
func (img *Image) askOwner(ctx context.Context, m *notify.Message) error {
	replies, err := img.tellAll(ctx, m)
	switch {
	case len(replies) > 0: // others need not have answered
		return errno.Error(replies[0].Result)
	case err != nil:
		return err
	}
	return errno.ETIMEDOUT
}
