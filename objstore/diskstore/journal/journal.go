// Package journal is a write-ahead log in a ring of disk blocks, with group
// commit (what FileJournal was to FileStore, and RocksDB's log is to BlueStore).
//
// Records are numbered from one without gaps. Whoever appends does not wait: a
// goroutine takes all records that have come together meanwhile, writes them as
// one group with one write and one sync, runs their callbacks in order, and
// takes the next. There is never more than one group that is not durable, so
// that after a crash at most the last group is torn.
//
// # Format
//
// A group begins at a multiple of 4096 and is followed by the next one, or, if
// that did not fit before the end of the ring, the next one is at the ring's
// start. Numbers are little-endian.
//
//	0   u64  magic "PULPOJNL"
//	8   u64  salt of this journal
//	16  u64  number of the first record
//	24  u32  number of records, at least one
//	28  u32  length of the records
//	32  u32  number of 4096-byte blocks after the records
//	36  u32  crc32c of bytes 0 to 36 and of the records
//	40       the records, then zeros to a multiple of 4096, then the blocks
//
// A record is
//
//	u32  length of meta
//	u32  number of blocks        (b)
//	u32  number of direct runs   (d)
//	     meta
//	     b * u32 crc32c of each block
//	     d * (u64 offset in the file, u32 length in blocks, u32 crc32c of the crc32c of its blocks)
//
// Blocks are data that rides in the journal, in order of the records. A direct
// run is data that was written to its place in the same file before the group:
// in mode [Parallel] without a sync between the two, so that a group counts only
// if its direct runs are there too. To find that out it is enough to read those
// of the last group: a group is written only once the one before it is durable.
//
// The ring is never cleared. An old group that lies where the next one is
// expected has a lower number; a piece of user data that looks like a group does
// not know the salt.
//
// # Space
//
// The ring must never be too full to take what was appended, since those who
// make room may wait for it to be written. So [Journal.Reserve] counts the worst
// case before a record is appended, and is the only place that waits for room.
//
// Records also hold memory until they are released, and that has a bound of its
// own ([Config.MaxHeld]): it is the one place where a store that is behind with
// its checkpoints slows down those who write.
//
// No compatibility promise.
package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"time"

	"github.com/pulpo-storage/pulpo/disk"
)

// Block is the unit of the ring and of data.
const Block = disk.Sector

