package signalr

import "testing"

// TestJSON_ByteOrderMark_IsNoJSON: a byte order mark in front of a hub message ends the connection, as in ASP.NET Core, and one inside of a
// string is a character like any other.
func TestJSON_ByteOrderMark_IsNoJSON(t *testing.T) {
	const mark = "\ufeff"
	engines(t, func(t *testing.T, opts Options) {
		hub, gone := echoHub()
		h := start(t, hub, opts)
		c := h.dial()
		c.msg(`{"type":1,"invocationId":"1","target":"Echo","arguments":["` + mark + `"]}`)
		c.expect(`{"type":3,"invocationId":"1","result":"` + mark + `"}`)
		ask, _ := echo(2)
		c.msg(mark + ask)
		c.expect(closedReconnect)
		c.expectClose(1000)
		if err := await(t, gone, "end"); err == nil {
			t.Error("got a normal end, want an error")
		}
		shaking := h.open()
		shaking.send(mark + hello)
		if got := shaking.next(); got == "{}" {
			t.Error("a handshake behind a byte order mark was taken")
		}
		h.gone()
	})
}
