package crush

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/errno"
)

// fixedWeight is WeightOf without an error.
func fixedWeight(f float64) uint32 {
	w, err := WeightOf(f)
	if err != nil {
		panic(err)
	}
	return w
}

// TestGoldenEdits repeats the life of a stock cluster's map, command by
// command; each step must give the bytes that its monitor made.
func TestGoldenEdits(t *testing.T) {
	t.Parallel()
	files, err := untar("testdata/edits.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	m, err := BuildDefault("osd")
	if err != nil {
		t.Fatal(err)
	}
	item := func(name string) int32 {
		id, ok := m.ItemID(name)
		if !ok {
			t.Fatalf("no item %s", name)
		}
		return id
	}
	rule := func(name string) int {
		id, ok := m.RuleID(name)
		if !ok {
			t.Fatalf("no rule %s", name)
		}
		return id
	}
	class := func(device int32, class string) error {
		return errors.Join(m.NameDevice(device, fmt.Sprintf("osd.%d", device)), m.SetDeviceClass(device, class))
	}
	boot := func(device int32) error {
		_, err := m.CreateOrMove(device, fixedWeight(0.0195), fmt.Sprintf("osd.%d", device), Loc{"host": "vm", "root": "default"}, true)
		return err
	}
	for _, s := range []struct {
		epoch int
		what  string
		do    func() error
	}{
		{1, "a new cluster", func() error { return nil }},
		{5, "set-device-class hdd osd.2", func() error { return class(2, "hdd") }},
		{6, "create-or-move osd.2", func() error { return boot(2) }},
		{7, "set-device-class hdd osd.0 osd.1", func() error { return errors.Join(class(0, "hdd"), class(1, "hdd")) }},
		{8, "create-or-move osd.1, osd.0", func() error { return errors.Join(boot(1), boot(0)) }},
		{46, "rule create-erasure ecpool", func() error { _, err := m.AddErasureRule("ecpool", "default", "osd", "", 3); return err }},
		{66, "add-bucket rk1 rack", func() error { _, err := m.AddBucket("rk1", "rack"); return err }},
		{67, "move rk1 root=default", func() error { return m.MoveBucket(item("rk1"), Loc{"root": "default"}) }},
		{68, "add-bucket hh2 host", func() error { _, err := m.AddBucket("hh2", "host"); return err }},
		{69, "move hh2 rack=rk1", func() error { return m.MoveBucket(item("hh2"), Loc{"rack": "rk1"}) }},
		{70, "set osd.2 0.02 host=hh2", func() error { _, err := m.Update(2, fixedWeight(0.02), "osd.2", Loc{"host": "hh2"}); return err }},
		{71, "rm-device-class osd.2", func() error { return m.RemoveDeviceClass(2) }},
		{72, "set-device-class ssd osd.2", func() error { return m.SetDeviceClass(2, "ssd") }},
		{73, "rule create-replicated rr default osd", func() error {
			_, err := m.AddSimpleRule("rr", "default", "osd", "", "firstn", RuleReplicated)
			return err
		}},
		{74, "rule create-replicated rssd default osd ssd", func() error {
			_, err := m.AddSimpleRule("rssd", "default", "osd", "ssd", "firstn", RuleReplicated)
			return err
		}},
		{102, "weight-set create-compat", func() error { m.CreateWeightSet(DefaultChooseArgs, 1); return nil }},
		{103, "weight-set reweight-compat osd.0 0.01", func() error {
			return m.ReweightSet(DefaultChooseArgs, 0, []uint32{fixedWeight(0.01)})
		}},
		{104, "weight-set create of pool 7, positional", func() error { m.CreateWeightSet(7, 3); return nil }},
		{105, "weight-set reweight of pool 7, osd.1 0.01 0.02 0.015", func() error {
			return m.ReweightSet(7, 1, []uint32{fixedWeight(0.01), fixedWeight(0.02), fixedWeight(0.015)})
		}},
		{120, "weight-set rm of pool 7", func() error { m.RemoveWeightSet(7); return nil }},
		{121, "no change", func() error { return nil }},
		{130, "rule rm rr", func() error { return m.RemoveRule(rule("rr")) }},
		{134, "rule create-erasure mpec", func() error { _, err := m.AddErasureRule("mpec", "default", "osd", "", 3); return err }},
		{159, "reweight osd.0 0.03", func() error { _, err := m.Reweight(0, fixedWeight(0.03), true); return err }},
		{160, "add-bucket b1 host", func() error { _, err := m.AddBucket("b1", "host"); return err }},
		{161, "move b1 root=default", func() error { return m.MoveBucket(item("b1"), Loc{"root": "default"}) }},
		{162, "rename-bucket b1 b9", func() error { return m.RenameBucket("b1", "b9") }},
		{163, "rm b9", func() error { return m.Remove(item("b9"), false) }},
		{164, "rule create-simple sr default osd", func() error {
			_, err := m.AddSimpleRule("sr", "default", "osd", "", "firstn", RuleReplicated)
			return err
		}},
		{165, "rule create-erasure er", func() error { _, err := m.AddErasureRule("er", "default", "osd", "", 3); return err }},
		{166, "rule rename sr sr2", func() error { return m.RenameRule("sr", "sr2") }},
		{167, "rule rm sr2", func() error { return m.RemoveRule(rule("sr2")) }},
		{168, "rule rm er", func() error { return m.RemoveRule(rule("er")) }},
		{169, "tunables jewel", func() error { return m.SetTunablesProfile("jewel") }},
		{170, "set-device-class hdd osd.0, again", func() error { return m.SetDeviceClass(0, "hdd") }},
		{171, "rm-device-class osd.0", func() error { return m.RemoveDeviceClass(0) }},
		{172, "set-device-class hdd osd.0", func() error { return m.SetDeviceClass(0, "hdd") }},
	} {
		b := files[fmt.Sprintf("e%03d.bin", s.epoch)]
		want, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.do(); err != nil {
			t.Fatalf("e%d: %s: %v", s.epoch, s.what, err)
		}
		if s.epoch == 162 {
			// Ceph leaves the old name to the shadows, which then stand for a
			// bucket that is not there, until the next change.
			if _, ok := m.ItemID("b9~hdd"); !ok {
				t.Error("the shadows were not renamed")
			}
			continue
		}
		if bytes.Equal(m.Encode(), want.Encode()) {
			continue
		}
		t.Errorf("e%d: %s", s.epoch, s.what)
		diff(t, m.Decompile(), want.Decompile())
		t.Fatalf("%v\n%v\n%v\nwant\n%v\n%v\n%v", m.Names, m.Classes, m.ClassBucket, want.Names, want.Classes, want.ClassBucket)
	}
}

// TestEditErrors: what cannot be done says so in Ceph's words and numbers, and
// what it says is tested on a clone.
func TestEditErrors(t *testing.T) {
	t.Parallel()
	m, err := Compile(`device 0 osd.0 class hdd
device 1 osd.1
type 0 osd
type 1 host
type 2 root
host h0 { id -1 alg straw2 item osd.0 weight 1 item osd.1 weight 1 }
host h1 { id -2 alg straw2 }
root default { id -3 alg straw2 item h0 weight 2 item h1 weight 0 }
rule r { id 0 type replicated min_size 1 max_size 10 step take default class hdd step chooseleaf firstn 0 type host step emit }
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		do   func(*Map) error
		want errno.Errno
		say  string
	}{
		{"rm of a bucket with items", func(m *Map) error { return m.Remove(-1, false) }, errno.ENOTEMPTY, ""},
		{"rm of no bucket", func(m *Map) error { return m.Remove(-9, false) }, errno.ENOENT, ""},
		{"rm of no device", func(m *Map) error { return m.Remove(9, false) }, errno.ENOENT, ""},
		{"rm of an empty shadow", func(m *Map) error { return m.Remove(m.ClassBucket[-2][0], false) }, errno.EBUSY, ""},
		{"move below itself", func(m *Map) error { return m.MoveBucket(-3, Loc{"host": "h1"}) }, errno.ELOOP, ""},
		{"move to a type that is another", func(m *Map) error { return m.MoveBucket(-2, Loc{"root": "h0"}) }, errno.EINVAL, "has type 'host'"},
		{"move with a bad name", func(m *Map) error { return m.MoveBucket(-2, Loc{"root": "a b"}) }, errno.EINVAL, ""},
		{"link of no bucket", func(m *Map) error { return m.LinkBucket(-9, Loc{"root": "default"}) }, errno.ENOENT, ""},
		{"swap with a parent", func(m *Map) error { return m.SwapBuckets(-1, -3) }, errno.EINVAL, ""},
		{"insert of a taken name", func(m *Map) error { return m.Insert(5, 1, "osd.0", Loc{"host": "h1"}, true) }, errno.EEXIST, "already exists as id 0"},
		{"insert nowhere", func(m *Map) error { return m.Insert(5, 1, "osd.5", Loc{}, true) }, errno.EINVAL, ""},
		{"insert of a huge id", func(m *Map) error { return m.Insert(1<<30, 1, "osd.x", Loc{"host": "h1"}, true) }, errno.ERANGE, ""},
		{"rename of a device as a bucket", func(m *Map) error { return m.RenameBucket("osd.0", "x") }, errno.ENOTDIR, "is not a bucket because its id = 0 is >= 0"},
		{"rename of nothing", func(m *Map) error { return m.Rename("x", "y") }, errno.ENOENT, ""},
		{"rename of nothing to something", func(m *Map) error { return m.Rename("x", "h0") }, errno.EALREADY, ""},
		{"rename to a taken name", func(m *Map) error { return m.Rename("h0", "h1") }, errno.EEXIST, ""},
		{"rename to a bad name", func(m *Map) error { return m.Rename("h0", "a~b") }, errno.EINVAL, "does not match"},
		{"another class", func(m *Map) error { return m.SetDeviceClass(0, "ssd") }, errno.EBUSY, "has already bound to class 'hdd'"},
		{"rm of a class in use", func(m *Map) error { return m.RemoveClass("hdd") }, errno.EBUSY, "still referenced by crush_rule(s): 'r'"},
		{"rm of no class", func(m *Map) error { return m.RemoveClass("x") }, errno.ENOENT, ""},
		{"rule of that name", func(m *Map) error {
			_, err := m.AddSimpleRule("r", "default", "host", "", "firstn", 1)
			return err
		}, errno.EEXIST, ""},
		{"rule with no root", func(m *Map) error {
			_, err := m.AddSimpleRule("q", "x", "host", "", "firstn", 1)
			return err
		}, errno.ENOENT, "root item x does not exist"},
		{"rule of an unknown type", func(m *Map) error {
			_, err := m.AddSimpleRule("q", "default", "x", "", "firstn", 1)
			return err
		}, errno.EINVAL, "unknown type x"},
		{"rule of an unknown class", func(m *Map) error {
			_, err := m.AddSimpleRule("q", "default", "host", "x", "firstn", 1)
			return err
		}, errno.EINVAL, "device class x does not exist"},
		{"rm of no rule", func(m *Map) error { return m.RemoveRule(5) }, errno.ENOENT, ""},
		{"reweight of nothing", func(m *Map) error { _, err := m.Reweight(9, 1, true); return err }, errno.ENOENT, ""},
		{"weight set of no key", func(m *Map) error { return m.ReweightSet(3, 0, []uint32{1}) }, errno.ENOENT, ""},
		{"weights that are too many", func(m *Map) error {
			m.CreateWeightSet(3, 1)
			return m.ReweightSet(3, 0, []uint32{1, 2})
		}, errno.EINVAL, "exactly 1"},
		{"weights that overflow", func(m *Map) error {
			_, err := m.Reweight(0, 1<<32-1, true)
			return err
		}, errno.ERANGE, ""},
		{"unknown profile", func(m *Map) error { return m.SetTunablesProfile("x") }, errno.EINVAL, "unrecognized profile 'x'"},
	} {
		if err := c.do(m.Clone()); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v, want %v %q", c.what, err, c.want, c.say)
		}
	}
}

// checkSums verifies that sums hold all the way up: of weights and of weight sets.
func checkSums(t *testing.T, m *Map) {
	t.Helper()
	if err := m.check(); err != nil {
		t.Error(err)
	}
	for _, b := range m.Buckets {
		if b == nil {
			continue
		}
		var sum uint32
		for i, item := range b.Items {
			sum += b.ItemWeightAt(i)
			c := m.Bucket(item)
			if c == nil {
				continue
			}
			if w := b.ItemWeightAt(i); w != c.Weight {
				t.Errorf("%s weighs %d in %s and %d itself", m.ItemName(item), w, m.ItemName(b.ID), c.Weight)
			}
			for key, args := range m.ChooseArgs {
				for p, set := range args[-1-b.ID].WeightSet {
					var sub uint32
					for _, w := range args[-1-item].WeightSet[p] {
						sub += w
					}
					if set[i] != sub {
						t.Errorf("weight set %d, position %d: %s weighs %d in %s and %d itself", key, p, m.ItemName(item), set[i], m.ItemName(b.ID), sub)
					}
				}
			}
		}
		if sum != b.Weight {
			t.Errorf("%s weighs %d, its items %d", m.ItemName(b.ID), b.Weight, sum)
		}
	}
}

// TestSwapAndLink: a swap keeps the places and exchanges what is in them, a
// link has one bucket in two places.
func TestSwapAndLink(t *testing.T) {
	t.Parallel()
	m, err := BuildDefault("host")
	if err != nil {
		t.Fatal(err)
	}
	for o := range int32(6) {
		loc := Loc{"host": fmt.Sprintf("h%d", o%3), "root": "default"}
		if _, err := m.CreateOrMove(o, uint32(o+1)*WeightOne, fmt.Sprintf("osd.%d", o), loc, true); err != nil {
			t.Fatal(err)
		}
		if err := m.SetDeviceClass(o, []string{"hdd", "ssd"}[o%2]); err != nil {
			t.Fatal(err)
		}
	}
	m.CreateWeightSet(DefaultChooseArgs, 2)
	if err := m.ReweightSet(DefaultChooseArgs, 4, []uint32{1000, 2000}); err != nil {
		t.Fatal(err)
	}
	checkSums(t, m)
	h0, _ := m.ItemID("h0")
	h1, _ := m.ItemID("h1")
	if err := m.SwapBuckets(h0, h1); err != nil {
		t.Fatal(err)
	}
	if m.Names[h1] != "h0" || m.Names[h0] != "h1" {
		t.Error("names were not swapped")
	}
	if leaves := m.Leaves(h1); len(leaves) != 2 || leaves[0] != 0 || leaves[1] != 3 {
		t.Errorf("h0 has %v now", leaves)
	}
	if _, err := m.AddBucket("other", "root"); err != nil {
		t.Fatal(err)
	}
	if err := m.LinkBucket(h0, Loc{"root": "other"}); err != nil {
		t.Fatal(err)
	}
	other, _ := m.ItemID("other")
	if w, _ := m.ItemWeight(other); w != m.Bucket(h0).Weight {
		t.Errorf("other weighs %d", w)
	}
	if err := m.RemoveUnder(h0, other, true); err != nil {
		t.Fatal(err)
	}
	if m.Contains(other, h0) || !m.InTree(h0) {
		t.Error("unlinked from the wrong place")
	}
	if got := m.DevicesOfClass("ssd"); len(got) != 3 || got[0] != 1 {
		t.Errorf("ssd: %v", got)
	}
	if err := m.RenameClass("ssd", "flash"); err != nil {
		t.Fatal(err)
	}
	if err := m.RebuildShadows(); err != nil {
		t.Fatal(err)
	}
	if _, ok := m.ItemID("default~flash"); !ok {
		t.Error("the shadow kept its old name")
	}
	if _, err := Decode(m.Encode()); err != nil {
		t.Error(err)
	}
}
