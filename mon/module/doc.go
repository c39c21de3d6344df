// Package module answers for the Python modules of the stock manager that have
// commands (src/pybind/mgr). Those whose work is done here in Go do it; those
// that have nothing to do in this cluster (no orchestrator, no media that report
// their health, no file system) say what they would say in a stock cluster
// without such things; those that are not part of this manager are listed as
// modules that cannot run, and their commands are refused in the words for a
// module that is not enabled.
//
// What needs the statistics of the cluster is in package mgrmon, reports of
// crashes are in package crashmon.
//
// # Settings
//
// A module's options are those of the manager in the cluster's configuration,
// under mgr/MODULE/NAME, and are changed through "config set": so they are
// replicated, shown by "config dump", and a change by hand means the same.
//
// No compatibility promise.
package module
