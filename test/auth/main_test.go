// Package auth tests from outside who is let in, and what they may do then: with
// the stock tools and Python's librados, on Pulpo and on a stock cluster, whose
// answers are the specification.
package auth

import (
	"os"
	"testing"

	"github.com/pulpo-storage/pulpo/internal/binary"
)

func TestMain(m *testing.M) { os.Exit(binary.Main(m)) }
