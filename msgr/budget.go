package msgr

import (
	"slices"
	"sync"
)

// Budget bounds the bytes of received messages that the handlers of many
// connections hold together (osd_client_message_size_cap). A connection that
// would exceed it is not read until others have released enough; who waits
// longest comes first.
//
// Small messages are not counted: those that give things back, acknowledge, or
// keep a session alive must not wait behind data.
type Budget struct {
	mu      sync.Mutex
	limit   int64
	held    int64
	waiting []*budgetWait
}

type budgetWait struct {
	n       int64
	granted chan struct{}
}

// budgetFree is the size up to which messages are not counted.
const budgetFree = 4 << 10

// NewBudget returns a budget of so many bytes. One message may exceed it if it is
// alone.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// SetLimit changes the limit.
func (b *Budget) SetLimit(limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
	b.grant()
}

// Held is the number of bytes that are taken.
func (b *Budget) Held() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held
}

func (b *Budget) fits(n int64) bool { return b.held == 0 || b.held+n <= b.limit }

// take waits until n more bytes fit. It reports false if stop was closed before.
func (b *Budget) take(n int64, stop <-chan struct{}) bool {
	if b == nil || n <= budgetFree {
		return true
	}
	b.mu.Lock()
	if len(b.waiting) == 0 && b.fits(n) {
		b.held += n
		b.mu.Unlock()
		return true
	}
	w := &budgetWait{n, make(chan struct{})}
	b.waiting = append(b.waiting, w)
	b.mu.Unlock()
	select {
	case <-w.granted:
		return true
	case <-stop:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, w); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
	} else {
		b.held -= n // it was granted meanwhile
	}
	b.grant() // those behind it
	return false
}

func (b *Budget) give(n int64) {
	if b == nil || n <= budgetFree {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held -= n
	b.grant()
}

// grant lets those in who fit now.
func (b *Budget) grant() {
	k := 0
	for k < len(b.waiting) && b.fits(b.waiting[k].n) {
		b.held += b.waiting[k].n
		close(b.waiting[k].granted)
		k++
	}
	b.waiting = slices.Delete(b.waiting, 0, k)
}
