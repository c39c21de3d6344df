package node

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pulpo-storage/pulpo/metric"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// osdMetrics are those of one daemon, after n operations of 250 ms.
func osdMetrics(n int) *metric.Registry {
	var r metric.Registry
	g := metric.NewGroup("osd")
	ops := g.Counter("op", "Client operations")
	lat := g.Latency("op_latency", "Latency of client operations")
	g.Gauge("numpg", "Placement groups").Set(3)
	g.GaugeFunc("stat_bytes", "OSD size", func() int64 { return 1 << 30 }, metric.Bytes)
	g.Average("oplen_avg", "Average length of operation vector").Add(4)
	h := g.Histogram("op_w_latency_histogram", "Latencies", []metric.Axis{{Name: "Latency (usec)", Quantum: 100000, Buckets: 4}})
	for range n {
		ops.Inc()
		lat.Add(250 * time.Millisecond)
		h.Add(250000)
	}
	r.Add(g)
	m := metric.NewGroup("AsyncMessenger::Worker-0")
	m.Time("msgr_running_total_time", "The total time of thread running").Add(1500 * time.Millisecond)
	r.Add(m)
	return &r
}

func TestMetricsPage(t *testing.T) {
	t.Parallel()
	s, err := ServeMetrics("127.0.0.1:0", CollectMetrics("osd.0", osdMetrics(2)), CollectMetrics("osd.1", osdMetrics(0)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	code, page := get(t, "http://"+s.Addr()+"/metrics")
	if code != 200 {
		t.Fatalf("%d: %s", code, page)
	}
	lines := map[string]bool{}
	for sc := bufio.NewScanner(strings.NewReader(page)); sc.Scan(); {
		lines[sc.Text()] = true
	}
	for _, want := range []string{
		`# HELP ceph_osd_op Client operations`,
		`# TYPE ceph_osd_op counter`,
		`ceph_osd_op{ceph_daemon="osd.0"} 2`,
		`ceph_osd_op{ceph_daemon="osd.1"} 0`,
		`# TYPE ceph_osd_numpg gauge`,
		`ceph_osd_numpg{ceph_daemon="osd.0"} 3`,
		`ceph_osd_stat_bytes{ceph_daemon="osd.0"} 1.073741824e+09`,
		`ceph_osd_op_latency_sum{ceph_daemon="osd.0"} 0.5`,
		`ceph_osd_op_latency_count{ceph_daemon="osd.0"} 2`,
		`ceph_osd_oplen_avg_sum{ceph_daemon="osd.0"} 4`,
		`ceph_osd_oplen_avg_count{ceph_daemon="osd.0"} 1`,
		`ceph_osd_op_w_latency_histogram_bucket{ceph_daemon="osd.0",le="99999"} 0`,
		`ceph_osd_op_w_latency_histogram_bucket{ceph_daemon="osd.0",le="+Inf"} 2`,
		`ceph_osd_op_w_latency_histogram_sum{ceph_daemon="osd.0"} 500000`,
		`ceph_AsyncMessenger_Worker_0_msgr_running_total_time{ceph_daemon="osd.0"} 1.5`,
	} {
		if !lines[want] {
			t.Errorf("no line %s", want)
		}
	}
	if !strings.Contains(page, "\ngo_goroutines ") || !strings.Contains(page, "\nprocess_resident_memory_bytes ") {
		t.Error("nothing about the process")
	}
	if t.Failed() {
		t.Log(page)
	}
	if code, _ := get(t, "http://"+s.Addr()+"/debug/pprof/"); code != 404 {
		t.Errorf("another page gives %d", code)
	}
}

// Groups are collected as they are at that moment.
func TestMetricsComeAndGo(t *testing.T) {
	t.Parallel()
	var r metric.Registry
	reg := prometheus.NewRegistry()
	reg.MustRegister(CollectMetrics("mon.a", &r))
	names := func() (s []string) {
		fams, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fams {
			s = append(s, f.GetName())
		}
		return s
	}
	if got := names(); len(got) != 0 {
		t.Errorf("%v of nothing", got)
	}
	g := metric.NewGroup("paxos")
	g.Counter("commit", "Commits")
	r.Add(g)
	if got := names(); len(got) != 1 || got[0] != "ceph_paxos_commit" {
		t.Errorf("%v", got)
	}
	r.Remove(g)
	if got := names(); len(got) != 0 {
		t.Errorf("%v after all are gone", got)
	}
}

func TestMetricNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ group, name, want string }{
		{"osd", "op_r", "ceph_osd_op_r"},
		{"throttle-osd_client_bytes", "val", "ceph_throttle_osd_client_bytes_val"},
		{"AsyncMessenger::Worker-0", "msgr_recv_bytes", "ceph_AsyncMessenger_Worker_0_msgr_recv_bytes"},
		{"bluestore-pricache:data", "c+d", "ceph_bluestore_pricache_data_c_plusd"},
		{"a b", "é.x-", "ceph_a_b___x_minus"},
	} {
		if got := metricName(c.group, c.name); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.group, c.name, got, c.want)
		}
	}
}

func TestMetricsAreForThisHostOnly(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0"} {
		s, err := ServeMetrics(bad)
		if err == nil {
			s.Close()
			t.Errorf("%s is served", bad)
		} else if !strings.Contains(err.Error(), "loopback") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "127.0.0.1", "127.0.0.1:99999999", "127.0.0.1:port"} {
		if s, err := ServeMetrics(bad); err == nil {
			s.Close()
			t.Errorf("%q is served", bad)
		}
	}
	s, err := ServeMetrics("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s2, err := ServeMetrics(s.Addr()); err == nil {
		s2.Close()
		t.Error("a taken port is served twice")
	} else if !strings.Contains(err.Error(), "in use") {
		t.Error(err)
	}
}

func TestMetricsCloseWithOpenConnections(t *testing.T) {
	t.Parallel()
	s, err := ServeMetrics("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	c.SetReadDeadline(time.Now().Add(2 * time.Minute))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("the connection was not closed: %v", err)
	}
	if _, err := net.Dial("tcp", s.Addr()); err == nil {
		t.Error("the port is still served")
	}
}
