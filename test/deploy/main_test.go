// Package deploy tests clusters of several processes and of several hosts: how
// they are made, what happens when parts of them end, how they grow and shrink.
package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/rados"
)

func TestMain(m *testing.M) { os.Exit(binary.Main(m)) }

// patience bounds what must happen at all.
const patience = 2 * time.Minute

// until waits for a condition.
func until(t *testing.T, what string, ok func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = ok(); err == nil {
			return
		}
	}
	t.Fatalf("%s: not within %v: %v", what, patience, err)
}

// client connects to the cluster of a directory that has the administrator's key.
func client(t *testing.T, dir string) *rados.Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := rados.ConnectFile(ctx, binary.Conf(dir))
	if err != nil {
		t.Fatalf("connect: %v\n%s", err, binary.LogTail(dir))
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// command runs a command of the monitors, with arguments in pairs.
func command(t *testing.T, c *rados.Cluster, prefix string, args ...any) (rados.Reply, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := map[string]any{"prefix": prefix, "format": "json"}
	for i := 0; i < len(args); i += 2 {
		cmd[args[i].(string)] = args[i+1]
	}
	return c.Command(ctx, rados.ToMons(), cmd, nil)
}

// ask runs a command that must be answered, in JSON.
func ask[T any](t *testing.T, c *rados.Cluster, prefix string, args ...any) (v T) {
	t.Helper()
	r, err := command(t, c, prefix, args...)
	if err == nil {
		err = json.Unmarshal(r.Data, &v)
	}
	if err != nil {
		t.Fatalf("%s: %v", prefix, err)
	}
	return v
}

func run(t *testing.T, c *rados.Cluster, prefix string, args ...any) {
	t.Helper()
	if r, err := command(t, c, prefix, args...); err != nil {
		t.Fatalf("%s: %s: %v", prefix, r.Status, err)
	}
}

// osdView is what the map shows of an OSD.
type osdView struct {
	OSD  int32  `json:"osd"`
	UUID string `json:"uuid"`
	Up   int    `json:"up"`
	In   int    `json:"in"`
}

func osds(t *testing.T, c *rados.Cluster) map[int32]osdView {
	t.Helper()
	m := map[int32]osdView{}
	for _, o := range ask[struct{ OSDs []osdView }](t, c, "osd dump").OSDs {
		m[o.OSD] = o
	}
	return m
}

// allUp waits until the map shows so many OSDs, and all of them up.
func allUp(t *testing.T, c *rados.Cluster, n int) {
	t.Helper()
	until(t, fmt.Sprintf("%d OSDs up", n), func() error {
		m := osds(t, c)
		for _, o := range m {
			if o.Up == 0 {
				return fmt.Errorf("osd.%d is down", o.OSD)
			}
		}
		if len(m) != n {
			return fmt.Errorf("there are %d", len(m))
		}
		return nil
	})
}

// quorum waits until these monitors are the quorum.
func quorum(t *testing.T, c *rados.Cluster, names ...string) {
	t.Helper()
	want := strings.Join(names, ",")
	until(t, "quorum "+want, func() error {
		q := ask[struct {
			Names []string `json:"quorum_names"`
		}](t, c, "quorum_status")
		if got := strings.Join(q.Names, ","); got != want {
			return errors.New(got)
		}
		return nil
	})
}

// refuses runs a command that must fail with one clear line.
func refuses(t *testing.T, says string, args ...string) {
	t.Helper()
	r := binary.Run(t, args...)
	if r.Code != 1 || strings.Count(r.Err, "\n") != 1 || !strings.HasPrefix(r.Err, "pulpo: ") || !regexp.MustCompile(says).MatchString(r.Err) {
		t.Errorf("pulpo %s: %v\nwant exit 1 and one line that says: %s", strings.Join(args, " "), r, says)
	}
}

// fill writes objects, and check reads them.
func fill(t *testing.T, c *rados.Cluster, pool string, n int) *rados.Pool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p, err := c.Pool(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := p.WriteFull(ctx, fmt.Sprint("o", i), fmt.Append(nil, "content of ", i)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func check(t *testing.T, p *rados.Pool, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := range n {
		if b, err := p.ReadFull(ctx, fmt.Sprint("o", i)); err != nil || string(b) != fmt.Sprint("content of ", i) {
			t.Fatalf("object %d: %q, %v", i, b, err)
		}
	}
}

// lose takes the store of a daemon away, as a broken disk does.
func lose(t *testing.T, dir, daemon string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, daemon, "store")); err != nil {
		t.Fatal(err)
	}
}
