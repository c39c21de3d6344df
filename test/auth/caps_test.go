package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/internal/peer"
)

// user is an account to be tried out.
type user struct {
	Name string            `json:"name"`
	Caps map[string]string `json:"caps"`
}

type caps = map[string]string

// users are one for each thing that capabilities can say. $0 and $1 are pools; $0
// is of the application rbd, $1 of rados with team=blue.
var users = []user{
	{"all", caps{"mon": "allow *", "osd": "allow *", "mgr": "allow *"}},
	{"nothing", caps{}},
	{"mon-none", caps{"osd": "allow *"}},
	{"mon-r", caps{"mon": "allow r"}},
	{"mon-rw", caps{"mon": "allow rw", "osd": "allow r"}},
	{"mon-x", caps{"mon": "allow x", "osd": "allow rw"}},
	{"mon-rwx", caps{"mon": "allow rwx", "mgr": "allow r"}},
	{"mon-service-osd-r", caps{"mon": "allow service osd r, allow service mon r"}},
	{"mon-service-auth-x", caps{"mon": "allow r, allow service auth x"}},
	{"mon-command", caps{"mon": `allow r, allow command "auth get-key" with entity=client.admin`}},
	{"mon-command-other", caps{"mon": `allow r, allow command "auth get-key" with entity=client.nobody`}},
	{"mon-command-prefix", caps{"mon": `allow r, allow command "config-key set" with key prefix deeds/`}},
	{"mon-command-bare", caps{"mon": `allow r, allow command "osd pool set-quota"`}},
	{"mon-profile-osd", caps{"mon": "profile osd"}},
	{"mon-profile-rbd", caps{"mon": "profile rbd"}},
	{"mon-profile-rbd-read-only", caps{"mon": "profile rbd-read-only"}},
	{"simple-rados-client", caps{"mon": "profile simple-rados-client", "osd": "allow rw pool=$0"}},
	{"simple-rados-client-blocklist", caps{"mon": "profile simple-rados-client-with-blocklist", "osd": "allow rw pool=$0"}},
	{"mon-network-here", caps{"mon": "allow r network 127.0.0.0/8", "osd": "allow rw network 127.0.0.0/8"}},
	{"mon-network-elsewhere", caps{"mon": "allow r network 10.0.0.0/8", "osd": "allow rw"}},
	{"osd-network-elsewhere", caps{"mon": "allow r", "osd": "allow r, allow rw network 10.0.0.0/8"}},

	{"osd-r", caps{"mon": "allow r", "osd": "allow r"}},
	{"osd-w", caps{"mon": "allow r", "osd": "allow w"}},
	{"osd-x", caps{"mon": "allow r", "osd": "allow x"}},
	{"osd-rw", caps{"mon": "allow r", "osd": "allow rw"}},
	{"osd-rx", caps{"mon": "allow r", "osd": "allow rx"}},
	{"osd-rwx", caps{"mon": "allow r", "osd": "allow rwx"}},
	{"osd-all", caps{"mon": "allow r", "osd": "allow *"}},
	{"osd-class-read", caps{"mon": "allow r", "osd": "allow class-read"}},
	{"osd-r-class-write", caps{"mon": "allow r", "osd": "allow r class-write"}},
	{"osd-class", caps{"mon": "allow r", "osd": "allow r, allow class lock"}},
	{"osd-class-method", caps{"mon": "allow r", "osd": "allow rw, allow class lock list_locks"}},
	{"osd-pool", caps{"mon": "allow r", "osd": "allow rwx pool=$0"}},
	{"osd-pool-other", caps{"mon": "allow r", "osd": "allow rwx pool=nonesuch"}},
	{"osd-pool-two", caps{"mon": "allow r", "osd": "allow r pool=$0, allow rw pool=$1"}},
	{"osd-namespace", caps{"mon": "allow r", "osd": "allow rwx namespace=ns"}},
	{"osd-namespace-star", caps{"mon": "allow r", "osd": "allow rw namespace=ns*"}},
	{"osd-pool-namespace", caps{"mon": "allow r", "osd": "allow rw pool=$0 namespace=ns"}},
	{"osd-prefix", caps{"mon": "allow r", "osd": "allow rwx object_prefix pre."}},
	{"osd-pool-prefix", caps{"mon": "allow r", "osd": "allow r pool=$0, allow rwx pool=$0 object_prefix pre."}},
	{"osd-tag", caps{"mon": "allow r", "osd": "allow rw tag rados team=blue"}},
	{"osd-tag-any", caps{"mon": "allow r", "osd": "allow rw tag rbd *=*"}},
	{"osd-tag-other", caps{"mon": "allow r", "osd": "allow rw tag rados team=red"}},
	{"osd-quoted", caps{"mon": "allow r", "osd": `allow rw pool="$0" namespace "ns"`}},
	{"osd-profile-rbd", caps{"mon": "profile rbd", "osd": "profile rbd"}},
	{"osd-profile-rbd-pool", caps{"mon": "profile rbd", "osd": "profile rbd pool=$0"}},
	{"osd-profile-rbd-namespace", caps{"mon": "profile rbd", "osd": "profile rbd pool=$0 namespace=ns"}},
	{"osd-profile-rbd-read-only", caps{"mon": "profile rbd-read-only", "osd": "profile rbd-read-only"}},
	{"mgr-r", caps{"mon": "allow r", "mgr": "allow r"}},
	{"mgr-command", caps{"mon": "allow r", "mgr": `allow command "pg stat"`}},
}

