package mgrmon

import (
	"time"

	"github.com/pulpo-storage/pulpo/mon/service"
)

// Checks says what is wrong with the groups and the space.
func (s *Service) Checks(now time.Time) []service.Check {
	return nil
}
