// Package transfer has the formats of files in which images travel: what rbd
// export-diff, merge-diff and export --export-format 2 write and import-diff and
// import read (ceph's doc/dev/rbd-diff and rbd-export).
//
// A diff says what changed in an image, from a snapshot or from nothing, up to
// another snapshot or now:
//
//	"rbd diff v1\n"
//	'f' name         from this snapshot
//	't' name         to this one
//	's' u64          size of the image
//	'w' off len ...  bytes
//	'z' off len      zeros
//	'e'              end
//
// In version 2 a u64 with the length of what follows stands after each letter
// but 'e', and there is 'p', whether the snapshot is protected. Everything is
// little-endian; names have a u32 with their length.
//
// An image of format 2 is a header of the same kind and a number of diffs of
// version 2, from nothing to the first snapshot and so on:
//
//	"rbd image v2\n"
//	'O' 'T' 'U' 'C' u64   order, features, stripe unit, stripe count
//	'M' key value         metadata
//	'E'
//	"rbd image diffs v2\n" u64 number, diffs
//
// Bytes are streamed: neither reader nor writer holds more than a record's
// header.
//
// No compatibility promise.
package transfer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
)

const (
	diffBanner  = "rbd diff v%d\n"
	imageBanner = "rbd image v2\n"
	diffsBanner = "rbd image diffs v2\n"
	// maxName is how long names and values of metadata may be.
	maxName = 1 << 20
)

// DiffHeader is what stands before the records of a diff.
type DiffHeader struct {
	From, To  string // snapshots; empty: nothing, and now
	Size      uint64 // of the image at To, bytes
	Protected bool   // To is; version 2 only
}

// DiffWriter writes a diff.
type DiffWriter struct {
	w       *bufio.Writer
	version int
}

// NewDiffWriter writes the header of a diff of version 1 or 2.
func NewDiffWriter(w io.Writer, version int, h DiffHeader) (*DiffWriter, error) {
	d := &DiffWriter{bufio.NewWriter(w), version}
	fmt.Fprintf(d.w, diffBanner, version)
	name := func(tag byte, s string) {
		if s != "" {
			d.tag(tag, 4+uint64(len(s)))
			d.u32(uint32(len(s)))
			d.w.WriteString(s)
		}
	}
	name('f', h.From)
	name('t', h.To)
	if version == 2 && h.To != "" {
		d.tag('p', 8) // stock tools say 8 and write one byte
		b := byte(0)
		if h.Protected {
			b = 1
		}
		d.w.WriteByte(b)
	}
	d.tag('s', 8)
	d.u64(h.Size)
	return d, d.w.Flush()
}

func (d *DiffWriter) tag(t byte, n uint64) {
	d.w.WriteByte(t)
	if d.version == 2 {
		d.u64(n)
	}
}

func (d *DiffWriter) u64(v uint64) { d.w.Write(binary.LittleEndian.AppendUint64(nil, v)) }
func (d *DiffWriter) u32(v uint32) { d.w.Write(binary.LittleEndian.AppendUint32(nil, v)) }

// Data begins a record of bytes: n bytes must be written to the result.
func (d *DiffWriter) Data(off, n uint64) io.Writer {
	d.tag('w', 16+n)
	d.u64(off)
	d.u64(n)
	return d.w
}

// Write writes a record of bytes.
func (d *DiffWriter) Write(off uint64, p []byte) error {
	_, err := d.Data(off, uint64(len(p))).Write(p)
	return err
}

// Zero writes a record of zeros.
func (d *DiffWriter) Zero(off, n uint64) error {
	d.tag('z', 16)
	d.u64(off)
	d.u64(n)
	_, err := d.w.Write(nil) // the first error of all writes
	return err
}

// Close ends the diff, not what it is written to. It returns the first error of
// all writes.
func (d *DiffWriter) Close() error {
	d.w.WriteByte('e')
	return d.w.Flush()
}

// Record is a range of bytes of an image.
type Record struct {
	Offset, Length uint64
	Zero           bool // it is zeros; otherwise Length bytes can be read from the DiffReader
}

// DiffReader reads a diff.
type DiffReader struct {
	DiffHeader
	r       *bufio.Reader
	version int
	next    byte   // tag that was read after the header
	left    uint64 // bytes of the last record
	ended   bool
}

