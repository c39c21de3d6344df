package caps

import "testing"

func TestWritesPool(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		text, pool string
		want       bool
	}{
		{"allow *", "a", true},
		{"allow rwx", "", true},
		{"allow r", "a", false},
		{"allow rw pool=a", "a", true},
		{"allow rw pool=a", "b", false},
		{"allow rw pool=a", "", false},
		{"allow rw pool=a namespace=n", "a", true},
		{"allow rw object_prefix x", "a", true},
		{"allow rw object_prefix x", "", false},
		{"allow rw tag rbd pool=*", "a", false},
		{"profile rbd pool=a", "a", true},
		{"profile rbd pool=a", "b", false},
		{"profile rbd-read-only", "a", false},
		{"allow r pool=b, allow w pool=a", "a", true},
	} {
		c, err := ParseOSD(k.text)
		if err != nil {
			t.Fatalf("%s: %v", k.text, err)
		}
		if got := c.WritesPool(k.pool); got != k.want {
			t.Errorf("%s on pool %q: %v", k.text, k.pool, got)
		}
	}
}
