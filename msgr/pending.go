package msgr

import (
	"container/list"
	"net"
	"sync"
)

// pending are the accepted connections in their handshake, oldest first.
type pending struct {
	mu    sync.Mutex
	conns list.List // of net.Conn
}

// add enters nc; if that makes more than limit, the oldest is closed. An honest
// handshake takes milliseconds, so the oldest is the one least missed.
func (p *pending) add(nc net.Conn, limit int) *list.Element {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns.Len() >= limit {
		p.conns.Remove(p.conns.Front()).(net.Conn).Close()
	}
	return p.conns.PushBack(nc)
}

// remove takes out what add returned, if it is still in.
func (p *pending) remove(e *list.Element) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns.Remove(e)
}

func (p *pending) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns.Len()
}

func (p *pending) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for e := p.conns.Front(); e != nil; e = e.Next() {
		e.Value.(net.Conn).Close()
	}
}
