package osdmap

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
)

// Apply returns the map of the next epoch (OSDMap::apply_incremental). m stays
// as it is; what did not change is shared. An incremental of another cluster or
// epoch, or one that names an OSD beyond MaxOSD, is an error.
func (m *Map) Apply(inc *Incremental) (*Map, error) {
	if inc.Epoch != m.Epoch+1 {
		return nil, fmt.Errorf("osdmap: incremental of e%d on e%d: %w", inc.Epoch, m.Epoch, errno.EINVAL)
	}
	if inc.Epoch > 1 && inc.FSID != m.FSID {
		return nil, fmt.Errorf("osdmap e%d: incremental of cluster %v, this is %v: %w", inc.Epoch, inc.FSID, m.FSID, errno.EINVAL)
	}
	if len(inc.FullMap) > 0 {
		n, err := Decode(inc.FullMap)
		if err == nil && n.Epoch != inc.Epoch {
			err = fmt.Errorf("osdmap: full map of e%d in the incremental of e%d: %w", n.Epoch, inc.Epoch, errno.EINVAL)
		}
		return n, err
	}

	c := *m
	n := &c
	n.cache = nil
	n.FSID = inc.FSID
	n.Epoch = inc.Epoch
	n.Modified = inc.Modified
	if inc.NewFlags >= 0 {
		n.Flags = Flags(inc.NewFlags)
	}
	n.cloneOSDs(inc)
	if inc.NewMaxOSD >= 0 {
		if inc.NewMaxOSD > maxOSDs {
			return nil, fmt.Errorf("osdmap e%d: max_osd %d: %w", inc.Epoch, inc.NewMaxOSD, errno.ERANGE)
		}
		n.setMaxOSD(inc.NewMaxOSD)
	}
	if err := inc.checkOSDs(n.MaxOSD); err != nil {
		return nil, err
	}
	if err := n.applyPools(inc); err != nil {
		return nil, err
	}
	n.applyOSDs(inc)
	n.applyPGs(inc)
	n.applyBlocklist(inc)
	n.applySettings(inc)
	if err := n.applyCrush(inc); err != nil {
		return nil, err
	}
	n.publish()
	return n, nil
}

// maxOSDs bounds what a bad incremental can make us allocate.
const maxOSDs = 1 << 20

// cloneOSDs gives n its own copy of the per-OSD lists that inc may change.
func (n *Map) cloneOSDs(inc *Incremental) {
	states := len(inc.NewState)+len(inc.NewUpClient)+len(inc.NewWeight) > 0
	if states {
		n.State = slices.Clone(n.State)
	}
	if states || len(inc.NewXInfo) > 0 {
		n.XInfo = slices.Clone(n.XInfo)
	}
	if states || len(inc.NewUpThru)+len(inc.NewLastCleanInterval)+len(inc.NewLost) > 0 {
		n.Info = slices.Clone(n.Info)
	}
	if len(inc.NewWeight) > 0 {
		n.Weight = slices.Clone(n.Weight)
	}
	if len(inc.NewPrimaryAffinity)+len(inc.NewState) > 0 {
		n.PrimaryAffinity = slices.Clone(n.PrimaryAffinity)
	}
	if len(inc.NewState)+len(inc.NewUUID) > 0 {
		n.UUID = slices.Clone(n.UUID)
	}
	if len(inc.NewState)+len(inc.NewUpClient)+len(inc.NewUpCluster) > 0 {
		n.ClientAddrs = slices.Clone(n.ClientAddrs)
		n.ClusterAddrs = slices.Clone(n.ClusterAddrs)
		n.HBBackAddrs = slices.Clone(n.HBBackAddrs)
		n.HBFrontAddrs = slices.Clone(n.HBFrontAddrs)
	}
}

