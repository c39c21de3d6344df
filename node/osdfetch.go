package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/msgr"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd"
	"github.com/pulpo-storage/pulpo/osd/pg"
)

// fetches are the requests of this OSD's groups to other groups, whose primary
// may be this OSD too. A group asks again when the map changes; what can fail
// besides is the connection, and then the request is sent again.
type fetches struct {
	h *osdHost

	mu      sync.Mutex
	lastTID uint64
	waiting map[uint64]*fetching
	peers   map[int32]*fetchPeer
}

type fetching struct {
	shard *osdShard
	pg    object.SPG
	id    uint64
	op    *msg.OSDOp
}

// fetchPeer is another OSD.
type fetchPeer struct {
	conn    *msgr.Conn
	dialing bool
	asked   map[uint64]bool // tids
}

// redialAfter is how long an OSD that cannot be reached is left alone.
const redialAfter = 200 * time.Millisecond

func (f *fetches) begin(s *osdShard, r pg.Fetch) {
	if r.Target < 0 || r.Op == nil {
		return // nobody serves it by this map; with the next one the group asks again
	}
	f.mu.Lock()
	f.lastTID++
	tid := f.lastTID
	f.waiting[tid] = &fetching{s, r.PG, r.ID, r.Op}
	f.mu.Unlock()
	if r.Target == f.h.id {
		f.h.shardOf(r.Op.PG.PG).in.post(&pg.Request{
			Session: &pg.Session{Name: entity.Name{Type: entity.OSD, Num: int64(f.h.id)}, Features: msgr.SupportedFeatures, Conn: f},
			TID:     tid, Op: r.Op, Received: time.Now(),
		})
		return
	}
	f.ask(r.Target, tid)
}

// ask sends a request to another OSD, connecting first if need be.
func (f *fetches) ask(target int32, tid uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.peers[target]
	if p == nil {
		p = &fetchPeer{asked: map[uint64]bool{}}
		f.peers[target] = p
	}
	p.asked[tid] = true
	switch {
	case p.conn != nil:
		if w := f.waiting[tid]; w != nil {
			p.conn.SendBody(w.op, tid)
		}
	case !p.dialing:
		p.dialing = true
		f.h.wg.Go(func() { f.dial(target, p) })
	}
}

func (f *fetches) dial(target int32, p *fetchPeer) {
	for {
		ctx, cancel := context.WithTimeout(f.h.ctx, 10*time.Second)
		conn, err := f.h.dialOSD(ctx, target)
		cancel()
		if err == nil {
			conn.SetValue(target)
			f.mu.Lock()
			p.conn, p.dialing = conn, false
			for tid := range p.asked {
				if w := f.waiting[tid]; w != nil {
					conn.SendBody(w.op, tid)
				}
			}
			f.mu.Unlock()
			return
		}
		f.h.log.Debug("cannot reach an OSD to copy from", "osd", target, "err", err)
		select {
		case <-f.h.stop:
			return
		case <-time.After(redialAfter):
		}
	}
}

// closed notices that a connection to another OSD is gone.
func (f *fetches) closed(c *msgr.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	target, _ := c.Value().(int32)
	p := f.peers[target]
	if p == nil || p.conn != c {
		return
	}
	p.conn = nil
	for tid := range p.asked {
		if f.waiting[tid] == nil {
			delete(p.asked, tid)
		}
	}
	if len(p.asked) == 0 {
		delete(f.peers, target)
		return
	}
	p.dialing = true
	f.h.wg.Go(func() { f.dial(target, p) })
}

// SendBody takes the answer of a group of this OSD.
func (f *fetches) SendBody(b msgr.Body, tid uint64) error {
	if r, ok := b.(*msg.OSDOpReply); ok {
		f.answer(tid, r)
	}
	return nil
}

// answer hands a reply to the group that asked. It keeps the reply's buffers.
func (f *fetches) answer(tid uint64, r *msg.OSDOpReply) {
	f.mu.Lock()
	w := f.waiting[tid]
	delete(f.waiting, tid)
	for _, p := range f.peers {
		delete(p.asked, tid)
	}
	f.mu.Unlock()
	if w == nil {
		r.Payload().Release()
		return
	}
	w.shard.in.post(osd.ForPG{PG: w.pg, Event: pg.Fetched{ID: w.id, Reply: r}})
}

// dialOSD connects to another OSD at the address that the map shows.
func (h *osdHost) dialOSD(ctx context.Context, target int32) (*msgr.Conn, error) {
	maps := h.osd.Published()
	if maps == nil || !maps.Map.IsUp(target) {
		return nil, fmt.Errorf("osd.%d is not up: %w", target, errno.ENOTCONN)
	}
	addrs := maps.Map.ClientAddrs[target]
	conn, err := h.msgr.Dial(ctx, entity.OSD, addrs)
	h.refused(target, addrs, err)
	return conn, err
}
