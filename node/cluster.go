package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon"
	"github.com/pulpo-storage/pulpo/rados"
)

// Options say how a cluster in one process is run.
type Options struct {
	Dir     string
	Mons    int    // 0: one, or those the directory has
	OSDs    int    // 0: one, or those the directory has
	Listen  string // see ParseListen; empty: loopback, or as before
	Metrics string // loopback address of the Prometheus endpoint; empty: none
	OSDSize int64  // bytes, of each new OSD; 0: what the file system has free
	Memory  int64  // bytes that the process should stay below; 0: 64 MiB, and 192 MiB for each OSD
	// MemoryLimit, if set, is called with the memory target of the process, at the
	// start and when it changes.
	MemoryLimit func(bytes int64)
	Log         *slog.Logger
	// Program is pulpo; if set, each daemon runs in a process of its own, with
	// ProgramArgs besides what it needs.
	Program     string
	ProgramArgs []string
	// Opened is called once the directory is this process's.
	Opened func(*Dir) error
	// ReopenLog goes on with a new file for the log ("log reopen"); may be nil.
	ReopenLog func(*Dir) error
}

// Cluster is a cluster that runs in this process: the daemons of a directory, and
// nothing else.
type Cluster struct {
	dir     *Dir
	id      *Identity
	log     *slog.Logger
	site    *site
	metrics *MetricsServer
	memory  memory

	opts  Options
	admin *rados.Cluster // for commands, if the monitors are other processes

	one string // the only daemon that this process has; empty: all of the directory

	statesMu sync.Mutex // of the file

	mu      sync.Mutex
	running map[string]daemon

	failOnce sync.Once
	failed   chan struct{}
	err      error // valid after failed is closed

	doneOnce sync.Once
	done     chan struct{} // closed when the only daemon has ended
}

// Conf is the path of the cluster's ceph.conf.
func (c *Cluster) Conf() string { return c.dir.Join("ceph.conf") }

// FSID is the cluster's.
func (c *Cluster) FSID() string { return c.id.FSID }

// Failed is closed when a daemon cannot go on; Err says why.
func (c *Cluster) Failed() <-chan struct{} { return c.failed }

// Err is why a daemon failed; nil while none has.
func (c *Cluster) Err() error {
	select {
	case <-c.failed:
		return c.err
	default:
		return nil
	}
}

func (c *Cluster) fail(daemon string, err error) {
	c.failOnce.Do(func() {
		c.log.Error("daemon failed", "daemon", daemon, "err", err)
		c.err = err
		if !strings.HasPrefix(err.Error(), daemon) {
			c.err = fmt.Errorf("%s: %w", daemon, err)
		}
		close(c.failed)
	})
}

// daemonEnded follows a daemon that was told by the cluster to stop. Others in the
// process go on.
func (c *Cluster) daemonEnded(name string) {
	c.log.Warn("daemon has ended", "daemon", name)
	if c.one == name {
		c.doneOnce.Do(func() { close(c.done) })
		return
	}
	go func() {
		if err := c.StopDaemon(name); err != nil {
			c.log.Warn("end of a daemon", "daemon", name, "err", err)
		}
	}()
}

// Ended is closed when the only daemon of the process has ended, told by the
// cluster, and should not be started again.
func (c *Cluster) Ended() <-chan struct{} { return c.done }

var discard = slog.New(slog.DiscardHandler)

// localOptions are what differs from Ceph's defaults in a cluster of one
// process: pools of one copy are fine, since it may have but one disk, and
// whoever owns the directory may delete its pools.
var localOptions = map[string]string{
	"mon_allow_pool_delete":                          "true",
	"mon_allow_pool_size_one":                        "true",
	"mon_warn_on_pool_no_redundancy":                 "false",
	"mon_data_avail_warn":                            "5", // percent; the disk is shared with everything else
	"mon_data_avail_crit":                            "2",
	"osd_pool_default_size":                          "1",
	"osd_pool_default_pg_num":                        "32",
	"osd_pool_default_pg_autoscale_mode":             "off",
	"osd_crush_chooseleaf_type":                      "0",
	"mon_osd_reporter_subtree_level":                 "osd",
	"auth_allow_insecure_global_id_reclaim":          "false",
	"mon_warn_on_insecure_global_id_reclaim":         "false",
	"mon_warn_on_insecure_global_id_reclaim_allowed": "false",
}

