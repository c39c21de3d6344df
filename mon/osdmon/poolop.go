package osdmon

import (
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// poolOp does what librados asks for without a command: pools and snapshots.
// The reply names the epoch that has the change; the client waits for it.
func (s *Service) poolOp(sess *service.Session, b *msg.PoolOp) service.Answer {
	pool := int64(b.Pool)
	p := s.view().Pools[pool]
	reply := func(err error) service.Answer { return s.poolOpReply(b, errno.Code(err), nil, false) }
	done := func(data []byte) service.Answer { return s.poolOpReply(b, 0, data, true) }

	if !s.mayPoolOp(sess, b) {
		return reply(errno.EPERM)
	}
	if b.FSID != s.cur.FSID {
		return reply(errno.EINVAL)
	}
	switch b.Op {
	case msg.PoolOpCreate:
		if _, _, ok := s.view().PoolByName(b.Name); ok {
			return reply(nil)
		}
		_, r, ok := s.createPool(newPool{name: b.Name, ruleID: int(b.CrushRule)}, s.h.Now())
		if !ok {
			return reply(r.Errno)
		}
		return done(nil)
	case msg.PoolOpDelete:
		if p == nil {
			return reply(nil)
		}
		if r, ok := s.mayRemovePool(pool); !ok {
			return reply(r.Errno)
		}
		s.removePool(pool)
		return done(nil)
	}
	if p == nil {
		return reply(errno.ENOENT)
	}
	snap, exists := snapByName(p, b.Name)
	switch b.Op {
	case msg.PoolOpCreateSnap:
		switch {
		case unmanaged(p) || p.TierOf >= 0:
			return reply(errno.EINVAL)
		case exists:
			return reply(nil)
		}
		s.addSnap(pool, b.Name, s.h.Now())
		return done(nil)
	case msg.PoolOpDeleteSnap:
		switch {
		case unmanaged(p):
			return reply(errno.EINVAL)
		case !exists:
			return reply(nil)
		}
		s.removeSnap(pool, snap)
		return done(nil)
	case msg.PoolOpCreateUnmanagedSnap:
		if managed(p) {
			return reply(errno.EINVAL)
		}
		var e wire.Encoder
		e.U64(uint64(s.addUnmanagedSnap(pool)))
		return done(e.Bytes())
	case msg.PoolOpDeleteUnmanagedSnap:
		id := object.SnapID(b.SnapID)
		switch {
		case managed(p):
			return reply(errno.EINVAL)
		case s.isRemoved(pool, id):
			return reply(nil)
		case !unmanaged(p):
			return reply(errno.EOPNOTSUPP)
		case id > p.SnapSeq:
			return reply(errno.ENOENT)
		}
		s.removeUnmanagedSnap(pool, id)
		return done(nil)
	}
	return reply(errno.EOPNOTSUPP)
}

// mayPoolOp: everything needs write access to the OSD map; for snapshots that
// clients manage themselves it is enough to be allowed that operation.
func (s *Service) mayPoolOp(sess *service.Session, b *msg.PoolOp) bool {
	if sess.Capable("osd", "w") {
		return true
	}
	if b.Op != msg.PoolOpCreateUnmanagedSnap && b.Op != msg.PoolOpDeleteUnmanagedSnap {
		return false
	}
	name, args := s.view().PoolNames[int64(b.Pool)], map[string]string{}
	if name != "" {
		args["poolname"] = name
	}
	return sess.CapableOf("osd", "osd pool op unmanaged-snap", args, "w") || s.accounts.MayWritePool(sess.Auth, name)
}

func (s *Service) poolOpReply(b *msg.PoolOp, code int32, data []byte, commit bool) service.Answer {
	epoch := s.cur.Epoch
	if commit {
		epoch++
	}
	return service.Answer{
		Body: &msg.PoolOpReply{
			Paxos: msg.Paxos{Version: uint64(epoch), Session: -1}, FSID: b.FSID, Code: code, Epoch: epoch, Reply: data,
		},
		Commit: commit,
	}
}
