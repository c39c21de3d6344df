package entity

import "fmt"

// Release is a major release of Ceph (ceph_release_t). Maps say with it which
// clients and daemons they ask for.
type Release uint8

const (
	Luminous Release = 12
	Nautilus Release = 14
	Octopus  Release = 15
	Pacific  Release = 16 // what this is
)

var releases = [...]string{
	"unknown", "argonaut", "bobtail", "cuttlefish", "dumpling", "emperor", "firefly", "giant", "hammer",
	"infernalis", "jewel", "kraken", "luminous", "mimic", "nautilus", "octopus", "pacific", "quincy", "reef", "squid",
}

func (r Release) String() string {
	if int(r) < len(releases) {
		return releases[r]
	}
	return "unknown"
}

// ParseRelease is the inverse of String.
func ParseRelease(s string) (Release, error) {
	for i, n := range releases[1:] {
		if n == s {
			return Release(i + 1), nil
		}
	}
	return 0, fmt.Errorf("%q is not recognized as a release", s)
}

// clientFeatures are the feature bits that clients have since a release, beside
// those of before (ceph_release_features).
var clientFeatures = [...]struct {
	since Release
	bits  uint64
}{
	{1, 1 << 18},        // CRUSH_TUNABLES
	{4, 1<<25 | 1<<30},  // dumpling: CRUSH_TUNABLES2, OSDHASHPSPOOL
	{6, 1<<35 | 1<<41},  // firefly: OSD_CACHEPOOL, CRUSH_TUNABLES3 and OSD_PRIMARY_AFFINITY
	{8, 1 << 48},        // hammer: CRUSH_V4
	{10, 1 << 58},       // jewel: CRUSH_TUNABLES5
	{11, 1 << 59},       // kraken: MSG_ADDR2
	{Luminous, 1 << 21}, // CRUSH_CHOOSE_ARGS
}

// ClientFeatures are the bits that all clients of a release have. There are none
// that tell those after luminous from it.
func (r Release) ClientFeatures() (bits uint64) {
	for _, f := range clientFeatures {
		if f.since <= r {
			bits |= f.bits
		}
	}
	return bits
}

// ReleaseOf is the first release whose clients look like one with these features
// (ceph_release_from_features).
func ReleaseOf(features uint64) Release {
	r := clientFeatures[0].since
	for _, f := range clientFeatures {
		if features&f.bits != f.bits {
			break
		}
		r = f.since
	}
	return r
}
