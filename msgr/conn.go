package msgr

import (
	"time"

	"github.com/pulpo-storage/pulpo/entity"
)

// Conn is a session with a peer.
type Conn struct{}

// Send queues m.
func (c *Conn) Send(m *Message) error { return ErrClosed }

// SendBody sends b as a message.
func (c *Conn) SendBody(b Body, tid uint64) error { return c.Send(Compose(b, tid)) }

func (c *Conn) Queued() (messages int, bytes int64) { return 0, 0 }
func (c *Conn) PeerName() entity.Name               { return entity.Name{} }
func (c *Conn) PeerAddrs() entity.AddrVec           { return nil }
func (c *Conn) PeerAddr() entity.Addr               { return entity.Addr{} }
func (c *Conn) Features() uint64                    { return 0 }
func (c *Conn) Identity() any                       { return nil }
func (c *Conn) GlobalID() uint64                    { return 0 }
func (c *Conn) Mode() Mode                          { return 0 }
func (c *Conn) Incoming() bool                      { return false }
func (c *Conn) Value() any                          { return nil }
func (c *Conn) SetValue(any)                        {}
func (c *Conn) LastKeepaliveAck() time.Time         { return time.Time{} }
func (c *Conn) SendKeepalive()                      {}
func (c *Conn) Close()                              {}
