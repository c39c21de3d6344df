package monclient

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/msgr"
)

// call is a request that waits for its reply.
type call struct {
	tid   uint64
	body  msg.Body
	once  sync.Once
	reply chan struct{}
	take  func(msg.Body) // reads the reply while its buffers are there
	err   error
}

func (k *call) end(b msg.Body, err error) {
	k.once.Do(func() {
		if err == nil {
			k.take(b)
		}
		k.err = err
		close(k.reply)
	})
}

// callsInOrder are the calls that wait, oldest first. Called with c.mu held.
func (c *Client) callsInOrder() []*call {
	return slices.SortedFunc(maps.Values(c.calls), func(a, b *call) int { return cmp.Compare(a.tid, b.tid) })
}

// Call sends a request and waits for the reply with its tid; it is sent again
// on a new session. take reads the reply and must copy what it keeps.
func (c *Client) Call(ctx context.Context, request func(tid uint64) msg.Body, take func(msg.Body)) error {
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return c.err
	}
	c.lastTID++
	k := &call{tid: c.lastTID, reply: make(chan struct{}), take: take}
	k.body = request(k.tid)
	c.calls[k.tid] = k
	conn := c.conn
	c.mu.Unlock()
	if conn != nil {
		_ = conn.SendBody(envelope{k.body, k.tid}.retained(), k.tid)
	}
	select {
	case <-k.reply:
		return k.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	delete(c.calls, k.tid)
	c.mu.Unlock()
	k.end(nil, context.Cause(ctx))
	return k.err
}

// answer gives a reply to the call that waits for it.
func (c *Client) answer(m *msgr.Message, body msg.Body) bool {
	tid := m.TID
	switch b := body.(type) {
	case *msg.MonCommandAck, *msg.StatfsReply, *msg.GetPoolStatsReply, *msg.PoolOpReply, *msg.CommandReply:
	case *msg.MonGetVersionReply:
		tid = b.Handle
	default:
		return false
	}
	c.mu.Lock()
	k := c.calls[tid]
	delete(c.calls, tid)
	c.mu.Unlock()
	if k != nil {
		k.end(body, nil)
	}
	return true
}

// Send sends a body that has no reply, or whose reply goes to OnMessage. It
// fails if there is no session now; OnSession tells when there is one again.
func (c *Client) Send(b msg.Body) error {
	c.mu.Lock()
	conn, err := c.conn, c.err
	c.mu.Unlock()
	switch {
	case err != nil:
		return err
	case conn == nil:
		return fmt.Errorf("monclient: no session: %w", errno.ENOTCONN)
	}
	return conn.SendBody(b, 0)
}

// Output is what a command brought.
type Output struct {
	Result int32
	Status string // for people
	Data   []byte
}

// Err is the error of a failed command.
func (o *Output) Err() error { return errno.Error(o.Result) }

// Command runs a command of the monitors, one JSON object, with an optional
// input. The error tells only that there is no answer.
func (c *Client) Command(ctx context.Context, cmd string, in []byte) (*Output, error) {
	var out Output
	fsid := c.FSID()
	err := c.Call(ctx, func(uint64) msg.Body {
		b := &msg.MonCommand{Paxos: msg.NoPaxos, FSID: fsid, Cmd: []string{cmd}}
		b.Data = buffer.ListOf(in)
		return b
	}, func(b msg.Body) {
		a, ok := b.(*msg.MonCommandAck)
		if !ok {
			out = Output{Result: -int32(errno.EBADMSG)}
			return
		}
		out = Output{Result: a.Result, Status: a.Status, Data: slices.Clone(a.Data.Bytes())}
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// Version asks for the newest and oldest version of a map that the monitors
// have: osdmap, monmap, fsmap or mdsmap.
func (c *Client) Version(ctx context.Context, what string) (newest, oldest uint64, err error) {
	err = c.Call(ctx, func(tid uint64) msg.Body {
		return &msg.MonGetVersion{Handle: tid, What: what}
	}, func(b msg.Body) {
		if r, ok := b.(*msg.MonGetVersionReply); ok {
			newest, oldest = r.Version, r.Oldest
		}
	})
	return newest, oldest, err
}
