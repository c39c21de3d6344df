// Package kvmon is the small store of keys and values that clients and the
// configuration use (Ceph's KVMonitor): "config-key".
//
// The central configuration lives here too, as in Ceph, under config/ and
// config-history/; package configmon gives it its meaning.
package kvmon

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/wire"
)

// Service is the machine.
type Service struct {
	host     service.Host
	r        service.Reader
	pending  map[string][]byte // nil: removal
	onChange func(keys []string)
}

// New makes the service; onChange is told which keys a commit changed.
func New(h service.Host, onChange func(keys []string)) *Service {
	return &Service{host: h, pending: map[string][]byte{}, onChange: onChange}
}

// Name is the service's.
func (m *Service) Name() string { return "kv" }

// Load reads the state.
func (m *Service) Load(r service.Reader) error {
	m.r = r
	m.Drop()
	return nil
}

type change map[string][]byte

func (c change) Encode(e *wire.Encoder) {
	mark := e.Begin(1, 1)
	wire.EncodeMap(e, c, func(k string, v []byte) {
		e.Str(k)
		e.Bool(v != nil)
		e.Blob(v)
	})
	e.End(mark)
}

func (c *change) Decode(d *wire.Decoder) {
	env := d.Begin("kv change", 1)
	*c = wire.DecodeMap(d, 9, func() (string, []byte) {
		k, put, v := d.Str(), d.Bool(), d.Blob()
		if !put {
			return k, nil
		}
		return k, append([]byte{}, v...)
	})
	d.End(env)
}

// Propose returns what is pending.
func (m *Service) Propose(time.Time) []byte {
	if len(m.pending) == 0 {
		return nil
	}
	b := wire.Marshal(change(m.pending))
	m.Drop()
	return b
}

// Drop forgets what is pending.
func (m *Service) Drop() { m.pending = map[string][]byte{} }

// Apply folds a change in.
func (m *Service) Apply(b []byte, w service.Writer) error {
	var c change
	if err := wire.Unmarshal(b, &c); err != nil {
		return err
	}
	keys := slices.Sorted(maps.Keys(c))
	for _, k := range keys {
		if c[k] == nil {
			w.Delete(k)
		} else {
			w.Put(k, c[k])
		}
	}
	if m.onChange != nil {
		m.onChange(keys)
	}
	return nil
}

// Get returns a value as it will be once what is pending is committed.
func (m *Service) Get(key string) []byte {
	if v, ok := m.pending[key]; ok {
		return v
	}
	return m.r.Get(key)
}

// Reader reads the committed values.
func (m *Service) Reader() service.Reader { return m.r }

// Put stages a value.
func (m *Service) Put(key string, value []byte) {
	if value == nil {
		value = []byte{}
	}
	m.pending[key] = value
}

// Delete stages a removal.
func (m *Service) Delete(key string) { m.pending[key] = nil }

// Commands registers config-key ... .
func (m *Service) Commands(t *command.Table) {
	t.Read("config-key get", m.get)
	t.Read("config-key exists", m.exists)
	t.Read("config-key dump", m.dump)
	for _, p := range []string{"config-key ls", "config-key list"} {
		t.Read(p, m.list)
	}
	for _, p := range []string{"config-key set", "config-key put"} {
		t.Write(p, m.set)
	}
	for _, p := range []string{"config-key rm", "config-key del"} {
		t.Write(p, m.remove)
	}
}

func (m *Service) get(c *command.Call) command.Reply {
	v := m.r.Get(c.Str("key"))
	if v == nil || c.Str("key") == "" {
		return command.Fail(errno.ENOENT, "")
	}
	return command.Reply{Output: v}
}

func (m *Service) exists(c *command.Call) command.Reply {
	key := c.Str("key")
	if key == "" || m.r.Get(key) == nil {
		return command.Fail(errno.ENOENT, "key '%s' doesn't exist", key)
	}
	return command.Say("key '%s' exists", key)
}

func (m *Service) list(c *command.Call) command.Reply {
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Array("keys", func() {
			for k := range m.r.Scan("", "") {
				f.Str("key", k)
			}
		})
	}).Line()
}

func (m *Service) dump(c *command.Call) command.Reply {
	prefix := c.Str("key")
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("config-key store", func() {
			for k, v := range m.r.Scan(prefix, prefix+"\xff\xff") {
				if printable(v) {
					f.Str(k, string(v))
				} else {
					f.Str(k, fmt.Sprintf("<<< binary blob of length %d >>>", len(v)))
				}
			}
		})
	}).Line()
}

func printable(v []byte) bool {
	return !slices.ContainsFunc(v, func(c byte) bool { return (c < 0x20 || c > 0x7e) && c != '\n' && c != '\t' })
}

// Fits reports whether a value that a client gave is small enough, else it
// returns the refusal.
func (m *Service) Fits(value []byte) (command.Reply, bool) {
	limit, _ := strconv.Atoi(m.host.Option("mon_config_key_max_entry_size"))
	if len(value) > limit {
		return command.Fail(errno.EFBIG, "error: entry size limited to %d bytes. Use 'mon config key max entry size' to manually adjust", limit), false
	}
	return command.Reply{}, true
}

func (m *Service) set(c *command.Call) command.Reply {
	key := c.Str("key")
	if key == "" {
		return command.Fail(errno.EINVAL, "must specify a key")
	}
	value := []byte(c.Str("val"))
	if !c.Has("val") {
		value = c.Input
	}
	if bad, ok := m.Fits(value); !ok {
		return bad
	}
	m.Put(key, value)
	return command.Committed("set %s", key)
}

func (m *Service) remove(c *command.Call) command.Reply {
	key := c.Str("key")
	if key == "" {
		return command.Fail(errno.EINVAL, "must specify a key")
	}
	if m.Get(key) == nil {
		return command.Say("key deleted")
	}
	m.Delete(key)
	return command.Committed("key deleted")
}
