package authmon

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/cephx/caps"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// Commands registers auth ... .
func (m *Service) Commands(t *command.Table) {
	t.Read("auth ls", m.list)
	t.Read("auth list", m.list)
	t.Read("auth get", m.get)
	t.Read("auth get-key", m.getKey)
	t.Read("auth print-key", m.getKey)
	t.Read("auth print_key", m.getKey)
	t.Read("auth export", m.export)
	t.Write("auth get-or-create", m.getOrCreate)
	t.Write("auth get-or-create-key", m.getOrCreate)
	t.Write("auth add", m.add)
	t.Write("auth caps", m.caps)
	t.Write("auth rm", m.remove)
	t.Write("auth del", m.remove)
	t.Write("auth import", m.importKeyring)
	t.Write("fs authorize", m.fsAuthorize)
}

func dumpEntity(f *jsonfmt.Formatter, name entity.AuthName, n cephx.Entity) {
	f.Object("auth_entities", func() {
		f.Str("entity", name.String())
		f.Str("key", n.Key.Base64())
		f.Object("caps", func() {
			for _, s := range slices.Sorted(maps.Keys(n.Caps)) {
				f.Str(s, n.Caps[s])
			}
		})
	})
}

func (m *Service) list(c *command.Call) command.Reply {
	if c.Format != command.Plain {
		return c.Dump(func(f *jsonfmt.Formatter) {
			f.Object("auth", func() {
				f.Array("auth_dump", func() {
					for _, name := range m.entities.Names() {
						dumpEntity(f, name, m.entities[name])
					}
				})
			})
		})
	}
	var b strings.Builder
	for _, name := range m.entities.Names() {
		n := m.entities[name]
		fmt.Fprintf(&b, "%v\n\tkey: %s\n", name, n.Key.Base64())
		for _, s := range slices.Sorted(maps.Keys(n.Caps)) {
			fmt.Fprintf(&b, "\tcaps: [%s] %s\n", s, n.Caps[s])
		}
	}
	return command.Reply{Status: "installed auth entries:\n", Output: []byte(b.String())}
}

// lookup finds a committed account; the monitors' own is not in the database.
func (m *Service) lookup(name entity.AuthName) (cephx.Entity, bool) {
	if n, ok := m.entities[name]; ok {
		return n, true
	}
	if m.keys == nil {
		return cephx.Entity{}, false
	}
	return m.keys.Entity(name)
}

// readName parses the argument of the reading commands.
func readName(c *command.Call) (entity.AuthName, command.Reply, bool) {
	name, err := entity.ParseAuthName(c.Str("entity"))
	switch {
	case c.Str("entity") == "":
		return name, command.Fail(errno.EINVAL, "invalid command"), false
	case err != nil:
		return name, command.Fail(errno.EINVAL, "invalid entity_auth %s", c.Str("entity")), false
	}
	return name, command.Reply{}, true
}

// keyring renders accounts: the keyring file, or a list for JSON.
func keyring(c *command.Call, ring cephx.Keyring) []byte {
	if c.Format == command.Plain {
		return []byte(ring.Text())
	}
	return []byte(c.Render(func(f *jsonfmt.Formatter) {
		f.Array("auth", func() {
			for _, name := range ring.Names() {
				dumpEntity(f, name, ring[name])
			}
		})
	}))
}

func (m *Service) get(c *command.Call) command.Reply {
	name, bad, ok := readName(c)
	if !ok {
		return bad
	}
	n, ok := m.lookup(name)
	if !ok {
		return command.Fail(errno.ENOENT, "failed to find %v in keyring", name)
	}
	return command.Reply{Status: fmt.Sprintf("exported keyring for %v", name), Output: keyring(c, cephx.Keyring{name: n})}
}

func (m *Service) getKey(c *command.Call) command.Reply {
	name, bad, ok := readName(c)
	if !ok {
		return bad
	}
	n, ok := m.lookup(name)
	if !ok {
		return command.Fail(errno.ENOENT, "don't have %v", name)
	}
	return c.Either(n.Key.Base64, func(f *jsonfmt.Formatter) { dumpKey(f, n.Key) })
}

func dumpKey(f *jsonfmt.Formatter, k cephx.Key) {
	f.Object("auth", func() { f.Str("key", k.Base64()) })
}

func (m *Service) export(c *command.Call) command.Reply {
	if c.Str("entity") == "" {
		return command.Reply{Status: "exported master keyring", Output: keyring(c, m.entities)}
	}
	name, bad, ok := readName(c)
	if !ok {
		return bad
	}
	n, ok := m.lookup(name)
	if !ok {
		return command.Fail(errno.ENOENT, "no key for %v", name)
	}
	return command.Reply{Status: fmt.Sprintf("export auth(key=%s)", n.Key.Base64()), Output: keyring(c, cephx.Keyring{name: n})}
}

// capsOf reads the argument caps: [service, text, ...].
func capsOf(c *command.Call) (map[string]string, command.Reply, bool) {
	list := c.Strs("caps")
	if len(list)%2 != 0 {
		return nil, command.Fail(errno.EINVAL, "bad capabilities request; odd number of arguments"), false
	}
	out := map[string]string{}
	for i := 0; i < len(list); i += 2 {
		if err := caps.Validate(list[i], list[i+1]); err != nil {
			return nil, command.Fail(errno.EINVAL, "%s", words(err)), false
		}
		out[list[i]] = list[i+1]
	}
	return out, command.Reply{}, true
}

func words(err error) string {
	var c *caps.Error
	if errors.As(err, &c) {
		return c.Error()
	}
	return err.Error()
}

