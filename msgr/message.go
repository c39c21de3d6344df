package msgr

import (
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
)

// Message is one message of either direction (Ceph's Message with its header).
// The bodies are opaque here: package msg knows them.
type Message struct {
	Type     uint16
	Version  uint16 // of the encoding
	Compat   uint16 // oldest decoder version able to read it
	Priority uint16 // 0: 127
	TID      uint64 // request id; replies copy it
	DataOff  uint16 // alignment hint of writes; not used here

	Front  []byte
	Middle []byte
	Data   buffer.List

	Seq      uint64    // of a received message, from 1
	Received time.Time // when its last byte came

	frame  buffer.Ref    // holds Front and Middle of a received message
	data   [1]buffer.Ref // room for Data, mostly; never cleared, since retained Data is in it
	credit *credit       // what a received message is charged to
	cost   int64
	stop   <-chan struct{} // ends waiting for credit
}

// Release gives the buffers of a received message back. Front, Middle and Data
// must not be used afterwards, except for data that was retained. It may be
// called again, with no effect.
func (m *Message) Release() {
	m.Data.Release()
	m.frame.Release()
	if m.credit != nil {
		m.credit.give(m.cost)
	}
	m.Front, m.Middle, m.Data, m.frame, m.credit = nil, nil, nil, buffer.Ref{}, nil
}

// Charge counts n bytes that the answer will take as if they had come with the
// message, until Release. It waits while that is too much, and reports false if
// the connection ends meanwhile. It may be called in Handler.Receive only.
func (m *Message) Charge(n int64) bool {
	if n <= 0 || m.credit == nil {
		return true
	}
	// The whole is taken anew, so that a message alone is never too large.
	m.credit.give(m.cost)
	if !m.credit.take(m.cost+n, m.stop) {
		m.credit = nil
		return false
	}
	m.cost += n
	return true
}

// size is the number of bytes that wait while m is queued.
func (m *Message) size() int64 {
	return int64(len(m.Front) + len(m.Middle) + m.Data.Len())
}