const (
	magic      = 0x4c4e4a4f504c5550 // "PULPOJNL"
	headerLen  = 40
	recordLen  = 12
	directLen  = 16
	maxPending = 8 << 20 // bytes that may wait for the group before them
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the checksum of a block.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// Mode says when direct data is synced.
type Mode int

const (
	// Parallel writes direct data and the group, then syncs both at once.
	Parallel Mode = iota
	// WriteAhead syncs direct data before the group that refers to it.
	WriteAhead
)

// Ring is where a journal lies.
type Ring struct {
	File disk.File
	Off  int64 // of the ring in the file
	Size int64 // both are multiples of Block
	Salt uint64
}

// Position is a place between groups.
type Position struct {
	Seq uint64 // number of the next record
	Off int64  // in the ring, where its group is looked for first
}

// MaxRecord is the size of the largest record that a ring takes.
func MaxRecord(ringSize int64) int64 { return ringSize / 8 }

// Spare is the room in a ring that only a [Need] with Last set may take.
func Spare(ringSize int64) int64 { return ringSize / 16 &^ (Block - 1) }

// Direct is a run of data that goes to its own place in the file.
type Direct struct {
	Off  int64
	Data []byte   // whole blocks; borrowed until the record is durable
	CRCs []uint32 // of its blocks
	// Written is called once the data is readable from the file.
	Written func()
}

// Record is what is appended.
type Record struct {
	Meta   []byte   // copied
	Blocks [][]byte // of Block bytes each; borrowed until the record is durable
	CRCs   []uint32 // of the blocks
	Direct []Direct
	Done   func(error) // called in order; may be nil
}

// size is the room that the record takes at worst, in a group of its own.
func (r *Record) size() int64 {
	n := headerLen + recordLen + len(r.Meta) + 4*len(r.Blocks) + directLen*len(r.Direct)
	return roundUp(int64(n)) + int64(len(r.Blocks))*Block
}

// Size is what to reserve for a record.
func Size(r *Record) int64 { return r.size() }

func roundUp(n int64) int64 { return (n + Block - 1) &^ (Block - 1) }

// Need is what a record takes until it is released.
type Need struct {
	Size   int64 // in the ring, see Size
	Held   int64 // memory that it holds until it is released
	Direct int64 // memory that it holds until it is durable: its direct data
	Last   bool  // it may take the room that is kept back for what makes room, and hold more
}

// Config is how a journal is opened.
type Config struct {
	Ring      Ring
	Mode      Mode
	MaxHeld   int64 // memory that records may hold; one alone may hold more; zero: no bound
	MaxDirect int64 // and the same for direct data
	Held      int64 // what the records hold that are there already
	// Full is called when there is no room until Release has made some. Failed is
	// called once, when the journal can write no more, before the callbacks of the
	// records that are lost. Both are called with no lock held and must not block.
	Full   func()
	Failed func(error)
}

// group is records on their way to the disk.
type group struct {
	meta   []byte // header and records
	blocks [][]byte
	direct []Direct
	done   []func(error)
	at     []time.Time // when each was appended
	worst  int64       // what was reserved
	held   int64
	room   int64 // of direct data
	count  int
}

func (g *group) reset() {
	clear(g.blocks)
	clear(g.direct)
	clear(g.done)
	*g = group{meta: g.meta[:0], blocks: g.blocks[:0], direct: g.direct[:0], done: g.done[:0], at: g.at[:0]}
}

// mark remembers where the group after seq begins.
type mark struct {
	seq  uint64 // the last record before
	off  int64
	held int64 // memory that the group before holds
}

// Stats counts.
type Stats struct {
	Records, Groups uint64
	Bytes           uint64        // written to the ring
	DirectBytes     uint64        // written to their place
	Waits           uint64        // for room
	Latency         time.Duration // sum over the records, from append to durable
	MaxLatency      time.Duration
	GroupSizes      [8]uint64  // groups of 1, 2-3, 4-7, 8-15, ... records
	Latencies       [16]uint64 // records within 32 µs, 64 µs, ... of 2^(5+i) µs
}

// Journal is an open journal.
type Journal struct {
	cfg Config

	buf []byte // for the group being written; owned by the goroutine

	mu      sync.Mutex
	cond    *sync.Cond
	pending *group
	spare   *group
	next    uint64 // number of the next record
	durable uint64 // number of the last durable record
	called  uint64 // number of the last record whose callback has run
	head    int64  // where the next group goes
	tail    int64  // where the oldest group that is needed begins
	marks   []mark // of groups after tail
	worst   int64  // sum of what is reserved or in groups not yet written
	held    int64  // memory of all that is reserved or not released
	direct  int64  // memory of direct data that is reserved or not durable
	freed   uint64 // number of the last record that was released
	waiting int    // in Reserve or Released
	err     error
	closed  bool
	stats   Stats
	ended   chan struct{}
}

// Open starts a journal at a position where Replay ended; tail is where it
// began.
func Open(c Config, tail, at Position) *Journal {
	j := &Journal{
		cfg:     c,
		buf:     disk.Aligned(256 << 10),
		pending: &group{}, spare: &group{},
		next: at.Seq, durable: at.Seq - 1, called: at.Seq - 1, freed: tail.Seq - 1, head: at.Off, tail: tail.Off,
		ended: make(chan struct{}),
	}
	if at.Seq != tail.Seq {
		j.held = c.Held
		j.marks = []mark{{at.Seq - 1, at.Off, c.Held}}
	}
	j.cond = sync.NewCond(&j.mu)
	go j.run()
	return j
}

// Reserve waits until a record has what it needs, and takes it. Each Reserve must
// be followed by Append or Unreserve. Before it waits, and after each Wake, it
// asks giveUp (which may be nil); an error of that is its own.
func (j *Journal) Reserve(n Need, giveUp func() error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n.Size > MaxRecord(j.cfg.Ring.Size) {
		return fmt.Errorf("record of %d bytes, the journal of %d takes at most %d", n.Size, j.cfg.Ring.Size, MaxRecord(j.cfg.Ring.Size))
	}
	err := j.await(func() (ok, full bool) {
		if j.noRoom(n) {
			return false, true
		}
		ok = j.worst == 0 || j.worst+n.Size <= maxPending
		return ok && (j.direct == 0 || j.direct+n.Direct <= j.cfg.MaxDirect || j.cfg.MaxDirect == 0), false
	}, giveUp)
	if err == nil {
		j.worst += n.Size
		j.held += n.Held
		j.direct += n.Direct
	}
	return err
}

// noRoom reports whether something must be released before n fits.
func (j *Journal) noRoom(n Need) bool {
	// A group that does not fit before the end wastes at most its size.
	used, room := j.used()+2*(j.worst+n.Size), j.cfg.Ring.Size-Block
	if n.Last {
		return used > room
	}
	return used > room-Spare(j.cfg.Ring.Size) || j.cfg.MaxHeld > 0 && j.held > 0 && j.held+n.Held > j.cfg.MaxHeld
}

// Released waits until a record and all before it have been released. giveUp is
// as for Reserve.
func (j *Journal) Released(seq uint64, giveUp func() error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.await(func() (ok, full bool) { return j.freed >= seq, true }, giveUp)
}

// await waits with j.mu held until ready says ok; as long as it says full it
// asks for room.
func (j *Journal) await(ready func() (ok, full bool), giveUp func() error) error {
	for j.err == nil && !j.closed {
		ok, full := ready()
		if ok {
			return nil
		}
		j.waiting++
		j.stats.Waits++
		if full {
			j.mu.Unlock()
			j.cfg.Full()
			j.mu.Lock()
			if ok, _ := ready(); ok {
				j.waiting--
				continue
			}
		}
		if giveUp != nil {
			if err := giveUp(); err != nil {
				j.waiting--
				return err
			}
		}
		j.cond.Wait()
		j.waiting--
	}
	if j.err != nil {
		return j.err
	}
	return errors.New("journal is closed")
}

// Wake lets those who wait for room ask whether to give up.
func (j *Journal) Wake() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cond.Broadcast()
}

