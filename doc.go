// Package pulpo is the root of the module; it holds only the test of which part
// may import which. Begin with README.md and ARCHITECTURE.md.
package pulpo
