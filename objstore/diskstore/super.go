package diskstore

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/disk"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/journal"
	"github.com/pulpo-storage/pulpo/wire"
)

// blockSize is the unit of allocation, of checksums and of data I/O.
const blockSize = 4096

const (
	superMagic = "PULPOBLK"
	storeType  = "diskstore"
)

// Feature bits of the superblock. A store with an incompat bit that is not
// known here cannot be opened, with a ro_compat bit not be written; compat bits
// may be ignored.
const (
	knownROCompat = 0
	knownIncompat = 0
)

// Superblock is the first block of the file, after which all else is found. It
// is written once.
type Superblock struct {
	Type        string
	UUID        [16]byte
	Created     time.Time
	Compat      uint64
	ROCompat    uint64
	Incompat    uint64
	BlockSize   uint32
	JournalOff  uint64
	JournalSize uint64
	JournalSalt uint64
	DataOff     uint64 // where data blocks begin
	Size        uint64 // what the file may grow to
}

// FormatError says that what is on the disk is not a store, or not one that
// this program can read.
type FormatError struct {
	Path   string
	Reason string
}

func (e *FormatError) Error() string { return fmt.Sprintf("%s: %s", e.Path, e.Reason) }

func newSuperblock(size, journalSize uint64) *Superblock {
	s := &Superblock{
		Type: storeType, Created: time.Now().UTC().Truncate(time.Microsecond), BlockSize: blockSize,
		JournalOff: blockSize, JournalSize: journalSize, DataOff: blockSize + journalSize, Size: size,
	}
	var b [24]byte
	rand.Read(b[:])
	copy(s.UUID[:], b[:16])
	s.UUID[6], s.UUID[8] = s.UUID[6]&0x0f|0x40, s.UUID[8]&0x3f|0x80
	s.JournalSalt = binary.LittleEndian.Uint64(b[16:])
	return s
}

// encode returns the block: magic, u32 crc32c of what follows, the struct.
func (s *Superblock) encode() []byte {
	var e wire.Encoder
	m := e.Begin(1, 1)
	e.Str(s.Type)
	e.Raw(s.UUID[:])
	e.Time(s.Created)
	e.U64(s.Compat)
	e.U64(s.ROCompat)
	e.U64(s.Incompat)
	e.U32(s.BlockSize)
	e.U64(s.JournalOff)
	e.U64(s.JournalSize)
	e.U64(s.JournalSalt)
	e.U64(s.DataOff)
	e.U64(s.Size)
	e.End(m)
	b := disk.Aligned(blockSize)
	copy(b, superMagic)
	copy(b[12:], e.Bytes())
	binary.LittleEndian.PutUint32(b[8:], journal.Checksum(b[12:]))
	return b
}

// decodeSuperblock reads the block and says why it cannot be used.
func decodeSuperblock(b []byte) (*Superblock, error) {
	if len(b) != blockSize || string(b[:8]) != superMagic {
		return nil, errors.New("not a Pulpo store: the superblock has another magic number")
	}
	if journal.Checksum(b[12:]) != binary.LittleEndian.Uint32(b[8:]) {
		return nil, errors.New("the superblock's checksum is wrong")
	}
	var s Superblock
	d := wire.NewDecoder(b[12:])
	env := d.Begin("superblock", 1)
	s.Type = d.Str()
	copy(s.UUID[:], d.Raw(16))
	s.Created = d.Time()
	s.Compat = d.U64()
	s.ROCompat = d.U64()
	s.Incompat = d.U64()
	s.BlockSize = d.U32()
	s.JournalOff = d.U64()
	s.JournalSize = d.U64()
	s.JournalSalt = d.U64()
	s.DataOff = d.U64()
	s.Size = d.U64()
	d.End(env)
	const limit = 1 << 60
	switch err := d.Err(); {
	case err != nil:
		return nil, err
	case s.Type != storeType:
		return nil, fmt.Errorf("a store of type %q, not %q", s.Type, storeType)
	case s.Incompat&^knownIncompat != 0:
		return nil, fmt.Errorf("has features %#x that this program does not know", s.Incompat&^knownIncompat)
	case s.ROCompat&^knownROCompat != 0:
		return nil, fmt.Errorf("has features %#x that this program cannot write", s.ROCompat&^knownROCompat)
	case s.BlockSize != blockSize:
		return nil, fmt.Errorf("has blocks of %d bytes", s.BlockSize)
	case s.JournalOff%blockSize != 0 || s.JournalSize%blockSize != 0 || s.DataOff%blockSize != 0 || s.JournalOff < blockSize ||
		s.JournalSize < minJournal || s.JournalSize > limit || s.JournalOff > limit || s.DataOff < s.JournalOff+s.JournalSize ||
		s.Size > limit || s.Size < s.DataOff:
		return nil, fmt.Errorf("the superblock's layout is impossible: %+v", s)
	}
	return &s, nil
}
