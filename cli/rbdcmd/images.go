package rbdcmd

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd"
)

// layout are the flags that say what a new image is like.
type layout struct {
	objectSize, stripeUnit size
	stripeCount            uint64
	features               []string
	dataPool               string
}

func (l *layout) flags(f *pflag.FlagSet) {
	l.objectSize.unit, l.stripeUnit.unit = 1, 1
	f.Var(&l.objectSize, "object-size", "4K to 32M (default 4M)")
	f.Var(&l.stripeUnit, "stripe-unit", "bytes that stay together")
	f.Uint64Var(&l.stripeCount, "stripe-count", 0, "objects that neighbouring units go to")
	f.StringSliceVar(&l.features, "image-feature", nil, "layering, exclusive-lock, object-map, fast-diff, deep-flatten")
	f.StringVar(&l.dataPool, "data-pool", "", "pool of the bytes")
}

func (s *settings) options(ctx context.Context, l *layout) (o rbd.CreateOptions, err error) {
	if l.objectSize.set {
		if n := l.objectSize.n; bits.OnesCount64(n) != 1 || n < 4<<10 || n > 32<<20 {
			return o, s.say(1, "rbd: the argument for option '--object-size' is invalid")
		}
		o.Order = uint8(bits.TrailingZeros64(l.objectSize.n))
	}
	o.StripeUnit, o.StripeCount = l.stripeUnit.n, l.stripeCount
	for _, name := range l.features {
		f, ok := clsrbd.ParseFeature(name)
		if !ok {
			return o, s.say(1, "rbd: the argument for option '--image-feature' is invalid")
		}
		o.Features |= f
	}
	if l.dataPool != "" {
		o.DataPool, err = s.openPool(ctx, l.dataPool, "")
	}
	return o, err
}

func (s *settings) create() *cobra.Command {
	var l layout
	bytes := size{unit: 1 << 20}
	cmd := s.command("create IMAGE", "Create an empty image", cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		sp, err := s.source(args, noSnap)
		if err != nil {
			return err
		}
		if !bytes.set {
			return s.say(int(errno.EINVAL), "rbd: must specify --size <M/G/T>")
		}
		o, err := s.options(ctx, &l)
		if err != nil {
			return err
		}
		p, err := s.poolOf(ctx, sp)
		if err != nil {
			return err
		}
		return s.failed("create error", rbd.Create(ctx, p, sp.image, bytes.n, o))
	})
	l.flags(cmd.Flags())
	cmd.Flags().VarP(&bytes, "size", "s", "with M, G or T")
	return cmd
}

func (s *settings) list() *cobra.Command {
	var long bool
	cmd := s.command("ls [POOL]", "List images", cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		pool, ns := or(s.pool, "rbd"), s.namespace
		if len(args) > 0 {
			pool, ns, _ = strings.Cut(args[0], "/")
		}
		fail := func(err error) error {
			if err == nil {
				return nil
			}
			n := errno.Errno(-errno.Code(err))
			var e *exit
			if errors.As(err, &e) {
				n = errno.Errno(e.code)
			}
			return s.say(int(n), "rbd: listing images failed: (%d) %v", int(n), n)
		}
		p, err := s.openPool(ctx, pool, ns)
		if err != nil {
			return fail(err)
		}
		list, err := rbd.List(ctx, p)
		if err != nil {
			return fail(err)
		}
		if long {
			return fail(s.listLong(ctx, p, list))
		}
		if s.json() {
			var f jsonfmt.Formatter
			f.Array("images", func() {
				for _, e := range list {
					f.Str("name", e.Name)
				}
			})
			s.print(&f)
			return nil
		}
		for _, e := range list {
			fmt.Fprintln(s.out, e.Name)
		}
		return nil
	})
	cmd.Aliases = []string{"list"}
	cmd.Flags().BoolVarP(&long, "long", "l", false, "with sizes, snapshots and parents")
	return cmd
}

