package frame

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/wire"
)

// Payload is the content of a control frame.
type Payload interface {
	Encode(*wire.Encoder)
	Decode(*wire.Decoder)
}

// Decode reads the payload of a control frame. What a newer peer appended is
// ignored.
func Decode(tag Tag, b []byte, p Payload) error {
	d := wire.NewDecoder(b)
	p.Decode(d)
	if err := d.Err(); err != nil {
		return fmt.Errorf("%w: %v: %w", ErrFrame, tag, err)
	}
	return nil
}

// Hello opens a connection, each way.
type Hello struct {
	Type entity.Type
	Seen entity.Addr // of the receiver, as the sender sees it
}

func (p *Hello) Encode(e *wire.Encoder) {
	e.U8(uint8(p.Type))
	p.Seen.Encode(e)
}

func (p *Hello) Decode(d *wire.Decoder) {
	p.Type = entity.Type(d.U8())
	p.Seen.Decode(d)
}

// AuthRequest begins an authentication.
type AuthRequest struct {
	Method  uint32
	Modes   []uint32 // preferred, best first
	Payload []byte
}

func (p *AuthRequest) Encode(e *wire.Encoder) {
	e.U32(p.Method)
	wire.EncodeSlice(e, p.Modes, e.U32)
	e.Blob(p.Payload)
}

func (p *AuthRequest) Decode(d *wire.Decoder) {
	p.Method = d.U32()
	p.Modes = wire.DecodeSlice(d, 4, d.U32)
	p.Payload = d.Blob()
}

// AuthBadMethod refuses one.
type AuthBadMethod struct {
	Method  uint32
	Result  int32
	Methods []uint32
	Modes   []uint32
}

func (p *AuthBadMethod) Encode(e *wire.Encoder) {
	e.U32(p.Method)
	e.S32(p.Result)
	wire.EncodeSlice(e, p.Methods, e.U32)
	wire.EncodeSlice(e, p.Modes, e.U32)
}

func (p *AuthBadMethod) Decode(d *wire.Decoder) {
	p.Method = d.U32()
	p.Result = d.S32()
	p.Methods = wire.DecodeSlice(d, 4, d.U32)
	p.Modes = wire.DecodeSlice(d, 4, d.U32)
}

// AuthMore is AUTH_REPLY_MORE and AUTH_REQUEST_MORE.
type AuthMore struct{ Payload []byte }

func (p *AuthMore) Encode(e *wire.Encoder) { e.Blob(p.Payload) }
func (p *AuthMore) Decode(d *wire.Decoder) { p.Payload = d.Blob() }

// AuthDone ends an authentication well.
type AuthDone struct {
	GlobalID uint64
	Mode     uint32
	Payload  []byte
}

func (p *AuthDone) Encode(e *wire.Encoder) {
	e.U64(p.GlobalID)
	e.U32(p.Mode)
	e.Blob(p.Payload)
}

func (p *AuthDone) Decode(d *wire.Decoder) {
	p.GlobalID = d.U64()
	p.Mode = d.U32()
	p.Payload = d.Blob()
}

// Signature is AUTH_SIGNATURE.
type Signature [32]byte

func (p *Signature) Encode(e *wire.Encoder) { e.Raw(p[:]) }
func (p *Signature) Decode(d *wire.Decoder) { copy(p[:], d.Raw(len(p))) }

// FlagLossy in the flags of an ident: the session ends with its connection.
const FlagLossy = 1

// ClientIdent asks for a new session.
type ClientIdent struct {
	Addrs     entity.AddrVec
	Target    entity.Addr // whom the sender means to reach
	GlobalID  int64
	GlobalSeq uint64 // of the sender's connections
	Supported uint64
	Required  uint64
	Flags     uint64
	Cookie    uint64
}

func (p *ClientIdent) Encode(e *wire.Encoder) {
	p.Addrs.Encode(e)
	p.Target.Encode(e)
	e.S64(p.GlobalID)
	e.U64(p.GlobalSeq)
	e.U64(p.Supported)
	e.U64(p.Required)
	e.U64(p.Flags)
	e.U64(p.Cookie)
}

func (p *ClientIdent) Decode(d *wire.Decoder) {
	p.Addrs.Decode(d)
	p.Target.Decode(d)
	p.GlobalID = d.S64()
	p.GlobalSeq = d.U64()
	p.Supported = d.U64()
	p.Required = d.U64()
	p.Flags = d.U64()
	p.Cookie = d.U64()
}

