package radoscmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/rados"
)

func (s *settings) lock() *cobra.Command {
	var l rados.Lock
	var kind string
	var seconds uint64
	cmd := &cobra.Command{Use: "lock", Short: "Advisory locks on objects"}
	f := cmd.PersistentFlags()
	f.StringVar(&l.Cookie, "lock-cookie", "", "tells apart the locks of one client")
	f.StringVar(&l.Tag, "lock-tag", "", "the same for all holders of a shared lock")
	f.StringVar(&l.Description, "lock-description", "", "for people")
	f.Uint64Var(&seconds, "lock-duration", 0, "`seconds` until it ends by itself")
	f.StringVar(&kind, "lock-type", "exclusive", "exclusive or shared")

	list := s.lockCommand("list OBJECT", "List the locks of an object", "ERROR: rados_list_locks()", 1, func(ctx context.Context, p *rados.Pool, args []string) error {
		names, err := p.Locks(ctx, args[0])
		if err != nil {
			return err
		}
		var f jsonfmt.Formatter
		f.Object("object", func() {
			f.Str("objname", args[0])
			f.Array("locks", func() {
				for _, n := range names {
					f.Object("lock", func() { f.Str("name", n) })
				}
			})
		})
		s.print(&f)
		return nil
	})
	get := s.lockCommand("get OBJECT LOCK", "Take a lock", "ERROR: failed locking", 2, func(ctx context.Context, p *rados.Pool, args []string) error {
		switch kind {
		case "exclusive":
		case "shared":
			l.Shared = true
		default:
			return fmt.Errorf("unknown lock type %q: %w", kind, rados.ErrInvalid)
		}
		l.Name = args[1]
		l.Duration = time.Duration(seconds) * time.Second
		return p.Lock(ctx, args[0], l)
	})
	breakLock := s.lockCommand("break OBJECT LOCK CLIENT", "Take a lock away from who holds it", "ERROR: failed breaking lock", 3, func(ctx context.Context, p *rados.Pool, args []string) error {
		return p.BreakLock(ctx, args[0], args[1], args[2], l.Cookie)
	})
	info := s.lockCommand("info OBJECT LOCK", "Tell who holds a lock", "ERROR: rados_lock_get_lock_info()", 2, func(ctx context.Context, p *rados.Pool, args []string) error {
		info, err := p.LockInfo(ctx, args[0], args[1])
		if err != nil {
			return err
		}
		var f jsonfmt.Formatter
		f.Object("lock", func() {
			f.Str("name", args[1])
			switch {
			case info.Shared:
				f.Str("type", "shared")
			case info.Ephemeral:
				f.Str("type", "exclusive-ephemeral")
			default:
				f.Str("type", "exclusive")
			}
			f.Str("tag", info.Tag)
			f.Array("lockers", func() {
				for _, h := range info.Holders {
					f.Object("locker", func() {
						f.Str("name", h.Client)
						f.Str("cookie", h.Cookie)
						f.Str("description", h.Description)
						expires := "0.000000"
						if !h.Expires.IsZero() {
							expires = jsonfmt.Time(h.Expires)
						}
						f.Str("expiration", expires)
						f.Str("addr", h.Addr)
					})
				}
			})
		})
		s.print(&f)
		return nil
	})
	cmd.AddCommand(list, get, breakLock, info)
	return cmd
}

// lockCommand is a subcommand whose errors begin as those of Ceph's tool.
func (s *settings) lockCommand(use, short, complaint string, args int, f func(ctx context.Context, p *rados.Pool, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(args),
		RunE: s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
			err := f(ctx, p, args)
			var e errno.Errno
			if errors.As(err, &e) {
				return &toolError{fmt.Sprintf("%s: (%d) %v", complaint, int(e), e), err}
			}
			return err
		}),
	}
}