// setMaxOSD resizes the per-OSD lists.
func (n *Map) setMaxOSD(max int32) {
	n.MaxOSD = max
	n.State = resize(n.State, max, 0)
	n.Weight = resize(n.Weight, max, WeightOut)
	n.Info = resize(n.Info, max, Info{})
	n.XInfo = resize(n.XInfo, max, XInfo{})
	n.UUID = resize(n.UUID, max, entity.UUID{})
	n.ClientAddrs = resize(n.ClientAddrs, max, nil)
	n.ClusterAddrs = resize(n.ClusterAddrs, max, nil)
	n.HBBackAddrs = resize(n.HBBackAddrs, max, nil)
	n.HBFrontAddrs = resize(n.HBFrontAddrs, max, nil)
	if len(n.PrimaryAffinity) > 0 {
		n.PrimaryAffinity = resize(n.PrimaryAffinity, max, AffinityDefault)
	}
}

func resize[T any](s []T, n int32, fill T) []T {
	r := make([]T, n)
	for i := copy(r, s); i < len(r); i++ {
		r[i] = fill
	}
	return r
}

// checkOSDs verifies that all OSDs that inc names are below max.
func (inc *Incremental) checkOSDs(max int32) error {
	var bad error
	check := func(what string, osd int32) {
		if osd < 0 || osd >= max {
			bad = fmt.Errorf("osdmap e%d: new %s of osd.%d of %d: %w", inc.Epoch, what, osd, max, errno.EINVAL)
		}
	}
	checkKeys(check, "client address", inc.NewUpClient)
	checkKeys(check, "cluster address", inc.NewUpCluster)
	checkKeys(check, "heartbeat address", inc.NewHBBackUp)
	checkKeys(check, "heartbeat address", inc.NewHBFrontUp)
	checkKeys(check, "state", inc.NewState)
	checkKeys(check, "weight", inc.NewWeight)
	checkKeys(check, "affinity", inc.NewPrimaryAffinity)
	checkKeys(check, "up_thru", inc.NewUpThru)
	checkKeys(check, "clean interval", inc.NewLastCleanInterval)
	checkKeys(check, "lost epoch", inc.NewLost)
	checkKeys(check, "uuid", inc.NewUUID)
	checkKeys(check, "xinfo", inc.NewXInfo)
	return bad
}

func checkKeys[V any](check func(string, int32), what string, m map[int32]V) {
	for osd := range m {
		check(what, osd)
	}
}

func (n *Map) applyPools(inc *Incremental) error {
	if inc.NewPoolMax != -1 {
		n.PoolMax = int32(inc.NewPoolMax)
	}
	if len(inc.NewPools)+len(inc.OldPools) > 0 {
		n.Pools = cloneMap(n.Pools)
		for id, p := range inc.NewPools {
			c := *p
			c.LastChange = inc.Epoch
			n.Pools[id] = &c
		}
	}
	if len(inc.NewPoolNames)+len(inc.OldPools) > 0 {
		n.PoolNames = cloneMap(n.PoolNames)
		maps.Copy(n.PoolNames, inc.NewPoolNames)
	}
	for _, id := range inc.OldPools {
		delete(n.Pools, id)
		delete(n.PoolNames, id)
	}

	n.NewRemovedSnaps = inc.NewRemovedSnaps
	n.NewPurgedSnaps = inc.NewPurgedSnaps
	if len(inc.NewRemovedSnaps)+len(inc.NewPurgedSnaps) > 0 {
		n.RemovedSnapsQueue = cloneMap(n.RemovedSnapsQueue)
		for id, s := range inc.NewRemovedSnaps {
			n.RemovedSnapsQueue[id] = n.RemovedSnapsQueue[id].Union(s)
		}
		for id, s := range inc.NewPurgedSnaps {
			q, ok := n.RemovedSnapsQueue[id]
			if !ok {
				return fmt.Errorf("osdmap e%d: purged snapshots of pool %d, which has none removed: %w", inc.Epoch, id, errno.EINVAL)
			}
			if q = q.Subtract(s); len(q) > 0 {
				n.RemovedSnapsQueue[id] = q
			} else {
				delete(n.RemovedSnapsQueue, id)
			}
		}
	}

	if len(inc.NewErasureCodeProfiles)+len(inc.OldErasureCodeProfiles) > 0 {
		n.ErasureCodeProfiles = cloneMap(n.ErasureCodeProfiles)
		for _, name := range inc.OldErasureCodeProfiles {
			delete(n.ErasureCodeProfiles, name)
		}
		maps.Copy(n.ErasureCodeProfiles, inc.NewErasureCodeProfiles)
	}
	return nil
}

