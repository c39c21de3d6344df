package frame

import (
	"encoding/binary"
	"fmt"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/wire"
)

const (
	statusMask     = 0x0f
	statusComplete = 0x0e
	statusAborted  = 0x01

	epilogueLen = 13 // of crc mode

	// sumFrom is the size from which data keeps its checksums: for less they are
	// computed again as fast as they are kept.
	sumFrom = 32 << 10

	scratchStep = 4 << 10          // scratch space grows so, then doubles
	bodyStep    = buffer.MaxPooled // and buffers of messages so
)

// Limits bound the segments that a Reader accepts.
type Limits struct {
	Control             int  // segment of a control frame
	Messages            bool // messages are allowed
	Front, Middle, Data int
}

// Handshake are the limits until a session is established. A ticket with its
// caps takes some hundred bytes.
var Handshake = Limits{Control: 16 << 10}

// Established are the limits of a session. The largest message is a write or a
// read of osd_max_write_size (90 MiB) or an object listing.
var Established = Limits{Control: 64 << 10, Messages: true, Front: 64 << 20, Middle: 16 << 20, Data: 129 << 20}

// Event is what the bytes just read meant.
type Event int

const (
	More      Event = iota // nothing yet
	Announced              // the header of a message has come, [Reader.Size] bytes follow
	Control                // a control frame is complete
	Message                // a message is complete: Take it
	Aborted                // an announced message was given up by its sender
)

// Reader takes a stream of frames apart. Its cycle: fill all of Need, call
// Filled, act on the event.
type Reader struct {
	limits Limits
	secure *stream // nil in crc mode

	state   state
	need    []byte // part of what the state wants
	have    int    // bytes of it that were filled
	want    int
	base    int    // where in scratch they are
	scratch []byte // preamble, segment 0, epilogue

	pre  preamble
	hdr  Header
	body buffer.Ref  // front and middle; in secure mode all but segment 0
	data buffer.List // crc mode
}

type state int

const (
	inPreamble state = iota
	inHead           // segment 0, or the rest of it
	inBody           // front and middle; in secure mode up to the end of the frame
	inData           // crc mode only, as is
	inEpilogue
)

// NewReader returns a reader in crc mode, at the start of a frame.
func NewReader(l Limits) *Reader {
	r := &Reader{limits: l}
	r.begin(inPreamble, 0, preambleLen)
	return r
}

// SetLimits changes the limits, from the next frame on.
func (r *Reader) SetLimits(l Limits) { r.limits = l }

// Need returns the space for the next bytes of the stream; it is never empty.
func (r *Reader) Need() []byte { return r.need }

func (r *Reader) begin(s state, base, want int) {
	r.state, r.base, r.want, r.have = s, base, want, 0
	r.grow()
}

// grow makes room for the next step of what the state wants, so that memory
// follows the bytes that have come and not those that were announced.
func (r *Reader) grow() {
	switch r.state {
	case inData:
		chunk := buffer.Alloc(min(r.want-r.have, bodyStep))
		r.data = append(r.data, chunk)
		r.need = chunk.Bytes()
	case inBody:
		upto := min(r.want, max(2*r.have, bodyStep))
		if r.body.Len() < upto {
			b := buffer.Alloc(upto)
			copy(b.Bytes(), r.body.Bytes()[:r.have])
			r.body.Release()
			r.body = b
		}
		r.need = r.body.Bytes()[r.have:upto]
	default:
		upto := r.base + min(r.want, max(2*r.have, scratchStep))
		if len(r.scratch) < upto {
			b := make([]byte, max(upto, 256))
			copy(b, r.scratch)
			r.scratch = b
		}
		r.need = r.scratch[r.base+r.have : upto]
	}
}

// Filled says that the bytes of Need are there. After an error the reader is
// of no more use.
func (r *Reader) Filled() (Event, error) {
	r.have += len(r.need)
	if r.have < r.want {
		r.grow()
		return More, nil
	}
	if r.secure != nil {
		return r.filledSecure()
	}
	return r.filledCRC()
}

