package rados

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mgrmap"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/msgr"
	"github.com/pulpo-storage/pulpo/rados/monclient"
)

// daemons sends commands to single daemons: each on a connection of its own,
// from a messenger of its own, so that they do not disturb the sessions that
// objects and maps come over.
type daemons struct {
	c   *Cluster
	net *msgr.Messenger

	mu      sync.Mutex
	calls   map[*msgr.Conn]*tell
	mgr     *mgrmap.Map
	changed chan struct{} // closed when there is a newer mgrmap
}

// tell is a command that waits for its reply.
type tell struct {
	out  monclient.Output
	err  error
	done chan struct{}
	over bool
}

func newDaemons(c *Cluster) (*daemons, error) {
	d := &daemons{c: c, calls: map[*msgr.Conn]*tell{}, changed: make(chan struct{})}
	var err error
	d.net, err = msgr.New(msgr.Config{
		Name:    entity.Name{Type: entity.Client, Num: -1},
		Policy:  func(entity.Type) msgr.Policy { return msgr.Policy{Lossy: true} },
		Modes:   c.cfg.modes,
		Auth:    besides{connector{c.mons}},
		Handler: d,
		Log:     c.log,
	})
	return d, err
}

// besides authenticates connections to monitors besides the session with one.
type besides struct{ connector }

func (a besides) Connect(ctx context.Context, peer entity.Type) (msgr.ClientAuth, error) {
	return a.m.ConnectTo(ctx, peer)
}

func (d *daemons) close() { d.net.Close() }

// command sends a command to the daemon at addrs and waits for the reply.
func (d *daemons) command(ctx context.Context, peer entity.Type, addrs entity.AddrVec, body msg.Body) (*monclient.Output, error) {
	conn, err := d.net.Dial(ctx, peer, addrs)
	if err != nil {
		return nil, err
	}
	defer func() {
		conn.Close()
		d.mu.Lock()
		delete(d.calls, conn)
		d.mu.Unlock()
	}()
	t := &tell{done: make(chan struct{})}
	d.mu.Lock()
	d.calls[conn] = t
	d.mu.Unlock()
	if err := conn.SendBody(body, 1); err != nil {
		return nil, err
	}
	select {
	case <-t.done:
		return &t.out, t.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (d *daemons) end(conn *msgr.Conn, f func(*tell)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.calls[conn]; t != nil && !t.over {
		t.over = true
		f(t)
		close(t.done)
	}
}

// Opened, Receive, Closed and RemoteReset are the messenger's calls.
func (d *daemons) Opened(*msgr.Conn) {}

func (d *daemons) Receive(conn *msgr.Conn, m *msgr.Message) {
	defer m.Release()
	body, err := msg.Decode(m.Type, m.Version, m.Compat, m.Front, m.Data)
	if err != nil {
		d.c.log.Debug("message of a daemon is not understood", "peer", conn.PeerName(), "type", m.Type, "err", err)
		return
	}
	var r *msg.CommandReply
	switch b := body.(type) {
	case *msg.CommandReply:
		r = b
	case *msg.MgrCommandReply:
		r = &b.CommandReply
	default: // maps, which come over the session with a monitor too
		return
	}
	d.end(conn, func(t *tell) {
		t.out = monclient.Output{Result: r.Result, Status: r.Status, Data: slices.Clone(r.Data.Bytes())}
	})
}

func (d *daemons) Closed(conn *msgr.Conn, err error) {
	d.end(conn, func(t *tell) { t.err = fmt.Errorf("connection lost: %w", errno.ENOTCONN) })
}

func (d *daemons) RemoteReset(conn *msgr.Conn) { conn.Close() }

func (d *daemons) takeMgrMap(b []byte) {
	m, err := mgrmap.Decode(bytes.Clone(b))
	if err != nil {
		d.c.log.Warn("mgrmap is not understood", "err", err)
		return
	}
	d.mu.Lock()
	if d.mgr == nil || m.Epoch > d.mgr.Epoch {
		d.mgr = m
		close(d.changed)
		d.changed = make(chan struct{})
	}
	d.mu.Unlock()
	d.c.mons.Got("mgrmap", uint64(m.Epoch))
}

// activeMgr waits for an active manager, other than one that did not answer.
func (d *daemons) activeMgr(ctx context.Context, not uint64) (*mgrmap.Map, error) {
	for {
		d.mu.Lock()
		m, changed := d.mgr, d.changed
		d.mu.Unlock()
		if m != nil && m.Available && m.ActiveGID != 0 && m.ActiveGID != not {
			return m, nil
		}
		start := uint64(0)
		if m != nil {
			start = uint64(m.Epoch) + 1
		}
		d.c.mons.Subscribe("mgrmap", start, false)
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for an active mgr: %w", context.Cause(ctx))
		case <-d.c.mons.Done():
			return nil, d.c.mons.Err()
		}
	}
}