// applyOSDs follows the order that clients follow too: weights, then states,
// then those that come up.
func (n *Map) applyOSDs(inc *Incremental) {
	if !inc.NewLastUpChange.IsZero() {
		n.LastUpChange = inc.NewLastUpChange
	}
	if !inc.NewLastInChange.IsZero() {
		n.LastInChange = inc.NewLastInChange
	}
	for osd, w := range inc.NewWeight {
		n.Weight[osd] = w
		if w > 0 {
			n.State[osd] &^= StateAutoOut | StateNew
			n.XInfo[osd].OldWeight = 0
		}
		if w > 0 && n.State[osd]&StateExists == 0 {
			// set_weight: an OSD that has a weight exists.
			n.State[osd] |= StateExists
		}
	}
	for osd, a := range inc.NewPrimaryAffinity {
		n.setAffinity(osd, a)
	}
	for osd, flip := range inc.NewState {
		if flip == 0 {
			flip = StateUp
		}
		was := n.State[osd]
		if was&flip&StateUp != 0 {
			n.Info[osd].DownAt = inc.Epoch
			n.XInfo[osd].DownStamp = inc.Modified
		}
		if was&flip&StateExists == 0 {
			n.State[osd] ^= flip
			continue
		}
		// It is removed; the next of that id starts from nothing.
		n.State[osd] = 0
		n.UUID[osd] = entity.UUID{}
		n.Info[osd] = Info{}
		n.XInfo[osd] = XInfo{}
		n.setAffinity(osd, AffinityDefault)
		n.ClientAddrs[osd], n.ClusterAddrs[osd] = nil, nil
		n.HBFrontAddrs[osd], n.HBBackAddrs[osd] = nil, nil
	}
	for osd, addrs := range inc.NewUpClient {
		n.State[osd] |= StateExists | StateUp
		n.State[osd] &^= StateStop
		n.ClientAddrs[osd] = addrs
		n.HBBackAddrs[osd] = inc.NewHBBackUp[osd]
		n.HBFrontAddrs[osd] = inc.NewHBFrontUp[osd]
		n.Info[osd].UpFrom = inc.Epoch
	}
	for osd, addrs := range inc.NewUpCluster {
		n.ClusterAddrs[osd] = addrs
	}
	for osd, epoch := range inc.NewUpThru {
		n.Info[osd].UpThru = epoch
	}
	for osd, i := range inc.NewLastCleanInterval {
		n.Info[osd].LastCleanBegin, n.Info[osd].LastCleanEnd = i.Begin, i.End
	}
	for osd, epoch := range inc.NewLost {
		n.Info[osd].LostAt = epoch
	}
	for osd, x := range inc.NewXInfo {
		n.XInfo[osd] = x
	}
	for osd, u := range inc.NewUUID {
		n.UUID[osd] = u
	}
}

// setAffinity keeps the list empty until the first OSD asks for one.
func (n *Map) setAffinity(osd int32, a uint32) {
	if len(n.PrimaryAffinity) == 0 {
		n.PrimaryAffinity = resize([]uint32(nil), n.MaxOSD, AffinityDefault)
	}
	n.PrimaryAffinity[osd] = a
}

