package nbd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/pulpo-storage/pulpo/errno"
)

// negotiation is the first phase of a connection: what the client has chosen so
// far.
type negotiation struct {
	server *Server
	conn   net.Conn // TLS once that was started

	secure     bool
	noZeroes   bool
	structured bool
	// metaFor is the export whose allocation the client wants to ask for, if it
	// does.
	meta    bool
	metaFor string
}

// errRefused ends a connection that cannot be told why.
var errRefused = errors.New("nbd: the client's wish cannot be met")

// run talks to the client until it has chosen an export, which the caller
// releases; nil if it goes away in peace.
func (n *negotiation) run(ctx context.Context) (*export, error) {
	var hello [18]byte
	be.PutUint64(hello[:], magicServer)
	be.PutUint64(hello[8:], magicOption)
	be.PutUint16(hello[16:], flagFixedNewstyle|flagNoZeroes)
	if _, err := n.conn.Write(hello[:]); err != nil {
		return nil, err
	}
	var flags [4]byte
	if _, err := io.ReadFull(n.conn, flags[:]); err != nil {
		return nil, err
	}
	f := be.Uint32(flags[:])
	if f&^uint32(flagFixedNewstyle|flagNoZeroes) != 0 || f&uint32(flagFixedNewstyle) == 0 {
		return nil, fmt.Errorf("nbd: client flags %#x", f)
	}
	n.noZeroes = f&uint32(flagNoZeroes) != 0
	for range maxOptions {
		e, done, err := n.option(ctx)
		if err != nil || done {
			return e, err
		}
	}
	return nil, fmt.Errorf("nbd: more than %d options", maxOptions)
}

// option answers one option; done: the phase is over.
func (n *negotiation) option(ctx context.Context) (e *export, done bool, err error) {
	var h [16]byte
	if _, err := io.ReadFull(n.conn, h[:]); err != nil {
		return nil, true, err
	}
	if be.Uint64(h[:]) != magicOption {
		return nil, true, errors.New("nbd: not an option")
	}
	opt, length := option(be.Uint32(h[8:])), be.Uint32(h[12:])
	if length > maxOption {
		if _, err := io.CopyN(io.Discard, n.conn, int64(length)); err != nil || opt == optExportName {
			return nil, true, errors.Join(err, errRefused)
		}
		return nil, false, n.reply(opt, repErrTooBig, nil)
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(n.conn, data); err != nil {
		return nil, true, err
	}
	if n.server.TLS != nil && !n.secure && opt != optAbort && opt != optStartTLS {
		if opt == optExportName {
			return nil, true, errRefused
		}
		return nil, false, n.reply(opt, repErrTLSReqd, nil)
	}
	switch opt {
	case optExportName:
		e, err := n.exportName(ctx, data)
		return e, true, err
	case optAbort:
		return nil, true, n.reply(opt, repAck, nil)
	case optInfo, optGo:
		e, err := n.info(ctx, opt, data)
		return e, e != nil, err
	case optList, optStartTLS, optStructuredReply:
		if length != 0 {
			return nil, false, n.reply(opt, repErrInvalid, nil)
		}
	}
	switch opt {
	case optList:
		err = n.list(ctx)
	case optStartTLS:
		err = n.startTLS(ctx)
	case optStructuredReply:
		n.structured = true
		err = n.reply(opt, repAck, nil)
	case optListMeta, optSetMeta:
		err = n.metaContexts(ctx, opt, data)
	default:
		err = n.reply(opt, repErrUnsup, nil)
	}
	return nil, err != nil, err
}

// reply sends an answer to an option.
func (n *negotiation) reply(opt option, r reply, data []byte) error {
	b := make([]byte, 20, 20+len(data))
	be.PutUint64(b, magicReply)
	be.PutUint32(b[8:], uint32(opt))
	be.PutUint32(b[12:], uint32(r))
	be.PutUint32(b[16:], uint32(len(data)))
	_, err := n.conn.Write(append(b, data...))
	return err
}

// refuse answers an option that named an export which cannot be had.
func (n *negotiation) refuse(opt option, err error) error {
	r := repErrPolicy
	if errors.Is(err, errno.ENOENT) {
		r = repErrUnknown
	}
	return n.reply(opt, r, []byte(err.Error()))
}

// flags are those of an export.
func (n *negotiation) flags(d Device) uint16 {
	f := flagHasFlags | flagFlush | flagFUA | flagCanMultiConn
	if d.ReadOnly() {
		f |= flagReadOnly
	} else {
		f |= flagTrim | flagWriteZeroes
	}
	if n.structured {
		f |= flagDF
	}
	return f
}

// exportName is the old way to choose; there are no words for a refusal.
func (n *negotiation) exportName(ctx context.Context, data []byte) (*export, error) {
	if len(data) > maxName {
		return nil, errRefused
	}
	e, err := n.server.acquire(ctx, string(data))
	if err != nil {
		return nil, err
	}
	b := make([]byte, 10, 134)
	be.PutUint64(b, uint64(e.dev.Size()))
	be.PutUint16(b[8:], n.flags(e.dev))
	if !n.noZeroes {
		b = b[:134]
	}
	if n.metaFor != string(data) {
		n.meta = false
	}
	if _, err := n.conn.Write(b); err != nil {
		n.server.release(e)
		return nil, err
	}
	return e, nil
}

// info tells of an export, and chooses it if the option is optGo.
func (n *negotiation) info(ctx context.Context, opt option, data []byte) (*export, error) {
	r, ok := parseInfo(data)
	if !ok {
		return nil, n.reply(opt, repErrInvalid, nil)
	}
	e, err := n.server.acquire(ctx, r.name)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, n.refuse(opt, err)
	}
	if err := n.describe(opt, r, e.dev); err != nil || opt == optInfo {
		n.server.release(e)
		return nil, err
	}
	if n.metaFor != r.name {
		n.meta = false
	}
	return e, nil
}