// Commands of the monitors and of the manager that the users try. Those that
// change maps fail for another reason if they are allowed: a change takes a stock
// cluster a second.
var commands = []map[string]any{
	{"prefix": "osd pool ls"},
	{"prefix": "mon dump"},
	{"prefix": "osd dump"},
	{"prefix": "status"},
	{"prefix": "health"},
	{"prefix": "get_command_descriptions"},
	{"prefix": "auth ls"},
	{"prefix": "auth get-key", "entity": "client.admin"},
	{"prefix": "config get", "who": "client.admin"},
	{"prefix": "config-key ls"},
	{"prefix": "config-key set", "key": "deeds/key", "val": "v"},
	{"prefix": "config-key exists", "key": "deeds/key"},
	{"prefix": "osd pool set-quota", "pool": "nonesuch", "field": "max_objects", "val": "0"},
	{"prefix": "osd pool rename", "srcpool": "nonesuch", "destpool": "other"},
	{"prefix": "osd blocklist", "blocklistop": "add", "addr": "nonsense"},
	{"prefix": "osd blocklist", "blocklistop": "rm", "addr": "192.0.2.1:0/1"},
	{"prefix": "osd crush tree"},
	{"prefix": "nonesuch"},
}

var mgrCommands = []map[string]any{{"prefix": "pg stat"}, {"prefix": "osd df"}, {"prefix": "pg dump_json", "dumpcontents": []string{"sum"}}}

var badCaps = [][2]string{
	{"osd", "allow everything"}, {"osd", "allow rw pool="}, {"osd", "alow r"}, {"osd", "profile nonesuch"}, {"osd", "allow r,"},
	{"osd", "allow r network nonsense"},
	{"mon", "allow everything"}, {"mon", "profile"}, {"mon", "allow command"}, {"mon", "profile nonesuch"}, {"mon", "allow r,,"},
	{"mgr", "allow everything"}, {"mds", "allow everything"}, {"client", "allow r"},
}

// TestCaps lets each user try everything on both clusters. What each of them is
// told must be the same.
func TestCaps(t *testing.T) {
	t.Parallel()
	peer.Require(t, "ceph", "ceph-mon", "ceph-mgr", "ceph-osd")
	if err := exec.Command("/usr/bin/python3", "-c", "import rados").Run(); err != nil {
		t.Skip("python3-rados is not installed; test/install does that")
	}
	dir := binary.Dir(t)
	binary.Up(t, dir)
	names := unique()
	var here, stock map[string]map[string]string
	var wg sync.WaitGroup
	wg.Go(func() { here = deeds(t, binary.Conf(dir), names) })
	wg.Go(func() { stock = deeds(t, peer.Conf(t), names) })
	wg.Wait()
	if here == nil || stock == nil {
		t.FailNow()
	}
	tried := 0
	for _, name := range slices.Sorted(maps.Keys(stock)) {
		all := maps.Clone(stock[name])
		maps.Copy(all, here[name])
		tried += len(stock[name])
		for _, deed := range slices.Sorted(maps.Keys(all)) {
			want, done := stock[name][deed]
			got, tried := here[name][deed]
			if got != want || done != tried {
				t.Errorf("%s: %s:\n  stock: %s\n  here:  %s", strings.TrimPrefix(name, names("")), deed, want, got)
			}
		}
	}
	if tried < 1000 {
		t.Errorf("only %d deeds were tried", tried)
	}
}

// unique makes names that no other run of this test uses on a shared cluster.
func unique() func(string) string {
	pid := os.Getpid()
	return func(name string) string { return fmt.Sprintf("auth%d-%s", pid, name) }
}

// deeds runs testdata/deeds.py on a cluster; nil after a failure.
func deeds(t *testing.T, conf string, name func(string) string) map[string]map[string]string {
	spec := struct {
		Pools    []string         `json:"pools"`
		Users    []user           `json:"users"`
		Commands []map[string]any `json:"commands"`
		Mgr      []map[string]any `json:"mgr_commands"`
		BadCaps  [][2]string      `json:"bad_caps"`
	}{[]string{name("0"), name("1")}, slices.Clone(users), commands, mgrCommands, badCaps}
	for i, u := range spec.Users {
		spec.Users[i].Name = name(u.Name)
	}
	in, err := json.Marshal(spec)
	if err != nil {
		t.Error(err)
		return nil
	}
	in = bytes.ReplaceAll(bytes.ReplaceAll(in, []byte("$0"), []byte(name("0"))), []byte("$1"), []byte(name("1")))
	cmd := exec.Command("/usr/bin/python3", "testdata/deeds.py")
	cmd.Env = peer.Env(conf)
	cmd.Stdin = bytes.NewReader(in)
	r := binary.Exec(t, cmd)
	var out map[string]map[string]string
	if r.Code != 0 {
		t.Errorf("deeds.py on %s: %v", conf, r)
	} else if err := json.Unmarshal([]byte(r.Out), &out); err != nil {
		t.Errorf("deeds.py on %s: %v", conf, err)
		return nil
	}
	return out
}
