package rados

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Addr is the address by which the cluster knows this client, with its nonce:
// 127.0.0.1:0/3141592653. Another client shuts this one out by it.
func (c *Cluster) Addr() string { return c.addr().Legacy() }

func (c *Cluster) addr() entity.Addr {
	if v := c.net.Addrs(); len(v) > 0 {
		return v[0]
	}
	return entity.Addr{}
}

// BlocklistEntry is a client that may not do I/O for a while.
type BlocklistEntry struct {
	Addr  string // 127.0.0.1:0/3141592653; with port and nonce 0, all of the host
	Until time.Time
}

// BlocklistAdd shuts the client of an address out for a time; 0 is the cluster's
// default, an hour. On return this client's map has the entry, so that whatever
// it sends from now on comes after it: an OSD that sees one of its operations
// first learns of the map.
func (c *Cluster) BlocklistAdd(ctx context.Context, addr string, d time.Duration) error {
	cmd := map[string]any{"prefix": "osd blocklist", "blocklistop": "add", "addr": addr}
	if d > 0 {
		cmd["expire"] = json.RawMessage(strconv.FormatFloat(d.Seconds(), 'f', 1, 64)) // a float, whatever its value
	}
	return c.blocklist(ctx, cmd)
}

// BlocklistRemove lets the client of an address in again.
func (c *Cluster) BlocklistRemove(ctx context.Context, addr string) error {
	return c.blocklist(ctx, map[string]any{"prefix": "osd blocklist", "blocklistop": "rm", "addr": addr})
}

func (c *Cluster) blocklist(ctx context.Context, cmd map[string]any) error {
	if _, err := c.Command(ctx, ToMons(), cmd, nil); err != nil {
		return err
	}
	return c.WaitLatestMap(ctx)
}

// Blocklist lists who is shut out, by the newest map.
func (c *Cluster) Blocklist(ctx context.Context) ([]BlocklistEntry, error) {
	m, err := c.objects.WaitLatestMap(ctx)
	if err != nil {
		return nil, fmt.Errorf("rados: blocklist: %w", closedError(err))
	}
	var out []BlocklistEntry
	for a, until := range m.Blocklist {
		out = append(out, BlocklistEntry{a.Legacy(), until})
	}
	slices.SortFunc(out, func(a, b BlocklistEntry) int { return cmp.Compare(a.Addr, b.Addr) })
	return out, nil
}

// Blocklisted reports whether this client is shut out, by the newest map that it
// has. Its operations fail with ErrBlocklisted then, those with the OSDs that
// know of it already; a cluster connected anew has another address.
func (c *Cluster) Blocklisted() bool { return c.osdMap().Blocklisted(c.addr(), time.Now()) }

// Fenced is closed once this client has been shut out, as far as it noticed: a
// map said so, or an OSD refused an operation. What it believed to own may be
// somebody else's since then, so it stays closed even if the client is let in
// again. A client that does nothing and watches nothing may notice late.
func (c *Cluster) Fenced() <-chan struct{} { return c.fenced }

func (c *Cluster) setFenced() {
	c.fence.Do(func() {
		c.log.Warn("this client is blocklisted", "addr", c.Addr())
		close(c.fenced)
	})
}

func (c *Cluster) newMap(m *osdmap.Map) {
	if m.Blocklisted(c.addr(), time.Now()) {
		c.setFenced()
	}
}

// noticed looks whether an error says that this client is blocklisted.
func (c *Cluster) noticed(err error) error {
	if errors.Is(err, ErrBlocklisted) {
		c.setFenced()
	}
	return err
}
