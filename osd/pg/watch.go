package pg

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/wire"
)

// Watches. A client that watches an object hears of each notification that
// somebody sends there. There are two halves to a watch:
//
//	WatchInfo  in the object's info: that the client watches. It changes with the
//	           transactions of requests, so it outlives connections and restarts.
//	watch      in memory, while the group is active: by which connection the
//	           client can be reached now, and when to give it up.
//
// A client shows that it is there by pinging the watch. If it has not for the
// watch's timeout, or is not connected and does not come back, the group removes
// the watch by a transaction of its own, and the client's next ping says so to
// it. A client of before pings does not ping; its time runs while it is not
// connected.
//
// What a request means for the second half happens after its transaction has
// been taken by the store (see effects). In a new interval all of it begins
// anew: clients see in their maps that they must connect again, and have the
// whole timeout to do so.
//
// Invariant, while the group is active and nothing is outstanding: each
// WatchInfo of an object has its watch, in the same order, and PG.watched has
// the objects with any.

// WatchKey names a watch of an object.
type WatchKey struct {
	Cookie uint64 // the client's own
	Who    entity.Name
}

// Compare orders as stock OSDs list them.
func (k WatchKey) Compare(l WatchKey) int {
	return cmp.Or(cmp.Compare(k.Cookie, l.Cookie), cmp.Compare(k.Who.Type, l.Who.Type), cmp.Compare(k.Who.Num, l.Who.Num))
}

// WatchInfo is a watch as the object's info has it (watch_info_t).
type WatchInfo struct {
	WatchKey
	Timeout uint32 // seconds
	Addr    entity.Addr
}

func (w *WatchInfo) encode(e *wire.Encoder) {
	e.U64(w.Cookie)
	w.Who.Encode(e)
	e.U32(w.Timeout)
	w.Addr.Encode(e)
}

func (w *WatchInfo) decode(d *wire.Decoder) {
	w.Cookie = d.U64()
	w.Who.Decode(d)
	w.Timeout = d.U32()
	w.Addr.Decode(d)
}

// minWatchInfo is the least that one takes.
const minWatchInfo = 8 + 9 + 4 + 1

func findWatch(list []WatchInfo, k WatchKey) (int, bool) {
	return slices.BinarySearchFunc(list, k, func(w WatchInfo, k WatchKey) int { return w.WatchKey.Compare(k) })
}

// watch is a client that watches an object (Watch).
type watch struct {
	WatchInfo
	session *Session // nil: not connected
	pings   bool     // it has connected, and pings since
	// deadline is when it is given up; zero: not by time.
	deadline time.Time
	leaving  bool // the transaction that removes it is on its way
}

func (w *watch) timeout() time.Duration { return time.Duration(w.Timeout) * time.Second }

// watch returns a watch of the object; nil if there is none.
func (o *objectContext) watch(k WatchKey) *watch {
	if i, ok := o.findWatch(k); ok {
		return o.watches[i]
	}
	return nil
}

func (o *objectContext) findWatch(k WatchKey) (int, bool) {
	return slices.BinarySearchFunc(o.watches, k, func(w *watch, k WatchKey) int { return w.WatchKey.Compare(k) })
}

// wakeBy makes the group want a Tick no later than that.
func (p *PG) wakeBy(at time.Time) {
	if !at.IsZero() && (p.alarm.IsZero() || at.Before(p.alarm)) {
		p.alarm = at
	}
}

// giveUpAfter lets a watch's time begin.
func (p *PG) giveUpAfter(now time.Time, w *watch) {
	w.deadline = now.Add(w.timeout())
	p.wakeBy(w.deadline)
}

// addWatch makes the second half of a watch. Objects that are watched stay in
// memory, apart from those that were used lately.
func (p *PG) addWatch(o *objectContext, info WatchInfo) *watch {
	w := &watch{WatchInfo: info}
	i, _ := o.findWatch(w.WatchKey)
	o.watches = slices.Insert(o.watches, i, w)
	if len(o.watches) == 1 {
		if p.watched == nil {
			p.watched = map[object.ID]*objectContext{}
		}
		p.watched[o.id] = o
		p.objects.order.Remove(o.lru)
		o.lru = nil
	}
	return w
}