func (s *settings) listLong(ctx context.Context, p *rados.Pool, list []rbd.Entry) error {
	var t jsonfmt.Table
	var f jsonfmt.Formatter
	t.Column("NAME", jsonfmt.Left)
	t.Column("SIZE", jsonfmt.Right)
	t.Column("PARENT", jsonfmt.Left)
	t.Column("FMT", jsonfmt.Right)
	t.Column("PROT", jsonfmt.Left)
	t.Column("LOCK", jsonfmt.Left)
	f.OpenArray("images")
	for _, e := range list {
		img, err := rbd.Open(ctx, p, e.Name, rbd.OpenOptions{ReadOnly: true})
		if errors.Is(err, errno.ENOENT) {
			continue // removed meanwhile
		}
		if err != nil {
			return err
		}
		snaps, err := img.Snapshots(ctx)
		if err != nil {
			return err
		}
		lock, err := p.LockInfo(ctx, clsrbd.Header(e.ID), clsrbd.LockName)
		if err != nil {
			return err
		}
		held := ""
		if len(lock.Holders) > 0 {
			if held = "excl"; lock.Shared {
				held = "shr"
			}
		}
		parent, spec := s.parentOf(ctx, img)
		t.Row(e.Name, jsonfmt.Bytes(uint64(img.Size())), parent, "2", "", held)
		f.Object("image", func() {
			f.Str("image", e.Name)
			f.Str("id", e.ID)
			f.Uint("size", uint64(img.Size()))
			if parent != "" {
				f.Object("parent", func() {
					f.Str("pool", spec.pool)
					f.Str("pool_namespace", spec.namespace)
					f.Str("image", spec.image)
					f.Str("snapshot", spec.snap)
				})
			}
			f.Uint("format", 2)
			if held != "" {
				kind := "exclusive"
				if lock.Shared {
					kind = "shared"
				}
				f.Str("lock_type", kind)
			}
		})
		for _, sn := range snaps {
			if sn.Type != rbd.SnapUser {
				continue
			}
			protected := ""
			if sn.Protected {
				protected = "yes"
			}
			t.Row(e.Name+"@"+sn.Name, jsonfmt.Bytes(sn.Size), parent, "2", protected, "")
			f.Object("snapshot", func() {
				f.Str("image", e.Name)
				f.Str("id", e.ID)
				f.Str("snapshot", sn.Name)
				f.Uint("snapshot_id", sn.ID)
				f.Uint("size", sn.Size)
				f.Uint("format", 2)
				f.Str("protected", yes(sn.Protected))
			})
		}
	}
	f.Close()
	if s.json() {
		s.print(&f)
	} else if len(list) > 0 {
		fmt.Fprint(s.out, t.String())
	}
	return nil
}

// parentOf is how the parent of an image is called, if there is one.
func (s *settings) parentOf(ctx context.Context, img *rbd.Image) (string, spec) {
	p := img.Info().Parent
	if p == nil {
		return "", spec{}
	}
	pool, err := s.cluster.PoolByID(ctx, p.Pool)
	if err != nil {
		return "", spec{}
	}
	parent, err := rbd.OpenID(ctx, pool.Namespace(p.Namespace), p.Image, rbd.OpenOptions{SnapshotID: p.Snap})
	if err != nil {
		return "", spec{}
	}
	sp := spec{pool: pool.Name(), namespace: p.Namespace, image: parent.Name()}
	snaps, err := parent.Snapshots(ctx)
	for _, sn := range snaps {
		if err == nil && sn.ID == p.Snap {
			sp.snap = sn.Name
		}
	}
	return parent.Spec(), sp
}