func (r *Reader) filledCRC() (Event, error) {
	switch r.state {
	case inPreamble:
		if err := r.announced(); err != nil {
			return More, err
		}
		if n := int(r.pre.size[0]); n > 0 {
			r.begin(inHead, preambleLen, n+4)
			return More, nil
		}
		return Control, nil
	case inHead:
		seg := r.segment0()
		if err := check(0, seg, r.scratch[preambleLen+len(seg):]); err != nil {
			return More, err
		}
		return r.head()
	case inBody:
		return r.afterBody(), nil
	case inData:
		r.begin(inEpilogue, 0, epilogueLen)
		return More, nil
	}
	ep := r.scratch[:epilogueLen]
	aborted, err := r.aborted(ep[0])
	if aborted || err != nil {
		return Aborted, err
	}
	front, middle := r.split(int(r.pre.size[segFront]))
	if err := check(segFront, front, ep[1:]); err != nil {
		return More, err
	}
	if r.pre.n > segMiddle {
		if err := check(segMiddle, middle, ep[5:]); err != nil {
			return More, err
		}
	}
	if r.pre.n > segData {
		crc := ^uint32(0)
		for i, c := range r.data {
			if c.Len() >= sumFrom {
				c = c.Summed() // a store will want them
				r.data[i] = c
			}
			crc = c.CRC32C(crc)
		}
		if want := binary.LittleEndian.Uint32(ep[9:]); crc != want {
			return More, fmt.Errorf("%w of segment %d: %#x, announced %#x", ErrCRC, segData, crc, want)
		}
	}
	return Message, nil
}

func check(segment int, b, crc []byte) error {
	got, want := wire.CRC32C(^uint32(0), b), binary.LittleEndian.Uint32(crc)
	if got != want {
		return fmt.Errorf("%w of segment %d: %#x, announced %#x", ErrCRC, segment, got, want)
	}
	return nil
}

func (r *Reader) filledSecure() (Event, error) {
	switch r.state {
	case inPreamble:
		if _, err := r.secure.open(r.scratch[:r.want]); err != nil {
			return More, err
		}
		if err := r.announced(); err != nil {
			return More, err
		}
		if rest := pad(int(r.pre.size[0])) - inlineLen; rest > 0 {
			// Right behind the inline part, over the tag that is done with.
			r.begin(inHead, preambleLen+inlineLen, rest+tagLen)
			return More, nil
		}
		return r.head()
	case inHead:
		if _, err := r.secure.open(r.scratch[r.base : r.base+r.want]); err != nil {
			return More, err
		}
		return r.head()
	}
	p, err := r.secure.open(r.body.Bytes())
	if err != nil {
		return More, err
	}
	if aborted, err := r.aborted(p[len(p)-blockLen]); aborted || err != nil {
		return Aborted, err
	}
	if n := int(r.pre.size[segData]); n > 0 {
		at := len(p) - blockLen - pad(n)
		r.data = append(r.data, r.body.Slice(at, at+n).Retain())
	}
	return Message, nil
}

// announced reads the preamble and holds it against the limits.
func (r *Reader) announced() error {
	if err := r.pre.parse(r.scratch); err != nil {
		return err
	}
	l, size := &r.limits, &r.pre.size
	if r.pre.tag != TagMessage {
		if int64(size[0]) > int64(l.Control) {
			return fmt.Errorf("%w: %v of %d bytes", ErrLimit, r.pre.tag, size[0])
		}
		return nil
	}
	switch {
	case !l.Messages:
		return fmt.Errorf("%w: message before the session is established", ErrFrame)
	case size[segHeader] != headerLen:
		return fmt.Errorf("%w: message header of %d bytes", ErrFrame, size[segHeader])
	case int64(size[segFront]) > int64(l.Front), int64(size[segMiddle]) > int64(l.Middle), int64(size[segData]) > int64(l.Data):
		return fmt.Errorf("%w: message of %d, %d, %d bytes", ErrLimit, size[segFront], size[segMiddle], size[segData])
	}
	return nil
}

