package osd

import (
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
)

type blocked struct {
	addr  entity.Addr
	until time.Time
}

// sortedBlocklist lists a blocklist in the order of addresses.
func sortedBlocklist(m map[entity.Addr]time.Time) []blocked {
	list := make([]blocked, 0, len(m))
	for a, until := range m {
		list = append(list, blocked{a, until})
	}
	slices.SortFunc(list, func(a, b blocked) int { return a.addr.Compare(b.addr) })
	return list
}