func (s *settings) info() *cobra.Command {
	return s.withImage("info IMAGE[@SNAP]", "Tell about an image", maySnap, true, func(ctx context.Context, img *rbd.Image, sp spec) error {
		i := img.Info()
		snaps, err := img.Snapshots(ctx)
		if err != nil {
			return s.failed("info", err)
		}
		count, protected := 0, false
		for _, sn := range snaps {
			if sn.Type == rbd.SnapUser {
				count++
			}
			if sp.snap != "" && sn.Name == sp.snap && sn.Type == rbd.SnapUser {
				protected = sn.Protected
			}
		}
		parent, from := s.parentOf(ctx, img)
		if s.json() {
			s.infoJSON(i, img.Name(), count, sp.snap != "", protected, parent != "", from)
			return nil
		}
		w := s.out
		fmt.Fprintf(w, "rbd image '%s':\n\tsize %s in %d objects\n\torder %d (%s objects)\n\tsnapshot_count: %d\n\tid: %s\n",
			img.Name(), jsonfmt.Bytes(i.Size), i.Objects, i.Order, jsonfmt.Bytes(i.ObjectSize), count, i.ID)
		if i.DataPool != "" {
			fmt.Fprintf(w, "\tdata_pool: %s\n", i.DataPool)
		}
		fmt.Fprintf(w, "\tblock_name_prefix: %s\n\tformat: 2\n\tfeatures: %s\n\top_features: %s\n\tflags: %s\n",
			i.Prefix, strings.Join(i.Features.Names(), ", "), strings.Join(i.OpFeatures.Names(), ", "), strings.Join(i.Flags.Names(), ", "))
		fmt.Fprintf(w, "\tcreate_timestamp: %s\n\taccess_timestamp: %s\n\tmodify_timestamp: %s\n", ctime(i.Created), ctime(i.Accessed), ctime(i.Modified))
		if sp.snap != "" {
			fmt.Fprintf(w, "\tprotected: %s\n", strings.ToUpper(yes(protected)[:1])+yes(protected)[1:])
		}
		if parent != "" {
			fmt.Fprintf(w, "\tparent: %s\n\toverlap: %s\n", parent, jsonfmt.Bytes(i.Parent.Overlap))
		}
		if i.Features&rbd.Striping != 0 {
			fmt.Fprintf(w, "\tstripe unit: %s\n\tstripe count: %d\n", jsonfmt.Bytes(i.StripeUnit), i.StripeCount)
		}
		return nil
	})
}

func (s *settings) infoJSON(i rbd.Info, name string, snaps int, isSnap, protected, hasParent bool, parent spec) {
	var f jsonfmt.Formatter
	list := func(name string, v []string) {
		f.Array(name, func() {
			for _, x := range v {
				f.Str("", x)
			}
		})
	}
	f.Object("image", func() {
		f.Str("name", name)
		f.Str("id", i.ID)
		f.Uint("size", i.Size)
		f.Uint("objects", i.Objects)
		f.Uint("order", uint64(i.Order))
		f.Uint("object_size", i.ObjectSize)
		f.Int("snapshot_count", int64(snaps))
		if i.DataPool != "" {
			f.Str("data_pool", i.DataPool)
		}
		f.Str("block_name_prefix", i.Prefix)
		f.Uint("format", 2)
		list("features", i.Features.Names())
		list("op_features", i.OpFeatures.Names())
		list("flags", i.Flags.Names())
		f.Str("create_timestamp", ctime(i.Created))
		f.Str("access_timestamp", ctime(i.Accessed))
		f.Str("modify_timestamp", ctime(i.Modified))
		if isSnap {
			f.Str("protected", yes(protected))
		}
		if hasParent {
			f.Object("parent", func() {
				f.Str("pool", parent.pool)
				f.Str("pool_namespace", parent.namespace)
				f.Str("image", parent.image)
				f.Str("id", i.Parent.Image)
				f.Str("snapshot", parent.snap)
				f.Bool("trash", false)
				f.Uint("overlap", i.Parent.Overlap)
			})
		}
		if i.Features&rbd.Striping != 0 {
			f.Uint("stripe_unit", i.StripeUnit)
			f.Uint("stripe_count", i.StripeCount)
		}
	})
	s.print(&f)
}

