// Package command is what a command is to the monitors: its signature, the call
// with typed arguments, the reply, and the table that finds who answers it.
//
// A command arrives as one JSON object: "prefix" names it, the other members
// are its arguments (cmdmap_t in Ceph). The stock tools learn from
// get_command_descriptions which commands there are, what arguments they take
// and whether they go to a monitor or to the manager; so each command that a
// service registers is published with the signature of the stock release, kept
// here as data (signatures.json.gz).
//
// Like Ceph the monitors do not enforce signatures, the tools do: an argument
// that is missing reads as the zero value, and the handler says what is wrong
// in its own words; only an argument of the wrong JSON type is refused for all.
//
// No compatibility promise.
package command