// capsDiffer names the first service for which wanted capabilities are not
// those of an account.
func capsDiffer(have, want map[string]string) (string, bool) {
	for _, s := range slices.Sorted(maps.Keys(want)) {
		if have[s] != want[s] {
			return s, true
		}
	}
	for _, s := range slices.Sorted(maps.Keys(have)) {
		if _, ok := want[s]; !ok {
			return s, true
		}
	}
	return "", false
}

func (m *Service) getOrCreate(c *command.Call) command.Reply {
	name, err := entity.ParseAuthName(c.Str("entity"))
	if err != nil {
		return command.Fail(errno.EINVAL, "bad entity name")
	}
	want, bad, ok := capsOf(c)
	if !ok {
		return bad
	}
	n, exists := m.Entity(name)
	if exists {
		// Without capabilities in the command any will do.
		if s, differ := capsDiffer(n.Caps, want); differ && len(want) > 0 {
			return command.Fail(errno.EINVAL, "key for %v exists but cap %s does not match", name, s)
		}
	} else {
		key, err := cephx.NewKey(c.Now, m.host.Rand())
		if err != nil {
			return command.Err(err)
		}
		n = cephx.Entity{Key: key, Caps: want}
		m.Put(name, n)
	}
	// An account that is only pending may not be told before it is committed.
	_, pending := m.pending.entities[name]
	r := command.Reply{Commit: pending}
	switch {
	case c.Prefix == "auth get-or-create-key" && c.Format == command.Plain:
		r.Output = []byte(n.Key.Base64() + "\n")
	case c.Prefix == "auth get-or-create-key":
		r.Output = []byte(c.Render(func(f *jsonfmt.Formatter) { dumpKey(f, n.Key) }))
	case c.Format == command.Plain:
		r.Output = keyring(c, cephx.Keyring{name: cephx.Entity{Key: n.Key}})
	default:
		r.Output = keyring(c, cephx.Keyring{name: n})
	}
	return r
}

func (m *Service) add(c *command.Call) command.Reply {
	name, err := entity.ParseAuthName(c.Str("entity"))
	if err != nil {
		return command.Fail(errno.EINVAL, "bad entity name")
	}
	want, bad, ok := capsOf(c)
	if !ok {
		return bad
	}
	n := cephx.Entity{Caps: want}
	if len(c.Input) > 0 {
		ring, err := cephx.ParseKeyring(c.Input)
		if err != nil {
			return command.Fail(errno.EINVAL, "error decoding keyring")
		}
		given, ok := ring[name]
		if !ok {
			return command.Fail(errno.EINVAL, "key for %v not found in provided keyring", name)
		}
		if len(want) > 0 && len(given.Caps) > 0 {
			return command.Fail(errno.EINVAL, "caps cannot be specified both in keyring and in command")
		}
		n.Key = given.Key
		if len(want) == 0 {
			n.Caps = given.Caps
		}
	}
	if have, exists := m.Entity(name); exists {
		switch s, differ := capsDiffer(have.Caps, n.Caps); {
		case !n.Key.IsZero() && !n.Key.Equal(have.Key):
			return command.Fail(errno.EINVAL, "entity %v exists but key does not match", name)
		case len(have.Caps) != len(n.Caps):
			return command.Fail(errno.EINVAL, "entity %v exists but caps do not match", name)
		case differ:
			return command.Fail(errno.EINVAL, "entity %v exists but cap %s does not match", name, s)
		}
		return command.Reply{}
	}
	if n.Key.IsZero() {
		if n.Key, err = cephx.NewKey(c.Now, m.host.Rand()); err != nil {
			return command.Err(err)
		}
	}
	m.Put(name, n)
	return command.Committed("added key for %v", name)
}

func (m *Service) caps(c *command.Call) command.Reply {
	name, err := entity.ParseAuthName(c.Str("entity"))
	if err != nil {
		return command.Fail(errno.EINVAL, "bad entity name")
	}
	n, ok := m.Entity(name)
	if !ok {
		return command.Fail(errno.ENOENT, "couldn't find entry %v", name)
	}
	want, bad, ok := capsOf(c)
	if !ok {
		return bad
	}
	m.Put(name, cephx.Entity{Key: n.Key, Caps: want})
	return command.Committed("updated caps for %v", name)
}

func (m *Service) remove(c *command.Call) command.Reply {
	if c.Str("entity") == "" {
		return command.Fail(errno.EINVAL, "")
	}
	name, err := entity.ParseAuthName(c.Str("entity"))
	if err != nil {
		return command.Fail(errno.EINVAL, "bad entity name")
	}
	if _, ok := m.Entity(name); !ok {
		return command.Say("entity %v does not exist", name)
	}
	m.Remove(name)
	return command.Committed("updated")
}

func (m *Service) importKeyring(c *command.Call) command.Reply {
	if len(c.Input) == 0 {
		return command.Fail(errno.EINVAL, "auth import: no data supplied")
	}
	ring, err := cephx.ParseKeyring(c.Input)
	if err != nil {
		return command.Fail(errno.EINVAL, "error decoding keyring cannot parse buffer: Malformed input")
	}
	for _, name := range ring.Names() {
		// As in Ceph capabilities are taken as they are, so that what was
		// exported comes back; a text that nobody can parse grants nothing.
		n := ring[name]
		if n.Key.IsZero() {
			if n.Key, err = cephx.NewKey(c.Now, m.host.Rand()); err != nil {
				return command.Err(err)
			}
			ring[name] = n
		}
	}
	for _, name := range ring.Names() {
		m.Put(name, ring[name])
	}
	return command.Committed("imported keyring")
}

// fsAuthorize refuses: there are no file systems.
func (m *Service) fsAuthorize(c *command.Call) command.Reply {
	return command.Fail(errno.EINVAL, "filesystem %s does not exist.", c.Str("filesystem"))
}
