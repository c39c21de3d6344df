package nbd

import (
	"encoding/binary"
	"errors"

	"github.com/pulpo-storage/pulpo/errno"
)

var be = binary.BigEndian

const (
	magicServer     = 0x4e42444d41474943 // "NBDMAGIC"
	magicOption     = 0x49484156454f5054 // "IHAVEOPT"
	magicReply      = 0x0003e889045565a9
	magicRequest    = 0x25609513
	magicSimple     = 0x67446698
	magicStructured = 0x668e33ef
)

// Flags of the handshake, the same numbers on both sides.
const (
	flagFixedNewstyle uint16 = 1 << iota
	flagNoZeroes
)

// option is what a client asks for in negotiation (NBD_OPT_*).
type option uint32

const (
	optExportName      option = 1
	optAbort           option = 2
	optList            option = 3
	optStartTLS        option = 5
	optInfo            option = 6
	optGo              option = 7
	optStructuredReply option = 8
	optListMeta        option = 9
	optSetMeta         option = 10
)

// reply is the answer to an option (NBD_REP_*).
type reply uint32

const (
	repAck    reply = 1
	repServer reply = 2
	repInfo   reply = 3
	repMeta   reply = 4

	repErr        reply = 1 << 31
	repErrUnsup         = repErr + 1
	repErrPolicy        = repErr + 2
	repErrInvalid       = repErr + 3
	repErrTLSReqd       = repErr + 5
	repErrUnknown       = repErr + 6
	repErrTooBig        = repErr + 9
)

// Kinds of information about an export (NBD_INFO_*).
const (
	infoExport    uint16 = 0
	infoName      uint16 = 1
	infoBlockSize uint16 = 3
)

// Flags of an export (NBD_FLAG_*).
const (
	flagHasFlags     uint16 = 1 << 0
	flagReadOnly     uint16 = 1 << 1
	flagFlush        uint16 = 1 << 2
	flagFUA          uint16 = 1 << 3
	flagTrim         uint16 = 1 << 5
	flagWriteZeroes  uint16 = 1 << 6
	flagDF           uint16 = 1 << 7
	flagCanMultiConn uint16 = 1 << 8
)

// command is what a request asks for (NBD_CMD_*).
type command uint16

const (
	cmdRead        command = 0
	cmdWrite       command = 1
	cmdDisconnect  command = 2
	cmdFlush       command = 3
	cmdTrim        command = 4
	cmdWriteZeroes command = 6
	cmdBlockStatus command = 7
)

// Flags of a request (NBD_CMD_FLAG_*).
const (
	cmdFUA    uint16 = 1 << 0
	cmdNoHole uint16 = 1 << 1
	cmdDF     uint16 = 1 << 2
	cmdReqOne uint16 = 1 << 3
)

// allowed is which flags a command may have.
var allowed = map[command]uint16{
	cmdRead: cmdDF, cmdWrite: cmdFUA, cmdFlush: 0, cmdTrim: cmdFUA, cmdWriteZeroes: cmdFUA | cmdNoHole, cmdBlockStatus: cmdReqOne,
}

// Kinds of chunks of a structured reply (NBD_REPLY_TYPE_*).
const (
	chunkNone        uint16 = 0
	chunkOffsetData  uint16 = 1
	chunkBlockStatus uint16 = 5
	chunkError       uint16 = 1<<15 + 1
)

const chunkDone uint16 = 1

// What base:allocation says of an extent.
const (
	stateHole uint32 = 1 << iota
	stateZero
)

const contextAllocation = "base:allocation"

// allocationID is the number under which replies tell of base:allocation.
const allocationID = 1

// request is the header of a request, 28 bytes.
type request struct {
	flags  uint16
	cmd    command
	cookie uint64
	off    uint64
	length uint32
}

const requestSize = 28

var errMagic = errors.New("nbd: not a request")

func parseRequest(b *[requestSize]byte) (r request, err error) {
	if be.Uint32(b[:]) != magicRequest {
		return r, errMagic
	}
	return request{be.Uint16(b[4:]), command(be.Uint16(b[6:])), be.Uint64(b[8:]), be.Uint64(b[16:]), be.Uint32(b[24:])}, nil
}

// codeOf is the number that the protocol has for an error.
func codeOf(err error) uint32 {
	for _, c := range []struct {
		err  errno.Errno
		code uint32
	}{
		{errno.EPERM, 1}, {errno.EROFS, 1}, {errno.EACCES, 1}, {errno.EBLOCKLISTED, 1}, {errno.ENOMEM, 12}, {errno.EINVAL, 22},
		{errno.ENOSPC, 28}, {errno.EDQUOT, 28}, {errno.EOPNOTSUPP, 95},
	} {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return 5 // EIO
}

// parser reads the data of an option; what is not there makes it bad.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) take(n uint32) []byte {
	if uint64(n) > uint64(len(p.b)) {
		p.bad, p.b = true, nil
		return nil
	}
	b := p.b[:n]
	p.b = p.b[n:]
	return b
}

func (p *parser) u32() uint32 {
	if b := p.take(4); b != nil {
		return be.Uint32(b)
	}
	return 0
}

func (p *parser) u16() uint16 {
	if b := p.take(2); b != nil {
		return be.Uint16(b)
	}
	return 0
}

func (p *parser) str() string { return string(p.take(p.u32())) }

// infoRequest is the data of optInfo and optGo: an export, and what one wants to
// know of it.
type infoRequest struct {
	name  string
	infos []uint16
}

func parseInfo(b []byte) (r infoRequest, ok bool) {
	p := parser{b: b}
	r.name = p.str()
	for n := p.u16(); n > 0 && !p.bad; n-- {
		r.infos = append(r.infos, p.u16())
	}
	return r, !p.bad && len(p.b) == 0 && len(r.name) <= maxName
}

// metaRequest is the data of optListMeta and optSetMeta: an export, and patterns
// of contexts.
type metaRequest struct {
	name    string
	queries []string
}

func parseMeta(b []byte) (r metaRequest, ok bool) {
	p := parser{b: b}
	r.name = p.str()
	for n := p.u32(); n > 0 && !p.bad; n-- {
		r.queries = append(r.queries, p.str())
	}
	return r, !p.bad && len(p.b) == 0 && len(r.name) <= maxName
}
