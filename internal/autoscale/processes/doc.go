// Package processes is a target of package autoscale: nodes as child processes on this machine, each with a data directory of its
// own, on free ports.
//
// A child that dies is started again; one that is to go gets SIGTERM and the time to drain. Data directories are numbered, kept
// and used again, the lowest first. One that was to go and ends with accepted messages on its disk is started again to store them,
// and stays until it is to go once more. So is one that has left some when the scaler itself ended, as soon as there is a scaler. It adopts
// nothing that it did not start, and leaves nothing behind: when the scaler ends, however it ends, its children drain and end.
//
// Concurrency: Run owns the children and waits for their end; the methods of the target may be called from any goroutine.
package processes
