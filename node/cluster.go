package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon"
	"github.com/pulpo-storage/pulpo/mon/service"
)

// Options say how a cluster in one process is run.
type Options struct {
	Dir     string
	OSDs    int    // 0: one, or those the directory has
	Listen  string // see ParseListen; empty: loopback, or as before
	Metrics string // loopback address of the Prometheus endpoint; empty: none
	OSDSize int64  // bytes, of each new OSD; 0: what the file system has free
	Memory  int64  // bytes that the process should stay below; 0: 64 MiB, and 192 MiB for each OSD
	// MemoryLimit, if set, is called with the memory target of the process, at the
	// start and when it changes.
	MemoryLimit func(bytes int64)
	Log         *slog.Logger
	// Opened is called once the directory is this process's.
	Opened func(*Dir) error
}

// Cluster is a cluster that runs in this process.
type Cluster struct {
	dir       *Dir
	id        *Identity
	idChanged bool // not yet written
	log       *slog.Logger
	mon       *monHost
	osds      []*osdHost
	admin     []*AdminSocket
	metrics   *MetricsServer
	memory    memory

	failOnce sync.Once
	failed   chan struct{}
	err      error // valid after failed is closed
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

func (c *Cluster) fail(err error) {
	c.failOnce.Do(func() {
		c.log.Error("daemon failed", "err", err)
		c.err = err
		close(c.failed)
	})
}

// localOptions are what differs from Ceph's defaults in a cluster of one
// process: pools of one copy are fine, since it may have but one disk, and
// whoever owns the directory may delete its pools.
var localOptions = map[string]string{
	"mon_allow_pool_delete":                          "true",
	"mon_allow_pool_size_one":                        "true",
	"mon_warn_on_pool_no_redundancy":                 "false",
	"osd_pool_default_size":                          "1",
	"osd_pool_default_min_size":                      "1",
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
		o.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := OpenDir(o.Dir)
	if err != nil {
		return nil, err
	}
	c = &Cluster{dir: dir, log: o.Log, failed: make(chan struct{})}
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
	if err := c.identify(o); err != nil {
		return c, err
	}
	c.memory.limit = o.MemoryLimit
	c.memory.add(monMemory)
	if err := c.startMon(ctx); err != nil {
		return c, err
	}
	if err := c.startOSDs(ctx, o); err != nil {
		return c, err
	}
	if err := c.writeClientFiles(ctx); err != nil {
		return c, err
	}
	if err := c.firstPool(ctx); err != nil {
		return c, err
	}
	return c, c.serveMetrics(o.Metrics)
}

// metricsFile is where a cluster that runs tells the URL of its metrics.
const metricsFile = "run/metrics.url"

// MetricsURL is where the cluster of a directory serves its metrics; "" if it
// does not.
func MetricsURL(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, metricsFile))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

func (c *Cluster) serveMetrics(addr string) (err error) {
	// A process that was killed has left its own.
	if err := c.dropMetricsURL(); err != nil || addr == "" {
		return err
	}
	all := []prometheus.Collector{CollectMetrics("mon."+c.id.Mon.Name, c.mon.metrics)}
	for _, h := range c.osds {
		all = append(all, CollectMetrics(fmt.Sprintf("osd.%d", h.id), &h.metrics))
	}
	if c.metrics, err = ServeMetrics(addr, all...); err != nil {
		return err
	}
	url := "http://" + c.metrics.Addr() + "/metrics"
	c.log.Info("metrics", "url", url)
	return os.WriteFile(c.dir.Join(metricsFile), []byte(url+"\n"), 0o644)
}

func (c *Cluster) dropMetricsURL() error {
	if err := os.Remove(c.dir.Join(metricsFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// identify reads what the directory holds, or decides what it will.
func (c *Cluster) identify(o Options) error {
	id, err := c.dir.Identity()
	if err != nil {
		return err
	}
	c.idChanged = id == nil
	if id == nil {
		id = &Identity{
			Format: dirFormat, FSID: newUUID().String(), Listen: "127.0.0.1", Public: "127.0.0.1",
			Mon: MonEntry{Name: "a"}, Mgr: "x",
		}
	}
	c.id = id
	if o.Listen != "" {
		ep, err := ParseListen(o.Listen)
		if err != nil {
			return err
		}
		if ep.Port == 0 {
			ep.Port = id.Mon.Port
		}
		if id.Mon.Port != 0 && ep.Port != id.Mon.Port {
			return fmt.Errorf("--listen %s: the monitor of %s has port %d, which clients know it by", o.Listen, c.dir.Path, id.Mon.Port)
		}
		id.Listen, id.Public, id.Mon.Port = ep.Bind.String(), ep.Public.String(), ep.Port
		c.idChanged = true
	}
	n := o.OSDs
	if n == 0 {
		n = max(len(id.OSDs), 1)
	}
	if n < len(id.OSDs) {
		return fmt.Errorf("--osds %d: %s has %d OSDs, and none of them may be left out", n, c.dir.Path, len(id.OSDs))
	}
	if len(id.OSDs) > 0 && n > len(id.OSDs) {
		return fmt.Errorf("--osds %d: %s has %d OSDs; more of them would take over placement groups whose data cannot be moved yet", n, c.dir.Path, len(id.OSDs))
	}
	for i := len(id.OSDs); i < n; i++ {
		id.OSDs = append(id.OSDs, OSDEntry{ID: int32(i), UUID: newUUID().String()})
		c.idChanged = true
	}
	return nil
}

func (c *Cluster) bind() netip.Addr   { return netip.MustParseAddr(c.id.Listen) }
func (c *Cluster) public() netip.Addr { return netip.MustParseAddr(c.id.Public) }

func (c *Cluster) addrs(port uint16, nonce uint32) entity.AddrVec {
	return entity.AddrVec{{Type: entity.AddrMsgr2, Nonce: nonce, AP: netip.AddrPortFrom(c.public(), port)}}
}

// newNonce tells this life of a daemon from earlier ones at the same address.
func newNonce() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3]|1)<<24
}

