// Package sysload reads what this process uses of the machine, and what it may use: CPU, memory, open files. It judges
// nothing; package flow does. Where the system says nothing (it reads Linux's /proc and cgroups) the answer is zero, which
// means "not known".
//
// Concurrency: everything here may be called from any goroutine.
package sysload
