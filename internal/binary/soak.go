package binary

import (
	"os"
	"strconv"
	"testing"
)

const soakRounds = "PULPO_SOAK_ROUNDS"

// Soaking reports whether tests may take long ("make soak").
func Soaking() bool { return os.Getenv(soakRounds) != "" }

// SoakRounds is how often a test that takes long is to do what it does; one that
// is not wanted is skipped.
func SoakRounds(t testing.TB) int {
	t.Helper()
	if !Soaking() {
		t.Skip(soakRounds + " is not set")
	}
	rounds, err := strconv.Atoi(os.Getenv(soakRounds))
	if err != nil {
		t.Fatalf("%s: %v", soakRounds, err)
	}
	return rounds
}
