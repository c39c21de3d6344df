package pg

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/wire"
)

// Notifications. Each goes to all who watch the object at that time, also to
// those that are not connected just then, who get it when they are. It is over
// when each has acknowledged it or does not watch any more, or when its time is.
// Then the one who sent it is told who has answered what, and who has not.

// notify is a notification under way (Notify).
type notify struct {
	id       uint64
	cookie   uint64   // the sender's
	gid      uint64   // global id of the sender
	sender   *Session // nil: gone, and not told
	version  uint64   // the object's, for users
	content  []byte
	timeout  time.Duration
	deadline time.Time
	waits    map[WatchKey]bool // for these
	replies  []notifyReply
}

type notifyReply struct {
	WatchKey
	content []byte
}

// nextNotifyID makes an id that no other notification of the cluster has: an OSD
// that starts again does so in a later epoch.
func (p *PG) nextNotifyID() uint64 {
	e := p.env
	e.notifies++
	return uint64(p.osdmap.Epoch)<<32 | uint64(e.notifies*uint32(max(e.Shards, 1))+uint32(e.Shard))
}

// to is the notification on its way to a watch's client.
func (n *notify) to(w *watch) Send {
	return Send{To: w.session, Body: &msg.WatchNotify{What: msg.NotifyNotify, Cookie: w.Cookie, Version: n.version, NotifyID: n.id,
		Content: n.content, Notifier: n.gid}}
}

// startNotify sends a notification to all who watch.
func (p *PG) startNotify(now time.Time, o *objectContext, n *notify, after uint64) {
	n.deadline, n.version = now.Add(n.timeout), o.info.UserVersion
	n.waits = map[WatchKey]bool{}
	for _, w := range o.watches {
		if w.pings && now.After(w.deadline) {
			// It is about to be removed. No need to wait for it.
			w.session = nil
			continue
		}
		n.waits[w.WatchKey] = true
		if w.session != nil {
			p.sendAfter(after, n.to(w))
		}
	}
	o.notifies = append(o.notifies, n)
	p.wakeBy(n.deadline)
	p.settleNotifies(o, nil, after)
}

// notifyAck is what one who watches says to a notification.
type notifyAck struct {
	id      uint64
	cookie  uint64
	any     bool // no cookie was given: all of the client's watches
	content []byte
}

func (p *PG) ackNotify(o *objectContext, by *Session, a *notifyAck, after uint64) {
	i, ok := slices.BinarySearchFunc(o.notifies, a.id, func(n *notify, id uint64) int { return cmp.Compare(n.id, id) })
	if !ok {
		return // over
	}
	n := o.notifies[i]
	for _, w := range o.watches {
		if k := w.WatchKey; k.Who == by.Name && (a.any || k.Cookie == a.cookie) && n.waits[k] {
			delete(n.waits, k)
			n.replies = append(n.replies, notifyReply{k, a.content})
		}
	}
	p.settleNotifies(o, nil, after)
}

// settleNotifies changes an object's notifications and ends those that wait for
// nobody any more.
func (p *PG) settleNotifies(o *objectContext, change func(*notify), after uint64) {
	o.notifies = slices.DeleteFunc(o.notifies, func(n *notify) bool {
		if change != nil {
			change(n)
		}
		if len(n.waits) > 0 {
			return false
		}
		p.completeNotify(n, 0, after)
		return true
	})
}

// timeOutNotifies ends notifications whose time is over.
func (p *PG) timeOutNotifies(now time.Time, o *objectContext) {
	o.notifies = slices.DeleteFunc(o.notifies, func(n *notify) bool {
		if n.deadline.After(now) {
			return false
		}
		p.completeNotify(n, -int32(errno.ETIMEDOUT), o.pending)
		return true
	})
}

// completeNotify tells the sender what has come of it.
func (p *PG) completeNotify(n *notify, result int32, after uint64) {
	if n.sender == nil {
		return
	}
	slices.SortFunc(n.replies, func(a, b notifyReply) int {
		return cmp.Or(cmp.Compare(a.Who.Num, b.Who.Num), cmp.Compare(a.Cookie, b.Cookie))
	})
	var e wire.Encoder
	wire.EncodeSlice(&e, n.replies, func(r notifyReply) {
		e.U64(uint64(r.Who.Num))
		e.U64(r.Cookie)
		e.Blob(r.content)
	})
	missed := slices.SortedFunc(maps.Keys(n.waits), WatchKey.Compare)
	wire.EncodeSlice(&e, missed, func(k WatchKey) {
		e.U64(uint64(k.Who.Num))
		e.U64(k.Cookie)
	})
	done := &msg.WatchNotify{What: msg.NotifyComplete, Cookie: n.cookie, Version: n.version, NotifyID: n.id, Result: result,
		Notifier: n.gid}
	done.Data = buffer.ListOf(e.Bytes())
	p.sendAfter(after, Send{To: n.sender, Body: done})
}

// forgetNotifier is what the end of its sender's connection means for a
// notification. It goes on only for those who have not been reached yet.
func (o *objectContext) forgetNotifier(s *Session) {
	o.notifies = slices.DeleteFunc(o.notifies, func(n *notify) bool {
		if n.sender == s {
			n.sender = nil
		}
		if n.sender != nil {
			return false
		}
		for _, w := range o.watches {
			if n.waits[w.WatchKey] && w.session == nil {
				return false
			}
		}
		return true
	})
}
