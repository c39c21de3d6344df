// Package kernel uses Pulpo with Linux's own clients. kclient-run boots Debian's
// kernel in an emulated machine that reaches the cluster on the host's loopback,
// and runs commands there. Booting takes about 20 s, building the machine for the
// first time some minutes, so these tests run if PULPO_SOAK_ROUNDS is set.
package kernel
