package mon

import (
	"maps"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
)

// A raft message with a snapshot is sent in chunks, each when the one before
// was acknowledged, so that it neither fills queues nor holds up heartbeats. Of
// each other monitor there is at most one such message on its way in each
// direction. If the receiver falls silent the sender tells raft that the
// snapshot failed, and raft begins anew.
type transfers struct {
	last uint64
	out  map[string]*sending
	in   map[string]*receiving
}

type sending struct {
	id     uint64
	raftID uint64
	data   []byte
	next   uint64 // acknowledged up to here
	heard  time.Time
}

type receiving struct {
	id    uint64
	total uint64
	data  []byte
}

const (
	chunkSize = 1 << 20
	// maxSnapshot bounds what a monitor takes into memory.
	maxSnapshot = 1 << 30
	// transferSilence gives a transfer up.
	transferSilence = 5 * time.Second
)

func newTransfers() transfers {
	return transfers{out: map[string]*sending{}, in: map[string]*receiving{}}
}

// sendRaft sends a message of raft, a large one in chunks.
func (m *Mon) sendRaft(raftID uint64, data []byte, snapshot bool) {
	to, at := m.raftPeer(raftID)
	switch {
	case to == "", m.member.exiled:
		return
	case !snapshot:
		m.tellAt(to, at, &raftBytes{data})
		return
	}
	m.transfers.last++
	s := &sending{id: m.transfers.last, raftID: raftID, data: data, heard: m.now}
	m.transfers.out[to] = s
	m.log.Info("send a snapshot", "mon", to, "bytes", len(data))
	m.sendChunk(to, s)
}

func (m *Mon) sendChunk(to string, s *sending) {
	end := min(s.next+chunkSize, uint64(len(s.data)))
	m.tellPeer(to, &chunk{id: s.id, offset: s.next, total: uint64(len(s.data)), data: s.data[s.next:end]})
}

// gotChunk sends the next part, or learns that all is there.
func (m *Mon) gotChunk(from string, b *got) {
	s := m.transfers.out[from]
	if s == nil || s.id != b.id || b.next > uint64(len(s.data)) || b.next <= s.next {
		return
	}
	s.next, s.heard = b.next, m.now
	if s.next < uint64(len(s.data)) {
		m.sendChunk(from, s)
		return
	}
	delete(m.transfers.out, from)
	m.rn.ReportSnapshot(s.raftID, raft.SnapshotFinish)
}

// snapshotLost gives a transfer up.
func (m *Mon) snapshotLost(to string) {
	if s := m.transfers.out[to]; s != nil {
		delete(m.transfers.out, to)
		m.rn.ReportSnapshot(s.raftID, raft.SnapshotFailure)
	}
}

// tickTransfers gives up what was not acknowledged for a while.
func (m *Mon) tickTransfers() {
	for _, to := range slices.Sorted(maps.Keys(m.transfers.out)) {
		if s := m.transfers.out[to]; m.now.Sub(s.heard) > transferSilence {
			m.log.Warn("snapshot was not taken", "mon", to, "bytes", s.next, "of", len(s.data))
			m.snapshotLost(to)
		}
	}
}

// takeChunk puts a message together and steps it when it is complete.
func (m *Mon) takeChunk(from string, b *chunk) {
	r := m.transfers.in[from]
	if b.offset == 0 {
		if b.total > maxSnapshot {
			m.log.Error("snapshot is too large", "mon", from, "bytes", b.total)
			return
		}
		r = &receiving{id: b.id, total: b.total}
		m.transfers.in[from] = r
	}
	if r == nil || r.id != b.id || uint64(len(r.data)) != b.offset || b.offset+uint64(len(b.data)) > r.total {
		return // of a message given up
	}
	r.data = append(r.data, b.data...)
	m.tellPeer(from, &got{b.id, uint64(len(r.data))})
	if uint64(len(r.data)) < r.total {
		return
	}
	delete(m.transfers.in, from)
	m.stepRaft(r.data)
}
