package rbdcmd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/rbd"
)

func (s *settings) snapshots() *cobra.Command {
	cmd := &cobra.Command{Use: "snap", Short: "Snapshots of images"}
	create := s.withImage("create IMAGE@SNAP", "Make a snapshot", mustSnap, false, func(ctx context.Context, img *rbd.Image, sp spec) error {
		pr := s.progress("Creating snap")
		err := img.CreateSnapshot(ctx, sp.snap)
		pr.end(err)
		return s.failed("failed to create snapshot", err)
	})
	create.Aliases = []string{"add"}
	rm := s.withImage("rm IMAGE@SNAP", "Remove a snapshot", mustSnap, false, func(ctx context.Context, img *rbd.Image, sp spec) error {
		pr := s.progress("Removing snap")
		err := img.RemoveSnapshot(ctx, sp.snap)
		pr.end(err)
		if errors.Is(err, errno.EBUSY) {
			return s.say(int(errno.EBUSY), "rbd: snapshot '%s' is protected from removal.", sp.snap)
		}
		return s.failed("failed to remove snapshot", err)
	})
	rm.Aliases = []string{"remove"}
	protect := s.withImage("protect IMAGE@SNAP", "Keep a snapshot from being removed", mustSnap, false, func(ctx context.Context, img *rbd.Image, sp spec) error {
		err := img.ProtectSnapshot(ctx, sp.snap)
		if errors.Is(err, errno.EBUSY) {
			return s.say(int(errno.EBUSY), "rbd: snap is already protected")
		}
		return s.failed("protecting snap failed", err)
	})
	unprotect := s.withImage("unprotect IMAGE@SNAP", "Let a snapshot be removed", mustSnap, false, func(ctx context.Context, img *rbd.Image, sp spec) error {
		err := img.UnprotectSnapshot(ctx, sp.snap)
		if errors.Is(err, errno.EINVAL) {
			return s.say(int(errno.EINVAL), "rbd: snap is already unprotected")
		}
		return s.failed("unprotecting snap failed", err)
	})
	rollback := s.withImage("rollback IMAGE@SNAP", "Make an image what it was at a snapshot", mustSnap, false, func(ctx context.Context, img *rbd.Image, sp spec) error {
		pr := s.progress("Rolling back to snapshot")
		err := img.Rollback(ctx, sp.snap, pr.tell)
		pr.end(err)
		return s.failed("rollback failed", err)
	})
	rollback.Aliases = []string{"revert"}
	purge := s.withImage("purge IMAGE", "Remove all snapshots that are not protected", noSnap, false, s.purge)
	cmd.AddCommand(create, s.snapList(), rm, protect, unprotect, rollback, purge)
	return cmd
}

func (s *settings) purge(ctx context.Context, img *rbd.Image, _ spec) error {
	snaps, err := img.Snapshots(ctx)
	if err != nil {
		return s.failed("removing snaps failed", err)
	}
	pr := s.progress("Removing all snapshots")
	var protected []string
	done := uint64(0)
	for _, sn := range snaps {
		switch {
		case sn.Type != rbd.SnapUser:
			continue
		case sn.Protected:
			protected = append(protected, "'"+sn.Name+"'")
			continue
		}
		if err := img.RemoveSnapshot(ctx, sn.Name); err != nil {
			pr.end(err)
			return s.failed("removing snaps failed", err)
		}
		done++
		pr.tell(done, uint64(len(snaps)))
	}
	switch {
	case len(protected) > 0:
		pr.end(errno.EBUSY)
		which := "is"
		if len(protected) > 1 {
			which = "are"
		}
		fmt.Fprintf(s.out, "rbd: error removing snapshot(s) %s, which %s protected - these must be unprotected with `rbd snap unprotect`.\n", strings.Join(protected, ", "), which)
	case done > 0:
		pr.end(nil)
	}
	return nil
}

func (s *settings) snapList() *cobra.Command {
	var all bool
	cmd := s.withImage("ls IMAGE", "List the snapshots of an image", noSnap, true, func(ctx context.Context, img *rbd.Image, _ spec) error {
		snaps, err := img.Snapshots(ctx)
		if err != nil {
			return s.failed("failed to list snapshots", err)
		}
		var t jsonfmt.Table
		var f jsonfmt.Formatter
		t.Column("SNAPID", jsonfmt.Right)
		t.Column("NAME", jsonfmt.Left)
		t.Column("SIZE", jsonfmt.Right)
		t.Column("PROTECTED", jsonfmt.Left)
		t.Column("TIMESTAMP", jsonfmt.Left)
		if all {
			t.Column("NAMESPACE", jsonfmt.Left)
		}
		f.OpenArray("snapshots")
		rows := 0
		for _, sn := range snaps {
			if !all && sn.Type != rbd.SnapUser {
				continue
			}
			rows++
			protected, namespace := "", sn.Type.String()
			if sn.Protected {
				protected = "yes"
			}
			if sn.Type == rbd.SnapTrashed {
				namespace += " (" + sn.TrashName + ")"
			}
			t.Row(strconv.FormatUint(sn.ID, 10), sn.Name, jsonfmt.Bytes(sn.Size), protected, ctime(sn.Created), namespace)
			f.Object("snapshot", func() {
				f.Uint("id", sn.ID)
				f.Str("name", sn.Name)
				f.Uint("size", sn.Size)
				f.Str("protected", yes(sn.Protected))
				f.Str("timestamp", ctime(sn.Created))
				if all {
					f.Object("namespace", func() {
						f.Str("type", sn.Type.String())
						if sn.Type == rbd.SnapTrashed {
							f.Str("original_name", sn.TrashName)
						}
					})
				}
			})
		}
		f.Close()
		switch {
		case s.json():
			s.print(&f)
		case rows > 0:
			fmt.Fprint(s.out, t.String())
		}
		return nil
	})
	cmd.Aliases = []string{"list"}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "those in the trash and of groups, too")
	return cmd
}