// connect lets a watch's client be reached by a connection. What it has not
// heard of yet is sent.
func (p *PG) connect(now time.Time, o *objectContext, w *watch, s *Session, pings bool, after uint64) {
	if w.session == s {
		return
	}
	w.session, w.pings, w.deadline = s, pings, time.Time{}
	if pings {
		p.giveUpAfter(now, w)
	}
	for _, n := range o.notifies {
		if n.waits[w.WatchKey] {
			p.sendAfter(after, n.to(w))
		}
	}
}

// disconnect notes that a watch's client cannot be reached.
func (p *PG) disconnect(now time.Time, w *watch) {
	w.session = nil
	if !w.pings {
		p.giveUpAfter(now, w)
	}
}

// removeWatch ends a watch whose WatchInfo is gone. tell: its client does not know.
func (p *PG) removeWatch(o *objectContext, k WatchKey, tell bool, after uint64) {
	i, ok := o.findWatch(k)
	if !ok {
		return
	}
	w := o.watches[i]
	o.watches = slices.Delete(o.watches, i, i+1)
	if tell && w.session != nil {
		p.sendAfter(after, Send{To: w.session, Body: &msg.WatchNotify{What: msg.NotifyDisconnect, Cookie: w.Cookie}})
	}
	p.settleNotifies(o, func(n *notify) { delete(n.waits, k) }, after)
	if len(o.watches) == 0 {
		delete(p.watched, o.id)
		o.lru = p.objects.order.PushFront(o)
	}
}

// watchedInOrder are the objects with watches.
func (p *PG) watchedInOrder() []*objectContext {
	return slices.SortedFunc(maps.Values(p.watched), func(a, b *objectContext) int { return a.id.Compare(b.id) })
}

// disconnectSession is what the end of a connection means for watches.
func (p *PG) disconnectSession(now time.Time, s *Session) {
	for _, o := range p.watchedInOrder() {
		for _, w := range o.watches {
			if w.session == s {
				p.disconnect(now, w)
			}
		}
		o.forgetNotifier(s)
	}
}

// watchTick does what is due: it ends notifications whose time is over, and
// removes watches. Of those it takes the ones of one object; the rest come with
// the next Tick, since each transaction may be refused.
func (p *PG) watchTick(now time.Time) {
	if p.alarm.IsZero() || now.Before(p.alarm) {
		return
	}
	p.alarm = time.Time{}
	var due []*objectContext
	for _, o := range p.watched {
		if at := o.nextDeadline(); at.IsZero() || at.After(now) {
			p.wakeBy(at)
		} else {
			due = append(due, o)
		}
	}
	slices.SortFunc(due, func(a, b *objectContext) int { return a.id.Compare(b.id) })
	expired := false
	for _, o := range due {
		p.timeOutNotifies(now, o)
		if !expired {
			expired = p.expireWatches(now, o)
		}
		p.wakeBy(o.nextDeadline())
	}
}