// ServerIdent grants it.
type ServerIdent struct {
	Addrs     entity.AddrVec
	ID        int64 // number of the daemon
	GlobalSeq uint64
	Supported uint64
	Required  uint64
	Flags     uint64
	Cookie    uint64
}

func (p *ServerIdent) Encode(e *wire.Encoder) {
	p.Addrs.Encode(e)
	e.S64(p.ID)
	e.U64(p.GlobalSeq)
	e.U64(p.Supported)
	e.U64(p.Required)
	e.U64(p.Flags)
	e.U64(p.Cookie)
}

func (p *ServerIdent) Decode(d *wire.Decoder) {
	p.Addrs.Decode(d)
	p.ID = d.S64()
	p.GlobalSeq = d.U64()
	p.Supported = d.U64()
	p.Required = d.U64()
	p.Flags = d.U64()
	p.Cookie = d.U64()
}

// Reconnect asks to resume a session.
type Reconnect struct {
	Addrs        entity.AddrVec
	ClientCookie uint64
	ServerCookie uint64
	GlobalSeq    uint64
	ConnectSeq   uint64 // attempts to reconnect in this session
	MsgSeq       uint64 // the last message received
}

func (p *Reconnect) Encode(e *wire.Encoder) {
	p.Addrs.Encode(e)
	e.U64(p.ClientCookie)
	e.U64(p.ServerCookie)
	e.U64(p.GlobalSeq)
	e.U64(p.ConnectSeq)
	e.U64(p.MsgSeq)
}

func (p *Reconnect) Decode(d *wire.Decoder) {
	p.Addrs.Decode(d)
	p.ClientCookie = d.U64()
	p.ServerCookie = d.U64()
	p.GlobalSeq = d.U64()
	p.ConnectSeq = d.U64()
	p.MsgSeq = d.U64()
}

// Reset answers a SESSION_RECONNECT whose session is gone. Full: drop what is
// queued as well.
type Reset struct{ Full bool }

func (p *Reset) Encode(e *wire.Encoder) { e.Bool(p.Full) }
func (p *Reset) Decode(d *wire.Decoder) { p.Full = d.Bool() }

// Number is the payload of IDENT_MISSING_FEATURES (the bits), SESSION_RETRY
// (a connect_seq), SESSION_RETRY_GLOBAL (a global_seq), SESSION_RECONNECT_OK
// and ACK (the last message received).
type Number uint64

func (p *Number) Encode(e *wire.Encoder) { e.U64(uint64(*p)) }
func (p *Number) Decode(d *wire.Decoder) { *p = Number(d.U64()) }

// Stamp is the payload of KEEPALIVE2 and its answer, which repeats it.
type Stamp struct{ Sec, Nsec uint32 }

func (p *Stamp) Encode(e *wire.Encoder) {
	e.U32(p.Sec)
	e.U32(p.Nsec)
}

func (p *Stamp) Decode(d *wire.Decoder) {
	p.Sec = d.U32()
	p.Nsec = d.U32()
}

// Empty is the payload of WAIT.
type Empty struct{}

func (*Empty) Encode(*wire.Encoder) {}
func (*Empty) Decode(*wire.Decoder) {}

// NewPayload returns an empty payload for the frames of a tag; nil for MESSAGE
// and tags that do not exist.
func NewPayload(tag Tag) Payload {
	switch tag {
	case TagHello:
		return new(Hello)
	case TagAuthRequest:
		return new(AuthRequest)
	case TagAuthBadMethod:
		return new(AuthBadMethod)
	case TagAuthReplyMore, TagAuthRequestMore:
		return new(AuthMore)
	case TagAuthDone:
		return new(AuthDone)
	case TagAuthSignature:
		return new(Signature)
	case TagClientIdent:
		return new(ClientIdent)
	case TagServerIdent:
		return new(ServerIdent)
	case TagSessionReconnect:
		return new(Reconnect)
	case TagSessionReset:
		return new(Reset)
	case TagMissingFeatures, TagSessionRetry, TagSessionRetryGlobal, TagSessionReconnectOK, TagAck:
		return new(Number)
	case TagKeepalive, TagKeepaliveAck:
		return new(Stamp)
	case TagWait:
		return new(Empty)
	}
	return nil
}