func (s *settings) remove() *cobra.Command {
	cmd := s.command("rm IMAGE", "Remove an image", cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		sp, err := s.source(args, noSnap)
		if err != nil {
			return err
		}
		p, err := s.poolOf(ctx, sp)
		if err != nil {
			return err
		}
		pr := s.progress("Removing image")
		err = rbd.Remove(ctx, p, sp.image, pr.tell)
		pr.end(err)
		switch {
		case errors.Is(err, errno.ENOTEMPTY):
			return s.say(int(errno.ENOTEMPTY), "rbd: image has snapshots - these must be deleted with 'rbd snap purge' before the image can be removed.")
		case errors.Is(err, errno.EBUSY):
			return s.say(int(errno.EBUSY), "rbd: error: image still has watchers\nThis means the image is still open or the client using it crashed. Try again after closing/unmapping it or waiting 30s for the crashed client to timeout.")
		}
		return s.failed("delete error", err)
	})
	cmd.Aliases = []string{"remove"}
	return cmd
}

func (s *settings) resize() *cobra.Command {
	bytes := size{unit: 1 << 20}
	var shrink bool
	cmd := s.command("resize IMAGE", "Change the size of an image", cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		sp, err := s.source(args, noSnap)
		if err != nil {
			return err
		}
		if !bytes.set {
			return s.say(int(errno.EINVAL), "rbd: must specify --size <M/G/T>")
		}
		img, err := s.open(ctx, sp, false)
		if err != nil {
			return err
		}
		defer img.Close(context.WithoutCancel(ctx))
		switch now := uint64(img.Size()); {
		case now == bytes.n:
			return s.say(int(errno.EINVAL), "rbd: new size is equal to original size ")
		case now > bytes.n && !shrink:
			return s.say(int(errno.EINVAL), "rbd: shrinking an image is only allowed with the --allow-shrink flag")
		}
		pr := s.progress("Resizing image")
		err = img.Resize(ctx, bytes.n, rbd.ResizeOptions{AllowShrink: shrink, Progress: pr.tell})
		pr.end(err)
		return s.failed("resize error", err)
	})
	cmd.Flags().VarP(&bytes, "size", "s", "with M, G or T")
	cmd.Flags().BoolVar(&shrink, "allow-shrink", false, "what is behind the new end may be lost")
	return cmd
}

func (s *settings) flatten() *cobra.Command {
	return s.withImage("flatten IMAGE", "Make a clone independent of its parent", noSnap, false, func(ctx context.Context, img *rbd.Image, _ spec) error {
		pr := s.progress("Image flatten")
		err := img.Flatten(ctx, pr.tell)
		pr.end(err)
		return s.failed("flatten error", err)
	})
}

func (s *settings) clone() *cobra.Command {
	var l layout
	var format int
	cmd := s.command("clone IMAGE@SNAP IMAGE", "Make an image that shares the bytes of a snapshot", cobra.MaximumNArgs(2), func(ctx context.Context, args []string) error {
		from, to, err := s.pair(args, mustSnap)
		if err != nil {
			return err
		}
		o, err := s.options(ctx, &l)
		if err != nil {
			return err
		}
		in, err := s.poolOf(ctx, from)
		if err != nil {
			return err
		}
		out, err := s.poolOf(ctx, to)
		if err != nil {
			return err
		}
		parent, err := rbd.Open(ctx, in, from.image, rbd.OpenOptions{Snapshot: from.snap})
		if err == nil {
			err = rbd.Clone(ctx, parent, out, to.image, rbd.CloneOptions{CreateOptions: o, Format: format})
		}
		return s.failed("clone error", err)
	})
	l.flags(cmd.Flags())
	cmd.Flags().IntVar(&format, "rbd-default-clone-format", 0, "1 or 2 (default: what the cluster requires of clients)")
	return cmd
}

