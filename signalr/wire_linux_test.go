package signalr

// awaitClosed waits until the poller has closed the socket of l and no longer touches l.
func (h *harness) awaitClosed(l *webSocket) {
	h.t.Helper()
	w, ok := l.wire.(*pollWire)
	if !ok {
		return // an engine with a goroutine for each connection
	}
	h.until("the close of a replaced socket", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.closed
	})
}
