package msg

import (
	"github.com/pulpo-storage/pulpo/wire"
)

// Message types that carry maps; what is in them, doc/protocol/maps.md says.
const (
	TypeMDSMap     = 21
	TypeOSDMap     = 41
	TypeFSMap      = 45
	TypeFSMapUser  = 103
	TypeMgrMap     = 0x704
	TypeServiceMap = 0x707
)

var (
	_ = register[OSDMap]()
	_ = register[FSMap]()
	_ = register[FSMapUser]()
	_ = register[MDSMap]()
	_ = register[MgrMap]()
	_ = register[ServiceMap]()
)

// OSDMap carries OSD maps, incremental or full, by epoch (MOSDMap).
type OSDMap struct {
	fromMon
	FSID           FSID
	Incrementals   map[uint32][]byte
	Full           map[uint32][]byte
	Oldest, Newest uint32 // that the sender has
	GapRemoved     map[int64][]Interval
}

func (*OSDMap) MsgType() uint16            { return TypeOSDMap }
func (*OSDMap) Versions() (uint16, uint16) { return 4, 3 }
func (m *OSDMap) EncodeFront(e *wire.Encoder) {
	m.FSID.Encode(e)
	for _, maps := range []map[uint32][]byte{m.Incrementals, m.Full} {
		wire.EncodeMap(e, maps, func(k uint32, b []byte) { e.U32(k); e.Blob(b) })
	}
	e.U32(m.Oldest)
	e.U32(m.Newest)
	wire.EncodeMap(e, m.GapRemoved, func(k int64, s []Interval) { e.S64(k); encodeIntervals(e, s) })
}
func (m *OSDMap) decodeFront(d *wire.Decoder, v uint16) {
	m.FSID.Decode(d)
	blobs := func() map[uint32][]byte {
		return wire.DecodeMap(d, 8, func() (uint32, []byte) { return d.U32(), d.Blob() })
	}
	m.Incrementals = blobs()
	m.Full = blobs()
	if v >= 2 {
		m.Oldest = d.U32()
		m.Newest = d.U32()
	}
	if v >= 4 {
		m.GapRemoved = wire.DecodeMap(d, 12, func() (int64, []Interval) { return d.S64(), decodeIntervals(d) })
	}
}

// FSMap carries the file system map, inline (MFSMap).
type FSMap struct {
	fromMon
	Epoch uint32
	Map   []byte // FSMap as it is, to the end of the front
}

func (*FSMap) MsgType() uint16            { return TypeFSMap }
func (*FSMap) Versions() (uint16, uint16) { return 1, 1 }
func (m *FSMap) EncodeFront(e *wire.Encoder) {
	e.U32(m.Epoch)
	e.Raw(m.Map)
}
func (m *FSMap) decodeFront(d *wire.Decoder, _ uint16) {
	m.Epoch = d.U32()
	m.Map = d.Raw(d.Left())
}

// FSName names a file system.
type FSName struct {
	ID   int32
	Name string
}

// FSMapUser lists the file systems for kernel clients (MFSMapUser).
type FSMapUser struct {
	fromMon
	Epoch  uint32
	Legacy int32 // the default one; -1: none
	FS     []FSName
}

func (*FSMapUser) MsgType() uint16            { return TypeFSMapUser }
func (*FSMapUser) Versions() (uint16, uint16) { return 1, 1 }
func (m *FSMapUser) EncodeFront(e *wire.Encoder) {
	e.U32(m.Epoch)
	mark := e.Begin(1, 1)
	e.U32(m.Epoch)
	e.S32(m.Legacy)
	wire.EncodeSlice(e, m.FS, func(f FSName) {
		mark := e.Begin(1, 1)
		e.S32(f.ID)
		e.Str(f.Name)
		e.End(mark)
	})
	e.End(mark)
}
func (m *FSMapUser) decodeFront(d *wire.Decoder, _ uint16) {
	m.Epoch = d.U32()
	env := d.Begin("FSMapUser", 1)
	d.U32()
	m.Legacy = d.S32()
	m.FS = wire.DecodeSlice(d, 14, func() (f FSName) {
		env := d.Begin("fs_info_t", 1)
		f.ID = d.S32()
		f.Name = d.Str()
		d.End(env)
		return f
	})
	d.End(env)
}

// MDSMap carries the map of one file system (MMDSMap).
type MDSMap struct {
	fromMon
	FSID  FSID
	Epoch uint32
	Map   []byte
	Name  string
}

func (*MDSMap) MsgType() uint16            { return TypeMDSMap }
func (*MDSMap) Versions() (uint16, uint16) { return 2, 1 }
func (m *MDSMap) EncodeFront(e *wire.Encoder) {
	m.FSID.Encode(e)
	e.U32(m.Epoch)
	e.Blob(m.Map)
	e.Str(m.Name)
}
func (m *MDSMap) decodeFront(d *wire.Decoder, v uint16) {
	m.FSID.Decode(d)
	m.Epoch = d.U32()
	m.Map = d.Blob()
	if v >= 2 {
		m.Name = d.Str()
	}
}

// MgrMap carries the manager map, inline (MMgrMap).
type MgrMap struct {
	fromMon
	Map []byte
}

func (*MgrMap) MsgType() uint16                         { return TypeMgrMap }
func (*MgrMap) Versions() (uint16, uint16)              { return 1, 1 }
func (m *MgrMap) EncodeFront(e *wire.Encoder)           { e.Raw(m.Map) }
func (m *MgrMap) decodeFront(d *wire.Decoder, _ uint16) { m.Map = d.Raw(d.Left()) }

// ServiceMap carries the service map, inline (MServiceMap).
type ServiceMap struct {
	fromMon
	Map []byte
}

func (*ServiceMap) MsgType() uint16                         { return TypeServiceMap }
func (*ServiceMap) Versions() (uint16, uint16)              { return 1, 1 }
func (m *ServiceMap) EncodeFront(e *wire.Encoder)           { e.Raw(m.Map) }
func (m *ServiceMap) decodeFront(d *wire.Decoder, _ uint16) { m.Map = d.Raw(d.Left()) }