// pair is the source and the target of a copy.
func (s *settings) pair(args []string, snap int) (from, to spec, err error) {
	var rest []string
	if len(args) > 1 {
		rest = args[1:]
	}
	if from, err = s.source(args, snap); err != nil {
		return from, to, err
	}
	to, err = s.target(rest)
	return from, to, err
}

func (s *settings) children() *cobra.Command {
	return s.withImage("children IMAGE[@SNAP]", "List the clones of an image or a snapshot", maySnap, true, func(ctx context.Context, img *rbd.Image, _ spec) error {
		list, err := img.Children(ctx)
		if err != nil {
			return s.failed("listing children failed", err)
		}
		var f jsonfmt.Formatter
		f.OpenArray("children")
		for _, c := range list {
			if c.Trash {
				continue
			}
			pool := c.Pool
			if c.Namespace != "" {
				pool += "/" + c.Namespace
			}
			if !s.json() {
				fmt.Fprintln(s.out, pool+"/"+c.Name)
			}
			f.Object("child", func() {
				f.Str("pool", c.Pool)
				f.Str("pool_namespace", c.Namespace)
				f.Str("image", c.Name)
			})
		}
		f.Close()
		if s.json() {
			s.print(&f)
		}
		return nil
	})
}

func (s *settings) copy() *cobra.Command {
	var l layout
	cmd := s.command("cp IMAGE[@SNAP] IMAGE", "Copy an image", cobra.MaximumNArgs(2), func(ctx context.Context, args []string) error {
		from, to, err := s.pair(args, maySnap)
		if err != nil {
			return err
		}
		o, err := s.options(ctx, &l)
		if err != nil {
			return err
		}
		img, err := s.open(ctx, from, true)
		if err != nil {
			return err
		}
		out, err := s.poolOf(ctx, to)
		if err != nil {
			return err
		}
		pr := s.progress("Image copy")
		err = rbd.Copy(ctx, img, out, to.image, rbd.CopyOptions{CreateOptions: o, Progress: pr.tell})
		pr.end(err)
		return s.failed("copy failed", err)
	})
	cmd.Aliases = []string{"copy"}
	l.flags(cmd.Flags())
	return cmd
}

// du is what an image or snapshot uses, told from what differs from the snapshot
// before.
func (s *settings) du() *cobra.Command {
	cmd := s.withImage("du IMAGE[@SNAP]", "Tell the space that an image uses", maySnap, true, func(ctx context.Context, img *rbd.Image, sp spec) error {
		snaps, err := img.Snapshots(ctx)
		if err != nil {
			return s.failed("du failed", err)
		}
		if img.Info().Features&rbd.FastDiff == 0 {
			fmt.Fprintf(s.errs, "warning: fast-diff map is not enabled for %s. operation may be slow.\n", img.Name())
		}
		var t jsonfmt.Table
		var f jsonfmt.Formatter
		t.Column("NAME", jsonfmt.Left)
		t.Column("PROVISIONED", jsonfmt.Right)
		t.Column("USED", jsonfmt.Right)
		f.OpenObject("du")
		f.OpenArray("images")
		rows, total, from := 0, uint64(0), uint64(0)
		row := func(at *rbd.Image, sn *rbd.Snapshot) error {
			used := uint64(0)
			err := at.Diff(ctx, rbd.DiffOptions{FromID: from, WholeObject: true}, func(x rbd.DiffExtent) error {
				if x.Exists {
					used += uint64(x.Length)
				}
				return nil
			})
			if err != nil {
				return err
			}
			name := img.Name()
			f.Object("image", func() {
				f.Str("name", name)
				f.Str("id", img.ID())
				if sn != nil {
					name += "@" + sn.Name
					f.Str("snapshot", sn.Name)
					f.Uint("snapshot_id", sn.ID)
				}
				f.Uint("provisioned_size", uint64(at.Size()))
				f.Uint("used_size", used)
			})
			t.Row(name, jsonfmt.Bytes(uint64(at.Size())), jsonfmt.Bytes(used))
			rows, total = rows+1, total+used
			return nil
		}
		for i := range snaps {
			sn := &snaps[i]
			if sn.Type != rbd.SnapUser {
				continue
			}
			if sp.snap == "" || sp.snap == sn.Name {
				at, err := rbd.OpenID(ctx, img.Pool(), img.ID(), rbd.OpenOptions{SnapshotID: sn.ID})
				if err == nil {
					err = row(at, sn)
				}
				if err != nil {
					return s.failed("du failed", err)
				}
			}
			from = sn.ID
		}
		if sp.snap == "" {
			if err := row(img, nil); err != nil {
				return s.failed("du failed", err)
			}
		}
		f.Close()
		f.Close()
		if s.json() {
			s.print(&f)
			return nil
		}
		if rows > 1 {
			t.Row("<TOTAL>", jsonfmt.Bytes(uint64(img.Size())), jsonfmt.Bytes(total))
		}
		fmt.Fprint(s.out, t.String())
		return nil
	})
	cmd.Aliases = []string{"disk-usage"}
	return cmd
}