// Start runs the cluster of a directory, making it first if the directory is
// new. The context bounds only the start.
func Start(ctx context.Context, o Options) (c *Cluster, err error) {
	if o.Log == nil {
		o.Log = discard
	}
	dir, err := OpenDir(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir.Path
	c = &Cluster{dir: dir, log: o.Log, opts: o, running: map[string]daemon{}, failed: make(chan struct{}), done: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if o.Opened != nil {
		if err := o.Opened(dir); err != nil {
			return c, err
		}
	}
	changed, err := c.identify(o)
	if err != nil {
		return c, err
	}
	if err := c.newSite(len(c.id.OSDs)); err != nil {
		return c, err
	}
	if err := c.evictOrphans(ctx); err != nil {
		return c, err
	}
	if err := c.startMons(ctx, changed); err != nil {
		return c, err
	}
	if err := c.startOSDs(ctx, o); err != nil {
		return c, err
	}
	if len(c.id.Mons) > 0 {
		if err := c.writeClientFiles(ctx); err != nil {
			return c, err
		}
		if err := c.firstPool(ctx); err != nil {
			return c, err
		}
	}
	return c, c.serveMetrics(o.Metrics)
}

// newSite prepares what this process's daemons share; osds of them run in it.
func (c *Cluster) newSite(osds int) (err error) {
	c.memory.limit = c.opts.MemoryLimit
	c.site = &site{dir: c.dir, id: c.id, log: c.log, memory: &c.memory, failed: c.fail, ended: c.daemonEnded}
	if c.opts.ReopenLog != nil {
		c.site.reopenLog = func() error { return c.opts.ReopenLog(c.dir) }
	}
	if c.site.fsid, err = entity.ParseUUID(c.id.FSID); err != nil {
		return err
	}
	c.site.share, err = c.opts.osdShare(osds)
	return err
}

// metricsFile is where a process tells the URL of its metrics: those of one
// daemon, or of all.
func metricsFile(daemon string) string {
	if daemon == "" {
		return "run/metrics.url"
	}
	return "run/metrics-" + daemon + ".url"
}

// MetricsURL is where a daemon of a directory serves its metrics, or with an empty
// name the process that runs them all; "" if it does not.
func MetricsURL(dir, daemon string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, metricsFile(daemon)))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

func (c *Cluster) serveMetrics(addr string) (err error) {
	// A process that was killed has left its own.
	if err := c.dropMetricsURL(); err != nil || addr == "" || c.inProcesses() {
		return err
	}
	if c.metrics, err = ServeMetrics(addr, (*clusterCollector)(c)); err != nil {
		return err
	}
	url := "http://" + c.metrics.Addr() + "/metrics"
	c.log.Info("metrics", "url", url)
	return os.WriteFile(c.dir.Join(metricsFile(c.one)), []byte(url+"\n"), 0o644)
}

// clusterCollector collects the metrics of the daemons that run at the time.
type clusterCollector Cluster

// Describe says nothing: daemons come and go.
func (c *clusterCollector) Describe(chan<- *prometheus.Desc) {}

func (c *clusterCollector) Collect(out chan<- prometheus.Metric) {
	for _, d := range (*Cluster)(c).daemons() {
		if r := d.registry(); r != nil {
			CollectMetrics(d.name(), r).Collect(out)
		}
	}
}

func (c *Cluster) dropMetricsURL() error {
	if err := os.Remove(c.dir.Join(metricsFile(c.one))); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// identify reads what the directory holds, or decides what it will; changed if
// that is not written yet.
func (c *Cluster) identify(o Options) (changed bool, err error) {
	id, err := c.dir.Identity()
	if err != nil {
		return false, err
	}
	if id == nil {
		changed = true
		id = &Identity{
			Format: dirFormat, FSID: newUUID().String(), Listen: "127.0.0.1", Public: "127.0.0.1", Options: localOptions,
		}
		o.Mons = max(o.Mons, 1)
	}
	c.id = id
	more, err := id.wantMons(o.Mons, c.dir.Path)
	if err != nil {
		return false, err
	}
	changed = changed || more
	if o.Listen != "" {
		if err := id.listenAt(o.Listen, c.dir.Path); err != nil {
			return false, err
		}
		changed = true
	}
	n := o.OSDs
	if n == 0 {
		n = len(id.OSDs)
		if len(id.Mons) > 0 {
			n = max(n, 1)
		}
	}
	if n < len(id.OSDs) {
		return false, fmt.Errorf("--osds %d: %s has %d OSDs; to remove one: pulpo remove osd.N", n, c.dir.Path, len(id.OSDs))
	}
	if n > len(id.OSDs) && len(id.Mons) == 0 {
		return false, fmt.Errorf("--osds %d: %s is a part of a cluster; to add an OSD: pulpo join", n, c.dir.Path)
	}
	for i := len(id.OSDs); i < n; i++ {
		e := OSDEntry{ID: int32(i), UUID: newUUID().String()}
		if id.Ready {
			e.ID = unnumbered // others may have come in other directories
		}
		id.OSDs = append(id.OSDs, e)
		changed = true
	}
	return changed, nil
}

// maxMons is how many monitors a cluster may have: more would make changes
// slower, and no safer.
const maxMons = 7

// wantMons plans monitors until there are n; 0: as many as there are. It reports
// whether there are more than before.
func (id *Identity) wantMons(n int, path string) (more bool, err error) {
	switch {
	case n == 0 || n == len(id.Mons):
		return false, nil
	case n > maxMons:
		return false, fmt.Errorf("--mons %d: a cluster has %d monitors at most", n, maxMons)
	case n < len(id.Mons):
		return false, fmt.Errorf("--mons %d: %s has %d monitors; to remove one: ceph mon rm NAME", n, path, len(id.Mons))
	case len(id.MonHost) > 0:
		return false, fmt.Errorf("--mons %d: %s is a part of a cluster; to add a monitor: pulpo join --mon", n, path)
	}
	for len(id.Mons) < n {
		// The names that are free: others may live in other directories.
		e := MonEntry{Name: string(rune('a' + len(id.Mons)))}
		if e.Mgr = e.Name; e.Name == "a" {
			e.Mgr = "x"
		}
		id.Mons = append(id.Mons, e)
	}
	return true, nil
}

// listenAt sets the address of the directory's daemons, as --listen gives it. A
// port is that of the first monitor.
func (id *Identity) listenAt(text, path string) error {
	ep, err := ParseListen(text)
	if err != nil {
		return fmt.Errorf("--listen %w", err)
	}
	if len(id.Mons) > 0 {
		first := &id.Mons[0]
		if ep.Port != 0 && first.Port != 0 && ep.Port != first.Port {
			return fmt.Errorf("--listen %s: the monitor of %s has port %d, which clients know it by", text, path, first.Port)
		}
		if ep.Port != 0 {
			first.Port = ep.Port
		}
	}
	id.Listen, id.Public = ep.Bind.String(), ep.Public.String()
	return nil
}

// newNonce tells this life of a daemon from earlier ones at the same address.
func newNonce() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3]|1)<<24
}

