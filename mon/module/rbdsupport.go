package module

import (
	"fmt"
	"regexp"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/python"
)

// rbdCommands are those of the module rbd_support, which works on block device
// images when nobody waits for it: it follows schedules and a queue of tasks.
// This manager does not work on images. So there is never a schedule or a task,
// and none can be made.
func (s *Service) rbdCommands(t *command.Table) {
	for _, kind := range []struct {
		prefix string
		images bool // there are schedules of single images
		status string
	}{{"rbd mirror snapshot schedule ", true, "scheduled_images"}, {"rbd trash purge schedule ", false, "scheduled"}} {
		onLevel := func(h command.Handler) command.Handler {
			return func(c *command.Call) command.Reply {
				if words := s.badLevel(c.Str("level_spec"), kind.images); words != "" {
					return command.Fail(errno.EINVAL, "Invalid level spec %s: %s", c.Str("level_spec"), words)
				}
				return h(c)
			}
		}
		none := func(*command.Call) command.Reply { return command.Fail(errno.ENOENT, "there are no schedules") }
		t.Read(kind.prefix+"list", onLevel(func(*command.Call) command.Reply { return python.Output("{}") }))
		t.Read(kind.prefix+"status", onLevel(func(*command.Call) command.Reply {
			return python.Output(python.Indented(map[string]any{kind.status: []any{}}))
		}))
		t.Read(kind.prefix+"add", onLevel(notScheduled))
		t.Read(kind.prefix+"remove", onLevel(none))
	}
	for _, what := range []string{"flatten", "remove", "trash remove", "migration execute", "migration commit", "migration abort"} {
		t.Read("rbd task add "+what, func(*command.Call) command.Reply {
			return command.Fail(errno.EOPNOTSUPP, "tasks on images are not supported: this manager does not work on images")
		})
	}
	t.Read("rbd task list", func(c *command.Call) command.Reply {
		if c.Str("task_id") != "" {
			return noTask(c)
		}
		return python.Output("[]")
	})
	t.Read("rbd task cancel", noTask)
	for _, what := range []string{"stats", "counters"} {
		t.Read("rbd perf image "+what, func(c *command.Call) command.Reply { return s.imagePerf(c, what) })
	}
}

func notScheduled(*command.Call) command.Reply {
	return command.Fail(errno.EOPNOTSUPP, "schedules are not supported: this manager does not work on images")
}

func noTask(c *command.Call) command.Reply {
	return command.Fail(errno.ENOENT, "No such task %s", c.Str("task_id"))
}

// levelSpec is what a schedule is for: all, POOL/, POOL/NAMESPACE/ or an image
// of either.
var levelSpec = regexp.MustCompile(`^(?:([^/]+)/(?:(?:([^/]*)/|)(?:([^/@]+))?)?)?$`)

// badLevel says what is wrong with a level, "" for nothing. Of images nothing is
// known here.
func (s *Service) badLevel(spec string, images bool) string {
	m := levelSpec.FindStringSubmatch(spec)
	switch {
	case m == nil:
		return "failed to parse " + spec
	case m[3] != "" && !images:
		return fmt.Sprintf("invalid name %s: image level is not allowed", spec)
	case m[1] == "":
		return ""
	}
	_, pool, ok := s.OSD.Map().PoolByName(m[1])
	if !ok {
		return fmt.Sprintf("pool %s does not exist", m[1])
	}
	if pool.Applications["rbd"] == nil {
		return m[1] + " is not an RBD pool"
	}
	return ""
}

// imagePerf is the load of images. OSDs do not count by image, so there is
// nothing in it.
func (s *Service) imagePerf(c *command.Call, what string) command.Reply {
	if pool := levelSpec.FindStringSubmatch(c.Str("pool_spec") + "/"); pool != nil && pool[1] != "" {
		if _, _, ok := s.OSD.Map().PoolByName(pool[1]); !ok {
			return command.Fail(errno.ENOENT, "[errno 2] RADOS object not found (Pool '%s' not found)", pool[1])
		}
	}
	member := map[string]string{"stats": "stat", "counters": "counter"}[what]
	// Written out since its members are in this order.
	return python.Output(fmt.Sprintf(`{"timestamp": %s, "%s_descriptors": %s, "pool_descriptors": {}, "%s": []}`,
		python.Float(float64(c.Now.Unix())), member,
		python.Compact([]string{"write_ops", "read_ops", "write_bytes", "read_bytes", "write_latency", "read_latency"}), what))
}
