package mon

import (
	"fmt"
	"log/slog"
	"strconv"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/monmon"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/monmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// Member is a monitor of a new cluster.
type Member struct {
	Name  string
	Addrs entity.AddrVec
}

// Genesis is what a new cluster begins with.
type Genesis struct {
	service.Genesis
	Mons     []Member
	Accounts cephx.Keyring                // client.admin and the like; not "mon."
	Options  map[string]map[string]string // central configuration, by section
	Settings map[string]string            // the monitors' own (Config.Options), by which the first maps are made
}

// Bootstrap returns what is to be written, synced, into the empty storage of
// each of the first monitors.
func Bootstrap(g Genesis) ([]Op, error) {
	if len(g.Mons) == 0 {
		return nil, fmt.Errorf("mon: a cluster needs a monitor")
	}
	first := monmap.New(entity.UUID(g.FSID), g.Created)
	first.Epoch = 1
	ids := map[string]uint64{}
	conf := new(raftpb.ConfState)
	for i, mem := range g.Mons {
		if err := first.Add(&monmap.Mon{Name: mem.Name, Addrs: mem.Addrs}); err != nil {
			return nil, fmt.Errorf("mon: %w", err)
		}
		ids[mem.Name] = uint64(i + 1)
		conf.Voters = append(conf.Voters, uint64(i+1))
	}
	m := &Mon{
		cfg: Config{Name: g.Mons[0].Name, Rand: g.Rand, Options: g.Settings}, log: slog.New(slog.DiscardHandler),
		st: newStore(empty{}), now: g.Created, table: command.NewTable(), changed: map[string]bool{},
	}
	if err := m.makeConfig(); err != nil {
		return nil, err
	}
	m.rlog = &raftLog{done: progress{Conf: conf}}
	m.parts = newParts(m)
	if err := m.load(); err != nil {
		return nil, err
	}
	n := entry{Changes: []change{{m.parts.mon.Name(), monmon.Found(first, ids)}}}
	accounts, err := m.parts.auth.Found(g.Genesis, g.Accounts)
	if err != nil {
		return nil, err
	}
	n.Changes = append(n.Changes, change{m.parts.auth.Name(), accounts})
	for _, s := range m.parts.services {
		if f, ok := s.(service.Founder); ok {
			n.Changes = append(n.Changes, change{s.Name(), f.Found(g.Genesis)})
		}
	}
	if err := m.apply(n); err != nil {
		return nil, fmt.Errorf("mon: %w", err)
	}
	if err := m.parts.config.Found(g.Created, g.Options); err != nil {
		return nil, err
	}
	if data := m.parts.kv.Propose(g.Created); data != nil {
		if err := m.apply(entry{Changes: []change{{m.parts.kv.Name(), data}}}); err != nil {
			return nil, fmt.Errorf("mon: %w", err)
		}
	}
	m.st.put(keyFormat, []byte(format))
	// As if all that were the content of the first entry.
	m.st.put(keyHardState, marshal(&raftpb.HardState{Term: new(uint64(1)), Vote: new(uint64(0)), Commit: new(uint64(1))}))
	m.st.put(keyApplied, wire.Marshal(progress{Index: 1, Term: 1, First: 1, FirstTerm: 1, Conf: conf}))
	return m.st.take(), m.st.err
}

// empty is the storage before there is anything.
type empty struct{}

func (empty) Get(string) ([]byte, error)                           { return nil, nil }
func (empty) Scan(string, string, func(string, []byte) bool) error { return nil }

func crcText(b []byte) string { return strconv.FormatUint(uint64(wire.CRC32C(^uint32(0), b)), 10) }