// startMons starts the directory's monitors, making them first if the cluster is
// new.
func (c *Cluster) startMons(ctx context.Context, changed bool) error {
	lns, err := monListeners(c.dir, c.id, changed)
	if err != nil {
		return err
	}
	if err = os.MkdirAll(c.dir.Join("run"), 0o755); err == nil && c.id.founding() {
		err = found(c.dir, c.id, c.site.fsid)
	} else if err == nil {
		err = addMons(c.dir, c.id)
	}
	var kept []MonEntry
	for _, e := range c.id.Mons {
		if err != nil {
			lns[e.Name].Close()
		} else if err = c.startMon(ctx, e, lns[e.Name]); err == nil {
			kept = append(kept, e)
		} else if wasRemoved(err) {
			err = nil
		}
	}
	if err == nil {
		err = c.forget(kept, c.id.OSDs)
	}
	if err != nil || !c.inProcesses() || len(c.id.Mons) == 0 {
		return err
	}
	c.admin, err = c.connect(ctx)
	return err
}

// wasRemoved reports whether a monitor cannot start because it was removed.
func wasRemoved(err error) bool {
	return errors.Is(err, mon.ErrRemoved) || errors.Is(err, errEnded)
}

// startMon starts a monitor. The listener is the monitor's from here on.
func (c *Cluster) startMon(ctx context.Context, e MonEntry, ln net.Listener) error {
	if c.inProcesses() {
		// It listens itself; that the port is free we know now.
		ln.Close()
		return c.startProcess(ctx, e.Daemon())
	}
	h, err := startMon(c.site, e, ln)
	if err == nil {
		c.add(h)
	}
	return err
}

