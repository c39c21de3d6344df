package mon

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/cephx/caps"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/msg"
)

// request is a message on its way to an answer.
type request struct {
	s    *session
	body msg.Body
	tid  uint64
	// since is when it came.
	since time.Time
	// sent is when it was forwarded last.
	sent time.Time
	// fwd is the tid of its forwarding: to the leader, or on the leader by the
	// peon that its session is with. 0: none
	fwd uint64

	// Of commands.
	cmd   []string
	call  *command.Call
	entry *command.Entry

	answer msg.Body // waits for the commit
}

// command begins a command: what can be refused or answered at once is.
func (m *Mon) command(r *request) {
	m.counters.commands.Inc()
	s := r.s
	var fsid msg.FSID
	var input buffer.List
	switch b := r.body.(type) {
	case *msg.MonCommand:
		fsid, r.cmd, input = b.FSID, b.Cmd, b.Data
	case *msg.MgrCommand:
		fsid, r.cmd, input = b.FSID, b.Cmd, b.Data
	case *msg.Command:
		fsid, r.cmd, input = b.FSID, b.Cmd, b.Data
	}
	// Clients leave the cluster's id out of what they send to the manager.
	if fsid != m.FSID() && !(s.Mgr && fsid.IsZero()) {
		m.reply(r, command.Fail(errno.EPERM, "wrong fsid"))
		return
	}
	call, err := command.Parse(r.cmd)
	if err != nil {
		words, _, _ := strings.Cut(err.Error(), ": "+errno.EINVAL.Error())
		m.reply(r, command.Fail(errno.Errno(-errno.Code(err)), "%s", words))
		return
	}
	r.call = call
	call.Input = bytes.Clone(input.Bytes())
	call.Now = m.now
	call.Caller = command.Caller{Name: s.Name, Auth: s.Auth, Addrs: s.Addrs}
	if to := m.told(s, r.body); to != nil {
		m.tell(r, to)
		return
	}
	if call.Prefix == "get_command_descriptions" {
		descriptions := m.table.Describe
		if s.Mgr {
			descriptions = m.table.DescribeMgr
		}
		m.reply(r, command.Reply{Output: descriptions()})
		return
	}
	r.entry = m.table.Find(call.Prefix)
	if s.Mgr && r.entry != nil && r.entry.Flags&command.FlagMgr == 0 {
		r.entry = nil // the manager knows only its own
	}
	switch {
	case r.entry == nil && s.Mgr:
		m.reply(r, command.Fail(errno.EINVAL, "No handler found for '%s'", call.Prefix))
	case r.entry == nil:
		m.reply(r, m.table.Unknown(call.Prefix))
	case !m.allowed(s, r.entry, call):
		m.counters.refused.Inc()
		m.audit(r, ":  access denied")
		m.log.Info("access denied", "entity", s.Auth.String(), "addr", s.Addrs.String(), "cmd", call.Prefix)
		words := "access denied"
		if s.Mgr {
			words = "access denied: does your client key have mgr caps? See http://docs.ceph.com/en/latest/mgr/administrator/#client-authentication"
		}
		m.reply(r, command.Fail(errno.EACCES, "%s", words))
	default:
		if bad, ok := r.entry.Check(call); !ok {
			m.reply(r, command.Fail(errno.EINVAL, "bad or missing field '%s'", bad))
			return
		}
		m.audit(r, ": dispatch")
		if r.entry.Kind == command.Write || r.entry.Leader && !m.leading {
			m.queue(r)
			return
		}
		m.read(r)
	}
}

func (m *Mon) allowed(s *session, e *command.Entry, c *command.Call) bool {
	args := caps.Args(c.Args())
	if s.Mgr {
		return s.MgrCaps != nil && s.MgrCaps.Allows(e.Module, "", c.Prefix, args, caps.ParsePerm(e.Perm), s.Addr())
	}
	return s.CapableOf(e.Module, c.Prefix, args, e.Perm)
}

// audit notes a command in the audit channel: who gave it, and what became of
// it.
func (m *Mon) audit(r *request, what string) {
	level := msg.LogDebug
	if r.entry != nil && strings.ContainsAny(r.entry.Perm, "wx") || strings.Contains(what, "denied") {
		level = msg.LogInfo
	}
	cmd := "[" + strings.Join(r.cmd, ",") + "]"
	if strings.Contains(what, "finished") {
		cmd = "'" + cmd + "'"
	}
	m.Log(level, "audit", "from='%s %s' entity='%s' cmd=%s%s", peerName(r.s.Name), peerAddrs(r.s.Addrs), r.s.Auth, cmd, what)
}

// run carries a request out; for those that may stage changes the time is
// right.
func (m *Mon) run(r *request) {
	if r.call != nil {
		r.call.Now = m.now
		rep := r.entry.Run(r.call)
		if rep.Commit && r.entry.Kind != command.Write {
			panic(fmt.Sprintf("BUG: %q wants to commit but is not of kind Write", r.call.Prefix))
		}
		if rep.Commit {
			r.answer = m.replyBody(r, rep)
			m.staged = append(m.staged, r)
			m.audit(r, ": finished")
			return
		}
		m.reply(r, rep)
		return
	}
	recv := m.parts.receivers[r.body.MsgType()]
	if recv == nil {
		m.log.Debug("message ignored", "type", r.body.MsgType(), "from", r.s.Name.String())
		m.respond(r, nil)
		return
	}
	a := recv.Receive(&r.s.Session, r.body)
	switch {
	case a.Body != nil && a.Commit:
		r.answer = a.Body
		m.staged = append(m.staged, r)
	default:
		m.respond(r, a.Body)
	}
}

func (m *Mon) reply(r *request, rep command.Reply) { m.respond(r, m.replyBody(r, rep)) }

// replyBody makes the message that answers the kind of command that came.
func (m *Mon) replyBody(r *request, rep command.Reply) msg.Body {
	result := -int32(rep.Errno)
	var data buffer.List
	if len(rep.Output) > 0 {
		data = buffer.ListOf(rep.Output)
	}
	switch r.body.(type) {
	case *msg.MonCommand:
		b := &msg.MonCommandAck{Paxos: msg.Paxos{Version: m.rlog.done.Index}, Result: result, Status: rep.Status, Cmd: r.cmd}
		b.Data = data
		return b
	case *msg.MgrCommand:
		b := &msg.MgrCommandReply{}
		b.Result, b.Status, b.Data = result, rep.Status, data
		return b
	}
	b := &msg.CommandReply{Result: result, Status: rep.Status}
	b.Data = data
	return b
}
