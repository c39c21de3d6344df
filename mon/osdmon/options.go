package osdmon

import (
	"strconv"
	"time"
)

// Options that cannot be read have their stock value.

func (s *Service) intOption(name string, def int64) int64 {
	if n, err := strconv.ParseInt(s.h.Option(name), 10, 64); err == nil {
		return n
	}
	return def
}

func (s *Service) floatOption(name string, def float64) float64 {
	if f, err := strconv.ParseFloat(s.h.Option(name), 64); err == nil {
		return f
	}
	return def
}

func (s *Service) boolOption(name string, def bool) bool {
	if b, err := strconv.ParseBool(s.h.Option(name)); err == nil {
		return b
	}
	return def
}

func (s *Service) secondsOption(name string, def float64) time.Duration {
	return time.Duration(s.floatOption(name, def) * float64(time.Second))
}
