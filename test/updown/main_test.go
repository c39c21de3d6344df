// Package updown tests the commands that bring a cluster up and down: what they
// do to a directory, and what they say when they cannot.
package updown

import (
	"os"
	"testing"

	"github.com/pulpo-storage/pulpo/internal/binary"
)

func TestMain(m *testing.M) { os.Exit(binary.Main(m)) }
