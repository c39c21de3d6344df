package session

import (
	"crypto/hmac"
	"errors"
	"fmt"

	"github.com/pulpo-storage/pulpo/msgr/frame"
	"github.com/pulpo-storage/pulpo/wire"
)

// Errors that end a handshake.
var (
	ErrProtocol  = errors.New("protocol error")
	ErrSignature = errors.New("bad signature")
)

// maxSigned bounds what a peer may send before it is authenticated.
const maxSigned = 32 << 10

// Handshake is the part of a handshake that is the same on both sides: the
// codec, and the bytes that the signatures cover. After the handshake Rx and Tx
// go on to serve the session.
type Handshake struct {
	Rx *frame.Reader
	Tx frame.Writer

	banner  frame.BannerReader
	greeted bool // the banner of the peer is read
	out     frame.Batch

	signed         bool   // the logs are no longer kept
	rxLog, txLog   []byte // raw, from the banner to AUTH_DONE
	rxMAC          frame.Signature
	connectingSide bool
}

func (h *Handshake) start(connecting bool) {
	h.connectingSide = connecting
	h.Rx = frame.NewReader(frame.Handshake)
	h.txLog = frame.Banner()
	h.out.Banner()
}

// Need returns the space for the next bytes of the peer. Send what Out returns
// before waiting for them.
func (h *Handshake) Need() []byte {
	if !h.greeted {
		return h.banner.Need()
	}
	return h.Rx.Need()
}

// Out returns the bytes to be sent, once. They are valid until Filled is
// called.
func (h *Handshake) Out() []byte {
	b, _ := h.out.Contiguous()
	h.out.Reset()
	return b
}

// receive takes the bytes of Need; ok says that a frame is complete. The
// payload is valid until proceed.
func (h *Handshake) receive() (tag frame.Tag, payload []byte, ok bool, err error) {
	if !h.greeted {
		h.greeted, err = h.banner.Filled()
		if h.greeted {
			h.rxLog = append(h.rxLog, h.banner.Raw()...)
		}
		return 0, nil, false, err
	}
	ev, err := h.Rx.Filled()
	if err != nil || ev == frame.More {
		return 0, nil, false, err
	}
	if !h.signed {
		h.rxLog = append(h.rxLog, h.Rx.Raw()...)
		if len(h.rxLog) > maxSigned {
			return 0, nil, false, fmt.Errorf("%w: %d bytes before authentication", ErrProtocol, len(h.rxLog))
		}
	}
	return h.Rx.Tag(), h.Rx.Payload(), true, nil
}

func (h *Handshake) send(tag frame.Tag, p frame.Payload) {
	var e wire.Encoder
	p.Encode(&e)
	before := h.out.Len()
	h.Tx.Control(&h.out, tag, e.Bytes())
	if !h.signed {
		b, _ := h.out.Contiguous()
		h.txLog = append(h.txLog, b[before:]...)
	}
}

// authenticated is called on both sides right after AUTH_DONE: it sends the
// signature of what was received and remembers the one to expect.
func (h *Handshake) authenticated(done *AuthDone) error {
	mine := sign(done.SessionKey, h.rxLog)
	h.rxMAC = sign(done.SessionKey, h.txLog)
	h.signed, h.rxLog, h.txLog = true, nil, nil
	if done.Mode == ModeSecure {
		if err := frame.Secure(h.Rx, &h.Tx, done.ConnSecret, h.connectingSide); err != nil {
			return err
		}
	}
	h.send(frame.TagAuthSignature, &mine)
	return nil
}

// verify checks the signature of the peer.
func (h *Handshake) verify(payload []byte) error {
	var theirs frame.Signature
	if err := frame.Decode(frame.TagAuthSignature, payload, &theirs); err != nil {
		return err
	}
	if !hmac.Equal(theirs[:], h.rxMAC[:]) {
		return ErrSignature
	}
	return nil
}

// established ends the handshake.
func (h *Handshake) established() { h.Rx.SetLimits(frame.Established) }

func unexpected(tag frame.Tag, state fmt.Stringer) error {
	return fmt.Errorf("%w: %v while %v", ErrProtocol, tag, state)
}
