package osdmap

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/object"
)

// osdmaptool runs the stock tool; the test is skipped without it.
func osdmaptool(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("osdmaptool"); err != nil {
		t.Skip("osdmaptool is not installed")
	}
	cmd := exec.Command("osdmaptool", args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("osdmaptool %v: %v\n%s", args, err, &errs)
	}
	return out.String()
}

// randomMap makes a map the way a monitor does: an incremental for a new
// cluster, another for its OSDs, another for what happens to them.
func randomMap(t *testing.T, r *rand.Rand, osds int32) *Map {
	t.Helper()
	now := time.Unix(1.7e9, 0)
	fsid := entity.UUID{1, 2, 3}
	c := randomCrush(t, r, osds)

	inc := NewIncremental(fsid, 1)
	inc.Modified = now
	inc.Crush = c.Encode()
	inc.NewFlags = int32(FlagSortBitwise | FlagRecoveryDeletes | FlagPurgedSnapDirs | FlagPGLogHardLimit)
	inc.NewRequireOSDRelease, inc.NewRequireMinCompatClient = entity.Pacific, entity.Luminous
	inc.NewNearfullRatio, inc.NewFullRatio, inc.NewBackfillfullRatio = 0.85, 0.95, 0.9
	inc.NewMaxOSD = osds
	for id := range int64(4) {
		typ := Replicated
		if id%2 == 1 {
			typ = Erasure
		}
		p := NewPool(typ)
		p.Size = uint8(2 + r.IntN(4))
		p.MinSize = p.Size - 1
		p.CrushRule = uint8(id % 2)
		p.PGNum = uint32(1 + r.IntN(64))
		p.PGPNum = 1 + r.Uint32N(p.PGNum)
		p.PGNumTarget, p.PGPNumTarget, p.PGNumPending = p.PGNum, p.PGPNum, p.PGNum
		p.AutoscaleMode = AutoscaleMode(r.IntN(3))
		if r.IntN(4) > 0 {
			p.Flags |= PoolFlagHashPSPool
		}
		p.Opts[OptPGNumMin], p.Opts[OptTargetSizeRatio], p.Opts[OptCompressionMode] = int64(r.IntN(9)), r.Float64(), "passive"
		p.Applications["rbd"] = map[string]string{"a": "b"}
		p.Snaps[3] = PoolSnap{3, now, "snap"}
		p.QuotaMaxBytes = uint64(r.IntN(2)) * 12345
		inc.NewPools[id+1], inc.NewPoolNames[id+1] = p, fmt.Sprintf("pool%d", id+1)
	}
	inc.NewPoolMax = 4
	inc.NewRemovedSnaps[1] = NewSnapSet(1, 2, 5)
	m, err := New().Apply(inc)
	if err != nil {
		t.Fatal(err)
	}

	inc = NewIncremental(fsid, 2)
	inc.Modified, inc.NewLastUpChange = now.Add(time.Second), now
	addr := func(typ entity.AddrType, port uint16) entity.Addr {
		return entity.Addr{Type: typ, Nonce: r.Uint32(), AP: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(port)}), port)}
	}
	addrs := func() entity.AddrVec {
		return entity.AddrVec{addr(entity.AddrMsgr2, 6800), addr(entity.AddrLegacy, 6801)}[:1+r.IntN(2)]
	}
	for o := range osds {
		if r.IntN(20) == 0 {
			continue // does not exist
		}
		inc.NewState[o] = StateExists
		if r.IntN(8) > 0 {
			delete(inc.NewState, o)
			inc.NewUpClient[o], inc.NewUpCluster[o], inc.NewHBBackUp[o], inc.NewHBFrontUp[o] = addrs(), addrs(), addrs(), addrs()
		} else if r.IntN(2) == 0 {
			inc.NewState[o] |= StateNew | StateAutoOut
		}
		inc.NewUUID[o] = entity.UUID{byte(o), 1}
		if inc.NewState[o]&StateNew == 0 {
			inc.NewWeight[o] = [...]uint32{WeightIn, WeightIn, WeightIn, WeightIn / 2, 1000, WeightOut}[r.IntN(6)]
		}
		inc.NewXInfo[o] = XInfo{Features: 7, LaggyInterval: 3, LaggyProbability: r.Uint32()}
		inc.NewUpThru[o] = uint32(r.IntN(3))
	}
	if m, err = m.Apply(inc); err != nil {
		t.Fatal(err)
	}

	inc = NewIncremental(fsid, 3)
	inc.Modified = now.Add(2 * time.Second)
	pick := func(n uint8) []int32 {
		var s []int32
		for _, o := range r.Perm(int(osds)) {
			if len(s) < int(n) && m.Exists(int32(o)) {
				s = append(s, int32(o))
			}
		}
		return s
	}
	for o := range osds {
		if m.Exists(o) && r.IntN(3) == 0 {
			inc.NewPrimaryAffinity[o] = uint32(r.IntN(5)) * AffinityDefault / 4
		}
	}
	for id, p := range m.Pools {
		for range 8 {
			pg := object.PG{Pool: id, Seed: r.Uint32N(p.PGNum)}
			switch r.IntN(4) {
			case 0:
				inc.NewPGTemp[pg] = pick(p.Size)
			case 1:
				if o := pick(1); len(o) > 0 {
					inc.NewPrimaryTemp[pg] = o[0]
				}
			case 2:
				inc.NewPGUpmap[pg] = pick(p.Size)
			case 3:
				raw, _ := m.PGToRaw(pg)
				if len(raw) > 0 {
					if to := pick(1); len(to) > 0 {
						inc.NewPGUpmapItems[pg] = []UpmapItem{{raw[r.IntN(len(raw))], to[0]}}
					}
				}
			}
		}
	}
	inc.NewBlocklist[addr(entity.AddrAny, 77)] = now.Add(time.Hour)
	inc.NewPurgedSnaps[1] = NewSnapSet(2)
	inc.NewErasureCodeProfiles["default"] = map[string]string{"k": "2", "m": "2"}
	if m, err = m.Apply(inc); err != nil {
		t.Fatal(err)
	}
	return m
}

