//go:build !linux

package signalr

// awaitClosed does nothing: only the poller of Linux reads sockets outside the goroutine of their connection.
func (*harness) awaitClosed(*webSocket) {}
