package radoscmd

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/wire"
)

// The format of export (Ceph's RadosDump, version 2): a head, then sections,
// each with a header of a type and a size, and, if it has content, a footer.
//
//	u32 magic, u32 version, u32 size of a header, u32 size of a footer
//	ENC(1,1){u32 type<<24 | type<<16 | 0xffce, u64 size} content ENC(1,1){u32 end}
//
// pool begin { object begin, data*, attrs, omap header, omap*, object end }* pool end
const (
	dumpMagic      = 0xffceffce
	dumpVersion    = 2
	dumpHeaderSize = 18
	dumpFooterSize = 10
	dumpEnd        = 0xecffffce

	// maxSection bounds what import keeps in memory: an object's omap at most.
	maxSection = 1 << 30
)

type sectionType uint32

const (
	sectionObjectBegin sectionType = 3
	sectionObjectEnd   sectionType = 4
	sectionData        sectionType = 5
	sectionAttrs       sectionType = 6
	sectionOmapHeader  sectionType = 7
	sectionOmap        sectionType = 8
	sectionPoolBegin   sectionType = 10
	sectionPoolEnd     sectionType = 11
)

func (t sectionType) code() uint32 { return uint32(t)<<24 | uint32(t)<<16 | 0xffce }

// defaultObjectInfo is an object_info_t of no object. Ceph's tool writes one in
// front of each object and reads over it.
const defaultObjectInfo = "" +
	"1108e200000004032100000000000000000000000000000000000000000000000000000000000000000000008006031c" +
	"0000000000000000000080ffffffff0000000000000000ffffffffffffffff0000000000000000000000000000000000" +
	"000000000000000000000002021500000000000000000000000000000000000000000000000000000000000000000000" +
	"000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000" +
	"000000000000000000000000ffffffffffffffff0000000000000000000000000000000000000000"

func (s *settings) export() *cobra.Command {
	return &cobra.Command{
		Use: "export [FILE|-]", Short: "Write the objects of a pool into a file", Args: cobra.MaximumNArgs(1),
		RunE: s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
			to := "-"
			if len(args) > 0 {
				to = args[0]
			}
			err := s.output(to, func(w io.Writer) error {
				b := bufio.NewWriterSize(w, 1<<20)
				if err := dumpPool(ctx, b, p.Namespace(rados.AllNamespaces)); err != nil {
					return err
				}
				return b.Flush()
			})
			if err != nil {
				return failed("exporting", err)
			}
			return nil
		}),
	}
}

func writeSection(w io.Writer, t sectionType, content []byte) error {
	var e wire.Encoder
	m := e.Begin(1, 1)
	e.U32(t.code())
	e.U64(uint64(len(content)))
	e.End(m)
	if len(content) > 0 {
		e.Raw(content)
		m = e.Begin(1, 1)
		e.U32(dumpEnd)
		e.End(m)
	}
	_, err := w.Write(e.Bytes())
	return err
}

func dumpPool(ctx context.Context, w io.Writer, p *rados.Pool) error {
	var e wire.Encoder
	for _, v := range []uint32{dumpMagic, dumpVersion, dumpHeaderSize, dumpFooterSize} {
		e.U32(v)
	}
	if _, err := w.Write(e.Bytes()); err != nil {
		return err
	}
	if err := writeSection(w, sectionPoolBegin, nil); err != nil {
		return err
	}
	for o, err := range p.Objects(ctx) {
		if err != nil {
			return err
		}
		err := dumpObject(ctx, w, p.Namespace(o.Namespace).Locator(o.Locator), o)
		if errors.Is(err, rados.ErrNotFound) {
			continue // removed meanwhile, before anything was written
		}
		if err != nil {
			return err
		}
	}
	return writeSection(w, sectionPoolEnd, nil)
}

// dumpChunk is how much data or how many entries a section has.
const (
	dumpChunk   = 4 << 20
	dumpEntries = 1000
)

