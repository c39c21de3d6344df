package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// At returns the directory at a path of the operating system.
//
// Its files are written past the page cache where the file system allows that,
// so that a write costs no copy and a sync finds nothing to write back, and are
// read through it, so that the kernel keeps what is read often in memory that
// nobody else wants.
func At(path string) Dir { return realDir(path) }

type realDir string

func (d realDir) Path() string { return string(d) }

func (d realDir) name(n string) string { return filepath.Join(string(d), n) }

func (d realDir) Create(name string) (File, error) {
	return openReal(d.name(name), os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (d realDir) Open(name string) (File, error) { return openReal(d.name(name), os.O_RDWR) }

func (d realDir) List() ([]string, error) {
	l, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	names := make([]string, len(l))
	for i, e := range l {
		names[i] = e.Name()
	}
	return names, nil
}

func (d realDir) Make() error { return os.MkdirAll(string(d), 0o700) }

func (d realDir) Remove(name string) error { return os.RemoveAll(d.name(name)) }

func (d realDir) Rename(from, to string) error { return os.Rename(d.name(from), d.name(to)) }

func (d realDir) Sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func (d realDir) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(d.name(name), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", d.name(name), err)
	}
	return heldFile{f}, nil
}

// heldFile is a locked file.
type heldFile struct{ *os.File }

func (f heldFile) Close() error { return Unlock(f.File) }

// Unlock closes a file that was locked by flock. To close it alone would not do: a
// child that this process is about to start has the file open too, and with it the
// lock, until it runs its program.
func Unlock(f *os.File) error { return errors.Join(unlockFile(f), f.Close()) }

func (d realDir) Space() (total, free uint64, err error) { return space(string(d)) }

// realFile writes through w and reads through r.
type realFile struct {
	r, w   *os.File
	direct bool // w wants aligned memory
}

// bounce holds memory for writes whose own is not aligned.
var bounce = sync.Pool{New: func() any { b := Aligned(256 << 10); return &b }}

func openReal(path string, flags int) (File, error) {
	r, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	if st, err := r.Stat(); err != nil || st.IsDir() {
		r.Close()
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrInvalid}
	}
	adviseRandom(r)
	if w, err := openDirect(path); err == nil {
		return &realFile{r: r, w: w, direct: true}, nil
	}
	return &realFile{r: r, w: r}, nil
}

func (f *realFile) ReadAt(p []byte, off int64) (int, error) { return f.r.ReadAt(p, off) }

func (f *realFile) WriteAt(p []byte, off int64) (int, error) {
	if off%Sector != 0 || len(p)%Sector != 0 {
		return 0, &fs.PathError{Op: "write", Path: f.w.Name(), Err: fs.ErrInvalid}
	}
	if !f.direct || IsAligned(p) {
		return f.w.WriteAt(p, off)
	}
	b := bounce.Get().(*[]byte)
	defer bounce.Put(b)
	for done := 0; done < len(p); {
		n := copy(*b, p[done:])
		if m, err := f.w.WriteAt((*b)[:n], off+int64(done)); err != nil {
			return done + m, err
		}
		done += n
	}
	return len(p), nil
}

func (f *realFile) Sync() error { return syncData(f.w) }

func (f *realFile) Allocate(off, n int64) error { return allocate(f.w, off, n) }

func (f *realFile) Size() (int64, error) {
	// A device has no size in its stat, but an end.
	return f.r.Seek(0, io.SeekEnd)
}

func (f *realFile) Close() error {
	err := f.r.Close()
	if f.w != f.r {
		if e := f.w.Close(); err == nil {
			err = e
		}
	}
	return err
}

// allocateByWriting writes zeros where the file does not reach yet.
func allocateByWriting(f *os.File, off, n int64) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := Aligned(1 << 20)
	for at := max(off, st.Size()&^(Sector-1)); at < off+n; {
		m := min(off+n-at, int64(len(zeros)))
		if _, err := f.WriteAt(zeros[:m], at); err != nil {
			return err
		}
		at += m
	}
	return nil
}