// startOSDs starts all OSDs of the directory, making the new ones.
func (c *Cluster) startOSDs(ctx context.Context, o Options) error {
	if err := c.makeOSDs(ctx, o); err != nil {
		return err
	}
	there, err := c.members(ctx)
	if err != nil {
		return err
	}
	if there != nil {
		kept := slices.DeleteFunc(slices.Clone(c.id.OSDs), func(e OSDEntry) bool { return !there[e.UUID] })
		if err := c.forget(c.id.Mons, kept); err != nil {
			return err
		}
	}
	errs := make([]error, len(c.id.OSDs))
	var wg sync.WaitGroup
	for i, e := range c.id.OSDs {
		wg.Go(func() { errs[i] = c.startOSD(ctx, e) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// forget keeps only these daemons in the identity; the others were taken out of
// the cluster and can never come back. What is left of them stays.
func (c *Cluster) forget(mons []MonEntry, osds []OSDEntry) error {
	was := c.id.daemons()
	c.id.Mons, c.id.OSDs = mons, osds
	now := c.id.daemons()
	if len(now) == len(was) {
		return nil
	}
	for _, name := range was {
		if !slices.Contains(now, name) {
			c.log.Warn("a daemon is not of the cluster any more; its directory can be deleted", "daemon", name, "dir", c.dir.Join(name))
		}
	}
	return c.dir.SetIdentity(c.id)
}

// members are the uuids of the cluster's OSDs; nil if they are not all in the map
// yet, or no monitor is here to tell.
func (c *Cluster) members(ctx context.Context) (map[string]bool, error) {
	if !c.id.Ready || len(c.id.Mons) == 0 {
		return nil, nil
	}
	var m struct {
		OSDs []struct {
			UUID string `json:"uuid"`
		} `json:"osds"`
	}
	if err := c.ask(ctx, "osd dump", &m); err != nil {
		return nil, err
	}
	all := map[string]bool{}
	for _, o := range m.OSDs {
		all[o.UUID] = true
	}
	return all, nil
}

// unnumbered is the id of an OSD before the monitors have given it one.
const unnumbered = -1

// numberOSDs has the monitors give ids to the OSDs that have none.
func (c *Cluster) numberOSDs(ctx context.Context) error {
	for i := range c.id.OSDs {
		e := &c.id.OSDs[i]
		if e.ID != unnumbered {
			continue
		}
		var made struct {
			ID *int32 `json:"osdid"`
		}
		out, err := c.monCommand(ctx, "osd new", map[string]any{"uuid": e.UUID, "format": "json"})
		if err == nil {
			err = json.Unmarshal(out, &made)
		}
		if err == nil && made.ID == nil {
			err = fmt.Errorf("osd new: %q", out)
		}
		if err != nil {
			return err
		}
		e.ID = *made.ID
	}
	return nil
}

func (c *Cluster) startOSD(ctx context.Context, e OSDEntry) error {
	if c.inProcesses() {
		return c.startProcess(ctx, e.Daemon())
	}
	h, err := startOSD(ctx, c.site, e)
	if err == nil {
		c.add(h)
	}
	return err
}

// makeOSDs makes the stores and the accounts of new OSDs.
func (c *Cluster) makeOSDs(ctx context.Context, o Options) error {
	if err := c.numberOSDs(ctx); err != nil {
		return err
	}
	errs := make([]error, len(c.id.OSDs))
	fresh := false
	size := c.storeSize(o)
	var wg sync.WaitGroup
	for i := range c.id.OSDs {
		e := &c.id.OSDs[i]
		ring := c.dir.Join(e.Daemon(), "keyring")
		if _, err := os.Stat(ring); e.Made && err == nil {
			continue
		}
		fresh = true
		wg.Go(func() {
			if errs[i] = c.fetchKeyring(ctx, e.Daemon(), osdCaps, ring); errs[i] == nil && !e.Made {
				errs[i] = c.site.makeOSD(*e, size)
				e.Made = errs[i] == nil
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil || !fresh {
		return err
	}
	return c.dir.SetIdentity(c.id)
}

// storeSize is what each new OSD may take: an equal part of what is free.
func (c *Cluster) storeSize(o Options) uint64 {
	if o.OSDSize > 0 {
		return uint64(o.OSDSize)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(c.dir.Path, &fs); err != nil {
		return 0
	}
	free := fs.Bavail * uint64(fs.Bsize)
	return min(free/20*19/uint64(max(len(c.id.OSDs), 1)), 1<<40)
}

func (c *Cluster) add(d daemon) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[d.name()] = d
}

// take returns a daemon that runs and forgets it; nil if it does not run.
func (c *Cluster) take(name string) daemon {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.running[name]
	delete(c.running, name)
	return d
}

// daemons are those that run, by name.
func (c *Cluster) daemons() []daemon {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []daemon
	for _, name := range slices.Sorted(maps.Keys(c.running)) {
		all = append(all, c.running[name])
	}
	return all
}

// mon is a monitor that runs.
func (c *Cluster) mon() (*monHost, error) {
	for _, d := range c.daemons() {
		if m, ok := d.(*monDaemon); ok {
			return m.monHost, nil
		}
	}
	return nil, fmt.Errorf("%s: no monitor runs here", c.dir.Path)
}

// StopDaemon stops one daemon in order.
func (c *Cluster) StopDaemon(name string) error { return c.end(name, daemon.close) }

// KillDaemon ends one daemon as if its process had died: it tells nobody, and its
// peers find its port closed.
func (c *Cluster) KillDaemon(name string) error { return c.end(name, daemon.kill) }

func (c *Cluster) end(name string, how func(daemon) error) error {
	d := c.take(name)
	if d == nil {
		return fmt.Errorf("%s does not run here", name)
	}
	return how(d)
}

// StartDaemon starts a daemon that was stopped or killed.
func (c *Cluster) StartDaemon(ctx context.Context, name string) error {
	for _, e := range c.id.Mons {
		if e.Daemon() == name {
			ln, _, err := listen(c.site.bind(), e.Port)
			if err != nil {
				return err
			}
			return c.startMon(ctx, e, ln)
		}
	}
	for _, e := range c.id.OSDs {
		if e.Daemon() == name {
			return c.startOSD(ctx, e)
		}
	}
	return fmt.Errorf("%s: there is no %s", c.dir.Path, name)
}

// monCommand runs a command of the monitors with all rights.
func (c *Cluster) monCommand(ctx context.Context, prefix string, args map[string]any) ([]byte, error) {
	cmd := map[string]any{"prefix": prefix}
	maps.Copy(cmd, args)
	var out []byte
	var status string
	var err error
	if c.admin != nil {
		var r rados.Reply
		r, err = c.admin.Command(ctx, rados.ToMons(), cmd, nil)
		out, status = r.Data, r.Status
	} else {
		var b []byte
		if b, err = json.Marshal(cmd); err != nil {
			return nil, err
		}
		var m *monHost
		if m, err = c.mon(); err != nil {
			return nil, err
		}
		out, status, err = m.command(ctx, b, false)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", prefix, status, err)
	}
	return out, nil
}

// firstPool makes the pool that a new cluster begins with, once in its life.
func (c *Cluster) firstPool(ctx context.Context) error {
	if c.id.Ready {
		return nil
	}
	// With all OSDs up the groups begin where they will stay.
	if err := c.poll(ctx, c.allServe); err != nil {
		return err
	}
	if _, err := c.monCommand(ctx, "osd pool create", map[string]any{"pool": "rbd", "pg_num": 32}); err != nil {
		return err
	}
	if _, err := c.monCommand(ctx, "osd pool application enable", map[string]any{"pool": "rbd", "app": "rbd"}); err != nil {
		return err
	}
	c.id.Ready = true
	return c.dir.SetIdentity(c.id)
}

// WaitReady returns when clients are served: all daemons of the directory serve,
// and if the cluster has no others, all placement groups are active and clean.
func (c *Cluster) WaitReady(ctx context.Context) error {
	return c.poll(ctx, func(ctx context.Context) (bool, error) {
		if ok, err := c.allServe(ctx); err != nil || !ok {
			return false, err
		}
		if ok, err := c.inQuorum(ctx); err != nil || !ok {
			return false, err
		}
		if all, err := c.whole(ctx); err != nil || !all {
			return err == nil, err
		}
		return c.groupsClean(ctx)
	})
}

// inQuorum reports whether the directory's monitors that run are all in the
// quorum.
func (c *Cluster) inQuorum(ctx context.Context) (bool, error) {
	var q struct {
		Names []string `json:"quorum_names"`
	}
	for _, d := range c.daemons() {
		name, ok := strings.CutPrefix(d.name(), "mon.")
		if !ok {
			continue
		}
		if q.Names == nil {
			if err := c.ask(ctx, "quorum_status", &q); err != nil {
				return false, err
			}
		}
		if !slices.Contains(q.Names, name) {
			return false, nil
		}
	}
	return true, nil
}

// whole reports whether all of the cluster is in this directory.
func (c *Cluster) whole(ctx context.Context) (bool, error) {
	if len(c.id.MonHost) > 0 || len(c.id.Mons) == 0 {
		return false, nil
	}
	var osds struct {
		Num int `json:"num_osds"`
	}
	err := c.ask(ctx, "osd stat", &osds)
	return osds.Num <= len(c.id.OSDs), err
}

// poll asks until the answer is yes.
func (c *Cluster) poll(ctx context.Context, f func(context.Context) (bool, error)) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := f(ctx); err != nil || done {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.failed:
			return c.err
		}
	}
}

// allServe reports whether all daemons do what they are for.
func (c *Cluster) allServe(context.Context) (bool, error) {
	for _, d := range c.daemons() {
		if !d.serves() {
			return false, nil
		}
	}
	return true, nil
}

func (c *Cluster) groupsClean(ctx context.Context) (bool, error) {
	var pgs struct {
		Summary struct {
			Total  int `json:"num_pgs"`
			States []struct {
				Name string `json:"name"`
				Num  int    `json:"num"`
			} `json:"num_pg_by_state"`
		} `json:"pg_summary"`
	}
	err := c.ask(ctx, "pg stat", &pgs)
	clean := 0
	for _, s := range pgs.Summary.States {
		if s.Name == "active+clean" {
			clean = s.Num
		}
	}
	return clean == pgs.Summary.Total, err
}

func (c *Cluster) ask(ctx context.Context, prefix string, v any) error {
	out, err := c.monCommand(ctx, prefix, map[string]any{"format": "json"})
	if err != nil {
		return err
	}
	return json.Unmarshal(out, v)
}

// Close stops all daemons in order, OSDs before the monitor that they report to,
// and gives the directory up.
func (c *Cluster) Close() error {
	var errs []error
	if c.metrics != nil {
		errs = append(errs, c.dropMetricsURL(), c.metrics.Close())
	}
	all := c.daemons()
	stopped := make([]error, len(all))
	for _, kind := range []string{"osd.", "mon."} {
		var wg sync.WaitGroup
		for i, d := range all {
			if strings.HasPrefix(d.name(), kind) {
				wg.Go(func() { stopped[i] = d.close() })
				c.take(d.name())
			}
		}
		wg.Wait()
		if c.admin != nil {
			c.admin.Close()
		}
	}
	errs = append(append(errs, stopped...), c.dropStates())
	return errors.Join(append(errs, c.dir.Close())...)
}
