package chaos

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// Imager changes an image of its own, and a clone of that, through a process of
// the stock librbd: one operation at a time, and remembers what was acknowledged
// and the one that may be in doubt.
type Imager struct {
	name  string
	dies  bool // the process is killed while it works
	rand  *rand.Rand
	disks Disks
	seq   int
	doubt *DiskOp
	past  []string // the last operations, for the report of a failure
	done  map[string]int

	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	client string // its address, as the cluster knows it
}

// NewImager makes one whose image does not exist yet.
func NewImager(seed uint64, n int, dies bool) *Imager {
	return &Imager{dies: dies, name: fmt.Sprintf("image-%d", n), rand: rand.New(rand.NewPCG(seed, uint64(n))), disks: Disks{}, done: map[string]int{}}
}

// Start starts the process.
func (m *Imager) Start(env []string) error {
	m.cmd = exec.Command("/usr/bin/python3", "testdata/images.py")
	m.cmd.Env, m.cmd.Stderr = env, os.Stderr
	in, err := m.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := m.cmd.Start(); err != nil {
		return err
	}
	m.in, m.out = in, bufio.NewReader(out)
	a, _, err := m.answer()
	m.client = a.Client
	return err
}

// Kill kills the process; what it was doing is in doubt.
func (m *Imager) Kill() { m.cmd.Process.Kill() }

// End lets the process end, or waits for the end of a killed one.
func (m *Imager) End() error {
	m.in.Close()
	return m.cmd.Wait()
}

// diskAnswer is what images.py says.
type diskAnswer struct {
	Client string
	Error  string
	Errno  int
	Names  []string
	Snaps  []string
	Sizes  []int
	Flags  int
	Data   int
}

// errGone: the process ended before it answered.
var errGone = errors.New("the client is gone")

func (m *Imager) answer() (a diskAnswer, data []byte, err error) {
	line, err := m.out.ReadBytes('\n')
	if err != nil {
		return a, nil, errGone
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return a, nil, fmt.Errorf("%s: %w", line, err)
	}
	data = make([]byte, a.Data)
	if _, err := io.ReadFull(m.out, data); err != nil {
		return a, nil, errGone
	}
	if a.Error != "" {
		err = fmt.Errorf("%s (%d)", a.Error, a.Errno)
	}
	return a, data, err
}

func (m *Imager) call(o *DiskOp) (diskAnswer, []byte, error) {
	line, err := json.Marshal(o)
	if err != nil {
		return diskAnswer{}, nil, err
	}
	if _, err := m.in.Write(append(line, '\n')); err != nil {
		return diskAnswer{}, nil, errGone
	}
	return m.answer()
}

// Step does one more operation. Without error and false: the process is gone.
func (m *Imager) Step() (bool, error) {
	m.seq++
	o := drawDisk(m.rand, m.disks, m.name, m.seq, !m.dies)
	m.doubt = o
	_, _, err := m.call(o)
	if errors.Is(err, errGone) {
		return false, nil
	}
	if err != nil {
		return false, m.failed(fmt.Errorf("%v: %w", o, err))
	}
	m.disks, m.doubt = o.apply(m.disks), nil
	m.note(o.String())
	m.done[o.Do]++
	return true, nil
}

func (m *Imager) note(what string) { m.past = append(m.past[max(0, len(m.past)-39):], what) }

func (m *Imager) failed(err error) error {
	return fmt.Errorf("%s: %w\nafter\n  %s", m.name, err, strings.Join(m.past, "\n  "))
}

// look reads an image and its snapshots.
func (m *Imager) look(name string) (*Disk, error) {
	a, data, err := m.call(&DiskOp{Do: "look", Image: name})
	if err != nil {
		return nil, err
	}
	if a.Flags != 0 {
		return nil, fmt.Errorf("flags %#x: the object map is not right", a.Flags)
	}
	d := &Disk{}
	for i, n := range a.Sizes {
		if i == 0 {
			d.Data = data[:n:n]
		} else {
			d.Snaps = append(d.Snaps, SnapState{a.Snaps[i-1], data[:n:n]})
		}
		data = data[n:]
	}
	return d, nil
}