func dumpObject(ctx context.Context, w io.Writer, p *rados.Pool, o rados.ObjectEntry) error {
	var op rados.ReadOp
	attrs, head := op.Xattrs(), op.OmapHeader()
	head.MayFail() // erasure-coded pools have no omap
	if err := p.Query(ctx, o.Name, &op); err != nil {
		return err
	}
	var e wire.Encoder
	section := func(t sectionType, encode func()) error {
		e.Reset()
		m := e.Begin(1, 1)
		encode()
		e.End(m)
		return writeSection(w, t, e.Bytes())
	}

	e.Reset()
	m := e.Begin(3, 1)
	object.ID{Pool: math.MinInt64, Namespace: o.Namespace, Key: o.Locator, Name: o.Name, Snap: object.NoSnap}.Encode(&e)
	e.U64(math.MaxUint64) // generation
	e.S8(-1)              // shard
	info, err := hex.DecodeString(defaultObjectInfo)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	e.Raw(info)
	e.End(m)
	if err := writeSection(w, sectionObjectBegin, e.Bytes()); err != nil {
		return err
	}

	buf := make([]byte, dumpChunk)
	for off := uint64(0); ; off += dumpChunk {
		n, err := p.Read(ctx, o.Name, off, buf)
		if err != nil {
			return gone(o, err)
		}
		if n > 0 {
			if err := section(sectionData, func() {
				e.U64(off)
				e.U64(uint64(n))
				e.Blob(buf[:n])
			}); err != nil {
				return err
			}
		}
		if n < len(buf) {
			break
		}
	}
	if err := section(sectionAttrs, func() {
		// User attributes are stored with a _ in front.
		wire.EncodeMap(&e, attrs.Xattrs, func(k string, v []byte) { e.Str("_" + k); e.Blob(v) })
	}); err != nil {
		return err
	}
	if err := section(sectionOmapHeader, func() { e.Blob(head.Data) }); err != nil {
		return err
	}
	entries := map[string][]byte{}
	flush := func() error {
		if len(entries) == 0 {
			return nil
		}
		err := section(sectionOmap, func() {
			wire.EncodeMap(&e, entries, func(k string, v []byte) { e.Str(k); e.Blob(v) })
		})
		clear(entries)
		return err
	}
	if head.Err() == nil {
		for x, err := range p.Omap(ctx, o.Name, "") {
			if err != nil {
				return gone(o, err)
			}
			entries[x.Key] = x.Value
			if len(entries) == dumpEntries {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	return writeSection(w, sectionObjectEnd, nil)
}

// gone is an error that cannot be passed over any more, since half of the
// object is written.
func gone(o rados.ObjectEntry, err error) error {
	return fmt.Errorf("object %q changes while it is read: %v", o.Name, err)
}

func (s *settings) import_() *cobra.Command {
	var dryRun, noOverwrite bool
	cmd := &cobra.Command{Use: "import FILE|-", Short: "Write the objects of an export into a pool", Args: cobra.MaximumNArgs(1)}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only tell what would be done")
	cmd.Flags().BoolVar(&noOverwrite, "no-overwrite", false, "leave objects that exist as they are")
	cmd.RunE = s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
		from := "-"
		if len(args) > 0 {
			from = args[0]
		}
		err := s.input(from, func(r io.Reader) error {
			im := &importer{ctx: ctx, p: p, out: s.out, dryRun: dryRun, noOverwrite: noOverwrite}
			return im.run(bufio.NewReaderSize(r, 1<<20))
		})
		if err != nil {
			return failed("importing", err)
		}
		return nil
	})
	return cmd
}

// importer reads a dump into a pool.
type importer struct {
	ctx                 context.Context
	p                   *rados.Pool
	out                 io.Writer
	dryRun, noOverwrite bool

	target *rados.Pool // of the object at hand
	name   string
	skip   bool
}

var errDump = errors.New("not an export of a pool, or damaged")

func (im *importer) run(r io.Reader) error {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return errDump
	}
	d := wire.NewDecoder(head[:])
	if d.U32() != dumpMagic || d.U32() != dumpVersion || d.U32() != dumpHeaderSize || d.U32() != dumpFooterSize {
		return errDump
	}
	for {
		t, content, err := readSection(r)
		if err != nil {
			return err
		}
		switch t {
		case sectionPoolBegin:
			fmt.Fprintln(im.out, "Importing pool")
		case sectionPoolEnd:
			return nil
		default:
			if err := im.section(t, content); err != nil {
				return err
			}
		}
	}
}

