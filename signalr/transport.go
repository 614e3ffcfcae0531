package signalr

import (
	"net/http"
	"strings"
)

// Transports is a set of ways in which clients may reach a server.
type Transports uint8

// The transports, in the order in which clients try them. ServerSentEvents and LongPolling receive by POST requests.
const (
	WebSockets       Transports = 1 << iota
	ServerSentEvents            // carries text protocols only
	LongPolling

	allTransports = WebSockets | ServerSentEvents | LongPolling
)

// String returns the names, separated by commas.
func (t Transports) String() string {
	var names []string
	for _, d := range t.describe() {
		names = append(names, d.Transport)
	}
	return strings.Join(names, ",")
}

// transport is what negotiate says about one.
type transport struct {
	Transport       string   `json:"transport"`
	TransferFormats []string `json:"transferFormats"`
}

func (t Transports) describe() (list []transport) {
	if t&WebSockets != 0 {
		list = append(list, transport{"WebSockets", []string{"Text", "Binary"}})
	}
	if t&ServerSentEvents != 0 {
		list = append(list, transport{"ServerSentEvents", []string{"Text"}})
	}
	if t&LongPolling != 0 {
		list = append(list, transport{"LongPolling", []string{"Text", "Binary"}})
	}
	return list
}

// requested returns the transport that a GET request asks for.
func requested(r *http.Request) Transports {
	switch {
	case headerHas(r, "Connection", "upgrade") && headerHas(r, "Upgrade", "websocket"):
		return WebSockets
	case strings.Contains(r.Header.Get("Accept"), "text/event-stream"):
		return ServerSentEvents
	default:
		return LongPolling
	}
}