// nextDeadline is the first of the object's watches' and notifications'.
func (o *objectContext) nextDeadline() (first time.Time) {
	earlier := func(at time.Time) {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	for _, w := range o.watches {
		if !w.leaving {
			earlier(w.deadline)
		}
	}
	for _, n := range o.notifies {
		earlier(n.deadline)
	}
	return first
}

// expireWatches removes the watches of an object whose time is over
// (handle_watch_timeout). It reports whether there were any.
func (p *PG) expireWatches(now time.Time, o *objectContext) bool {
	if p.degraded(o.id) {
		// Not until all members have the object.
		for _, w := range o.watches {
			if !w.leaving && !w.deadline.IsZero() && !w.deadline.After(now) {
				w.deadline = now.Add(watchRetry)
			}
		}
		return false
	}
	var gone effects
	info := o.info
	info.Watchers = slices.Clone(info.Watchers)
	for _, w := range o.watches {
		if w.leaving || w.deadline.IsZero() || w.deadline.After(now) {
			continue
		}
		w.leaving = true
		i, ok := findWatch(info.Watchers, w.WatchKey)
		if !ok {
			panic(fmt.Sprintf("BUG: pg %v: watch %v of %v is not in its info", p.id, w.WatchKey, o.id))
		}
		info.Watchers = slices.Delete(info.Watchers, i, i+1)
		gone.drops = append(gone.drops, watchDrop{w.WatchKey, true})
		p.note(NoteInfo, fmt.Sprintf("%v no longer watches %v", w.Who, o.id), nil)
	}
	if len(gone.drops) == 0 {
		return false
	}
	at := p.next()
	u := undo{info: p.info, object: remember(o), logged: 1}
	t := &Entry{Kind: EntryModify, Object: o.id, Version: at, Prior: o.info.Version, UserVersion: o.info.UserVersion}
	info.Prior, info.Version = o.info.Version, at
	txn := new(objstore.Txn)
	txn.SetAttr(p.coll, o.id, attrInfo, wire.Marshal(&info))
	p.indexWatched(txn, o.id, len(o.info.Watchers) > 0, len(info.Watchers) > 0)
	var e wire.Encoder
	p.logEntry(txn, t, &e, 0)
	o.info = info
	f := p.submit(txn, nil, nil, at, u)
	o.pending = f.token
	p.outstanding = outstanding{object: o, effects: gone, after: f.token}
	return true
}

// watchRetry is how soon to try again to remove a watch when the store had no
// room for it.
const watchRetry = 5 * time.Second

// keepWatches takes back that watches are being removed.
func (p *PG) keepWatches(now time.Time, o *objectContext) {
	for _, w := range o.watches {
		if w.leaving {
			w.leaving, w.deadline = false, now.Add(watchRetry)
			p.wakeBy(w.deadline)
		}
	}
}

// The objects that are watched are listed in the omap of the group's own object,
// so that the watches of clients that never come back end without a look at
// every object.

// watchPrefix begins the keys of that list; the object's id follows.
const watchPrefix = "w"

func watchedKey(id object.ID) string { return watchPrefix + string(wire.Marshal(id)) }

// indexWatched notes in a transaction that an object has come to be watched, or
// no longer is.
func (p *PG) indexWatched(txn *objstore.Txn, id object.ID, was, is bool) {
	switch {
	case is && !was:
		txn.OmapSet(p.coll, p.meta, []objstore.KV{{Key: watchedKey(id)}})
	case was && !is:
		txn.OmapRm(p.coll, p.meta, []string{watchedKey(id)})
	}
}

// watchedObjects reads the list.
func (p *PG) watchedObjects() (ids []object.ID, err error) {
	var bad error
	err = p.env.Store.OmapScan(p.coll, p.meta, watchPrefix, func(key string, _ []byte) bool {
		raw, ok := strings.CutPrefix(key, watchPrefix)
		if !ok {
			return false
		}
		var id object.ID
		if bad = wire.Unmarshal([]byte(raw), &id); bad != nil {
			return false
		}
		ids = append(ids, id)
		return true
	})
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, nil // the group is new
	}
	return ids, errors.Join(err, bad)
}

// loadWatches begins the second halves of all watches: nobody is connected.
func (p *PG) loadWatches(now time.Time) {
	ids, err := p.watchedObjects()
	if errors.Is(err, objstore.ErrDamaged) {
		p.note(NoteCluster, "list of watched objects", err) // who watches, watches anew
	} else if err != nil {
		p.fail(fmt.Errorf("pg %v: list of watched objects: %w", p.id, err))
		return
	}
	for _, id := range ids {
		if p.pool.RawToActual(object.PG{Pool: id.Pool, Seed: id.Hash}) != p.id.PG {
			continue // on its way to a group that this one has been split into
		}
		p.loadWatch(now, id)
	}
	p.dropBlocklisted(now)
}

