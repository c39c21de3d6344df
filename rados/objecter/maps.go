package objecter

import (
	"bytes"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// TakeMaps folds in the maps of a message, from the monitors or an OSD. The
// message is only borrowed.
func (o *Objecter) TakeMaps(m *msg.OSDMap) {
	o.mapMu.Lock()
	defer o.mapMu.Unlock()
	cur := o.current.Load()
	if cur != nil && m.FSID != cur.FSID {
		o.log.Error("osdmap of another cluster", "fsid", m.FSID, "want", cur.FSID)
		return
	}
	news, gap, again := Follow(cur, m, func(epoch uint32, err error) {
		o.log.Warn("osdmap is not understood", "epoch", epoch, "err", err)
	})
	if len(news) > 0 {
		last := news[len(news)-1]
		o.log.Debug("osdmap", "epoch", last.Epoch)
		views := make([]Map, len(news))
		for i, n := range news {
			views[i] = mapView{n}
		}
		// The subscription is done with before the core makes a new one.
		o.cfg.Monitors.Got("osdmap", uint64(last.Epoch))
		o.current.Store(last)
		o.step(NewMaps{Maps: views, Gap: gap})
		if o.cfg.OnMap != nil {
			o.cfg.OnMap(last)
		}
		o.mu.Lock()
		for ch, epoch := range o.waiters {
			if epoch <= last.Epoch {
				close(ch)
				delete(o.waiters, ch)
			}
		}
		more := len(o.waiters) > 0
		o.mu.Unlock()
		if more {
			o.cfg.Monitors.Subscribe("osdmap", uint64(last.Epoch)+1, true)
		}
	}
	if again {
		o.cfg.Monitors.Subscribe("osdmap", 0, true)
	}
}

// Follow makes of cur the maps that come after it, as far as the message goes.
// gap: epochs are missing before the first of them. again: the newest full map
// is needed, since there is no way from cur on.
func Follow(cur *osdmap.Map, m *msg.OSDMap, bad func(epoch uint32, err error)) (news []*osdmap.Map, gap, again bool) {
	newest := uint32(0)
	for e := range m.Incrementals {
		newest = max(newest, e)
	}
	firstFull := uint32(0)
	for e := range m.Full {
		newest = max(newest, e)
		if (cur == nil || e > cur.Epoch) && (firstFull == 0 || e < firstFull) {
			firstFull = e
		}
	}
	for cur == nil || cur.Epoch < newest {
		var next *osdmap.Map
		var err error
		epoch := firstFull
		if cur != nil {
			epoch = cur.Epoch + 1
		}
		switch inc, full := m.Incrementals[epoch], m.Full[epoch]; {
		case cur != nil && inc != nil:
			var i *osdmap.Incremental
			if i, err = osdmap.DecodeIncremental(bytes.Clone(inc)); err == nil {
				next, err = cur.Apply(i)
			}
		case full != nil:
			next, err = osdmap.Decode(bytes.Clone(full))
		case firstFull > epoch:
			epoch = firstFull
			next, err = osdmap.Decode(bytes.Clone(m.Full[epoch]))
			gap = gap || len(news) == 0
			if len(news) > 0 {
				// What came before the gap is of no use any more.
				news, gap = nil, true
			}
		default:
			return news, gap, true
		}
		if err != nil {
			bad(epoch, err)
			return news, gap, true
		}
		news = append(news, next)
		cur = next
	}
	return news, gap, false
}
