package chaos

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/internal/peer"
)

// network is a router and hosts around it, each in a network namespace of its own.
// The test, outside of them, has a link to the router too.
//
// What goes from one host to another passes the router, whose rules can lose it
// without a word, in one direction or both: that is what a partition is like. Host i
// has the i-th network of four addresses of a range that is for tests of devices
// (RFC 2544).
type network struct {
	t      *testing.T
	prefix string // of names; unique on this machine
	base   string // of addresses: "198.18.7."
	rules  [][]string
}

// newNetwork makes a network of n hosts; it goes away with the test.
func newNetwork(t *testing.T, n int) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root makes network namespaces")
	}
	peer.Require(t, "ip")
	w := &network{t: t, prefix: fmt.Sprintf("pc%x", os.Getpid())}
	for range 100 {
		w.base = fmt.Sprintf("198.%d.%d.", 18+rand.IntN(2), rand.IntN(256))
		if !taken(w.base) {
			break
		}
	}
	if out, err := exec.Command("ip", "netns", "add", w.space("r")).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %s", out)
	}
	t.Cleanup(func() {
		// Links go with the namespaces at their ends.
		exec.Command("ip", "link", "del", w.space("c")).Run()
		for i := range n {
			exec.Command("ip", "netns", "del", w.host(i)).Run()
		}
		exec.Command("ip", "netns", "del", w.space("r")).Run()
	})
	w.ip("-n", w.space("r"), "link", "set", "lo", "up")
	for i := range n {
		w.ip("netns", "add", w.host(i))
		w.ip("-n", w.host(i), "link", "set", "lo", "up")
		w.ip("link", "add", "eth0", "netns", w.host(i), "type", "veth", "peer", "name", w.host(i), "netns", w.space("r"))
		w.join(i, "-n", w.host(i))
		w.ip("-n", w.host(i), "link", "set", "eth0", "up")
		w.ip("-n", w.host(i), "route", "add", "default", "via", w.addr(i, 1))
	}
	c := w.space("c")
	w.ip("link", "add", c, "type", "veth", "peer", "name", w.host(n), "netns", w.space("r"))
	w.ip("addr", "add", w.addr(n, 2)+"/30", "dev", c)
	w.ip("link", "set", c, "up")
	w.ip("-n", w.space("r"), "addr", "add", w.addr(n, 1)+"/30", "dev", w.host(n))
	w.ip("-n", w.space("r"), "link", "set", w.host(n), "up")
	w.ip("route", "add", w.base+"0/24", "via", w.addr(n, 1))
	if out, err := w.in(w.space("r"), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward").CombinedOutput(); err != nil {
		t.Fatalf("forwarding: %v: %s", err, out)
	}
	return w
}

// taken says whether an interface of this machine has an address of a range.
func taken(base string) bool {
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if strings.HasPrefix(a.String(), base) {
			return true
		}
	}
	return false
}

func (w *network) space(name string) string { return w.prefix + name }
func (w *network) host(i int) string        { return w.space(fmt.Sprint("h", i)) }
func (w *network) addr(i, which int) string { return fmt.Sprint(w.base, 4*i+which) }
func (w *network) of(i int) string          { return w.addr(i, 2) }
func (w *network) join(i int, ns ...string) {
	w.ip(append(ns, "addr", "add", w.of(i)+"/30", "dev", "eth0")...)
	w.ip("-n", w.space("r"), "addr", "add", w.addr(i, 1)+"/30", "dev", w.host(i))
	w.ip("-n", w.space("r"), "link", "set", w.host(i), "up")
}

func (w *network) ip(args ...string) {
	w.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		w.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// in is a command in a namespace; it has the process that is started for it.
func (w *network) in(space string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", space}, args...)...)
}

// lose drops what goes from one host to another; -1 is anybody.
func (w *network) lose(from, to int) {
	w.t.Helper()
	rule := []string{"blackhole"}
	if from >= 0 {
		rule = append(rule, "from", w.of(from))
	}
	if to >= 0 {
		rule = append(rule, "to", w.of(to))
	}
	w.ip(append([]string{"-n", w.space("r"), "rule", "add"}, rule...)...)
	w.rules = append(w.rules, rule)
}

// heal ends all losses.
func (w *network) heal() {
	w.t.Helper()
	for _, rule := range w.rules {
		w.ip(append([]string{"-n", w.space("r"), "rule", "del"}, rule...)...)
	}
	w.rules = nil
}
