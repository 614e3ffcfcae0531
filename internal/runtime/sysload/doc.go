// Package sysload reads how much CPU, memory and open files this process uses and may use. It makes no decisions; package
// flow does. It reads Linux's /proc and cgroups. Values that the system does not provide are zero, which means unknown.
//
// Concurrency: everything is safe for concurrent use.
package sysload
