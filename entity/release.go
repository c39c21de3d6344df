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
