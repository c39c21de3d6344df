package rados

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/rados/monclient"
)

// Target is who executes a command.
type Target struct {
	kind entity.Type
	id   string
	pg   bool
}

// ToMons is the monitors' quorum.
func ToMons() Target { return Target{kind: entity.Mon} }

// ToMon is one monitor, by its name.
func ToMon(name string) Target { return Target{kind: entity.Mon, id: name} }

// ToMgr is the active manager.
func ToMgr() Target { return Target{kind: entity.Mgr} }

// ToOSD is one OSD.
func ToOSD(id int) Target { return Target{kind: entity.OSD, id: strconv.Itoa(id)} }

// ToPG is the OSD that leads a placement group, such as "2.1f".
func ToPG(pgid string) Target { return Target{kind: entity.OSD, id: pgid, pg: true} }

func (t Target) String() string {
	switch {
	case t.pg:
		return "pg " + t.id
	case t.id == "":
		return t.kind.String()
	}
	return t.kind.String() + "." + t.id
}

// CommandError is a command that was refused or failed.
type CommandError struct {
	Target Target
	Prefix string
	Status string // what the cluster says, for people
	Err    error
}

func (e *CommandError) Error() string {
	s := fmt.Sprintf("rados: command %q to %v: ", e.Prefix, e.Target)
	if e.Status != "" {
		return s + e.Status
	}
	return s + e.Err.Error()
}

func (e *CommandError) Unwrap() error { return e.Err }

// Reply is what a command brought.
type Reply struct {
	Data   []byte
	Status string // for people; of some commands all there is
}

// Command runs a command, such as {"prefix": "osd pool ls", "format": "json"}:
// what the ceph tool sends. cmd is encoded as JSON, unless it is []byte or
// json.RawMessage. A refusal is a *CommandError; the reply may still tell more.
func (c *Cluster) Command(ctx context.Context, to Target, cmd any, input []byte) (Reply, error) {
	text, ok := cmd.([]byte)
	if raw, isRaw := cmd.(json.RawMessage); isRaw {
		text, ok = raw, true
	}
	if !ok {
		var err error
		if text, err = json.Marshal(cmd); err != nil {
			return Reply{}, fmt.Errorf("rados: command: %w", err)
		}
	}
	var head struct{ Prefix string }
	_ = json.Unmarshal(text, &head) // for errors only; the cluster judges the command
	out, err := c.send(ctx, to, string(text), input)
	if err != nil {
		return Reply{}, &CommandError{Target: to, Prefix: head.Prefix, Err: closedError(err)}
	}
	r := Reply{Data: out.Data, Status: out.Status}
	if err := out.Err(); err != nil {
		return r, &CommandError{Target: to, Prefix: head.Prefix, Status: out.Status, Err: err}
	}
	return r, nil
}

func (c *Cluster) send(ctx context.Context, to Target, cmd string, input []byte) (*monclient.Output, error) {
	body := func() msg.Command {
		b := msg.Command{FSID: c.mons.FSID(), Cmd: []string{cmd}}
		b.Data = buffer.ListOf(input)
		return b
	}
	switch {
	case to.kind == entity.Mon && to.id == "":
		return c.mons.Command(ctx, cmd, input)
	case to.kind == entity.Mon:
		m := c.mons.MonMap().Mons[to.id]
		if m == nil {
			return nil, fmt.Errorf("no such monitor: %w", errno.ENOENT)
		}
		b := body()
		return c.daemons.command(ctx, entity.Mon, m.Addrs, &b)
	case to.kind == entity.Mgr:
		not := uint64(0)
		for {
			m, err := c.daemons.activeMgr(ctx, not)
			if err != nil {
				return nil, err
			}
			out, err := c.daemons.command(ctx, entity.Mgr, m.ActiveAddrs, &msg.MgrCommand{Command: body()})
			if err == nil || ctx.Err() != nil || errors.Is(err, errno.EACCES) {
				return out, err
			}
			c.log.Info("mgr does not answer", "gid", m.ActiveGID, "err", err)
			not = m.ActiveGID
		}
	}
	m, err := c.objects.WaitLatestMap(ctx)
	if err != nil {
		return nil, err
	}
	osd := int32(-1)
	if to.pg {
		pg, err := object.ParsePG(to.id)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, errno.EINVAL)
		}
		if p := m.Pools[pg.Pool]; p == nil || pg.Seed >= p.PGNum {
			return nil, fmt.Errorf("pg %v does not exist: %w", pg, errno.ENOENT)
		}
		osd = m.PGToUpActing(pg).ActingPrimary
	} else if n, err := strconv.ParseInt(to.id, 10, 32); err == nil {
		osd = int32(n)
	}
	if osd < 0 || !m.Exists(osd) {
		return nil, fmt.Errorf("no such osd: %w", errno.ENOENT)
	}
	if !m.IsUp(osd) {
		return nil, fmt.Errorf("osd.%d is down: %w", osd, errno.ENXIO)
	}
	b := body()
	return c.daemons.command(ctx, entity.OSD, m.ClientAddrs[osd], &b)
}