func readSection(r io.Reader) (sectionType, []byte, error) {
	var head [dumpHeaderSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, errDump
	}
	d := wire.NewDecoder(head[:])
	env := d.Begin("section", 1)
	code, n := d.U32(), d.U64()
	d.End(env)
	t := sectionType(code >> 24)
	if d.Finish() != nil || code != t.code() || n > maxSection {
		return 0, nil, errDump
	}
	if n == 0 {
		return t, nil, nil
	}
	// Not allocated before it is there: the size may be a lie.
	content, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return 0, nil, err
	}
	var foot [dumpFooterSize]byte
	if _, err := io.ReadFull(r, foot[:]); err != nil || uint64(len(content)) != n {
		return 0, nil, errDump
	}
	d = wire.NewDecoder(foot[:])
	env = d.Begin("footer", 1)
	end := d.U32()
	d.End(env)
	if d.Finish() != nil || end != dumpEnd {
		return 0, nil, errDump
	}
	return t, content, nil
}

func (im *importer) section(t sectionType, content []byte) error {
	if t == sectionObjectEnd {
		return nil
	}
	d := wire.NewDecoder(content)
	env := d.Begin("section", 3)
	var apply func(*rados.WriteOp)
	switch t {
	case sectionObjectBegin:
		var id object.ID
		id.Decode(d)
		d.End(env)
		if d.Err() != nil {
			return fmt.Errorf("%w: %w", errDump, d.Err())
		}
		return im.begin(id)
	case sectionData:
		off := d.U64()
		d.U64()
		b := d.Blob()
		apply = func(op *rados.WriteOp) { op.Write(off, b) }
	case sectionAttrs:
		attrs := wire.DecodeMap(d, 8, func() (string, []byte) { return d.Str(), d.Blob() })
		apply = func(op *rados.WriteOp) {
			for _, k := range slices.Sorted(maps.Keys(attrs)) {
				if len(k) > 1 && k[0] == '_' {
					op.SetXattr(k[1:], attrs[k])
				}
			}
		}
	case sectionOmapHeader:
		b := d.Blob()
		apply = func(op *rados.WriteOp) {
			if len(b) > 0 {
				op.OmapSetHeader(b)
			}
		}
	case sectionOmap:
		entries := wire.DecodeMap(d, 8, func() (string, []byte) { return d.Str(), d.Blob() })
		apply = func(op *rados.WriteOp) { op.OmapSet(entries) }
	default:
		return fmt.Errorf("%w: section of type %d", errDump, t)
	}
	d.End(env)
	if d.Err() != nil || im.target == nil {
		return errDump
	}
	if im.skip {
		return nil
	}
	var op rados.WriteOp
	apply(&op)
	if op.Len() == 0 {
		return nil
	}
	return im.target.Mutate(im.ctx, im.name, &op)
}

func (im *importer) begin(id object.ID) error {
	im.name = id.Name
	im.target = im.p.Namespace(id.Namespace).Locator(id.Key)
	if id.Snap != object.NoSnap {
		im.skip = true // clones are not restored
		return nil
	}
	_, err := im.target.Stat(im.ctx, im.name)
	exists := err == nil
	if err != nil && !errors.Is(err, rados.ErrNotFound) {
		return err
	}
	im.skip = im.dryRun || exists && im.noOverwrite
	what := "Write"
	switch {
	case exists && im.noOverwrite:
		what = "Skipping existing"
	case exists:
		what = "***Overwrite***"
	}
	fmt.Fprintf(im.out, "%s #%v#\n", what, id)
	if im.skip {
		return nil
	}
	var op rados.WriteOp
	if exists {
		op.Remove()
	}
	op.Create(false)
	return im.target.Mutate(im.ctx, im.name, &op)
}