// loadWatch begins those of one object. One that is missing has its time when it
// is there.
func (p *PG) loadWatch(now time.Time, id object.ID) {
	if p.absent(id) {
		return
	}
	o, err := p.object(id)
	if err != nil {
		p.note(NoteCluster, "reading a watched object", err)
		return
	}
	for _, info := range o.info.Watchers {
		if o.watch(info.WatchKey) == nil {
			p.disconnect(now, p.addWatch(o, info))
		}
	}
}

// dropWatches forgets the second halves, with all notifications: their senders
// see in their maps that they must send them again.
func (p *PG) dropWatches() {
	for _, o := range p.watchedInOrder() {
		o.watches, o.notifies = nil, nil
		o.lru = p.objects.order.PushFront(o)
	}
	p.watched, p.alarm = nil, time.Time{}
}

// dropBlocklisted gives up at once the clients that the map bars.
func (p *PG) dropBlocklisted(now time.Time) {
	if len(p.osdmap.Blocklist)+len(p.osdmap.RangeBlocklist) == 0 {
		return
	}
	for _, o := range p.watched {
		for _, w := range o.watches {
			if p.osdmap.Blocklisted(w.Addr, now) {
				w.deadline = now
				p.wakeBy(now)
			}
		}
	}
}

// Watcher is a watch with its object, for those who ask.
type Watcher struct {
	Object object.ID
	WatchInfo
}

// Watchers are the watches of the group's objects, in order.
func (p *PG) Watchers() (list []Watcher) {
	for _, o := range p.watched {
		for _, w := range o.watches {
			list = append(list, Watcher{o.id, w.WatchInfo})
		}
	}
	slices.SortFunc(list, func(a, b Watcher) int { return cmp.Or(a.Object.Compare(b.Object), a.WatchKey.Compare(b.WatchKey)) })
	return list
}

// checkWatches panics if the invariant above does not hold.
func (p *PG) checkWatches() {
	if p.outstanding.object != nil {
		return
	}
	for id, o := range p.objects.byID {
		if got := len(o.watches); p.role == roleActive && got != len(o.info.Watchers) || got > 0 && p.role != roleActive {
			panic(fmt.Sprintf("BUG: pg %v: %v has %d watches, %d in its info", p.id, id, got, len(o.info.Watchers)))
		}
		for i, w := range o.watches {
			if w.WatchKey != o.info.Watchers[i].WatchKey {
				panic(fmt.Sprintf("BUG: pg %v: %v is watched by %v, in its info by %v", p.id, id, w.WatchKey, o.info.Watchers[i].WatchKey))
			}
			if !w.deadline.IsZero() && !w.leaving && (p.alarm.IsZero() || w.deadline.Before(p.alarm)) {
				panic(fmt.Sprintf("BUG: pg %v: watch %v of %v ends at %v, the next look is at %v", p.id, w.WatchKey, id, w.deadline, p.alarm))
			}
		}
		if (p.watched[id] != nil) != (len(o.watches) > 0) || (o.lru == nil) != (len(o.watches) > 0) {
			panic(fmt.Sprintf("BUG: pg %v: %v has %d watches and is in the wrong list", p.id, id, len(o.watches)))
		}
		for i, n := range o.notifies {
			if len(n.waits) == 0 || i > 0 && o.notifies[i-1].id >= n.id {
				panic(fmt.Sprintf("BUG: pg %v: notification %d of %v waits for nobody or is out of order", p.id, n.id, id))
			}
			for k := range n.waits {
				if o.watch(k) == nil {
					panic(fmt.Sprintf("BUG: pg %v: notification %d of %v waits for %v, who does not watch", p.id, n.id, id, k))
				}
			}
		}
	}
	for id := range p.watched {
		if p.objects.byID[id] == nil {
			panic(fmt.Sprintf("BUG: pg %v: %v is watched and not in memory", p.id, id))
		}
	}
}