func (n *Map) applyPGs(inc *Incremental) {
	if len(inc.NewPGTemp) > 0 {
		n.PGTemp = cloneMap(n.PGTemp)
		for pg, osds := range inc.NewPGTemp {
			if len(osds) == 0 {
				delete(n.PGTemp, pg)
			} else {
				n.PGTemp[pg] = osds
			}
		}
	}
	if len(inc.NewPrimaryTemp) > 0 {
		n.PrimaryTemp = cloneMap(n.PrimaryTemp)
		for pg, osd := range inc.NewPrimaryTemp {
			if osd == -1 {
				delete(n.PrimaryTemp, pg)
			} else {
				n.PrimaryTemp[pg] = osd
			}
		}
	}
	if len(inc.NewPGUpmap)+len(inc.OldPGUpmap) > 0 {
		n.PGUpmap = cloneMap(n.PGUpmap)
		maps.Copy(n.PGUpmap, inc.NewPGUpmap)
		for _, pg := range inc.OldPGUpmap {
			delete(n.PGUpmap, pg)
		}
	}
	if len(inc.NewPGUpmapItems)+len(inc.OldPGUpmapItems) > 0 {
		n.PGUpmapItems = cloneMap(n.PGUpmapItems)
		maps.Copy(n.PGUpmapItems, inc.NewPGUpmapItems)
		for _, pg := range inc.OldPGUpmapItems {
			delete(n.PGUpmapItems, pg)
		}
	}
}

func (n *Map) applyBlocklist(inc *Incremental) {
	apply := func(list *map[entity.Addr]time.Time, add map[entity.Addr]time.Time, remove []entity.Addr) {
		if len(add)+len(remove) == 0 {
			return
		}
		*list = cloneMap(*list)
		for a, until := range add {
			// An entry that is there keeps its time; all parties do so.
			if _, ok := (*list)[a]; !ok {
				(*list)[a] = until
			}
		}
		for _, a := range remove {
			delete(*list, a)
		}
	}
	apply(&n.Blocklist, inc.NewBlocklist, inc.OldBlocklist)
	apply(&n.RangeBlocklist, inc.NewRangeBlocklist, inc.OldRangeBlocklist)
}

func (n *Map) applySettings(inc *Incremental) {
	applyNodeFlags(&n.CrushNodeFlags, inc.NewCrushNodeFlags)
	applyNodeFlags(&n.DeviceClassFlags, inc.NewDeviceClassFlags)
	n.ClusterSnapshot, n.ClusterSnapshotEpoch = inc.ClusterSnapshot, 0
	if inc.ClusterSnapshot != "" {
		n.ClusterSnapshotEpoch = inc.Epoch
	}
	if inc.NewNearfullRatio >= 0 {
		n.NearfullRatio = inc.NewNearfullRatio
	}
	if inc.NewBackfillfullRatio >= 0 {
		n.BackfillfullRatio = inc.NewBackfillfullRatio
	}
	if inc.NewFullRatio >= 0 {
		n.FullRatio = inc.NewFullRatio
	}
	if r := inc.NewRequireMinCompatClient; r != ReleaseUnchanged && r > 0 {
		n.RequireMinCompatClient = r
	}
	if r := inc.NewRequireOSDRelease; r != ReleaseUnchanged {
		n.RequireOSDRelease = r
		n.normalizeFlags()
	}
	if inc.NewStretch != nil {
		n.Stretch = *inc.NewStretch
	}
}

func applyNodeFlags(flags *map[int32]State, change map[int32]State) {
	if len(change) == 0 {
		return
	}
	*flags = cloneMap(*flags)
	for id, f := range change {
		if f != 0 {
			(*flags)[id] = f
		} else {
			delete(*flags, id)
		}
	}
}

func (n *Map) applyCrush(inc *Incremental) error {
	if len(inc.Crush) == 0 {
		return nil
	}
	var err error
	if n.Crush, err = crush.Decode(inc.Crush); err != nil {
		return fmt.Errorf("osdmap e%d: %w", inc.Epoch, err)
	}
	n.CrushVersion++
	for class := range n.DeviceClassFlags {
		if _, ok := n.Crush.ClassNames[class]; !ok {
			n.DeviceClassFlags = cloneMap(n.DeviceClassFlags)
			delete(n.DeviceClassFlags, class)
		}
	}
	return nil
}
