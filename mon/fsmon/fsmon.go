// Package fsmon answers for the file system map (Ceph's MDSMonitor) of a cluster
// that has no file system and no metadata server: the map of a fresh stock
// cluster, at epoch 1 for ever.
package fsmon

import (
	"fmt"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/python"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/wire"
)

const epoch = 1

// incompat are the features that metadata servers must have (CompatSet).
var incompat = []struct {
	id   uint64
	name string
}{
	{1, "base v0.20"}, {2, "client writeable ranges"}, {3, "default file layouts on dirs"},
	{4, "dir inode in separate object"}, {5, "mds uses versioned encoding"}, {6, "dirfrag is stored in omap"},
	{8, "no anchor table"}, {9, "file layout v2"}, {10, "snaprealm v2"},
}

// Encode returns the map as it travels (FSMap v7).
func Encode() []byte {
	var e wire.Encoder
	m := e.Begin(7, 6)
	e.U32(epoch)
	e.U64(1)  // next file system
	e.S32(-1) // the default one: none
	for range 2 {
		e.U64(0) // compat, ro_compat
		e.U32(0)
	}
	var mask uint64
	for _, f := range incompat {
		mask |= 1 << f.id
	}
	e.U64(mask)
	e.U32(uint32(len(incompat)))
	for _, f := range incompat {
		e.U64(f.id)
		e.Str(f.name)
	}
	e.Bool(true) // several file systems are allowed
	e.U32(0)     // file systems
	e.U32(0)     // roles
	e.U32(0)     // standbys
	e.U32(0)     // their epochs
	e.Bool(true) // several were ever allowed
	e.End(m)
	return e.Bytes()
}

// Service is the machine.
type Service struct{ host service.Host }

// New makes the service.
func New(h service.Host) *Service { return &Service{h} }

// Topics are what clients of file systems subscribe to. To "mdsmap" there is
// nothing to say.
func (s *Service) Topics() []string { return []string{"fsmap", "fsmap.user", "mdsmap"} }

// Versions are the epochs at hand.
func (s *Service) Versions(string) (oldest, newest uint64) { return epoch, epoch }

// Publish sends the map if it is new to the subscriber.
func (s *Service) Publish(_ *service.Session, topic string, next uint64) ([]msg.Body, uint64) {
	if next > epoch {
		return nil, next
	}
	switch topic {
	case "fsmap":
		return []msg.Body{&msg.FSMap{Epoch: epoch, Map: Encode()}}, epoch + 1
	case "fsmap.user":
		return []msg.Body{&msg.FSMapUser{Epoch: epoch, Legacy: -1}}, epoch + 1
	}
	return nil, next
}

// Commands registers what is asked of a cluster without file systems.
func (s *Service) Commands(t *command.Table) {
	t.Read("fs ls", func(c *command.Call) command.Reply {
		return c.Either(func() string { return "No filesystems enabled\n" }, func(f *jsonfmt.Formatter) {
			f.Array("filesystems", func() {})
		}).Line()
	})
	t.Read("fs dump", s.dump)
	t.Read("fs get", func(c *command.Call) command.Reply {
		return command.Fail(errno.ENOENT, "filesystem '%s' not found", c.Str("fs_name"))
	})
	t.Read("fs status", func(c *command.Call) command.Reply {
		if name := c.Str("fs"); name != "" {
			return python.Refuse(errno.EINVAL, "Invalid filesystem: %s", name)
		}
		if c.Format != command.Plain {
			return python.Output("{}")
		}
		return command.Reply{}
	})
	t.Read("mds stat", func(c *command.Call) command.Reply {
		return c.Either(func() string { return "" }, func(f *jsonfmt.Formatter) {
			f.Object("mds_stat", func() {
				f.Object("fsmap", func() { s.Dump(f) })
				f.Int("mdsmap_first_committed", epoch)
				f.Int("mdsmap_last_committed", epoch)
			})
		}).LineUnlessPlain(c)
	})
	t.Read("mds ok-to-stop", func(c *command.Call) command.Reply {
		if len(c.Strs("ids")) == 0 {
			return command.Fail(errno.EINVAL, "must specify mds id")
		}
		return command.Fail(errno.EINVAL, "MDS named '%s' does not exist", strings.Join(c.Strs("ids"), ","))
	})
}

func (s *Service) dump(c *command.Call) command.Reply {
	if e := c.Int("epoch"); e != 0 && e != epoch {
		return command.Fail(errno.ENOENT, "there is no map for epoch %d", e)
	}
	r := c.Either(func() string {
		var in []string
		for _, f := range incompat {
			in = append(in, fmt.Sprintf("%d=%s", f.id, f.name))
		}
		return fmt.Sprintf("e%d\nenable_multiple, ever_enabled_multiple: 1,1\n"+
			"default compat: compat={},rocompat={},incompat={%s}\nlegacy client fscid: -1\n \nNo filesystems configured\n",
			epoch, strings.Join(in, ","))
	}, func(f *jsonfmt.Formatter) { f.Object("fsmap", func() { s.Dump(f) }) }).LineUnlessPlain(c)
	r.Status = fmt.Sprintf("dumped fsmap epoch %d", epoch)
	return r
}

// Dump writes the members of the map in JSON.
func (s *Service) Dump(f *jsonfmt.Formatter) {
	f.Int("epoch", epoch)
	f.Int("default_fscid", -1)
	f.Object("compat", func() {
		f.Object("compat", func() {})
		f.Object("ro_compat", func() {})
		f.Object("incompat", func() {
			for _, x := range incompat {
				f.Str(fmt.Sprintf("feature_%d", x.id), x.name)
			}
		})
	})
	f.Object("feature_flags", func() {
		f.Bool("enable_multiple", true)
		f.Bool("ever_enabled_multiple", true)
	})
	f.Array("standbys", func() {})
	f.Array("filesystems", func() {})
}

// StatusServices, StatusSections have nothing to say.
func (s *Service) StatusServices(time.Time) []service.Line    { return nil }
func (s *Service) StatusSections(time.Time) []service.Section { return nil }

// StatusDump writes the members of the JSON status.
func (s *Service) StatusDump(f *jsonfmt.Formatter, _ time.Time) {
	f.Object("fsmap", func() {
		f.Int("epoch", epoch)
		f.Array("by_rank", func() {})
		f.Int("up:standby", 0)
	})
}
