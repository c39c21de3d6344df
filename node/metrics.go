package node

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pulpo-storage/pulpo/metric"
)

// MetricsServer serves /metrics in the format of Prometheus.
type MetricsServer struct {
	ln  net.Listener
	srv http.Server
	wg  sync.WaitGroup
}

// ServeMetrics serves the collectors, and what is known of the process, at
// http://ADDR/metrics until Close. There is no password, so ADDR must be of this
// host alone: 127.0.0.1:PORT, [::1]:PORT or localhost:PORT. Port 0 is any.
func ServeMetrics(addr string, cs ...prometheus.Collector) (*MetricsServer, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("metrics: %q is not HOST:PORT", addr)
	}
	if host == "localhost" {
		// Whatever resolves names here: it is this host.
		host, addr = "127.0.0.1", net.JoinHostPort("127.0.0.1", port)
	}
	if !loopback(host) {
		return nil, notLoopback(addr)
	}
	reg := prometheus.NewRegistry()
	for _, c := range append(cs, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})) {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if got := ln.Addr().(*net.TCPAddr).AddrPort().Addr().Unmap(); !got.IsLoopback() {
		ln.Close()
		return nil, notLoopback(got.String())
	}
	mux := http.NewServeMux()
	// A collector that fails costs its own metrics, not all of them.
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	}))
	s := &MetricsServer{ln: ln}
	s.srv = http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	s.wg.Go(func() { s.srv.Serve(ln) })
	return s, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func notLoopback(addr string) error {
	return fmt.Errorf("metrics: %s is not a loopback address: the page asks for no password, so it is served to this host only (127.0.0.1:PORT)", addr)
}

// Addr is the address with its port.
func (s *MetricsServer) Addr() string { return s.ln.Addr().String() }

// Close ends all conversations.
func (s *MetricsServer) Close() error {
	err := s.srv.Close()
	s.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// CollectMetrics exports the groups of a daemon ("osd.0") under the names that
// the prometheus module of Ceph's manager gives them, so that its dashboards
// work: ceph_osd_op{ceph_daemon="osd.0"}. An average is a summary without
// quantiles, which is ceph_osd_op_latency_sum and _count, in seconds; of a
// histogram it is the counts along its first axis.
func CollectMetrics(daemon string, r *metric.Registry) prometheus.Collector {
	return &groupCollector{daemon, r}
}

type groupCollector struct {
	daemon string
	r      *metric.Registry
}

// Describe says nothing: groups come and go.
func (c *groupCollector) Describe(chan<- *prometheus.Desc) {}

func (c *groupCollector) Collect(out chan<- prometheus.Metric) {
	labels := prometheus.Labels{"ceph_daemon": c.daemon}
	for g := range c.r.Groups() {
		for _, m := range g.Metrics() {
			desc := prometheus.NewDesc(metricName(g.Name(), m.Name), m.Help, nil, labels)
			number := func(t prometheus.ValueType, v float64) { out <- prometheus.MustNewConstMetric(desc, t, v) }
			switch v := m.Value.(type) {
			case *metric.Counter:
				number(prometheus.CounterValue, float64(v.Load()))
			case *metric.Gauge:
				number(prometheus.GaugeValue, float64(v.Load()))
			case func() int64:
				number(prometheus.GaugeValue, float64(v()))
			case *metric.Time:
				number(prometheus.CounterValue, v.Load().Seconds())
			case *metric.Latency:
				n, sum := v.Load()
				out <- prometheus.MustNewConstSummary(desc, n, sum.Seconds(), nil)
			case *metric.Average:
				n, sum := v.Load()
				out <- prometheus.MustNewConstSummary(desc, n, float64(sum), nil)
			case *metric.Histogram:
				out <- histogramMetric(desc, v)
			}
		}
	}
}

func histogramMetric(desc *prometheus.Desc, h *metric.Histogram) prometheus.Metric {
	counts, sum := h.First()
	axis := h.Axes()[0]
	upTo, total := make(map[float64]uint64, len(counts)), uint64(0)
	for i, n := range counts {
		total += n
		if i < len(counts)-1 {
			_, hi := axis.Range(i)
			upTo[float64(hi)] = total
		}
	}
	return prometheus.MustNewConstHistogram(desc, total, float64(sum), upTo)
}

// metricName is ceph_GROUP_NAME with what Prometheus does not allow replaced as
// Ceph does it.
func metricName(group, name string) string {
	s := "ceph_" + group + "_" + name
	s = strings.NewReplacer("::", "_", "+", "_plus").Replace(s)
	if head, ok := strings.CutSuffix(s, "-"); ok {
		s = head + "_minus"
	}
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, s)
}
