// Package node is the one shell: it runs the machines of the daemons against
// network, disk and clock. The machines decide; what they decided (Ready) is
// carried out here, in the order they ask for.
//
// [Start] runs a whole cluster in one process from a directory: a monitor,
// which plays the manager too, and OSDs. Each daemon has its own messenger and
// talks to the others through it as it would from another machine.
//
// No compatibility promise.
package node