// Verify reads all and compares it with what it may be, and knows afterwards
// which of these it is.
func (m *Imager) Verify() error {
	after := m.disks
	if m.doubt != nil {
		after = m.doubt.apply(m.disks)
		m.note(m.doubt.String() + ", in doubt")
	}
	a, _, err := m.call(&DiskOp{Do: "list"})
	if err != nil {
		return m.failed(err)
	}
	found := Disks{}
	for _, name := range slices.Sorted(maps.Keys(m.both(after))) {
		if !slices.Contains(a.Names, name) {
			if err := compareDisk(m.disks[name], after[name], nil); err != nil {
				return m.failed(fmt.Errorf("%s %w", name, err))
			}
			continue
		}
		if m.inPieces(name) {
			// It is there in part, which is all that can be said.
			if _, _, err := m.call(&DiskOp{Do: "remove", Image: name}); err != nil {
				return m.failed(fmt.Errorf("%s, left by a client that died: remove: %w", name, err))
			}
			continue
		}
		got, err := m.look(name)
		if err == nil {
			err = compareDisk(m.disks[name], after[name], got)
		}
		if err != nil {
			return m.failed(fmt.Errorf("%s: %w", name, err))
		}
		if was := m.disks[name]; was != nil {
			got.parent = was.parent
		}
		if err := m.dropDoubtful(name, got); err != nil {
			return m.failed(err)
		}
		found[name] = got
	}
	for _, name := range a.Names {
		if ok, _ := path.Match(m.name+"*", name); ok && found[name] == nil && m.both(after)[name] == nil {
			return m.failed(fmt.Errorf("%s exists", name))
		}
	}
	m.disks, m.doubt = found, nil
	return nil
}

// dropDoubtful removes the snapshot that a client died making. It may have no
// object map, and librbd does not clone such a snapshot.
func (m *Imager) dropDoubtful(name string, d *Disk) error {
	o := m.doubt
	if o == nil || o.Do != "snapshot" || o.Image != name || d.find(o.Snap) < 0 {
		return nil
	}
	remove := &DiskOp{Do: "remove snapshot", Image: name, Snap: o.Snap}
	if _, _, err := m.call(remove); err != nil {
		return fmt.Errorf("%s, left by a client that died: remove snapshot %s: %w", name, o.Snap, err)
	}
	d.Snaps = remove.apply(Disks{name: d})[name].Snaps
	m.note(remove.String())
	return nil
}

// both are the images that there may be.
func (m *Imager) both(after Disks) Disks {
	all := maps.Clone(m.disks)
	maps.Copy(all, after)
	return all
}

// inPieces: a client that dies making or removing an image leaves some of the
// objects that make it one.
func (m *Imager) inPieces(name string) bool {
	o := m.doubt
	return o != nil && ((o.Do == "create" || o.Do == "remove") && o.Image == name || o.Do == "clone" && o.Child == name)
}

// RemoveAll removes the images and their snapshots.
func (m *Imager) RemoveAll() error {
	for _, name := range []string{m.name + "-child", m.name} {
		d := m.disks[name]
		if d == nil {
			continue
		}
		for _, s := range d.Snaps {
			if _, _, err := m.call(&DiskOp{Do: "remove snapshot", Image: name, Snap: s.Name}); err != nil {
				return m.failed(fmt.Errorf("remove snapshot %s@%s: %w", name, s.Name, err))
			}
		}
		if _, _, err := m.call(&DiskOp{Do: "remove", Image: name}); err != nil {
			return m.failed(fmt.Errorf("remove %s: %w", name, err))
		}
	}
	m.disks = Disks{}
	return nil
}
