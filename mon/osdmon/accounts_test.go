package osdmon

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

type fakeAccounts struct {
	keys    map[int32]string
	removed []string
	writers map[string]string // account -> pool
}

func (f *fakeAccounts) CreateOSD(osd int32, key string) (bool, error) {
	if f.keys == nil {
		f.keys = map[int32]string{}
	}
	had, ok := f.keys[osd]
	if ok && had != key {
		return false, errno.EEXIST
	}
	f.keys[osd] = key
	return !ok, nil
}

func (f *fakeAccounts) RemoveOSD(osd int32, uuid entity.UUID) {
	delete(f.keys, osd)
	f.removed = append(f.removed, fmt.Sprintf("%d %v", osd, uuid))
}

func (f *fakeAccounts) MayWritePool(account entity.AuthName, pool string) bool {
	return f.writers[account.String()] == pool
}

// An OSD that is destroyed loses its accounts and keeps its id for the one that
// takes its place; one that is purged is gone.
func TestDestroy(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a := &fakeAccounts{}
	c.UseAccounts(a)
	c.start(0)
	sure := []any{"id", 0, "yes_i_really_mean_it", true}
	if r := c.Try("osd destroy-actual", sure...); r.Errno != errno.EBUSY {
		t.Errorf("of one that is up: %v %s", r.Errno, r.Status)
	}
	c.Run("osd down", "ids", []string{"0"})
	if r := c.Try("osd destroy", "id", 0); r.Errno != errno.EAGAIN || !strings.Contains(r.Status, "by passing --force") {
		t.Errorf("without knowing what it has: %v %s", r.Errno, r.Status)
	}
	c.Run("osd destroy", "id", 0, "force", true)
	c.Run("osd destroy-actual", sure...) // nothing more to do
	m := c.Map()
	if !m.IsDestroyed(0) || !m.UUID[0].IsZero() || !m.Crush.InTree(0) {
		t.Errorf("destroyed:\n%s", m.Text())
	}
	if want := []string{"0 " + uuid(1).String()}; !slices.Equal(a.removed, want) {
		t.Errorf("accounts removed: %v, want %v", a.removed, want)
	}
	if p := c.start(0); c.Map().IsUp(0) {
		t.Errorf("a destroyed one boots: %v", p.boot.UUID)
	}
	next := uuid(77)
	if out := string(c.Run("osd new", "uuid", next.String(), "id", 0).Output); out != "0\n" {
		t.Errorf("osd new: %q", out)
	}
	if m := c.Map(); m.IsDestroyed(0) || m.UUID[0] != next || m.State[0]&osdmap.StateNew == 0 {
		t.Errorf("recreated:\n%s", m.Text())
	}
	c.Run("osd purge-new", sure...)
	if m := c.Map(); m.Exists(0) || m.Crush.InTree(0) || c.Metadata(0) != nil {
		t.Errorf("purged:\n%s", m.Text())
	}
}

// Whoever may write to a pool may have snapshot ids for it.
func TestSnapshotIDsForWriters(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.UseAccounts(&fakeAccounts{writers: map[string]string{"client.x": "a"}})
	c.Run("osd pool create", "pool", "a")
	c.Run("osd pool create", "pool", "b")
	for pool, want := range map[uint32]errno.Errno{1: 0, 2: errno.EPERM, 3: errno.EPERM} {
		if got, _ := c.op("allow r", msg.PoolOp{Op: msg.PoolOpCreateUnmanagedSnap, Pool: pool}); got != want {
			t.Errorf("pool %d: %v, want %v", pool, got, want)
		}
	}
}

// An OSD that comes with its key has an account at once; asking again changes
// nothing, and another key is refused.
func TestNewWithKey(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a := &fakeAccounts{}
	c.UseAccounts(a)
	first, second := uuid(201), uuid(202)
	ask := func(key string, uuid entity.UUID, id int32) command.Reply {
		cmd := fmt.Sprintf(`{"prefix": "osd new", "uuid": "%v"`, uuid)
		if id >= 0 {
			cmd += fmt.Sprintf(`, "id": %d`, id)
		}
		return c.JSON(cmd+"}", fmt.Appendf(nil, `{"cephx_secret": %q}`, key))
	}
	r := ask("k1", first, -1)
	var id int32
	if _, err := fmt.Sscan(string(r.Output), &id); err != nil || a.keys[id] != "k1" || c.Map().UUID[id] != first {
		t.Fatalf("osd new: %q %s %v, keys %v", r.Output, r.Status, err, a.keys)
	}
	if again := ask("k1", first, -1); string(again.Output) != string(r.Output) {
		t.Errorf("again: %q %s, was %q", again.Output, again.Status, r.Output)
	}
	if r := ask("k2", first, -1); r.Errno != errno.EEXIST {
		t.Errorf("another key: %v %s", r.Errno, r.Status)
	}
	// Nobody takes an id that is in use, nor its account.
	if r := ask("k2", second, id); r.Errno != errno.EINVAL || a.keys[id] != "k1" {
		t.Errorf("an id in use: %v %s, key %s", r.Errno, r.Status, a.keys[id])
	}
	// One that was destroyed is anybody's.
	c.Run("osd destroy", "id", id, "force", true)
	r = ask("k2", second, id)
	if m := c.Map(); r.Failed() || a.keys[id] != "k2" || m.UUID[id] != second || m.IsDestroyed(id) {
		t.Errorf("replaced: %s, key %s, uuid %v", r.Status, a.keys[id], m.UUID[id])
	}
}
