package transfer

import (
	"errors"
	"io"
)

// Merge writes a diff that is what two do one after the other: the second begins
// with the snapshot that the first one ends with. EINVAL: it does not.
func Merge(w io.Writer, first, second *DiffReader) error {
	if first.To != second.From {
		return bad("the first diff ends with snapshot %q, the second begins with %q", first.To, second.From)
	}
	out, err := NewDiffWriter(w, 1, DiffHeader{From: first.From, To: second.To, Size: second.Size})
	if err != nil {
		return err
	}
	a, b := source{r: first, size: second.Size}, source{r: second, size: second.Size}
	for {
		if err := errors.Join(a.fill(), b.fill()); err != nil {
			return err
		}
		switch {
		case a.done && b.done:
			return out.Close()
		case b.done || !a.done && a.rec.end() <= b.rec.Offset:
			err = a.emit(out, a.rec.Length)
		case !a.done && a.rec.Offset < b.rec.Offset:
			err = a.emit(out, b.rec.Offset-a.rec.Offset)
		default:
			end := b.rec.end()
			if err = b.emit(out, b.rec.Length); err == nil {
				err = a.passOver(end)
			}
		}
		if err != nil {
			return err
		}
	}
}

func (r *Record) end() uint64 { return r.Offset + r.Length }

// source is what is left of a diff.
type source struct {
	r    *DiffReader
	rec  Record
	last uint64 // end of the records before
	size uint64 // what is behind does not matter
	done bool
}

// fill makes rec the next record if there is nothing left of the last one.
func (s *source) fill() error {
	for !s.done && s.rec.Length == 0 {
		var err error
		if s.rec, err = s.r.Next(); err == io.EOF {
			s.done = true
			return nil
		}
		if err != nil {
			return err
		}
		if s.rec.Offset < s.last {
			return bad("records are not in order: offset %d after %d", s.rec.Offset, s.last)
		}
		s.last = s.rec.end()
		s.rec.Length = min(s.rec.Length, s.size-min(s.size, s.rec.Offset))
	}
	return nil
}

// emit writes the first n bytes of the record.
func (s *source) emit(out *DiffWriter, n uint64) error {
	var err error
	if s.rec.Zero {
		err = out.Zero(s.rec.Offset, n)
	} else {
		_, err = io.CopyN(out.Data(s.rec.Offset, n), s.r, int64(n))
	}
	s.rec.Offset += n
	s.rec.Length -= n
	return short(err)
}

// passOver drops what is before an offset.
func (s *source) passOver(end uint64) error {
	for {
		if err := s.fill(); err != nil || s.done || s.rec.Offset >= end {
			return err
		}
		n := min(s.rec.Length, end-s.rec.Offset)
		if !s.rec.Zero {
			if _, err := io.CopyN(io.Discard, s.r, int64(n)); err != nil {
				return short(err)
			}
		}
		s.rec.Offset += n
		s.rec.Length -= n
	}
}
