package errno

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
)

func TestCode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want int32
	}{
		{nil, 0},
		{ENOENT, -2},
		{fmt.Errorf("pg 1.0: read x: %w", EIO), -5},
		{fmt.Errorf("open: %w", syscall.ENOSPC), -28},
		{context.DeadlineExceeded, -110},
		{errors.New("no number"), -5},
	} {
		if got := Code(c.err); got != c.want {
			t.Errorf("%v travels as %d, want %d", c.err, got, c.want)
		}
	}
	if Error(0) != nil || Error(3) != nil || !errors.Is(Error(-2), fs.ErrNotExist) || Error(-125) != ECANCELED {
		t.Error("a result became the wrong error")
	}
	if got := Errno(999).Error(); got != "Unknown error 999" {
		t.Error(got)
	}
}
