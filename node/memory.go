package node

import (
	"fmt"
	"sync/atomic"

	"github.com/pulpo-storage/pulpo/msg"
)

// Memory of the process.
//
// It has a target, [Options.Memory]. A part is for the monitor, the manager and
// what every process needs; the OSDs share the rest. Whoever sets
// osd_memory_target gives each OSD that instead. Of its part an OSD gives
//
//	a half    to its store: caches, and what waits for a checkpoint
//	3/8       to requests of clients that are not done, with what they are going
//	          to read; or what osd_client_message_size_cap says if that is less
//	the rest  to the logs of its groups, replies, and indexes
//
// When a share is used up those who want more wait, back to the clients' sockets.
// The garbage collector is told the whole ([Options.MemoryLimit]), so that what it
// lets grow beside what is in use stays within it too.

const (
	monMemory    = 64 << 20
	osdMemory    = 192 << 20 // of one OSD, if nobody says
	minOSDMemory = 64 << 20
)

// osdShare is what each of n OSDs may use, if osd_memory_target is not set.
func (o *Options) osdShare(n int) (int64, error) {
	if o.Memory == 0 {
		return osdMemory, nil
	}
	if least := monMemory + int64(n)*minOSDMemory; o.Memory < least {
		return 0, fmt.Errorf("--memory %d: %d OSDs need at least %d bytes", o.Memory, n, least)
	}
	return (o.Memory - monMemory) / int64(n), nil
}

// memory is the targets of a process.
type memory struct {
	total atomic.Int64
	limit func(int64) // may be nil
}

// add changes the sum by what one of the OSDs uses more, or less.
func (m *memory) add(n int64) {
	if total := m.total.Add(n); m.limit != nil {
		m.limit(total)
	}
}

// fitMemory makes the OSD keep to its target, as its options are now.
func (h *osdHost) fitMemory() {
	target := h.share
	if from := h.options.Source("osd_memory_target"); from != "default" {
		target = max(h.options.Int("osd_memory_target"), minOSDMemory)
	}
	clients := target / 8 * 3
	if most := h.options.Int("osd_client_message_size_cap"); most > 0 {
		clients = min(clients, most)
	}
	h.clients.SetLimit(clients)
	h.store.SetMemory(storeShare(target))
	h.memory.add(target - h.target.Swap(target))
}

func storeShare(target int64) int64 { return target / 2 }

// maxReplies is how many bytes of replies may wait for a client to take them
// before no more of its requests are read.
const maxReplies = 4 << 20

// maxReadCost bounds what a read is thought to return: many ask for more than
// there is.
const maxReadCost = 4 << 20

// requestCost is about what a request takes beside its bytes: decoded, while it
// waits, and what becomes of it.
const requestCost = 6 << 10

// cost is what a request is counted as beside its bytes. It is taken of the same
// share: a read of 4 MiB is as large as a write, and of the smallest requests
// many that wait for an object to be recovered are large. Those by which clients
// give something back must not wait behind others.
func cost(b *msg.OSDOp) (n int64) {
	gives := true
	for i := range b.Ops {
		switch op := &b.Ops[i]; op.Code {
		case msg.OpNotifyAck, msg.OpWatch:
			continue
		case msg.OpRead, msg.OpSparseRead, msg.OpSyncRead:
			_, length, _, _ := op.Extent()
			if length == 0 || length > maxReadCost {
				length = maxReadCost
			}
			n += int64(length)
		}
		gives = false
	}
	if gives {
		return 0
	}
	return n + requestCost
}