func (n *negotiation) describe(opt option, r infoRequest, d Device) error {
	var b [14]byte
	be.PutUint16(b[:], infoExport)
	be.PutUint64(b[2:], uint64(d.Size()))
	be.PutUint16(b[10:], n.flags(d))
	if err := n.reply(opt, repInfo, b[:12]); err != nil {
		return err
	}
	seen := map[uint16]bool{}
	for _, i := range r.infos {
		if seen[i] {
			continue
		}
		seen[i] = true
		var err error
		switch i {
		case infoName:
			err = n.reply(opt, repInfo, append(be.AppendUint16(nil, infoName), r.name...))
		case infoBlockSize:
			be.PutUint16(b[:], infoBlockSize)
			be.PutUint32(b[2:], 1)
			be.PutUint32(b[6:], d.BlockSize())
			be.PutUint32(b[10:], maxRequest)
			err = n.reply(opt, repInfo, b[:14])
		}
		if err != nil {
			return err
		}
	}
	return n.reply(opt, repAck, nil)
}

func (n *negotiation) list(ctx context.Context) error {
	names, err := n.server.Exports.List(ctx)
	if err != nil {
		return n.reply(optList, repErrPolicy, []byte(err.Error()))
	}
	for _, name := range names {
		if err := n.reply(optList, repServer, append(be.AppendUint32(nil, uint32(len(name))), name...)); err != nil {
			return err
		}
	}
	return n.reply(optList, repAck, nil)
}

func (n *negotiation) startTLS(ctx context.Context) error {
	switch {
	case n.secure:
		return n.reply(optStartTLS, repErrInvalid, nil)
	case n.server.TLS == nil:
		return n.reply(optStartTLS, repErrPolicy, []byte("this server has no certificate"))
	}
	if err := n.reply(optStartTLS, repAck, nil); err != nil {
		return err
	}
	c := tls.Server(n.conn, n.server.TLS)
	if err := c.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("nbd: TLS: %w", err)
	}
	// What was agreed on in the clear does not count.
	*n = negotiation{server: n.server, conn: c, secure: true, noZeroes: n.noZeroes}
	return nil
}

// metaContexts lists or chooses what block status tells of. There is one
// context, base:allocation.
func (n *negotiation) metaContexts(ctx context.Context, opt option, data []byte) error {
	r, ok := parseMeta(data)
	if !ok || !n.structured {
		return n.reply(opt, repErrInvalid, nil)
	}
	e, err := n.server.acquire(ctx, r.name)
	if err != nil {
		return n.refuse(opt, err)
	}
	n.server.release(e)
	match := opt == optListMeta && len(r.queries) == 0
	for _, q := range r.queries {
		match = match || q == contextAllocation || opt == optListMeta && q == "base:"
	}
	if opt == optSetMeta {
		n.meta, n.metaFor = match, r.name
	}
	if match {
		id := uint32(0)
		if opt == optSetMeta {
			id = allocationID
		}
		if err := n.reply(opt, repMeta, append(be.AppendUint32(nil, id), contextAllocation...)); err != nil {
			return err
		}
	}
	return n.reply(opt, repAck, nil)
}