// Unreserve gives back what Reserve took.
func (j *Journal) Unreserve(n Need) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.worst -= n.Size
	j.held -= n.Held
	j.direct -= n.Direct
	j.cond.Broadcast()
}

// used is the number of bytes between tail and head.
func (j *Journal) used() int64 {
	n := j.head - j.tail
	if n < 0 {
		n += j.cfg.Ring.Size
	}
	return n
}

// Append queues a record for which n is reserved and returns its number.
func (j *Journal) Append(r *Record, n Need) uint64 {
	if r.size() > n.Size {
		panic(fmt.Sprintf("BUG: journal record of %d bytes, %d reserved", r.size(), n.Size))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	g := j.pending
	if g.count == 0 {
		g.meta = append(g.meta, make([]byte, headerLen)...)
	}
	g.meta = appendRecord(g.meta, r)
	g.blocks = append(g.blocks, r.Blocks...)
	g.direct = append(g.direct, r.Direct...)
	g.done = append(g.done, r.Done)
	g.at = append(g.at, time.Now())
	g.worst += n.Size
	g.held += n.Held
	g.room += n.Direct
	g.count++
	j.next++
	if g.count == 1 {
		j.cond.Broadcast()
	}
	return j.next - 1
}

func appendRecord(b []byte, r *Record) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Meta)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Blocks)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Direct)))
	b = append(b, r.Meta...)
	for _, c := range r.CRCs {
		b = binary.LittleEndian.AppendUint32(b, c)
	}
	for i := range r.Direct {
		d := &r.Direct[i]
		b = binary.LittleEndian.AppendUint64(b, uint64(d.Off))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(d.Data)/Block))
		b = binary.LittleEndian.AppendUint32(b, sumOfSums(d.CRCs))
	}
	return b
}

