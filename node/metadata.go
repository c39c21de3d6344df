package node

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon"
	"github.com/pulpo-storage/pulpo/osd/heartbeat"
)

// monMetadata is what the monitor tells of itself.
func monMetadata(home string) map[string]string {
	m := hostMetadata()
	m["compression_algorithms"] = "none"
	deviceMetadata(m, home)
	return m
}

// mgrMetadata is what the manager tells of itself.
func mgrMetadata(addrs entity.AddrVec) map[string]string {
	m := hostMetadata()
	m["addrs"] = addrs.String()
	if len(addrs) > 0 {
		m["addr"] = addrs[0].AP.Addr().String()
	}
	return m
}

// osdMetadata is what an OSD tells of itself.
func osdMetadata(home string, front, back entity.AddrVec, beats *heartbeats) map[string]string {
	m := hostMetadata()
	deviceMetadata(m, home)
	m["osd_data"] = home
	m["osd_objectstore"] = "diskstore"
	m["osdspec_affinity"] = ""
	m["ceph_version_when_created"], m["created_at"] = "", ""
	m["default_device_class"] = mediumOf(home)
	m["rotational"] = map[bool]string{true: "1", false: "0"}[m["default_device_class"] == "hdd"]
	m["journal_rotational"] = m["rotational"]
	m["front_addr"], m["hb_front_addr"], m["front_iface"] = front.String(), beats.addrs(heartbeat.Front).String(), interfaceOf(front)
	m["back_addr"], m["hb_back_addr"], m["back_iface"] = back.String(), beats.addrs(heartbeat.Back).String(), interfaceOf(back)
	return m
}

// deviceMetadata says which disk a daemon's data is on. What makers call it is not
// known.
func deviceMetadata(m map[string]string, home string) {
	m["devices"], m["device_ids"], m["device_paths"] = deviceOf(home), "", ""
}

// deviceOf is the name of the disk that a path is on, "" for none.
func deviceOf(path string) string {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return ""
	}
	dev, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return ""
	}
	if _, err := os.Stat("/sys/class/block/" + filepath.Base(dev) + "/partition"); err == nil {
		dev = filepath.Dir(dev)
	}
	return filepath.Base(dev)
}

// interfaceOf is the network interface that has an address, "" for the loopback.
func interfaceOf(addrs entity.AddrVec) string {
	all, err := net.Interfaces()
	if err != nil || len(addrs) == 0 || addrs[0].AP.Addr().IsLoopback() {
		return ""
	}
	for _, i := range all {
		has, _ := i.Addrs()
		for _, a := range has {
			if n, ok := a.(*net.IPNet); ok && n.IP.String() == addrs[0].AP.Addr().String() {
				return i.Name
			}
		}
	}
	return ""
}

// mediumOf is the device class of the medium that a path is on.
func mediumOf(path string) string {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err == nil {
		dev := fmt.Sprintf("/sys/dev/block/%d:%d/", unix.Major(st.Dev), unix.Minor(st.Dev))
		for _, file := range []string{"queue/rotational", "../queue/rotational"} {
			if firstLine(dev+file) == "1" {
				return "hdd"
			}
		}
	}
	return "ssd"
}

// hostMetadata is what daemons tell of the machine they run on.
func hostMetadata() map[string]string {
	m := map[string]string{
		"arch":               "x86_64",
		"ceph_release":       "pacific",
		"ceph_version":       mon.DefaultVersion,
		"ceph_version_short": mon.ShortVersion(mon.DefaultVersion),
		"hostname":           hostname(),
		"kernel_description": firstLine("/proc/sys/kernel/version"),
		"kernel_version":     firstLine("/proc/sys/kernel/osrelease"),
		"os":                 "Linux",
		"cpu":                field("/proc/cpuinfo", "model name"),
		"mem_total_kb":       strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"),
		"mem_swap_kb":        strings.TrimSuffix(field("/proc/meminfo", "SwapTotal"), " kB"),
		"distro":             osRelease("ID"),
		"distro_description": osRelease("PRETTY_NAME"),
		"distro_version":     osRelease("VERSION_ID"),
	}
	if runtime.GOARCH != "amd64" {
		m["arch"] = runtime.GOARCH
	}
	return m
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	short, _, _ := strings.Cut(name, ".")
	return short
}

func firstLine(path string) string {
	b, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// field reads "NAME : VALUE" of a file of the kernel's.
func field(path, name string) string {
	b, _ := os.ReadFile(path)
	for l := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func osRelease(name string) string {
	b, _ := os.ReadFile("/etc/os-release")
	for l := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(l, name+"="); ok {
			return strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return ""
}
