package module

import (
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/python"
)

// volumeCommands answer for a cluster without file systems, and so without
// volumes.
func (s *Service) volumeCommands(t *command.Table) {
	t.Read("fs volume ls", func(*command.Call) command.Reply { return python.Output("[]") })
	t.Read("fs volume create", func(*command.Call) command.Reply {
		return command.Fail(errno.EOPNOTSUPP, "this cluster has no metadata servers")
	})
	missing := func(c *command.Call) command.Reply {
		return command.Fail(errno.ENOENT, "FS '%s' not found", c.Str("vol_name"))
	}
	t.Read("fs volume rm", func(c *command.Call) command.Reply {
		name := c.Str("vol_name")
		switch {
		case c.Str("yes-i-really-mean-it") != "--yes-i-really-mean-it":
			return command.Fail(errno.EPERM, "WARNING: this will *PERMANENTLY DESTROY* all data stored in the filesystem '%s'. "+
				"If you are *ABSOLUTELY CERTAIN* that is what you want, re-issue the command followed by --yes-i-really-mean-it.", name)
		case s.Host.Option("mon_allow_pool_delete") != "true":
			return command.Fail(errno.EPERM, "pool deletion is disabled; you must first set the mon_allow_pool_delete config option to true "+
				"before volumes can be deleted")
		}
		return missing(c)
	})
	for _, prefix := range t.Unanswered(command.FlagMgr) {
		for _, family := range []string{"fs volume ", "fs subvolume ", "fs subvolumegroup ", "fs clone "} {
			if strings.HasPrefix(prefix, family) {
				t.Read(prefix, missing)
			}
		}
	}
}
