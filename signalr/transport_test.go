package signalr

import (
	"io"
	"strings"
	"testing"
)

func TestTransports(t *testing.T) {
	t.Attr("checklist", "item11 item34 item47")
	names := map[Transports]string{WebSockets: "WebSockets", ServerSentEvents: "ServerSentEvents", LongPolling: "LongPolling"}
	formats := map[Transports]string{WebSockets: `["Text","Binary"]`, ServerSentEvents: `["Text"]`, LongPolling: `["Text","Binary"]`}
	for set := Transports(1); set <= allTransports; set++ {
		t.Run(set.String(), func(t *testing.T) {
			h := start(t, NewHub(), Options{Transports: set})
			var list []string
			for kind := WebSockets; kind <= LongPolling; kind <<= 1 {
				if set&kind != 0 {
					list = append(list, `{"transport":"`+names[kind]+`","transferFormats":`+formats[kind]+`}`)
				}
			}
			_, body := h.do("POST", "/hub/negotiate")
			if want := `"availableTransports":[` + strings.Join(list, ",") + `]}`; !strings.HasSuffix(body, want) {
				t.Errorf("got  %s\nwant %s", body, want)
			}
			for kind := WebSockets; kind <= LongPolling; kind <<= 1 {
				h.tryTransport(t, kind, set&kind != 0)
			}
		})
	}
	t.Run("default", func(t *testing.T) {
		if o := (Options{}).withDefaults(); o.Transports != allTransports {
			t.Errorf("%v", o.Transports)
		}
	})
}

// tryTransport connects, or reads why not.
func (h *harness) tryTransport(t *testing.T, kind Transports, enabled bool) {
	t.Helper()
	f := h.negotiated("")
	var status int
	var body string
	want := 200
	switch {
	case kind == WebSockets:
		c, resp := h.raw(f.query)
		if status, want = resp.StatusCode, 101; !enabled {
			b, _ := io.ReadAll(io.LimitReader(c.r, resp.ContentLength))
			body = string(b)
		}
	case kind == ServerSentEvents:
		l := f.listen()
		if status = l.resp.StatusCode; !enabled {
			b, _ := io.ReadAll(l.r)
			body = string(b)
		}
		l.stop()
	default:
		a := f.do("GET", "")
		status, body = a.status, a.body
	}
	if !enabled {
		want = 404
		if body != kind.String()+" transport not supported by this end point type" {
			t.Errorf("%v: %s", kind, body)
		}
	}
	if status != want {
		t.Errorf("%v: %d", kind, status)
	}
}

func TestConnection_OtherTransport_IsRejected(t *testing.T) {
	t.Attr("checklist", "item33 item57")
	hub, _ := echoHub()
	h := start(t, hub, quiet())
	const refused = "Cannot change transports mid-connection"
	t.Run("polls", func(t *testing.T) {
		f := h.pollDial()
		if l := f.listen(); l.resp.StatusCode != 400 {
			t.Errorf("events: %d", l.resp.StatusCode)
		}
		if _, resp := h.raw(f.query); resp.StatusCode != 400 {
			t.Errorf("WebSocket: %d", resp.StatusCode)
		}
	})
	t.Run("WebSocket", func(t *testing.T) {
		f := h.negotiated("")
		h.raw(f.query)
		f.want(f.do("GET", ""), 400, refused)
		f.want(f.do("GET", "", "Accept", "text/event-stream"), 400, refused)
		f.want(f.do("DELETE", ""), 400, "Cannot terminate this connection using the DELETE endpoint.")
	})
	t.Run("DELETE of what nobody has connected to", func(t *testing.T) {
		f := h.negotiated("")
		f.want(f.do("DELETE", ""), 400, "Cannot terminate this connection using the DELETE endpoint.")
	})
	t.Run("polls need an id", func(t *testing.T) {
		f := &fetcher{h: h, t: t}
		f.want(f.do("GET", ""), 400, idRequired)
		f.query = "?id=nobody"
		f.want(f.do("GET", ""), 404, noConnection)
	})
}

func TestConnection_AnotherUser_IsRejected(t *testing.T) {
	t.Attr("checklist", "item27 item18 item22 item24")
	hub, _ := echoHub()
	opts := quiet()
	opts.Authenticate = byToken
	h := start(t, hub, opts)
	f := h.negotiated("&access_token=amal")
	f.want(f.do("GET", ""), 200, "")
	f.post(hello)
	f.expect("{}")
	mine := f.query
	f.query = strings.Replace(mine, "amal", "eve", 1)
	for _, method := range []string{"GET", "POST", "DELETE"} {
		f.want(f.do(method, ""), 403, userChanged)
	}
	f.query = strings.Replace(mine, "access_token=amal", "", 1)
	for _, method := range []string{"GET", "POST", "DELETE"} {
		f.want(f.do(method, ""), 401, "")
		f.want(f.do(method, "", "Authorization", "Bearer eve"), 403, userChanged)
	}
	f.want(f.do("DELETE", "", "Authorization", "Bearer amal"), 202, "")
}