func (s *settings) locks() *cobra.Command {
	cmd := &cobra.Command{Use: "lock", Short: "Locks on images"}
	list := s.withImage("ls IMAGE", "List who holds a lock on an image", noSnap, true, func(ctx context.Context, img *rbd.Image, _ spec) error {
		info, err := img.Pool().LockInfo(ctx, clsrbd.Header(img.ID()), clsrbd.LockName)
		if err != nil {
			return s.failed("listing locks failed", err)
		}
		if s.json() {
			var f jsonfmt.Formatter
			f.Array("locks", func() {
				for _, h := range info.Holders {
					f.Object("lock", func() {
						f.Str("id", h.Cookie)
						f.Str("locker", h.Client)
						f.Str("address", h.Addr)
					})
				}
			})
			s.print(&f)
			return nil
		}
		if len(info.Holders) == 0 {
			return nil
		}
		kind := "exclusive"
		if info.Shared {
			kind = "shared"
		}
		if n := len(info.Holders); n == 1 {
			fmt.Fprintf(s.out, "There is 1 %s lock on this image.\n", kind)
		} else {
			fmt.Fprintf(s.out, "There are %d %s locks on this image.\n", n, kind)
		}
		if info.Shared {
			fmt.Fprintf(s.out, "Lock tag: %s\n", info.Tag)
		}
		var t jsonfmt.Table
		t.Column("Locker", jsonfmt.Left)
		t.Column("ID", jsonfmt.Left)
		t.Column("Address", jsonfmt.Left)
		for _, h := range info.Holders {
			t.Row(h.Client, h.Cookie, h.Addr)
		}
		fmt.Fprint(s.out, t.String())
		return nil
	})
	list.Aliases = []string{"list"}
	rm := s.command("rm IMAGE ID LOCKER", "Take a lock away, and shut its holder out", cobra.ExactArgs(3), func(ctx context.Context, args []string) error {
		sp, err := s.source(args, noSnap)
		if err != nil {
			return err
		}
		img, err := s.open(ctx, sp, true)
		if err != nil {
			return err
		}
		header := clsrbd.Header(img.ID())
		info, err := img.Pool().LockInfo(ctx, header, clsrbd.LockName)
		if err != nil {
			return s.failed("releasing lock failed", err)
		}
		for _, h := range info.Holders {
			if h.Client != args[2] || h.Cookie != args[1] {
				continue
			}
			if err := s.cluster.BlocklistAdd(ctx, h.Addr, 0); err != nil {
				return s.failed("releasing lock failed", err)
			}
			return s.failed("releasing lock failed", img.Pool().BreakLock(ctx, header, clsrbd.LockName, h.Client, h.Cookie))
		}
		return s.failed("releasing lock failed", errno.ENOENT)
	})
	rm.Aliases = []string{"remove"}
	cmd.AddCommand(list, rm)
	return cmd
}
