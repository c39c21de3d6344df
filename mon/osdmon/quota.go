package osdmon

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// Quotas of pools; checkQuotas enforces them.

func (s *Service) quotaCommands(t *command.Table) {
	t.Read("osd pool get-quota", s.cmdGetQuota)
	t.Write("osd pool set-quota", s.cmdSetQuota)
}

func (s *Service) cmdGetQuota(c *command.Call) command.Reply {
	name := c.Str("pool")
	id, p, ok := s.cur.PoolByName(name)
	if !ok {
		return command.Fail(errno.ENOENT, "unrecognized pool '%s'", name)
	}
	objects, bytes, _ := s.stats.PoolUsage(id) // none yet of a pool just made
	plain := func() string {
		out := fmt.Sprintf("quotas for pool '%s':\n  max objects: ", name)
		if p.QuotaMaxObjects == 0 {
			out += "N/A"
		} else {
			out += fmt.Sprintf("%s objects  (current num objects: %d objects)", jsonfmt.SI(p.QuotaMaxObjects), objects)
		}
		out += "\n  max bytes  : "
		if p.QuotaMaxBytes == 0 {
			return out + "N/A"
		}
		return out + fmt.Sprintf("%s  (current num bytes: %d bytes)", jsonfmt.Bytes(p.QuotaMaxBytes), bytes)
	}
	return withNewline(c.Either(plain, func(f *jsonfmt.Formatter) {
		f.Object("pool_quotas", func() {
			f.Str("pool_name", name)
			f.Uint("pool_id", uint64(id))
			f.Uint("quota_max_objects", p.QuotaMaxObjects)
			f.Int("current_num_objects", objects)
			f.Uint("quota_max_bytes", p.QuotaMaxBytes)
			f.Int("current_num_bytes", bytes)
		})
	}))
}

func (s *Service) cmdSetQuota(c *command.Call) command.Reply {
	name, field, val := c.Str("pool"), c.Str("field"), c.Str("val")
	id, _, ok := s.view().PoolByName(name)
	if !ok {
		return command.Fail(errno.ENOENT, "unrecognized pool '%s'", name)
	}
	var parse func(string) (int64, string)
	switch field {
	case "max_objects":
		parse = parseSI
	case "max_bytes":
		parse = parseIEC
	default:
		return command.Fail(errno.EINVAL, "unrecognized field '%s'; should be 'max_bytes' or 'max_objects'", field)
	}
	n, why := parse(val)
	if why != "" {
		return command.Fail(errno.EINVAL, "error parsing value '%s': %s", val, why)
	}
	p := s.editPool(id)
	if field == "max_objects" {
		p.QuotaMaxObjects = uint64(n)
	} else {
		p.QuotaMaxBytes = uint64(n)
	}
	s.life.news = true // it may be full now, or not any more
	return command.Committed("set-quota %s = %d for pool %s", field, n, name)
}
