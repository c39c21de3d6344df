package osdmon

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

type fakeAccounts struct {
	removed []string
	writers map[string]string // account -> pool
}

func (f *fakeAccounts) RemoveOSD(osd int32, uuid entity.UUID) {
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
