package osdmap

import (
	"math/bits"
	"slices"
	"strings"
)

// Flags are switches of the whole cluster (CEPH_OSDMAP_*).
type Flags uint32

const (
	FlagNearFull        Flags = 1 << 0 // NEARFULL and FULL are per pool since luminous
	FlagFull            Flags = 1 << 1
	FlagPauseRd         Flags = 1 << 2
	FlagPauseWr         Flags = 1 << 3
	FlagPauseRec        Flags = 1 << 4
	FlagNoUp            Flags = 1 << 5
	FlagNoDown          Flags = 1 << 6
	FlagNoOut           Flags = 1 << 7
	FlagNoIn            Flags = 1 << 8
	FlagNoBackfill      Flags = 1 << 9
	FlagNoRecover       Flags = 1 << 10
	FlagNoScrub         Flags = 1 << 11
	FlagNoDeepScrub     Flags = 1 << 12
	FlagNoTierAgent     Flags = 1 << 13
	FlagNoRebalance     Flags = 1 << 14
	FlagSortBitwise     Flags = 1 << 15
	FlagRequireJewel    Flags = 1 << 16
	FlagRequireKraken   Flags = 1 << 17
	FlagRequireLuminous Flags = 1 << 18
	FlagRecoveryDeletes Flags = 1 << 19
	FlagPurgedSnapDirs  Flags = 1 << 20
	FlagNoSnapTrim      Flags = 1 << 21
	FlagPGLogHardLimit  Flags = 1 << 22

	// FlagsSemiHidden are always set and no news in a summary.
	FlagsSemiHidden = FlagRequireJewel | FlagRequireKraken | FlagRequireLuminous |
		FlagRecoveryDeletes | FlagSortBitwise | FlagPurgedSnapDirs | FlagPGLogHardLimit
	flagsLegacyRequire = FlagRequireJewel | FlagRequireKraken | FlagRequireLuminous
)

// flagNames are in the order in which they are printed.
var flagNames = []struct {
	flag Flags
	name string
}{
	{FlagPauseRd, "pauserd"}, {FlagPauseWr, "pausewr"}, {FlagPauseRec, "pauserec"},
	{FlagNoUp, "noup"}, {FlagNoDown, "nodown"}, {FlagNoOut, "noout"}, {FlagNoIn, "noin"},
	{FlagNoBackfill, "nobackfill"}, {FlagNoRebalance, "norebalance"}, {FlagNoRecover, "norecover"},
	{FlagNoScrub, "noscrub"}, {FlagNoDeepScrub, "nodeep-scrub"}, {FlagNoTierAgent, "notieragent"}, {FlagNoSnapTrim, "nosnaptrim"},
	{FlagSortBitwise, "sortbitwise"}, {FlagRequireJewel, "require_jewel_osds"}, {FlagRequireKraken, "require_kraken_osds"},
	{FlagRequireLuminous, "require_luminous_osds"}, {FlagRecoveryDeletes, "recovery_deletes"},
	{FlagPurgedSnapDirs, "purged_snapdirs"}, {FlagPGLogHardLimit, "pglog_hardlimit"},
}

// String joins the names with commas.
func (f Flags) String() string { return strings.Join(f.list(), ",") }

func (f Flags) list() []string {
	var s []string
	for _, n := range flagNames {
		if f&n.flag != 0 {
			s = append(s, n.name)
		}
	}
	return s
}

// set returns the names sorted; nameless bits show as one empty name.
func (f Flags) set() []string {
	s := f.list()
	if len(s) < bits.OnesCount32(uint32(f)) {
		s = append(s, "")
	}
	slices.Sort(s)
	return s
}

// ParseFlag returns the flag of a name.
func ParseFlag(name string) (Flags, bool) {
	for _, n := range flagNames {
		if n.name == name {
			return n.flag, true
		}
	}
	return 0, false
}

// bitNames returns the names of the bits that are set in v, sorted.
func bitNames(v uint64, names []string) []string {
	var s []string
	for i, n := range names {
		if v&(1<<i) != 0 && n != "" {
			s = append(s, n)
		}
	}
	slices.Sort(s)
	return s
}
