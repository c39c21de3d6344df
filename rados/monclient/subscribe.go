package monclient

import (
	"github.com/pulpo-storage/pulpo/msg"
)

// subscription is a wish to be told of a subject.
type subscription struct{ msg.Sub }

// Subscribe asks to be sent what there is of a subject ("osdmap", "mgrmap",
// "log-info") from version start on; 0 stands for the latest. With onetime only
// once. The last word on a subject counts. Whoever subscribes tells by Got what
// it has, so that a later session does not begin from the start.
func (c *Client) Subscribe(what string, start uint64, onetime bool) {
	c.mu.Lock()
	want := msg.Sub{Start: start, OneTime: onetime}
	if s := c.subs[what]; s != nil && s.Sub == want || c.err != nil {
		c.mu.Unlock()
		return
	}
	c.subs[what] = &subscription{want}
	conn := c.conn
	c.mu.Unlock()
	if conn != nil {
		_ = conn.SendBody(&msg.MonSubscribe{What: map[string]msg.Sub{what: want}, Host: c.host}, 0)
	}
}

// Got tells that a version of a subject has arrived: a subscription once is
// done with it, a continuous one goes on after it.
func (c *Client) Got(what string, version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got(what, version)
}

// got is Got with c.mu held.
func (c *Client) got(what string, version uint64) {
	s := c.subs[what]
	switch {
	case s == nil || version < s.Start:
	case s.OneTime:
		delete(c.subs, what)
	default:
		s.Start = version + 1
	}
}
