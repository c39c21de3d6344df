package caps

// WritesPool reports whether some write to a pool is allowed, "" being one that
// does not exist. The monitors ask it before they hand out snapshot ids to a
// client, which needs no capability on the monitors for that
// (is_unmanaged_snap_op_permitted). Namespaces and object names do not matter:
// snapshots are of pools.
func (c *OSD) WritesPool(pool string) bool {
	for _, g := range c.grants {
		if g.writesPool(pool) {
			return true
		}
	}
	return false
}

func (g *osdGrant) writesPool(pool string) bool {
	if g.profile {
		for _, inner := range g.grants {
			if inner.writesPool(pool) {
				return true
			}
		}
		return false
	}
	switch {
	case g.allow&Write == 0:
		return false
	case g.match.everything():
		return true
	case pool == "":
		return false
	case g.match.pool != "":
		return g.match.pool == pool
	}
	return g.match.app == ""
}
