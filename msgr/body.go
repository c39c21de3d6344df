package msgr

import (
	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/wire"
)

// Body is what can be sent as a message: the types of package msg, of which
// this package knows no more than this.
type Body interface {
	MsgType() uint16
	Versions() (version, compat uint16)
	EncodeFront(*wire.Encoder)
	Payload() buffer.List // the data segment; its references are handed over
	Priority() uint16
}

// Compose makes the message that carries b.
func Compose(b Body, tid uint64) *Message {
	version, compat := b.Versions()
	var e wire.Encoder
	b.EncodeFront(&e)
	return &Message{
		Type:     b.MsgType(),
		Version:  version,
		Compat:   compat,
		Priority: b.Priority(),
		TID:      tid,
		Front:    e.Bytes(),
		Data:     b.Payload(),
	}
}
