// Package processes is a target of package autoscale that runs nodes as child processes on this machine, each with its own data
// directory.
//
// A child that crashes is restarted. A child that should stop gets SIGTERM and time to drain. Data directories are numbered and
// reused, the lowest number first. A node that drains and exits with accepted messages on its disk is started again to store them,
// and runs until it is stopped once more. So is a node whose messages were left by an earlier scaler. The target adopts no process
// that it did not start, and leaves none behind: when the scaler ends, however it ends, its children drain and exit.
//
// Concurrency: Run owns the children and waits for them; the methods of the target may be called from any goroutine.
package processes