func (c *Cluster) startMon(ctx context.Context) error {
	monLn, port, err := listen(c.bind(), c.id.Mon.Port)
	if err != nil {
		return err
	}
	if c.idChanged || c.id.Mon.Port != port {
		// Only now is it sure that the address can be had.
		c.id.Mon.Port = port
		if err := c.dir.SetIdentity(c.id); err != nil {
			monLn.Close()
			return err
		}
		c.idChanged = false
	}
	if err := os.MkdirAll(c.dir.Join("run"), 0o755); err != nil {
		monLn.Close()
		return err
	}
	mgrLn, mgrPort, err := listen(c.bind(), 0)
	if err != nil {
		monLn.Close()
		return err
	}
	fsid, err := entity.ParseUUID(c.id.FSID)
	if err != nil {
		monLn.Close()
		mgrLn.Close()
		return err
	}
	first, err := bootstrap(fsid, mon.Member{Name: c.id.Mon.Name, Addrs: c.addrs(port, 0)}, time.Now())
	if err != nil {
		monLn.Close()
		mgrLn.Close()
		return err
	}
	name := "mon." + c.id.Mon.Name
	c.mon, err = startMonHost(monConfig{
		Name: c.id.Mon.Name, FSID: fsid, Home: c.dir.Join(name), Found: first,
		Listener: monLn, Addrs: c.addrs(port, 0), MgrListener: mgrLn, MgrAddrs: c.addrs(mgrPort, newNonce()), Mgr: c.id.Mgr,
		AdminSocket: c.dir.Join("run", "ceph-"+name+".asok"), Options: localOptions, Log: c.log.With("daemon", name), Failed: c.fail,
	})
	return err
}

// bootstrap makes what a new cluster's first monitor begins with.
func bootstrap(fsid entity.UUID, first mon.Member, now time.Time) ([]mon.Op, error) {
	key, err := cephx.NewKey(now, rand.Reader)
	if err != nil {
		return nil, err
	}
	all := map[string]string{"mon": "allow *", "osd": "allow *", "mds": "allow *", "mgr": "allow *"}
	return mon.Bootstrap(mon.Genesis{
		Genesis:  service.Genesis{FSID: fsid, Created: now, Rand: rand.Reader},
		Mons:     []mon.Member{first},
		Accounts: cephx.Keyring{{Type: entity.Client, ID: "admin"}: {Key: key, Caps: all}},
	})
}

// monCommand runs a command in the monitor with all rights.
func (c *Cluster) monCommand(ctx context.Context, prefix string, args map[string]any) ([]byte, error) {
	cmd := map[string]any{"prefix": prefix}
	for k, v := range args {
		cmd[k] = v
	}
	b, err := json.Marshal(cmd)
	if err != nil {
		return nil, err
	}
	out, status, err := c.mon.command(ctx, b, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", prefix, status, err)
	}
	return out, nil
}

func (c *Cluster) adminSocket(name string, do func([]byte) ([]byte, error), log *slog.Logger) error {
	a, err := ListenAdmin(c.dir.Join("run", "ceph-"+name+".asok"), do, log)
	if err != nil {
		return err
	}
	c.admin = append(c.admin, a)
	return nil
}

// firstPool makes the pool that a new cluster begins with, once in its life.
func (c *Cluster) firstPool(ctx context.Context) error {
	if c.id.Ready {
		return nil
	}
	// With all OSDs up the groups begin where they will stay.
	if err := c.poll(ctx, c.osdsUp); err != nil {
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

// WaitReady returns when clients are served: all OSDs that the directory has are
// up and all placement groups active and clean.
func (c *Cluster) WaitReady(ctx context.Context) error {
	return c.poll(ctx, func(ctx context.Context) (bool, error) {
		if up, err := c.osdsUp(ctx); err != nil || !up {
			return false, err
		}
		return c.groupsClean(ctx)
	})
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

func (c *Cluster) osdsUp(ctx context.Context) (bool, error) {
	var osds struct {
		Up int `json:"num_up_osds"`
	}
	err := c.ask(ctx, "osd stat", &osds)
	return osds.Up >= len(c.id.OSDs), err
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
	var wg sync.WaitGroup
	stopped := make([]error, len(c.osds))
	for i, h := range c.osds {
		wg.Go(func() { stopped[i] = h.close() })
	}
	wg.Wait()
	errs = append(errs, stopped...)
	for _, a := range c.admin {
		errs = append(errs, a.Close())
	}
	if c.mon != nil {
		errs = append(errs, c.mon.close())
	}
	return errors.Join(append(errs, c.dir.Close())...)
}
