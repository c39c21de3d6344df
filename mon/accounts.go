package mon

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/cephx/caps"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/authmon"
)

// accounts are what the OSD map's service needs of the accounts.
type accounts struct{ auth *authmon.Service }

// CreateOSD makes the account of a new OSD.
func (a accounts) CreateOSD(osd int32, key string) (made bool, err error) {
	k, err := cephx.ParseKey(key)
	if err != nil {
		return false, fmt.Errorf("%w: %w", err, errno.EINVAL)
	}
	name := entity.AuthName{Type: entity.OSD, ID: fmt.Sprint(osd)}
	if have, ok := a.auth.Entity(name); ok {
		if have.Key.Base64() != k.Base64() {
			return false, fmt.Errorf("%v has another key: %w", name, errno.EEXIST)
		}
		return false, nil
	}
	a.auth.Put(name, cephx.Entity{Key: k, Caps: map[string]string{
		"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *",
	}})
	return true, nil
}

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
