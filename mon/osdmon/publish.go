package osdmon

import (
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
)

// Topics are the names of its subscriptions.
func (s *Service) Topics() []string { return []string{"osdmap"} }

// Versions returns the oldest and newest epoch at hand.
func (s *Service) Versions(string) (oldest, newest uint64) {
	return uint64(s.first), uint64(s.cur.Epoch)
}

// Limits of one message; what does not fit goes into the next.
const (
	maxMapsPerMessage  = 40 // osd_map_message_max
	maxBytesPerMessage = 10 << 20
)

// Publish returns the maps from next on: the newest full map for 0, else
// incrementals, after the oldest full map if some were trimmed.
func (s *Service) Publish(_ *service.Session, _ string, next uint64) ([]msg.Body, uint64) {
	newest := s.cur.Epoch
	if newest == 0 || next > uint64(newest) {
		return nil, next
	}
	after := uint64(newest) + 1
	if next == 0 {
		m := s.newMessage()
		m.Full[newest] = s.full
		return []msg.Body{m}, after
	}
	var out []msg.Body
	epoch := uint32(next)
	if epoch < s.first {
		full, err := s.fullMap(s.first)
		if err != nil {
			return nil, next // the disk failed; the monitor stops
		}
		m := s.newMessage()
		m.Full[s.first] = full
		m.GapRemoved = s.everRemoved()
		out = append(out, m)
		epoch = s.first + 1
	}
	for epoch <= newest {
		m := s.newMessage()
		for size := 0; epoch <= newest && len(m.Incrementals) < maxMapsPerMessage && size < maxBytesPerMessage; epoch++ {
			inc := s.incremental(epoch)
			m.Incrementals[epoch] = inc
			size += len(inc)
		}
		out = append(out, m)
	}
	return out, after
}

// everRemoved are the removed snapshots of all pools, for clients that may have
// missed in which epoch: they must not write by them any more.
func (s *Service) everRemoved() map[int64][]msg.Interval {
	all := map[int64][]msg.Interval{}
	for id := range s.cur.Pools {
		for _, r := range s.snaps[id].Union(s.cur.RemovedSnapsQueue[id]) {
			all[id] = append(all[id], msg.Interval{Start: r.Begin, Len: object.SnapID(r.Length)})
		}
	}
	return all
}

func (s *Service) newMessage() *msg.OSDMap {
	return &msg.OSDMap{
		FSID: s.cur.FSID, Incrementals: map[uint32][]byte{}, Full: map[uint32][]byte{},
		Oldest: s.first, Newest: s.cur.Epoch,
	}
}
