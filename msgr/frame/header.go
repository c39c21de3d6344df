package frame

import "encoding/binary"

// Segments of a message.
const (
	segHeader = 0
	segFront  = 1
	segMiddle = 2
	segData   = 3
)

const (
	headerLen = 41

	// flagsSent is what stock peers set: complete, and no crc beside that of
	// the frame.
	flagsSent = 3
)

// Header is the first segment of a message (ceph_msg_header2).
type Header struct {
	Seq      uint64 // per direction, from 1
	TID      uint64
	Type     uint16
	Priority uint16
	Version  uint16
	DataOff  uint16
	AckSeq   uint64 // the last message received in the other direction
	Compat   uint16
}

func (h *Header) append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, h.Seq)
	b = le.AppendUint64(b, h.TID)
	b = le.AppendUint16(b, h.Type)
	b = le.AppendUint16(b, h.Priority)
	b = le.AppendUint16(b, h.Version)
	b = le.AppendUint32(b, 0) // data_pre_padding_len
	b = le.AppendUint16(b, h.DataOff)
	b = le.AppendUint64(b, h.AckSeq)
	b = append(b, flagsSent)
	b = le.AppendUint16(b, h.Compat)
	return le.AppendUint16(b, 0)
}

func (h *Header) parse(b []byte) {
	le := binary.LittleEndian
	*h = Header{
		Seq:      le.Uint64(b),
		TID:      le.Uint64(b[8:]),
		Type:     le.Uint16(b[16:]),
		Priority: le.Uint16(b[18:]),
		Version:  le.Uint16(b[20:]),
		DataOff:  le.Uint16(b[26:]),
		AckSeq:   le.Uint64(b[28:]),
		Compat:   le.Uint16(b[37:]),
	}
}
