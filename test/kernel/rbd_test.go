package kernel

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/internal/crowd"
)

func TestMain(m *testing.M) { os.Exit(binary.Main(m)) }

// What the guest does, part by part. Between the parts snapshots are made.
var (
	//go:embed testdata/functions.sh
	functions string
	//go:embed testdata/first.sh
	first string
	//go:embed testdata/second.sh
	second string
	//go:embed testdata/verify.sh
	verify string
)

// TestRBDSoak has the kernel use images of a cluster of one OSD.
func TestRBDSoak(t *testing.T) {
	soak(t)
	for _, mode := range []string{"crc", "secure"} {
		t.Run(mode, func(t *testing.T) {
			dir := binary.Dir(t)
			binary.Up(t, dir)
			images(t, dir, mode)
		})
	}
}

// TestOSDsDieSoak does the same with three copies, while OSDs are killed.
func TestOSDsDieSoak(t *testing.T) {
	soak(t)
	c := crowd.Start(t)
	for _, mode := range []string{"crc", "secure"} {
		t.Run(mode, func(t *testing.T) {
			c.During(t, crowd.AnyTime, 0, func() { images(t, c.Dir, mode) })
		})
	}
}

func soak(t *testing.T) {
	binary.SoakRounds(t)
}

// images has the kernel make a file system on an image and write a tree to it,
// twice, with a snapshot after each. Mapped again, the snapshots, the image and a
// clone have what they must, also after the clone was written to.
func images(t *testing.T, dir, mode string) {
	rbd := func(args ...string) string {
		t.Helper()
		return stock(t, dir, "rbd", args...)
	}
	rbd("create", "rbd/img", "--size", "256M", "--image-feature", "layering,exclusive-lock,object-map,fast-diff,deep-flatten")
	guest(t, dir, mode, first)
	rbd("snap", "create", "rbd/img@a")
	guest(t, dir, mode, second)
	rbd("snap", "create", "rbd/img@b")
	rbd("snap", "protect", "rbd/img@a")
	rbd("clone", "rbd/img@a", "rbd/clone")
	sums := lines(guest(t, dir, mode, verify))
	for _, w := range []struct{ a, b string }{
		{"a", "clone"}, {"b", "head"}, {"a again", "a"}, {"head again", "head"},
	} {
		if sums[w.a] == "" || sums[w.a] != sums[w.b] {
			t.Errorf("%s has %q, %s has %q", w.a, sums[w.a], w.b, sums[w.b])
		}
	}
	if sums["a"] == sums["b"] || sums["clone written"] == sums["clone"] || sums["clone again"] != sums["clone written"] {
		t.Errorf("a tree that was written to: %v", sums)
	}
	for _, spec := range []string{"rbd/img", "rbd/img@a", "rbd/img@b", "rbd/clone"} {
		if out := rbd("object-map", "check", spec); strings.Contains(strings.ToLower(out), "invalid") {
			t.Errorf("object map of %s: %s", spec, out)
		}
	}
	rbd("rm", "rbd/clone")
	rbd("snap", "unprotect", "rbd/img@a")
	rbd("snap", "purge", "rbd/img")
	rbd("rm", "rbd/img")
}

// lines reads "NAME: VALUE".
func lines(out string) map[string]string {
	m := map[string]string{}
	for _, l := range strings.Split(out, "\n") {
		if name, value, ok := strings.Cut(strings.TrimSpace(l), ": "); ok {
			m[name] = value
		}
	}
	return m
}

// stock runs one of Debian's tools.
func stock(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, append([]string{"-c", binary.Conf(dir)}, args...)...)
	r := binary.Exec(t, cmd)
	if r.Code != 0 {
		t.Fatalf("%v: %v", cmd.Args, r)
	}
	return r.Out + r.Err
}

// guest runs commands in the guest and returns what they print.
func guest(t *testing.T, dir, mode, commands string) string {
	t.Helper()
	conf, err := os.ReadFile(binary.Conf(dir))
	if err != nil {
		t.Fatal(err)
	}
	var mons []string
	for _, m := range regexp.MustCompile(`v2:([0-9.]+:[0-9]+)`).FindAllSubmatch(conf, -1) {
		mons = append(mons, string(m[1]))
	}
	keyring, err := os.ReadFile(filepath.Join(dir, "ceph.client.admin.keyring"))
	if err != nil {
		t.Fatal(err)
	}
	key := regexp.MustCompile(`key = (\S+)`).FindSubmatch(keyring)
	if mons == nil || key == nil {
		t.Fatalf("no monitor or no key in\n%s", conf)
	}
	log := filepath.Join(t.ArtifactDir(), "kernel.log")
	cmd := exec.CommandContext(t.Context(), "./kclient-run", "--mon", strings.Join(mons, ","), "--secret", string(key[1]), "--ms-mode", mode,
		"--timeout", "600", "--log", log, "--", functions+commands)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in the guest: %v\n%s\n%s", err, out, binary.LogTail(dir))
	}
	said, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if bad := regexp.MustCompile(`(?mi)^.*(I/O error|EXT4-fs error).*$`).Find(said); bad != nil {
		t.Errorf("the kernel says %q", bad)
	}
	return string(out)
}
