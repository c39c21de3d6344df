package osdmon

import (
	"maps"
	"slices"
	"testing"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// follower is a subscriber that keeps a map from what it is sent.
func followMaps(t *testing.T, m *osdmap.Map, bodies []msg.Body) *osdmap.Map {
	t.Helper()
	for _, b := range bodies {
		b := b.(*msg.OSDMap)
		if n := len(b.Incrementals) + len(b.Full); n == 0 || n > maxMapsPerMessage {
			t.Errorf("a message of %d maps", n)
		}
		for _, e := range slices.Sorted(maps.Keys(b.Full)) {
			full, err := osdmap.Decode(b.Full[e])
			if err != nil {
				t.Fatal(err)
			}
			m = full
		}
		for _, e := range slices.Sorted(maps.Keys(b.Incrementals)) {
			inc, err := osdmap.DecodeIncremental(b.Incrementals[e])
			if err != nil {
				t.Fatal(err)
			}
			if m, err = m.Apply(inc); err != nil {
				t.Fatal(err)
			}
			if crc := osdmap.FullCRC(m.Encode()); crc != inc.FullCRC {
				t.Errorf("e%d: crc %08x, announced %08x", e, crc, inc.FullCRC)
			}
		}
	}
	return m
}

func TestPublish(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	for range 100 {
		c.Run("osd set", "key", "noout")
	}
	if oldest, newest := c.Versions("osdmap"); oldest != 1 || newest != 101 {
		t.Fatalf("%d to %d", oldest, newest)
	}
	latest, next := c.Publish(nil, "osdmap", 0)
	if len(latest) != 1 || len(latest[0].(*msg.OSDMap).Full) != 1 || next != 102 {
		t.Errorf("for 0: %+v, next %d", latest, next)
	}
	if m := followMaps(t, nil, latest); m.Epoch != 101 {
		t.Errorf("e%d", m.Epoch)
	}
	at50, err := c.mapAt(50)
	if err != nil {
		t.Fatal(err)
	}
	bodies, next := c.Publish(nil, "osdmap", 51)
	if m := followMaps(t, at50, bodies); m.Epoch != 101 || next != 102 || len(bodies) != 2 {
		t.Errorf("from 51: e%d in %d messages, next %d", m.Epoch, len(bodies), next)
	}
	if bodies, next := c.Publish(nil, "osdmap", 102); bodies != nil || next != 102 {
		t.Error("maps of the future")
	}
}

// Old epochs are trimmed, but none that is still needed; who asks for a trimmed
// one gets the oldest full map and all after it.
func TestTrim(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.Options["mon_min_osdmap_epochs"] = "50"
	c.Options["paxos_service_trim_min"] = "20"
	step := func(n int) {
		for range n {
			c.Run("osd set", "key", "noout")
		}
	}
	step(100)
	if c.first != 1 {
		t.Errorf("trimmed to e%d without knowing what is needed", c.first)
	}
	c.stats.floor = 40
	step(1)
	if c.first != 32 {
		t.Errorf("trimmed to e%d, want e32: the last with a full map of those nobody needs", c.first)
	}
	c.stats.floor = 1000
	step(100)
	if keep := c.Map().Epoch - 50; c.first > keep || c.first < keep-2*fullInterval-20 {
		t.Errorf("trimmed to e%d at e%d", c.first, c.Map().Epoch)
	}
	check := func() {
		t.Helper()
		for e := c.first; e <= c.Map().Epoch; e++ {
			if m, err := c.mapAt(e); err != nil || m.Epoch != e {
				t.Fatalf("e%d: %v", e, err)
			}
		}
		if _, err := c.mapAt(c.first - 1); errno.Code(err) != -int32(errno.ENOENT) {
			t.Errorf("before the first: %v", err)
		}
	}
	check()
	c.Reload(c.Service)
	check()
	bodies, _ := c.Publish(nil, "osdmap", 5)
	first := bodies[0].(*msg.OSDMap)
	if len(first.Full) != 1 || first.Full[c.first] == nil || first.Oldest != c.first {
		t.Errorf("first message: %d full maps, oldest %d", len(first.Full), first.Oldest)
	}
	if m := followMaps(t, nil, bodies); m.Epoch != c.Map().Epoch {
		t.Errorf("e%d", m.Epoch)
	}
	kept := 0
	for range c.r.Scan(keyFull, keyFull+"~") {
		kept++
	}
	if want := int(c.Map().Epoch-c.first)/fullInterval + 2; kept > want {
		t.Errorf("%d full maps kept for e%d to e%d", kept, c.first, c.Map().Epoch)
	}
}
