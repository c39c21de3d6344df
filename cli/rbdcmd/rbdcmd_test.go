package rbdcmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/internal/clusters"
	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/pulpotest"
	"github.com/pulpo-storage/pulpo/rados"
)

// script is run by this command and by the stock tool, in a pool each: P. What
// they print must be the same, but for ids, times and addresses, and so must
// exit codes and the last line that says what went wrong.
const script = `
create --size 10M P/a
create --size 10M P/a
create --size 10M P/b --image-feature layering --object-size 64K
create P/c
create --size abc P/c
create --size 10M --image-feature nonsense P/c
create --size 10M --stripe-unit 100 --stripe-count 3 P/c
create --size 10M nopool/c
create --size 10M P/a@s
create --size 12M --object-size 1M --stripe-unit 65536 --stripe-count 4 -p P striped
ls P
ls nopool
ls -l P
ls -l P --format json
info P/a
info P/a --format json
info P/striped
info P/striped --format json
info P/none
info P/a@none
info
info --format bad P/b
snap create P/a@s1
snap create P/a@s1
snap create P/none@s1
snap create P/a
snap ls P/a
snap ls P/b
snap protect P/a@s1
snap protect P/a@s1
snap rm P/a@s1
snap unprotect P/b@s1
snap create P/a@s2
snap ls P/a --format json
snap ls --all P/a
snap purge P/a
snap rollback P/a@s1
snap rollback P/a@none
snap rm P/a@none
clone P/a@s1 P/child
clone P/a@none P/child2
clone P/a P/child2
children P/a@s1
children P/a --format json
info P/child
info P/child --format json
ls -l P
ls -l P --format json
snap unprotect P/a@s1
flatten P/child
flatten P/child
resize --size 20M P/b
resize --size 5M P/b
resize --size 5M --allow-shrink P/b
resize --size 5M --allow-shrink P/b
resize P/b
cp P/a P/copy
cp P/a P/copy
cp P/none P/copy2
export P/b D/exp
export P/b D/exp
import D/exp P/imp
import D/exp P/imp
import D/nonexistent P/imp2
export-diff P/a@s1 D/diff
export-diff --from-snap none P/a D/diff2
import-diff D/diff P/imp
import-diff D/diff P/imp
du P/a
du P/a --format json
du P/b
du P/a@s1
lock ls P/a
rm P/none
rm P/imp
snap rm P/imp@s1
rm P/imp
ls P
`

// volatile is what differs from run to run.
var volatile = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`(rbd_data\.|id: |"id":")[0-9a-f]{6,14}`), "${1}ID"},
	{regexp.MustCompile(`[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}`), "TIME"},
	{regexp.MustCompile(`(?m)^ +\d+  (s\d)`), "SNAPID  ${1}"},
	{regexp.MustCompile(`(\[\{"id"|,\{"id"|"snapshot_id"):\d+`), "${1}:N"},
}

// said is what is left of stderr: no progress, but how it ended.
func said(text string) string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		line = line[strings.LastIndex(line, "\r")+1:]
		if line == "" {
			continue
		}
		if i := strings.Index(line, ": "); strings.Contains(line, "% complete...") {
			line = line[:i] + line[strings.LastIndex(line, "..."):]
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

type outcome struct {
	out, errs string
	code      int
}

func (o outcome) clean(pool, dir string) outcome {
	for _, text := range []*string{&o.out, &o.errs} {
		*text = strings.NewReplacer(pool, "P", dir, "D").Replace(*text)
		for _, v := range volatile {
			*text = v.what.ReplaceAllString(*text, v.by)
		}
	}
	o.errs = said(o.errs)
	return o
}

func TestLikeStock(t *testing.T) {
	t.Parallel()
	clusters.Each(t, pulpotest.Options{}, compare)
}

// compare runs the script with both tools on a cluster.
func compare(t *testing.T, conf string) {
	peer.Require(t, "rbd")
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	c, err := rados.ConnectFile(ctx, conf)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pool := func() string {
		name := fmt.Sprintf("rbdcmd%08x", rand.Uint32())
		p, err := c.CreatePool(ctx, name, rados.PGNum(8), rados.Application("rbd"))
		if err == nil {
			err = p.Create(ctx, "warm", false)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			c, err := rados.ConnectFile(ctx, conf)
			if err == nil {
				err = c.DeletePool(ctx, name)
				c.Close()
			}
			if err != nil {
				t.Error(err)
			}
		})
		return name
	}
	ours, theirs := pool(), pool()
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	for _, d := range []string{a, b} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	args := func(line, pool, dir string) []string {
		f := strings.Fields(line)
		for i := range f {
			if f[i] = strings.Replace(f[i], "P/", pool+"/", 1); f[i] == "P" {
				f[i] = pool
			}
			f[i] = strings.Replace(f[i], "D/", dir+"/", 1)
		}
		return f
	}
	for line := range strings.SplitSeq(strings.TrimSpace(script), "\n") {
		got := run(ctx, conf, args(line, ours, a)).clean(ours, a)
		want := stock(ctx, conf, args(line, theirs, b)).clean(theirs, b)
		if got != want {
			t.Errorf("rbd %s\n--- ours, exit code %d\n%s%s\n--- stock, exit code %d\n%s%s", line, got.code, got.out, got.errs, want.code, want.out, want.errs)
		}
	}
}

// run runs this command.
func run(ctx context.Context, conf string, args []string) outcome {
	var out, errs bytes.Buffer
	cmd := New()
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(append([]string{"--conf", conf}, args...))
	o := outcome{}
	if err := cmd.ExecuteContext(ctx); err != nil {
		o.code = 1
		var e *exit
		if errors.As(err, &e) {
			o.code = e.code
		} else {
			fmt.Fprintln(&errs, err)
		}
	}
	o.out, o.errs = out.String(), errs.String()
	return o
}

// stock runs the stock tool.
func stock(ctx context.Context, conf string, args []string) outcome {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, "/usr/bin/rbd", append(args, "--log-to-stderr=false", "--err-to-stderr=false")...)
	cmd.Env = append(peer.Env(conf), "TZ="+os.Getenv("TZ"))
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	o := outcome{out: out.String(), errs: errs.String()}
	var e *exec.ExitError
	if errors.As(err, &e) {
		o.code = e.ExitCode()
	} else if err != nil {
		o.errs += err.Error()
		o.code = -1
	}
	return o
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint64{"10": 10 << 20, "5G": 5 << 30, "7B": 7, "1k": 1024, "2MiB": 2 << 20, "3TB": 3 << 40} {
		v := size{unit: 1 << 20}
		if err := v.Set(text); err != nil || v.n != want {
			t.Errorf("%s is %d, %v", text, v.n, err)
		}
	}
	for _, text := range []string{"", "x", "10Q", "1MB2", "-1", "99999999999999P"} {
		v := size{unit: 1 << 20}
		if err := v.Set(text); err == nil {
			t.Errorf("%q is %d", text, v.n)
		}
	}
}

func TestSpecs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]spec{
		"img": {image: "img"}, "p/img": {pool: "p", image: "img"}, "p/n/img@s": {"p", "n", "img", "s"}, "img@s": {image: "img", snap: "s"},
	} {
		if got := parseSpec(text); got != want {
			t.Errorf("%s is %+v", text, got)
		}
	}
}
