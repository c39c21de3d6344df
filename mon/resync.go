package mon

import (
	"fmt"
	"io"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/monmap"
)

// "sync_force" makes a monitor throw its store away at its next start and join
// anew, for one whose store is suspected to be bad. It comes back with another
// number in the raft group (member.go): what the old store had promised is not
// counted on.

const (
	keyForce = "raft/force" // the next start begins with an empty store
	keySeeds = "raft/seeds" // MonMap of then, for as long as nobody let it in
)

// quorumCommands registers what is told to one monitor about its part in the
// quorum.
func (m *Mon) quorumCommands(add func(sig, help string, do command.Handler)) {
	add("sync_force name=yes_i_really_mean_it,type=CephBool,req=false name=validate,type=CephChoices,strings=--yes-i-really-mean-it,req=false",
		"force sync of and clear monitor store", m.syncForce)
	add("quorum enter", "force monitor back into quorum", func(*command.Call) command.Reply { return m.exile(false) })
	add("quorum exit", "force monitor out of the quorum", func(*command.Call) command.Reply { return m.exile(true) })
}

func (m *Mon) syncForce(c *command.Call) command.Reply {
	if !c.Bool("yes_i_really_mean_it") && c.Str("validate") != "--yes-i-really-mean-it" {
		return command.Fail(errno.EPERM, "are you SURE? this will mean the monitor store will be erased the next time the monitor is restarted.  pass '--yes-i-really-mean-it' if you really do.")
	}
	if len(m.others()) == 0 {
		return command.Fail(errno.EINVAL, "mon.%s is the only monitor: nobody has what its store has", m.cfg.Name)
	}
	m.st.put(keyForce, []byte{1})
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("sync_force", func() {
			f.Int("ret", 0)
			f.Str("msg", "forcing store sync the next time the monitor starts")
		})
	})
}

// exile takes a monitor out of the quorum, until it is told to come back or
// starts anew.
func (m *Mon) exile(out bool) command.Reply {
	if m.alone() {
		return command.Fail(errno.EINVAL, "mon.%s is the only monitor", m.cfg.Name)
	}
	m.member.exiled = out
	if out {
		return command.Text("stopped responding to quorum, initiated new election")
	}
	return command.Text("started responding to quorum, initiated new election")
}

// openEmpty begins to join, if the store is empty or to be emptied.
func (m *Mon) openEmpty() error {
	seeds := m.st.get(keySeeds)
	if m.st.get(keyForce) != nil {
		var e error
		if seeds, e = m.forget(); e != nil {
			return e
		}
	}
	if seeds != nil {
		mm, err := monmap.Decode(seeds)
		if err != nil {
			return fmt.Errorf("mon: where to join: %w", err)
		}
		for _, n := range mm.Ranks {
			if n != m.cfg.Name {
				m.cfg.Seeds = append(m.cfg.Seeds, mm.Mons[n].Addrs)
			}
		}
		if len(m.cfg.Addrs) == 0 && mm.Mons[m.cfg.Name] != nil {
			m.cfg.Addrs = mm.Mons[m.cfg.Name].Addrs
		}
	}
	if m.st.get(keyApplied) != nil || m.st.err != nil || len(m.cfg.Seeds) == 0 {
		return m.st.err
	}
	m.member.joining, m.member.next = true, m.now
	_, err := io.ReadFull(m.cfg.Rand, m.member.instance[:])
	return err
}

// forget empties the store but for where to join.
func (m *Mon) forget() (seeds []byte, err error) {
	for _, v := range m.writer("monmap").Scan("map/", "map0") {
		seeds = v
	}
	if seeds == nil {
		return nil, fmt.Errorf("mon: the store that is to be erased has no monitor map: %w", errno.EINVAL)
	}
	for k := range m.st.scan("", "") {
		m.st.del(k)
	}
	m.st.put(keySeeds, seeds)
	return seeds, nil
}
