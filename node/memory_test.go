package node

import "testing"

func TestOSDShare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		memory int64
		osds   int
		want   int64 // 0: refused
	}{
		{0, 1, osdMemory},
		{0, 5, osdMemory},
		{256 << 20, 1, 192 << 20},
		{1 << 30, 3, 320 << 20},
		{128 << 20, 1, 64 << 20},
		{127 << 20, 1, 0},
		{128 << 20, 2, 0},
	} {
		got, err := (&Options{Memory: c.memory}).osdShare(c.osds)
		if got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%d bytes for %d OSDs: %d each, %v, want %d", c.memory, c.osds, got, err, c.want)
		}
	}
}