func sumOfSums(crcs []uint32) (sum uint32) {
	var b [4]byte
	for _, c := range crcs {
		binary.LittleEndian.PutUint32(b[:], c)
		sum = crc32.Update(sum, castagnoli, b[:])
	}
	return sum
}

// run writes groups until the journal is closed and empty, or has failed.
func (j *Journal) run() {
	defer close(j.ended)
	for {
		j.mu.Lock()
		for j.pending.count == 0 && !j.closed {
			j.cond.Wait()
		}
		g := j.pending
		if g.count == 0 {
			j.mu.Unlock()
			return
		}
		j.pending, j.spare = j.spare, nil
		first := j.durable + 1
		head := j.head
		err := j.err
		j.mu.Unlock()

		var n int64
		if err == nil {
			if head, n, err = j.write(g, first, head); err != nil {
				j.cfg.Failed(err)
			}
		}
		j.finish(g, head, n, err)
		for _, f := range g.done {
			if f != nil {
				f(err)
			}
		}
		j.mu.Lock()
		j.called += uint64(g.count)
		g.reset()
		j.spare = g
		j.cond.Broadcast()
		j.mu.Unlock()
	}
}

// finish makes it known that a group is durable, or that the journal failed.
func (j *Journal) finish(g *group, head, n int64, err error) {
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.worst -= g.worst
	j.direct -= g.room
	if err != nil {
		j.err = err
	} else {
		j.durable += uint64(g.count)
		j.head = head
		j.marks = append(j.marks, mark{j.durable, head, g.held})
		j.stats.count(g, n, now)
	}
	j.cond.Broadcast()
	if j.waiting > 0 {
		go j.cfg.Full() // what is durable now may be released
	}
}

// write brings a group to the disk and returns where the next one goes.
func (j *Journal) write(g *group, first uint64, head int64) (int64, int64, error) {
	if err := j.writeDirect(g.direct); err != nil {
		return 0, 0, err
	}
	metaLen := roundUp(int64(len(g.meta)))
	n := metaLen + int64(len(g.blocks))*Block
	if head+n > j.cfg.Ring.Size {
		head = 0
	}
	h := g.meta
	binary.LittleEndian.PutUint64(h[0:], magic)
	binary.LittleEndian.PutUint64(h[8:], j.cfg.Ring.Salt)
	binary.LittleEndian.PutUint64(h[16:], first)
	binary.LittleEndian.PutUint32(h[24:], uint32(g.count))
	binary.LittleEndian.PutUint32(h[28:], uint32(len(g.meta)-headerLen))
	binary.LittleEndian.PutUint32(h[32:], uint32(len(g.blocks)))
	binary.LittleEndian.PutUint32(h[36:], groupCRC(h))

	if int64(len(j.buf)) < n {
		j.buf = disk.Aligned(int(max(n, min(2*int64(len(j.buf)), maxPending))))
	}
	b := j.buf[:n]
	clear(b[copy(b, g.meta):metaLen])
	for i, blk := range g.blocks {
		copy(b[metaLen+int64(i)*Block:], blk)
	}
	if _, err := j.cfg.Ring.File.WriteAt(b, j.cfg.Ring.Off+head); err != nil {
		return 0, 0, fmt.Errorf("journal write: %w", err)
	}
	if err := j.cfg.Ring.File.Sync(); err != nil {
		return 0, 0, fmt.Errorf("journal sync: %w", err)
	}
	if len(j.buf) > maxPending {
		j.buf = disk.Aligned(256 << 10) // a rare giant
	}
	return head + n, n, nil
}

func groupCRC(meta []byte) uint32 {
	return crc32.Update(crc32.Checksum(meta[:36], castagnoli), castagnoli, meta[headerLen:])
}

// writers bounds how many direct runs are written at once.
const writers = 4

