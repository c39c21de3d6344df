package osdmon

import (
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// tierCommands answer that there are no cache tiers here: Ceph itself gives
// them up.
func (s *Service) tierCommands(t *command.Table) {
	for _, name := range []string{"add", "rm", "remove", "cache-mode", "set-overlay", "rm-overlay", "remove-overlay", "add-cache"} {
		t.Write("osd tier "+name, func(c *command.Call) command.Reply {
			for _, arg := range []string{"pool", "tierpool", "overlaypool"} {
				if _, _, ok := s.view().PoolByName(c.Str(arg)); c.Has(arg) && !ok {
					return command.Fail(errno.ENOENT, "unrecognized pool '%s'", c.Str(arg))
				}
			}
			return command.Fail(errno.EOPNOTSUPP, "cache tiering is not supported")
		})
	}
}
