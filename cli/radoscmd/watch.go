package radoscmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/wire"
)

func (s *settings) listwatchers() *cobra.Command {
	return s.simple("listwatchers OBJECT", "List who watches an object", "listing watchers", 1, func(ctx context.Context, p *rados.Pool, args []string) error {
		watchers, err := p.Watchers(ctx, args[0])
		if err != nil {
			return err
		}
		for _, w := range watchers {
			fmt.Fprintf(s.out, "watcher=%s %s cookie=%d\n", w.Addr, w.Client, w.Cookie)
		}
		return nil
	})
}

func (s *settings) watch() *cobra.Command {
	return &cobra.Command{
		Use: "watch OBJECT", Short: "Print what is said about an object, until enter is pressed", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
			out := &lockedWriter{w: s.out}
			w, err := p.Watch(ctx, args[0], func(ctx context.Context, n *rados.Notification) {
				out.print(func(w io.Writer) {
					fmt.Fprintf(w, "NOTIFY cookie %d notify_id %d from %d\n", n.Cookie(), n.ID, n.Notifier)
					hexdump(w, n.Payload)
				})
				// It says back what it heard. The notifier may have gone meanwhile.
				_ = n.Ack(ctx, n.Payload)
			})
			if err != nil {
				return twice("calling watch", err)
			}
			out.print(func(w io.Writer) { fmt.Fprintln(w, "press enter to exit...") })
			entered := make(chan struct{})
			go func() {
				_, _ = bufio.NewReader(s.in).ReadByte()
				close(entered)
			}()
			select {
			case <-w.Lost():
				var e errno.Errno
				if errors.As(w.Err(), &e) {
					out.print(func(o io.Writer) { fmt.Fprintf(o, "ERROR cookie %d err (%d) %v\n", w.Cookie(), int(e), e) })
				}
				select {
				case <-entered:
				case <-ctx.Done():
				}
			case <-entered:
			case <-ctx.Done():
			}
			return w.Close(context.WithoutCancel(ctx))
		}),
	}
}

// lockedWriter keeps apart what several goroutines print.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) print(f func(io.Writer)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l.w)
}

// twice is the error of a command of which Ceph's tool tells it two times.
func twice(what string, err error) error {
	var e errno.Errno
	if !errors.As(err, &e) {
		return failed(what, err)
	}
	return &toolError{fmt.Sprintf("%v\nerror %d: (%d) %v", failed(what, err), int(e), int(e), e), err}
}

func (s *settings) notify() *cobra.Command {
	return &cobra.Command{
		Use: "notify OBJECT MESSAGE", Short: "Say something about an object to those who watch it", Args: cobra.ExactArgs(2),
		RunE: s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
			var e wire.Encoder
			e.Str(args[1])
			r, err := p.Notify(ctx, args[0], e.Bytes(), 0)
			for _, x := range r.Replies {
				fmt.Fprintf(s.out, "reply client.%d cookie %d : %d bytes\n", x.Client, x.Cookie, len(x.Payload))
				hexdump(s.out, x.Payload)
			}
			for _, x := range r.TimedOut {
				fmt.Fprintf(s.out, "timeout client.%d cookie %d\n", x.Client, x.Cookie)
			}
			if err != nil {
				return twice("calling notify", err)
			}
			return nil
		}),
	}
}

// call has no counterpart in Ceph's tool.
func (s *settings) call() *cobra.Command {
	return &cobra.Command{
		Use: "call POOL OBJECT CLASS METHOD [INPUT|-]", Short: "Run a method of an object class and write its output as it is",
		Long: "Run a method of an object class, such as lock.list_locks, on an object and write its output as it is.\nThe method's input is the last argument, or standard input if that is -; without, it is empty.",
		Args: cobra.RangeArgs(4, 5),
		RunE: s.runCluster(func(ctx context.Context, _ *rados.Cluster, args []string) error {
			p, err := s.openPool(ctx, args[0])
			if err != nil {
				return err
			}
			var input []byte
			switch {
			case len(args) < 5:
			case args[4] == "-":
				if input, err = io.ReadAll(s.in); err != nil {
					return err
				}
			default:
				input = []byte(args[4])
			}
			p = p.Namespace(s.namespace).Locator(s.locator)
			// Whether a method writes only the OSD knows; as a write it may.
			out, err := p.CallWrite(ctx, args[1], args[2], args[3], input)
			if err != nil {
				return failed(fmt.Sprintf("calling %s.%s on %s", args[2], args[3], s.object(p, args[1])), err)
			}
			_, err = s.out.Write(out)
			return err
		}),
	}
}
