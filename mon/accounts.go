package mon

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/cephx/caps"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon/authmon"
)

// accounts are what the OSD map's service needs of the accounts.
type accounts struct{ auth *authmon.Service }

// RemoveOSD removes the accounts of an OSD: its own, and that of the key of its
// encrypted disk.
func (a accounts) RemoveOSD(osd int32, uuid entity.UUID) {
	for _, n := range []entity.AuthName{
		{Type: entity.OSD, ID: fmt.Sprint(osd)},
		{Type: entity.Client, ID: fmt.Sprintf("osd-lockbox.%v", uuid)},
	} {
		if _, ok := a.auth.Entity(n); ok {
			a.auth.Remove(n)
		}
	}
}

// MayWritePool reports whether an account may write to a pool.
func (a accounts) MayWritePool(account entity.AuthName, pool string) bool {
	e, ok := a.auth.Entity(account)
	if !ok {
		return false
	}
	c, err := caps.ParseOSD(e.Caps["osd"])
	return err == nil && c.WritesPool(pool)
}