func randomCrush(t *testing.T, r *rand.Rand, osds int32) *crush.Map {
	t.Helper()
	c, err := crush.BuildDefault("host")
	if err != nil {
		t.Fatal(err)
	}
	perHost := int32(1 + r.IntN(10))
	for o := range osds {
		w := uint32(1+r.IntN(64)) * crush.WeightOne / 16
		loc := crush.Loc{"host": fmt.Sprintf("h%d", o/perHost), "rack": fmt.Sprintf("r%d", o/perHost/5), "root": "default"}
		if _, err := c.CreateOrMove(o, w, fmt.Sprintf("osd.%d", o), loc, true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.AddSimpleRule("ec", "default", []string{"host", "osd"}[r.IntN(2)], "", "indep", crush.RuleErasure); err != nil {
		t.Fatal(err)
	}
	c.Rules[1].MinSize = 1
	if r.IntN(2) == 0 {
		c.CreateWeightSet(crush.DefaultChooseArgs, 1)
		if err := c.ReweightSet(crush.DefaultChooseArgs, osds/2, []uint32{crush.WeightOne / 3}); err != nil {
			t.Fatal(err)
		}
	}
	if r.IntN(2) == 0 {
		c.CreateWeightSet(2, 3)
		if err := c.ReweightSet(2, osds/3, []uint32{1000, 70000, 12345}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// TestAgainstOSDMapTool compares all mappings and all that is printed.
func TestAgainstOSDMapTool(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 3))
			osds := int32(1 + r.IntN(60))
			if seed == 11 {
				osds = 1000
			}
			m := randomMap(t, r, osds)
			file := filepath.Join(t.TempDir(), "map")
			if err := os.WriteFile(file, m.Encode(), 0o600); err != nil {
				t.Fatal(err)
			}
			again, err := Decode(m.Encode())
			if err != nil {
				t.Fatal(err)
			}
			checkMappings(t, again, osdmaptool(t, file, "--test-map-pgs-dump-all"))
			diffLines(t, m.Text(), osdmaptool(t, file, "--print"))
			var f jsonfmt.Formatter
			f.Object("", func() { m.Dump(&f) })
			diffLines(t, f.Pretty(), osdmaptool(t, file, "--dump", "json-pretty"))
			diffLines(t, m.Tree("", TreeFilter{}).Text(), osdmaptool(t, file, "--tree"))
		})
	}
}