// NewDiffReader reads the header of a diff. EINVAL: it is none. What it buffers
// of r is lost to others, unless r is a *bufio.Reader itself.
func NewDiffReader(r io.Reader) (*DiffReader, error) {
	d := &DiffReader{r: buffered(r)}
	line, err := d.line(16)
	if err != nil {
		return nil, err
	}
	if n, _ := fmt.Sscanf(line, diffBanner, &d.version); n != 1 || d.version < 1 || d.version > 2 {
		return nil, bad("%q is not the beginning of a diff", line)
	}
	for sized := false; ; {
		tag, n, err := d.tag()
		if err != nil {
			return nil, err
		}
		switch tag {
		case 'f':
			d.From, err = d.name()
		case 't':
			d.To, err = d.name()
		case 's':
			d.Size, err = d.u64()
			sized = true
		case 'p':
			var b byte
			b, err = d.r.ReadByte()
			d.Protected = b != 0
		case 'w', 'z', 'e':
			if !sized {
				return nil, bad("the image's size is missing")
			}
			d.next = tag
			return d, nil
		default:
			err = d.skip(tag, n)
		}
		if err != nil {
			return nil, short(err)
		}
	}
}

func buffered(r io.Reader) *bufio.Reader {
	if b, ok := r.(*bufio.Reader); ok {
		return b
	}
	return bufio.NewReader(r)
}

// Next returns the next record, io.EOF after the last one. What was not read of
// the record before is skipped.
func (d *DiffReader) Next() (Record, error) {
	if d.ended {
		return Record{}, io.EOF
	}
	if _, err := io.CopyN(io.Discard, d.r, int64(d.left)); err != nil {
		return Record{}, short(err)
	}
	d.left = 0
	for {
		tag, n := d.next, uint64(0)
		if d.next = 0; tag == 0 {
			var err error
			if tag, n, err = d.tag(); err != nil {
				return Record{}, err
			}
		}
		switch tag {
		case 'e':
			d.ended = true
			return Record{}, io.EOF
		case 'w', 'z':
			off, err := d.u64()
			if err != nil {
				return Record{}, err
			}
			length, err := d.u64()
			if err != nil {
				return Record{}, err
			}
			if off+length < off || int64(length) < 0 {
				return Record{}, bad("%d bytes at %d", length, off)
			}
			if tag == 'w' {
				d.left = length
			}
			return Record{off, length, tag == 'z'}, nil
		}
		if err := d.skip(tag, n); err != nil {
			return Record{}, err
		}
	}
}

// Read reads the bytes of the last record.
func (d *DiffReader) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	n, err := d.r.Read(p[:min(uint64(len(p)), d.left)])
	d.left -= uint64(n)
	if err != nil {
		return n, short(err)
	}
	return n, nil
}

// skip passes over what is not known, which version 2 allows.
func (d *DiffReader) skip(tag byte, n uint64) error {
	if d.version < 2 || int64(n) < 0 {
		return bad("unknown record %q", tag)
	}
	_, err := io.CopyN(io.Discard, d.r, int64(n))
	return short(err)
}

func (d *DiffReader) line(limit int) (string, error) {
	var s strings.Builder
	for s.Len() < limit {
		c, err := d.r.ReadByte()
		if err != nil {
			return "", short(err)
		}
		if s.WriteByte(c); c == '\n' {
			break
		}
	}
	return s.String(), nil
}

func (d *DiffReader) tag() (t byte, n uint64, err error) {
	if t, err = d.r.ReadByte(); err != nil {
		return 0, 0, short(err)
	}
	if d.version == 2 && t != 'e' {
		n, err = d.u64()
		if (t == 'w' || t == 'z') && n < 16 {
			err = errors.Join(err, bad("record %q of %d bytes", t, n))
		}
	}
	return t, n, err
}

func (d *DiffReader) u64() (uint64, error) { return readU64(d.r) }

func (d *DiffReader) name() (string, error) { return readName(d.r) }

func readU64(r io.Reader) (uint64, error) {
	var b [8]byte
	_, err := io.ReadFull(r, b[:])
	return binary.LittleEndian.Uint64(b[:]), short(err)
}

func readName(r io.Reader) (string, error) {
	var b [4]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return "", short(err)
	}
	n := binary.LittleEndian.Uint32(b[:])
	if n > maxName {
		return "", bad("a name of %d bytes", n)
	}
	var s strings.Builder
	_, err := io.CopyN(&s, r, int64(n)) // grows with what there is
	return s.String(), short(err)
}

func bad(format string, args ...any) error {
	return fmt.Errorf("transfer: "+format+": %w", append(args, errno.EINVAL)...)
}

// short tells a file that ends too early from other errors.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return bad("the file ends too early")
	}
	return err
}