// head ends segment 0.
func (r *Reader) head() (Event, error) {
	if r.pre.tag != TagMessage {
		return Control, nil
	}
	r.hdr.parse(r.segment0())
	return Announced, nil
}

// Accept lets an announced message come; the reader makes room for it. The
// event is Message if there is nothing more to come.
func (r *Reader) Accept() Event {
	size := &r.pre.size
	switch {
	case r.pre.n == 1:
		return Message
	case r.secure != nil:
		r.begin(inBody, 0, pad(int(size[segFront]))+pad(int(size[segMiddle]))+pad(int(size[segData]))+blockLen+tagLen)
		return More
	case size[segFront]+size[segMiddle] > 0:
		r.begin(inBody, 0, int(size[segFront]+size[segMiddle]))
		return More
	}
	return r.afterBody()
}

// afterBody goes on behind the front and middle of crc mode.
func (r *Reader) afterBody() Event {
	if n := int(r.pre.size[segData]); n > 0 {
		r.begin(inData, 0, n)
	} else {
		r.begin(inEpilogue, 0, epilogueLen)
	}
	return More
}

// aborted judges the late status. Of an aborted frame nothing stays.
func (r *Reader) aborted(status byte) (bool, error) {
	switch status & statusMask {
	case statusComplete:
		return false, nil
	case statusAborted:
		r.Drop()
		return true, nil
	}
	return false, fmt.Errorf("%w: late status %#x", ErrFrame, status)
}

func (r *Reader) segment0() []byte {
	return r.scratch[preambleLen : preambleLen+int(r.pre.size[0])]
}

// split cuts front and middle out of the body.
func (r *Reader) split(middleAt int) (front, middle []byte) {
	f, m := int(r.pre.size[segFront]), int(r.pre.size[segMiddle])
	b := r.body.Bytes()
	if f > 0 {
		front = b[:f:f]
	}
	if m > 0 {
		middle = b[middleAt : middleAt+m : middleAt+m]
	}
	return front, middle
}

// Tag is that of the current frame.
func (r *Reader) Tag() Tag { return r.pre.tag }

// Header is that of the current message.
func (r *Reader) Header() *Header { return &r.hdr }

// Size is the number of bytes of an announced message behind its header.
func (r *Reader) Size() int64 {
	s := &r.pre.size
	return int64(s[segFront]) + int64(s[segMiddle]) + int64(s[segData])
}

// Payload is the segment of a control frame, valid until Next.
func (r *Reader) Payload() []byte { return r.segment0() }

// Raw is a control frame of crc mode as it was on the wire, valid until Next.
func (r *Reader) Raw() []byte {
	n := preambleLen
	if s := int(r.pre.size[0]); s > 0 {
		n += s + 4
	}
	return r.scratch[:n]
}

// Parts are the segments of a received message. Front and Middle are in Body.
type Parts struct {
	Front, Middle []byte
	Body          buffer.Ref
	Data          buffer.List
}

// Take hands the segments of a complete message over, with their references.
// data is used for the list if it has room.
func (r *Reader) Take(data buffer.List) Parts {
	at := int(r.pre.size[segFront])
	if r.secure != nil {
		at = pad(at)
	}
	var p Parts
	p.Front, p.Middle = r.split(at)
	p.Body, r.body = r.body, buffer.Ref{}
	p.Data = append(data, r.data...)
	clear(r.data)
	r.data = r.data[:0]
	return p
}

// Next begins the next frame, after Control, Message (once taken) and Aborted.
func (r *Reader) Next() {
	n := preambleLen
	if r.secure != nil {
		n += inlineLen + tagLen
	}
	r.begin(inPreamble, 0, n)
}

// Drop gives back the buffers of a message that was not taken.
func (r *Reader) Drop() {
	r.body.Release()
	r.body = buffer.Ref{}
	r.data.Release()
	clear(r.data)
	r.data = r.data[:0]
}
