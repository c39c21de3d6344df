package rados

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/msgr"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/rados/monclient"
	"github.com/pulpo-storage/pulpo/rados/objecter"
)

// Cluster is a connection to a cluster: a session with a monitor, and sessions
// with OSDs as they are needed. It is for concurrent use.
type Cluster struct {
	cfg     Config
	log     *slog.Logger
	mons    *monclient.Client
	objects *objecter.Objecter
	daemons *daemons
	net     *msgr.Messenger
	watches sync.WaitGroup // their handlers

	fence  sync.Once
	fenced chan struct{} // closed when this client is known to be blocklisted

	close sync.Once
}

// Connect connects to a cluster. It returns when the client is logged in and
// has the cluster's maps; ctx bounds only this.
func Connect(ctx context.Context, cfg Config) (*Cluster, error) {
	if cfg.Name == "" {
		cfg.Name = "client.admin"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	name, err := entity.ParseAuthName(cfg.Name)
	if err != nil {
		return nil, fmt.Errorf("rados: %w", err)
	}
	var key cephx.Key
	if cfg.Key != "" {
		if key, err = cephx.ParseKey(cfg.Key); err != nil {
			return nil, fmt.Errorf("rados: %s: %w", cfg.Name, err)
		}
	}
	mons, err := parseMonHost(ctx, cfg.MonHost)
	if err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg, log: cfg.Log, fenced: make(chan struct{})}
	c.mons, err = monclient.New(monclient.Config{Name: name, Key: key, Mons: mons, OnMessage: c.monMessage, Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	c.net, err = msgr.New(msgr.Config{
		Name:    entity.Name{Type: name.Type, Num: -1},
		Policy:  func(entity.Type) msgr.Policy { return msgr.Policy{Lossy: true} },
		Modes:   c.cfg.modes,
		Auth:    connector{c.mons},
		Handler: router{c},
		Log:     cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	c.objects = objecter.New(objecter.Config{Monitors: c.mons, Dialer: c.net, MaxOps: cfg.MaxOps, MaxBytes: cfg.MaxBytes, OnMap: c.newMap, Log: cfg.Log})
	if c.daemons, err = newDaemons(c); err != nil {
		return nil, err
	}
	if err := c.mons.Start(ctx, c.net); err != nil {
		c.Close()
		return nil, fmt.Errorf("rados: %w", err)
	}
	if _, err := c.objects.WaitMap(ctx, 1); err != nil {
		c.Close()
		return nil, fmt.Errorf("rados: %w", err)
	}
	return c, nil
}

// Close ends all sessions. What is under way fails with ErrClosed. It waits for
// the handlers of watches.
func (c *Cluster) Close() error {
	c.close.Do(func() {
		c.objects.Close()
		c.daemons.close()
		c.mons.Close()
		c.net.Close()
		c.watches.Wait()
	})
	return nil
}

// FSID is the cluster's uuid.
func (c *Cluster) FSID() string { return c.mons.FSID().String() }

// InstanceID is the client's number in the cluster (global id).
func (c *Cluster) InstanceID() uint64 { return c.mons.GlobalID() }

// Epoch is that of the newest OSD map the client has seen.
func (c *Cluster) Epoch() uint32 { return c.osdMap().Epoch }

func (c *Cluster) osdMap() *osdmap.Map { return c.objects.Map() }

// WaitLatestMap waits until the client has the newest OSD map there is.
func (c *Cluster) WaitLatestMap(ctx context.Context) error {
	_, err := c.objects.WaitLatestMap(ctx)
	return closedError(err)
}

// monMessage takes what the monitors push.
func (c *Cluster) monMessage(_ *msgr.Conn, _ *msgr.Message, body msg.Body) {
	switch b := body.(type) {
	case *msg.OSDMap:
		c.objects.TakeMaps(b)
	case *msg.MgrMap:
		c.daemons.takeMgrMap(b.Map)
	}
}

// closedError turns the end of a part into that of the whole.
func closedError(err error) error {
	if errors.Is(err, monclient.ErrClosed) || errors.Is(err, objecter.ErrClosed) {
		return ErrClosed
	}
	return err
}

// router gives what happens on a connection to whom it concerns.
type router struct{ c *Cluster }

func (r router) to(conn *msgr.Conn) msgr.Handler {
	if conn.PeerName().Type == entity.Mon {
		return r.c.mons
	}
	return r.c.objects // we dial nothing else
}

func (r router) Opened(conn *msgr.Conn)                   { r.to(conn).Opened(conn) }
func (r router) Receive(conn *msgr.Conn, m *msgr.Message) { r.to(conn).Receive(conn, m) }
func (r router) Closed(conn *msgr.Conn, err error)        { r.to(conn).Closed(conn, err) }
func (r router) RemoteReset(conn *msgr.Conn)              { r.to(conn).RemoteReset(conn) }

// connector authenticates connections that we make; nobody connects to a client.
type connector struct{ m *monclient.Client }

func (a connector) Connect(ctx context.Context, peer entity.Type) (msgr.ClientAuth, error) {
	return a.m.Connect(ctx, peer)
}

func (a connector) Accept(entity.Type, entity.Addr) msgr.ServerAuth { return nil }
