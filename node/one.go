package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/pulpo-storage/pulpo/mon"
)

// OneOptions say how a single daemon is run.
type OneOptions struct {
	Options
	Name string // "osd.0"
	// Lifeline, if set, ends when whoever started this process does.
	Lifeline io.Reader
	Notify   *Notifier // nil: nobody
}

// StartOne runs one daemon of a directory in this process, which neither holds
// the directory nor changes what is in it. The context bounds only the start,
// which for an OSD waits for monitors. A monitor that knows that it was removed is
// not run: it has [Cluster.Ended].
func StartOne(ctx context.Context, o OneOptions) (c *Cluster, err error) {
	if o.Log == nil {
		o.Log = discard
	}
	if o.Notify == nil {
		o.Notify = &Notifier{}
	}
	id, err := ReadIdentity(o.Dir)
	if err != nil {
		return nil, err
	}
	if id == nil {
		return nil, fmt.Errorf("%s: %w", o.Dir, ErrNoCluster)
	}
	c = &Cluster{dir: &Dir{Path: o.Dir}, id: id, log: o.Log, opts: o.Options, running: map[string]daemon{}, failed: make(chan struct{}), done: make(chan struct{}), one: o.Name}
	c.opts.Program = ""
	defer func() {
		if err != nil {
			o.Notify.Notify("STATUS=" + err.Error())
			err = errors.Join(err, c.Close())
		}
	}()
	osd, known := false, false
	for _, e := range id.Mons {
		known = known || e.Daemon() == o.Name
		if e.Daemon() == o.Name && !e.Made {
			return c, fmt.Errorf("%s: was not made", o.Name)
		}
	}
	for _, e := range id.OSDs {
		osd = osd || e.Daemon() == o.Name
		if e.Daemon() == o.Name && !e.Made {
			return c, fmt.Errorf("%s: was not made", o.Name)
		}
	}
	if !osd && !known {
		return c, fmt.Errorf("%s: no %s lives here", o.Dir, o.Name)
	}
	osds := 0
	if osd {
		osds = 1
	}
	if err := c.newSite(osds); err != nil {
		return c, err
	}
	c.site.supervised = o.Lifeline != nil
	c.site.status = func(_, text string) { o.Notify.Notify("STATUS=" + text) }
	c.site.running = func() { o.Notify.Notify("READY=1") }
	err = c.StartDaemon(ctx, o.Name)
	if errors.Is(err, mon.ErrRemoved) {
		c.log.Warn("not started", "daemon", o.Name, "why", err)
		c.daemonEnded(o.Name)
		return c, nil
	} else if err != nil {
		return c, err
	}
	return c, c.serveMetrics(o.Metrics)
}

// FollowLifeline calls stop when whoever holds the other end of the pipe is gone,
// and ends this process if that is not enough.
func FollowLifeline(r io.Reader, stop func()) {
	go func() {
		io.Copy(io.Discard, r)
		stop()
		time.Sleep(lifelinePatience)
		os.Exit(1)
	}()
}
