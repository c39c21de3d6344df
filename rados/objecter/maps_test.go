package objecter

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// history is an OSD map of each epoch, full and incremental.
type history struct {
	full, incs map[uint32][]byte
}

func makeHistory(t *testing.T, epochs uint32) history {
	h := history{map[uint32][]byte{}, map[uint32][]byte{}}
	m := osdmap.New()
	m.FSID = msg.FSID{7}
	m.Epoch = 1
	h.full[1] = m.Encode()
	m, err := osdmap.Decode(h.full[1])
	if err != nil {
		t.Fatal(err)
	}
	for e := uint32(2); e <= epochs; e++ {
		inc := osdmap.NewIncremental(m.FSID, e)
		p := osdmap.NewPool(osdmap.Replicated)
		p.PGNum, p.PGPNum, p.Size = e, e, 1
		inc.NewPools[int64(e)] = p
		inc.NewPoolNames[int64(e)] = fmt.Sprint("pool", e)
		if m, err = m.Apply(inc); err != nil {
			t.Fatal(err)
		}
		h.full[e] = m.Encode()
		h.incs[e] = inc.Encode(osdmap.FullCRC(h.full[e]))
	}
	return h
}

func (h history) message(full, incs []uint32) *msg.OSDMap {
	m := &msg.OSDMap{Full: map[uint32][]byte{}, Incrementals: map[uint32][]byte{}}
	for _, e := range full {
		m.Full[e] = h.full[e]
	}
	for _, e := range incs {
		m.Incrementals[e] = h.incs[e]
	}
	return m
}

func TestFollowMaps(t *testing.T) {
	t.Parallel()
	h := makeHistory(t, 9)
	for _, c := range []struct {
		why        string
		have       uint32 // 0: nothing
		full, incs []uint32
		want       []uint32
		gap, again bool
	}{
		{"the first map", 0, []uint32{5}, nil, []uint32{5}, true, false},
		{"the first with what came after", 0, []uint32{5}, []uint32{6, 7}, []uint32{5, 6, 7}, true, false},
		{"nothing to begin with", 0, nil, []uint32{6, 7}, nil, false, true},
		{"the next ones", 5, nil, []uint32{6, 7}, []uint32{6, 7}, false, false},
		{"old ones are passed over", 5, []uint32{2}, []uint32{3, 4, 5, 6}, []uint32{6}, false, false},
		{"only old ones", 5, []uint32{5}, []uint32{4}, nil, false, false},
		{"a full map in place of an incremental", 5, []uint32{6}, []uint32{7}, []uint32{6, 7}, false, false},
		{"a gap", 3, []uint32{7}, []uint32{8}, []uint32{7, 8}, true, false},
		{"a gap after some", 3, []uint32{7}, []uint32{4, 5}, []uint32{7}, true, false},
		{"a gap with no way over", 3, nil, []uint32{6, 7}, nil, false, true},
		{"some, then no way", 3, nil, []uint32{4, 6}, []uint32{4}, false, true},
	} {
		var cur *osdmap.Map
		if c.have != 0 {
			var err error
			if cur, err = osdmap.Decode(h.full[c.have]); err != nil {
				t.Fatal(err)
			}
		}
		news, gap, again := Follow(cur, h.message(c.full, c.incs), func(e uint32, err error) { t.Errorf("%s: e%d: %v", c.why, e, err) })
		var epochs []uint32
		for _, m := range news {
			epochs = append(epochs, m.Epoch)
			if want := int(m.Epoch) - 1; len(m.Pools) != want {
				t.Errorf("%s: e%d has %d pools, want %d", c.why, m.Epoch, len(m.Pools), want)
			}
		}
		if !slices.Equal(epochs, c.want) || c.have != 0 && gap != c.gap || again != c.again {
			t.Errorf("%s: %v gap %v again %v, want %v %v %v", c.why, epochs, gap, again, c.want, c.gap, c.again)
		}
	}

	bad := 0
	cur, _ := osdmap.Decode(h.full[5])
	m := h.message(nil, []uint32{6, 7, 8})
	m.Incrementals[7] = m.Incrementals[7][:20]
	news, _, again := Follow(cur, m, func(uint32, error) { bad++ })
	if len(news) != 1 || !again || bad != 1 {
		t.Errorf("a damaged incremental: %d maps, again %v, %d complaints", len(news), again, bad)
	}
}
