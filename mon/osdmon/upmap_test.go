package osdmon

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Exceptions hold as long as they lead where the rule could have led.
func TestUpmapsThatDoNotHold(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		name string
		to   func(up, spare []int32) []int32 // pairs; spare are OSDs of the host without a copy
		then func(c *cluster, up, spare []int32)
		left int // items
	}{
		{"good", func(up, spare []int32) []int32 { return []int32{up[0], spare[0]} }, nil, 1},
		{"two copies on a host", func(up, _ []int32) []int32 { return []int32{up[0], up[1] ^ 1} }, nil, 0},
		{"from where it is not", func(_, spare []int32) []int32 { return []int32{spare[0], spare[1]} }, nil, 0},
		{"target out", func(up, spare []int32) []int32 { return []int32{up[0], spare[0]} },
			func(c *cluster, _, spare []int32) { c.Run("osd out", "ids", []string{fmt.Sprint(spare[0])}) }, 0},
		{"target without weight", func(up, spare []int32) []int32 { return []int32{up[0], spare[0]} },
			func(c *cluster, _, spare []int32) {
				c.Run("osd crush reweight", "name", fmt.Sprintf("osd.%d", spare[0]), "weight", 0.0)
			}, 0},
		{"target moved away", func(up, spare []int32) []int32 { return []int32{up[0], spare[0]} },
			func(c *cluster, _, spare []int32) {
				c.Run("osd crush set", "id", spare[0], "weight", 1.0, "args", []string{"root=aside"})
			}, 0},
		{"one of two left", func(up, spare []int32) []int32 { return []int32{up[0], up[0] ^ 1, up[1], spare[0]} },
			func(c *cluster, up, _ []int32) { c.Run("osd out", "ids", []string{fmt.Sprint(up[0] ^ 1)}) }, 1},
		{"pool gone", func(up, spare []int32) []int32 { return []int32{up[0], spare[0]} },
			func(c *cluster, _, _ []int32) {
				c.Run("osd pool delete", "pool", "a", "pool2", "a", "yes_i_really_really_mean_it", true)
			}, 0},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.hosts(6)
			c.Run("osd set-require-min-compat-client", "version", "luminous")
			c.Run("osd pool create", "pool", "a", "size", 2)
			pg := object.PG{Pool: 1, Seed: 0}
			up := slices.Clone(c.Map().PGToUpActing(pg).Up)
			var spare []int32
			for o := range int32(6) {
				if o/2 != up[0]/2 && o/2 != up[1]/2 {
					spare = append(spare, o)
				}
			}
			c.Run("osd pg-upmap-items", "pgid", "1.0", "id", k.to(up, spare))
			if k.then != nil {
				if len(c.Map().PGUpmapItems[pg]) == 0 {
					t.Fatal("not taken")
				}
				k.then(c, up, spare)
			}
			if got := c.Map().PGUpmapItems[pg]; len(got) != k.left {
				t.Errorf("left %v of group on %v, spare %v", got, up, spare)
			}
			if k.left > 0 && k.then == nil && !slices.Contains(c.Map().PGToUpActing(pg).Up, spare[0]) {
				t.Errorf("on %v", c.Map().PGToUpActing(pg).Up)
			}
		})
	}
}

// A whole mapping holds only for as many OSDs as the pool has copies.
func TestWholeUpmap(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.hosts(6)
	c.Run("osd set-require-min-compat-client", "version", "luminous")
	c.Run("osd pool create", "pool", "a", "size", 2)
	pg := object.PG{Pool: 1, Seed: 0}
	up := c.Map().PGToUpActing(pg).Up
	other := []int32{up[0] ^ 1, up[1] ^ 1}
	c.Run("osd pg-upmap", "pgid", "1.0", "id", other)
	if m := c.Map(); !slices.Equal(m.PGUpmap[pg], other) || !slices.Equal(m.PGToUpActing(pg).Up, other) {
		t.Fatalf("%v: on %v", m.PGUpmap[pg], m.PGToUpActing(pg).Up)
	}
	c.Run("osd pool set", "pool", "a", "var", "size", "val", "3")
	if got := c.Map().PGUpmap[pg]; got != nil {
		t.Errorf("left for three copies: %v", got)
	}
	if st := c.Map().State[0]; st&osdmap.StateUp == 0 {
		t.Errorf("state %v", st.Names())
	}
}
