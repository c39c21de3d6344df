package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/rados"
)

const patience = 2 * time.Minute

func connect(t *testing.T, conf string, opts ...rados.Option) (*rados.Cluster, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := rados.ConnectFile(ctx, conf, opts...)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func command(t *testing.T, c *rados.Cluster, cmd map[string]any) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	r, err := c.Command(ctx, rados.ToMons(), cmd, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.Data
}

// account makes a user and writes its keyring.
func account(t *testing.T, c *rados.Cluster, file, entity string, has caps) {
	t.Helper()
	list := []string{}
	for kind, cap := range has {
		list = append(list, kind, cap)
	}
	keyring := command(t, c, map[string]any{"prefix": "auth get-or-create", "entity": entity, "caps": list})
	if err := os.WriteFile(file, keyring, 0o600); err != nil {
		t.Fatal(err)
	}
}

// anyKey is a well-formed key that is nobody's.
const anyKey = "AQB7r2FlAAAAABAAg1iMTIW0LqGDxQ1hhkUHoA=="

func writeKeyring(t *testing.T, file, entity, key string) {
	t.Helper()
	if err := os.WriteFile(file, fmt.Appendf(nil, "[%s]\n\tkey = %s\n", entity, key), 0o600); err != nil {
		t.Fatal(err)
	}
}

// logins are command lines of stock tools. $D holds the keyrings: good (of
// client.good, which may do everything), wrong (its name, another key), unknown,
// removed, poor (no capabilities), reader. $N is what names begin with.
var logins = []struct {
	name    string
	command string
	refused string // whose login our log must tell as refused
}{
	{"good", "rados -p rbd --id $N-good -k $D/good -N $N ls", ""},
	{"no keyring", "rados -p rbd --id $N-good -k $D/nonesuch -N $N ls", ""},
	{"no keyring, ceph", "ceph --id $N-good -k $D/nonesuch health", ""},
	{"keyring of somebody else", "rados -p rbd --id $N-good -k $D/poor ls", "good"},
	{"wrong key", "rados -p rbd --id $N-good -k $D/wrong ls", "good"},
	{"wrong key, ceph", "ceph --id $N-good -k $D/wrong health", "good"},
	{"wrong key given", "rados -p rbd --id $N-good --key " + anyKey + " -N $N ls", "good"},
	{"unknown user", "rados -p rbd --id $N-unknown -k $D/unknown ls", "unknown"},
	{"unknown user, ceph", "ceph --id $N-unknown -k $D/unknown health", "unknown"},
	{"removed user", "rados -p rbd --id $N-removed -k $D/removed ls", "removed"},
	{"no capabilities", "rados -p rbd --id $N-poor -k $D/poor ls", "poor"},
	{"no capabilities, ceph", "ceph --id $N-poor -k $D/poor health", "poor"},
	{"key that is none", "rados -p rbd --id $N-good --key xyz ls", ""},
	{"without authentication", "rados -p rbd --id $N-good --auth_client_required none ls", ""},
	{"reader reads", "rados -p rbd --id $N-reader -k $D/reader -N $N ls", ""},
	{"reader writes", "rados -p rbd --id $N-reader -k $D/reader put $N-x $D/good", ""},
	{"reader lists keys", "ceph --id $N-reader -k $D/reader auth ls", ""},
	{"reader creates a pool", "ceph --id $N-reader -k $D/reader osd pool create $N-pool", ""},
	{"reader asks the manager", "ceph --id $N-reader -k $D/reader pg stat", ""},
	{"reader tells an osd", "ceph --id $N-reader -k $D/reader tell osd.0 version", ""},
	{"secure", "rados -p rbd --ms_client_mode secure put $N-s $D/good && rados -p rbd --ms_client_mode=secure get $N-s - | cmp - $D/good", ""},
	{"secure to the monitors", "rados -p rbd --ms_mon_client_mode secure stat $N-s | sed 's/mtime.*,//'", ""},
	{"crc", "rados -p rbd --ms_client_mode crc --ms_mon_client_mode crc get $N-s - | cmp - $D/good", ""},
	{"secure preferred", "rados -p rbd --ms_client_mode 'secure crc' get $N-s - | cmp - $D/good; rados -p rbd rm $N-s", ""},
	{"wrong fsid", "rados -p rbd --fsid 11111111-2222-3333-4444-555555555555 -N $N ls", ""},
	{"wrong fsid, ceph", "ceph --fsid 11111111-2222-3333-4444-555555555555 health", ""},
}

// TestLogins runs the stock tools with all sorts of keys on both clusters. Exit
// code and words must be the same, and our log must tell who was refused.
func TestLogins(t *testing.T) {
	t.Parallel()
	peer.Require(t, "ceph", "rados", "ceph-mon", "ceph-mgr", "ceph-osd")
	name := unique()
	prefix := strings.TrimSuffix(name(""), "-") + "l"
	dir := binary.Dir(t)
	binary.Up(t, dir)
	results := map[string]map[string]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	stock := peer.Conf(t)
	for _, conf := range []string{stock, binary.Conf(dir)} {
		c, err := connect(t, conf)
		if err != nil {
			t.Fatal(err)
		}
		work := t.TempDir()
		keyrings(t, c, work, prefix)
		results[conf] = map[string]string{}
		for worker := range 2 {
			wg.Go(func() {
				for i, l := range logins {
					// Those of the secure mode follow each other.
					if together := strings.Contains(l.command, "$N-s "); together && worker == 1 || !together && i%2 != worker {
						continue
					}
					cmd := exec.Command("bash", "-o", "pipefail", "-c", "exec 2>&1; "+
						strings.NewReplacer("$D", work, "$N", prefix).Replace(l.command))
					cmd.Env = append(peer.Env(conf), "CEPH_ARGS=--client_mount_timeout=10", "CEPH_KEYRING="+filepath.Join(work, "good"))
					r := binary.Exec(t, cmd)
					mu.Lock()
					results[conf][l.name] = fmt.Sprintf("exit %d\n%s", r.Code, normalize(r.Out, work))
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	log, err := os.ReadFile(filepath.Join(dir, "log", "pulpo.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range logins {
		if want, got := results[stock][l.name], results[binary.Conf(dir)][l.name]; got != want {
			t.Errorf("%s: %s\nstock: %s\nhere: %s", l.name, l.command, want, got)
		}
		if l.refused != "" && !logged(log, "client."+prefix+"-"+l.refused) {
			t.Errorf("%s: the log does not tell that client.%s-%s was refused", l.name, prefix, l.refused)
		}
	}
	if t.Failed() {
		t.Logf("log:\n%s", binary.LogTail(dir))
	}
}

// keyrings makes the accounts of the logins.
func keyrings(t *testing.T, c *rados.Cluster, dir, prefix string) {
	t.Helper()
	entity := func(s string) string { return "client." + prefix + "-" + s }
	file := func(s string) string { return filepath.Join(dir, s) }
	all := map[string]caps{
		"good":    {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
		"removed": {"mon": "allow *", "osd": "allow *"},
		"poor":    {},
		"reader":  {"mon": "allow r", "osd": "allow r"},
	}
	t.Cleanup(func() {
		for _, n := range slices.Sorted(maps.Keys(all)) {
			command(t, c, map[string]any{"prefix": "auth rm", "entity": entity(n)})
		}
	})
	for n, has := range all {
		account(t, c, file(n), entity(n), has)
	}
	command(t, c, map[string]any{"prefix": "auth rm", "entity": entity("removed")})
	writeKeyring(t, file("wrong"), entity("good"), anyKey)
	writeKeyring(t, file("unknown"), entity("unknown"), anyKey)
}

// logged reports whether a line of the log tells that somebody was refused.
func logged(log []byte, who string) bool {
	for line := range bytes.Lines(log) {
		if bytes.Contains(line, []byte("refused")) && bytes.Contains(line, []byte(who)) {
			return true
		}
	}
	return false
}

var variable = []struct {
	re *regexp.Regexp
	as string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?([+-]\d{4})?`), "TIME"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "THREAD"},
	{regexp.MustCompile(`\(hunting\)`), ""},
	{regexp.MustCompile(`0x[0-9a-f]+`), "POINTER"},
	{regexp.MustCompile(`\b127\.0\.0\.1:\d+(/\d+)?`), "ADDR"},
}

// normalize removes what differs between runs. A tool hunts for monitors until
// its time is over: what it says once it may say again.
func normalize(s, work string) string {
	s = strings.ReplaceAll(s, work, "DIR")
	for _, v := range variable {
		s = v.re.ReplaceAllString(s, v.as)
	}
	var lines []string
	for line := range strings.Lines(s) {
		// Whether a tool says this before it gives up is a matter of time.
		if strings.Contains(line, "handle_auth_bad_method") {
			continue
		}
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// TestOurClientIsRefused logs our own client in, without any stock tool.
func TestOurClientIsRefused(t *testing.T) {
	t.Parallel()
	dir := binary.Dir(t)
	binary.Up(t, dir)
	conf := binary.Conf(dir)
	admin, err := connect(t, conf)
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	keyrings(t, admin, work, "x")
	as := func(name, keyring string) (*rados.Cluster, error) {
		return connect(t, conf, rados.WithName("client.x-"+name), rados.WithKeyring(filepath.Join(work, keyring)))
	}
	for _, test := range []struct{ name, keyring string }{
		{"good", "wrong"}, {"unknown", "unknown"}, {"removed", "removed"}, {"poor", "poor"},
	} {
		if _, err := as(test.name, test.keyring); !errors.Is(err, rados.ErrAccess) {
			t.Errorf("%s with the keyring %s: %v, want %v", test.name, test.keyring, err, rados.ErrAccess)
		}
	}
	if _, err := as("good", "nonesuch"); err == nil {
		t.Error("let in without a keyring")
	}

	c, err := as("reader", "reader")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p, err := c.Pool(ctx, "rbd")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WriteFull(ctx, "o", []byte("x")); !errors.Is(err, rados.ErrPermission) {
		t.Errorf("write of a reader: %v, want %v", err, rados.ErrPermission)
	}
	if _, err := p.ReadFull(ctx, "o"); !errors.Is(err, rados.ErrNotFound) {
		t.Errorf("read of a reader: %v, want %v", err, rados.ErrNotFound)
	}
	if _, err := c.CreatePool(ctx, "mine"); !errors.Is(err, rados.ErrAccess) {
		t.Errorf("create a pool as a reader: %v, want %v", err, rados.ErrAccess)
	}

	// Every connection of a client that asks for it is encrypted.
	c, err = connect(t, conf, rados.WithOption("ms_client_mode", "secure"), rados.WithOption("ms_mon_client_mode", "secure"))
	if err != nil {
		t.Fatal(err)
	}
	if p, err = c.Pool(ctx, "rbd"); err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("secret"), 100_000)
	if err := p.WriteFull(ctx, "s", data); err != nil {
		t.Fatal(err)
	}
	if got, err := p.ReadFull(ctx, "s"); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read in secure mode: %d bytes, %v", len(got), err)
	}

	log, err := os.ReadFile(filepath.Join(dir, "log", "pulpo.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"good", "unknown", "removed", "poor"} {
		if !logged(log, "client.x-"+who) {
			t.Errorf("the log does not tell that client.x-%s was refused:\n%s", who, log)
		}
	}
	if key := secret(t, filepath.Join(dir, "ceph.client.admin.keyring")); bytes.Contains(log, []byte(key)) || bytes.Contains(log, []byte(anyKey)) {
		t.Error("the log tells a key")
	}
}

func secret(t *testing.T, keyring string) string {
	t.Helper()
	b, err := os.ReadFile(keyring)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`key = (\S+)`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("%s holds no key", keyring)
	}
	return string(m[1])
}

// TestKeyIsReplaced takes a user's key away while the user is logged in: the old
// one opens no door any more, the new one does.
func TestKeyIsReplaced(t *testing.T) {
	t.Parallel()
	dir := binary.Dir(t)
	binary.Up(t, dir)
	conf := binary.Conf(dir)
	admin, err := connect(t, conf)
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	old, renewed := filepath.Join(work, "old"), filepath.Join(work, "new")
	has := caps{"mon": "allow r", "osd": "allow rw"}
	account(t, admin, old, "client.u", has)
	if _, err := connect(t, conf, rados.WithName("client.u"), rados.WithKeyring(old)); err != nil {
		t.Fatal(err)
	}
	command(t, admin, map[string]any{"prefix": "auth rm", "entity": "client.u"})
	account(t, admin, renewed, "client.u", has)
	if _, err := connect(t, conf, rados.WithName("client.u"), rados.WithKeyring(old)); !errors.Is(err, rados.ErrAccess) {
		t.Errorf("with the old key: %v, want %v", err, rados.ErrAccess)
	}
	if _, err := connect(t, conf, rados.WithName("client.u"), rados.WithKeyring(renewed)); err != nil {
		t.Errorf("with the new key: %v", err)
	}
	var list struct {
		Dump []struct{ Entity string } `json:"auth_dump"`
	}
	if err := json.Unmarshal(command(t, admin, map[string]any{"prefix": "auth ls", "format": "json"}), &list); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(list.Dump, func(e struct{ Entity string }) bool { return e.Entity == "client.u" }) {
		t.Errorf("auth ls does not list client.u: %v", list.Dump)
	}
}
