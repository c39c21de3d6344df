package chaos

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// TestModelOnStockCluster checks the model: what steps do to a state is what a
// stock cluster does.
func TestModelOnStockCluster(t *testing.T) {
	t.Parallel()
	conf := os.Getenv("PULPO_PEER_CONF")
	if conf == "" {
		t.Skip("PULPO_PEER_CONF names no stock cluster")
	}
	pool := fmt.Sprintf("chaos-%d", os.Getpid())
	c := connect(t, conf)
	createPool(t, c, pool)
	defer func() {
		if err := c.DeletePool(context.WithoutCancel(t.Context()), pool); err != nil {
			t.Error(err)
		}
	}()
	l := New(seed(t), 16, 4)
	p := openPool(t, c, pool)
	for range 3 {
		crew := newCrew()
		done := l.After(300)
		for _, w := range l.Writers {
			crew.add(t.Context(), w, p)
		}
		wait(t, done, "progress")
		crew.finish(t)
		verify(t, l, p)
	}
}
