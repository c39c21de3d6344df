package rados_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/rados"
)

// peer connects to the cluster that PULPO_TEST_CONF names.
func peer(t *testing.T) (*rados.Cluster, context.Context) {
	t.Helper()
	conf := os.Getenv("PULPO_TEST_CONF")
	if conf == "" {
		t.Skip("PULPO_TEST_CONF names no cluster")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	var opts []rados.Option
	if testing.Verbose() {
		opts = append(opts, rados.WithLog(slog.New(slog.NewTextHandler(os.Stderr, nil))))
	}
	c, err := rados.ConnectFile(ctx, conf, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, ctx
}

func testPool(t *testing.T, ctx context.Context, c *rados.Cluster) *rados.Pool {
	t.Helper()
	p, err := c.Pool(ctx, "rados-test")
	if errors.Is(err, rados.ErrNotFound) {
		p, err = c.CreatePool(ctx, "rados-test", rados.PGNum(8))
	}
	if err != nil {
		t.Fatal(err)
	}
	return p.Namespace(fmt.Sprintf("%s-%d", t.Name(), os.Getpid()))
}

func TestPutGetList(t *testing.T) {
	c, ctx := peer(t)
	p := testPool(t, ctx, c)
	data := bytes.Repeat([]byte("pulpo"), 100_000)
	if err := p.WriteFull(ctx, "greeting", data); err != nil {
		t.Fatal(err)
	}
	got, err := p.ReadFull(ctx, "greeting")
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	for o, err := range p.Objects(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		t.Log(o)
	}
	if err := p.Remove(ctx, "greeting"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Stat(ctx, "greeting"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}
