// Package python renders what the modules of the stock manager print. They are
// Python programs, so their JSON, their numbers and their tables look different
// from those of the monitors, and scripts have learned to read them.
//
// No compatibility promise.
package python