// writeDirect writes data to its place and, if the mode wants it, syncs.
func (j *Journal) writeDirect(direct []Direct) error {
	if len(direct) == 0 {
		return nil
	}
	write := func(d *Direct) error {
		if _, err := j.cfg.Ring.File.WriteAt(d.Data, d.Off); err != nil {
			return fmt.Errorf("data write: %w", err)
		}
		if d.Written != nil {
			d.Written()
		}
		return nil
	}
	errs := make([]error, min(writers, len(direct)))
	var wg sync.WaitGroup
	part := func(w int) {
		for i := w; i < len(direct) && errs[w] == nil; i += len(errs) {
			errs[w] = write(&direct[i])
		}
	}
	for w := 1; w < len(errs); w++ {
		wg.Go(func() { part(w) })
	}
	part(0)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if j.cfg.Mode == WriteAhead {
		if err := j.cfg.Ring.File.Sync(); err != nil {
			return fmt.Errorf("data sync: %w", err)
		}
	}
	return nil
}

func (s *Stats) count(g *group, n int64, now time.Time) {
	s.Groups++
	s.Records += uint64(g.count)
	s.Bytes += uint64(n)
	for i := range g.direct {
		s.DirectBytes += uint64(len(g.direct[i].Data))
	}
	s.GroupSizes[bucket(uint64(g.count), len(s.GroupSizes))]++
	for _, at := range g.at {
		d := now.Sub(at)
		s.Latency += d
		s.MaxLatency = max(s.MaxLatency, d)
		s.Latencies[bucket(uint64(d.Microseconds())/16, len(s.Latencies))]++
	}
}

// bucket is the power of two at or below n, at most k-1.
func bucket(n uint64, k int) int {
	i := 0
	for n > 1 && i < k-1 {
		n /= 2
		i++
	}
	return i
}

// Stats returns the counters.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stats
}

// Durable returns the position after the last durable group.
func (j *Journal) Durable() Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Position{j.durable + 1, j.head}
}

// Used is the number of bytes that are not released, of how many.
func (j *Journal) Used() (used, size int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.used(), j.cfg.Ring.Size
}

// HalfFull reports whether half of the ring, or of the memory that records may
// hold, is taken.
func (j *Journal) HalfFull() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.used() > j.cfg.Ring.Size/2 || j.cfg.MaxHeld > 0 && j.held > j.cfg.MaxHeld/2
}

// Held is the memory that records hold, and that of direct data.
func (j *Journal) Held() (held, direct int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.held, j.direct
}

// SetMemory changes MaxHeld and MaxDirect.
func (j *Journal) SetMemory(held, direct int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cfg.MaxHeld, j.cfg.MaxDirect = held, direct
	j.cond.Broadcast()
}

// Wait returns once a record is durable, or with the journal's error.
func (j *Journal) Wait(seq uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.durable < seq && j.err == nil {
		j.cond.Wait()
	}
	return j.err
}

// Sync returns once the callbacks of all that was appended before have run.
func (j *Journal) Sync() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for last := j.next - 1; j.called < last; {
		j.cond.Wait()
	}
	return j.err
}

// Release gives the room of all groups before a position, which Durable
// returned, back to the ring.
func (j *Journal) Release(p Position) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := 0
	for i < len(j.marks) && j.marks[i].seq < p.Seq {
		i++
	}
	if i > 0 {
		j.tail, j.freed = j.marks[i-1].off, j.marks[i-1].seq
		for _, m := range j.marks[:i] {
			j.held -= m.held
		}
		j.marks = append(j.marks[:0], j.marks[i:]...)
	}
	j.cond.Broadcast()
}

// Fail makes the journal refuse all that comes.
func (j *Journal) Fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil {
		j.err = err
	}
	j.cond.Broadcast()
}

// Close writes what was appended and ends.
func (j *Journal) Close() error {
	j.mu.Lock()
	j.closed = true
	j.cond.Broadcast()
	j.mu.Unlock()
	<-j.ended
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}
