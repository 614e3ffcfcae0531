package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Bits of the mode of an input.
const (
	viaGateway     = 1 << iota
	afterHandshake // the bytes follow a handshake
	asFrames       // the bytes are payloads of frames instead of frames
	messagePack    // the handshake asks for MessagePack
	viaBusinessHub // the hub of the businesses
	inPieces       // the bytes leave in two writes
	halfClose      // the client's side ends behind the bytes
)

// FuzzWholeHTTP writes bytes to a connection of a whole node or gateway. The server lives, does not panic, answers HTTP, and
// serves a good caller afterwards.
func FuzzWholeHTTP(f *testing.F) {
	for _, seed := range httpSeeds() {
		f.Add(byte(halfClose), []byte(seed))
		f.Add(byte(viaGateway|inPieces), []byte(seed))
	}
	w := startWhole(f)
	f.Fuzz(func(t *testing.T, mode byte, data []byte) {
		if len(data) > 64<<10 {
			return
		}
		conn, r := w.dial(t, w.address(mode&viaGateway != 0))
		write(conn, mode, w.fill(data))
		wellFormed(t, conn, r)
		conn.Close()
		w.unharmed(t)
	})
}

// write sends the bytes of an input as its mode says. That the server has ended the connection is no fault.
func write(conn *net.TCPConn, mode byte, data []byte) {
	_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second)) // bounds a hang
	if mode&inPieces != 0 && len(data) > 1 {
		_, _ = conn.Write(data[:len(data)/2])
		data = data[len(data)/2:]
	}
	_, _ = conn.Write(data)
	if mode&halfClose != 0 {
		_ = conn.CloseWrite()
	}
}

// FuzzWholeSocket writes bytes to a WebSocket of a hub: frames, or hub messages in frames, before and after the handshake. The
// server answers well-formed frames.
func FuzzWholeSocket(f *testing.F) {
	for _, seed := range frameSeeds() {
		f.Add(byte(0), seed)
		f.Add(byte(afterHandshake), seed)
		f.Add(byte(afterHandshake|messagePack|inPieces), seed)
		f.Add(byte(afterHandshake|viaBusinessHub), seed)
	}
	for _, seed := range recordSeeds() {
		f.Add(byte(asFrames), []byte(seed))
		f.Add(byte(asFrames|afterHandshake), []byte(seed+"\x1e"))
		f.Add(byte(asFrames|afterHandshake|viaBusinessHub), []byte(seed+"\x1e"))
	}
	for _, seed := range packSeeds() {
		f.Add(byte(asFrames|afterHandshake|messagePack), []byte(seed))
	}
	w := startWhole(f)
	f.Fuzz(func(t *testing.T, mode byte, data []byte) {
		if len(data) > 64<<10 {
			return
		}
		mode &^= viaGateway // a gateway sends sockets to their node
		conn, r := w.dial(t, w.node)
		if !w.upgrade(t, conn, r, mode) {
			return
		}
		if mode&afterHandshake != 0 {
			write(conn, 0, frameOf(0x81, handshakeOf(mode)))
		}
		if mode&asFrames != 0 {
			op := byte(0x81)
			if mode&messagePack != 0 {
				op = 0x82
			}
			data = frameOf(op, data)
		}
		write(conn, mode, data)
		_, _ = conn.Write(frameOf(0x88, []byte{0x03, 0xe8})) // a close, if the input has left a frame's end
		framesOnly(t, conn, r)
		conn.Close()
		w.unharmed(t)
	})
}

// FuzzWholePost posts bytes to a connection that was negotiated for long polling, through a node or a gateway.
func FuzzWholePost(f *testing.F) {
	for _, seed := range append(recordSeeds(), packSeeds()...) {
		f.Add(byte(0), []byte(seed))
		f.Add(byte(afterHandshake), []byte(seed+"\x1e"))
		f.Add(byte(afterHandshake|messagePack), []byte(seed))
		f.Add(byte(viaGateway|afterHandshake|viaBusinessHub), []byte(seed+"\x1e"))
	}
	w := startWhole(f)
	f.Fuzz(func(t *testing.T, mode byte, data []byte) {
		if len(data) > 64<<10 {
			return
		}
		p := w.newPoll(t, mode)
		if p == nil {
			return
		}
		p.call(http.MethodGet, nil)
		if mode&afterHandshake != 0 {
			p.call(http.MethodPost, handshakeOf(mode))
		}
		p.call(http.MethodPost, data)
		p.call(http.MethodDelete, nil)
		p.conn.Close()
		w.unharmed(t)
	})
}

func handshakeOf(mode byte) []byte {
	if mode&messagePack != 0 {
		return []byte("{\"protocol\":\"messagepack\",\"version\":1}\x1e")
	}
	return []byte("{\"protocol\":\"json\",\"version\":1}\x1e")
}

// hubOf returns the hub of a mode and a credential for it.
func (w *testPlatform) hubOf(mode byte) (path, token string) {
	if mode&viaBusinessHub != 0 {
		return "/business-user", w.key
	}
	return "/online-mobile-user", w.token
}

// upgrade makes the connection a WebSocket; false: the hub has no place at the moment.
func (w *testPlatform) upgrade(t *testing.T, conn net.Conn, r *bufio.Reader, mode byte) bool {
	t.Helper()
	path, token := w.hubOf(mode)
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute)) // bounds a hang
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", path, token)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("upgrade: %v", err)
	}
	switch resp.StatusCode {
	case http.StatusSwitchingProtocols:
		return true
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return false
	}
	t.Fatalf("upgrade: %d", resp.StatusCode)
	return false
}

// frameOf is a masked frame; the mask is zeros.
func frameOf(first byte, payload []byte) []byte {
	f := []byte{first}
	switch n := len(payload); {
	case n < 126:
		f = append(f, 0x80|byte(n))
	case n < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, 0x80|126), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 0x80|127), uint64(n))
	}
	return append(append(f, 0, 0, 0, 0), payload...)
}

// framesOnly reads until the server ends the connection or is silent, and fails if what comes is no frame of a server (RFC 6455,
// section 5.2): without a mask, without reserved bits, of a known opcode, nothing behind a close.
func framesOnly(t *testing.T, conn net.Conn, r *bufio.Reader) {
	t.Helper()
	for closed := false; ; {
		_ = conn.SetReadDeadline(time.Now().Add(readWithin)) // a socket that is gone fails below
		first, err := r.ReadByte()
		if err != nil {
			return
		}
		second, err := r.ReadByte()
		if err != nil {
			return
		}
		size := int64(second & 0x7f)
		if size >= 126 {
			long := make([]byte, map[int64]int{126: 2, 127: 8}[size])
			if _, err := io.ReadFull(r, long); err != nil {
				return
			}
			size = 0
			for _, b := range long {
				size = size<<8 | int64(b)
			}
		}
		op := first & 0x0f
		if closed || first&0x70 != 0 || second&0x80 != 0 || op > 2 && op < 8 || op > 10 || size < 0 || size > 64<<20 {
			t.Fatalf("the server sent a frame %x %x of %d bytes, behind a close: %t", first, second, size, closed)
		}
		closed = op == 8
		if _, err := io.CopyN(io.Discard, r, size); err != nil {
			return
		}
	}
}

// poll is a connection by long polling.
type poll struct {
	t       *testing.T
	conn    net.Conn
	r       *bufio.Reader
	target  string
	headers string
}

// newPoll negotiates; nil: the hub has no place at the moment.
func (w *testPlatform) newPoll(t *testing.T, mode byte) *poll {
	t.Helper()
	path, token := w.hubOf(mode)
	conn, r := w.dial(t, w.address(mode&viaGateway != 0))
	p := &poll{t: t, conn: conn, r: r, target: path + "/negotiate?negotiateVersion=1", headers: "Authorization: Bearer " + token + "\r\n"}
	status, body := p.call(http.MethodPost, nil)
	var answer struct{ ConnectionToken, URL, AccessToken string }
	if status != http.StatusOK || json.Unmarshal(body, &answer) != nil {
		if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
			t.Fatalf("negotiate: %d %s", status, body)
		}
		return nil
	}
	if answer.URL != "" { // of a gateway: the rest goes to the node, with its token
		return w.redirected(t, path, answer.AccessToken)
	}
	p.target = path + "?id=" + answer.ConnectionToken
	return p
}

// redirected negotiates with the node that a gateway has chosen.
func (w *testPlatform) redirected(t *testing.T, path, token string) *poll {
	t.Helper()
	conn, r := w.dial(t, w.node)
	p := &poll{t: t, conn: conn, r: r, target: path + "/negotiate?negotiateVersion=1", headers: "Authorization: Bearer " + token + "\r\n"}
	status, body := p.call(http.MethodPost, nil)
	var answer struct{ ConnectionToken string }
	if status != http.StatusOK || json.Unmarshal(body, &answer) != nil {
		return nil
	}
	p.target = path + "?id=" + answer.ConnectionToken
	return p
}

// call makes one request of the connection; status 0: no answer in time, as a poll has none while nothing comes.
func (p *poll) call(method string, body []byte) (status int, answer []byte) {
	p.t.Helper()
	_ = p.conn.SetDeadline(time.Now().Add(10 * readWithin)) // a socket that is gone fails below
	fmt.Fprintf(p.conn, "%s %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", method, p.target, p.headers, len(body), body)
	resp, err := http.ReadResponse(p.r, nil)
	if err != nil {
		if !isNetwork(err) {
			p.t.Fatalf("%s: the answer is no HTTP: %v", method, err)
		}
		return 0, nil
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err != nil && !isNetwork(err) {
		p.t.Fatalf("%s: the body of %d is no HTTP: %v", method, resp.StatusCode, err)
	}
	return resp.StatusCode, answer
}

// httpSeeds are requests from which mutations begin.
func httpSeeds() []string {
	const auth = "Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
	message := `{"recipientPhoneNumber":"+967771234567","messageContent":"x","metadata":{"a":"b"}}`
	post := func(target, body string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", target, auth, len(body), body)
	}
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: x\r\n" + auth + "\r\n" }
	return []string{
		post("/v1/messages", message), post("/v1/messages", message+message), post("/v1/messages/batch", `{"messages":[`+message+`,`+message+`]}`),
		post("/v1/messages", message) + get("/livez") + get("/v1/messages"), get("/v1/messages?limit=1&status=sent,read&from=2020-01-01T00:00:00Z&cursor=x"),
		get("/v1/messages/01900000-0000-7000-8000-000000000000"), get("/v1/messages/01900000-0000-7000-8000-000000000000/events"), get("/v1/dead-letters"),
		get("/v1/usage"), get("/v1/events"), get("/livez"), get("/readyz"), get("/docs"), get("/demo/"), get("/demo/../../"), get("/openapi.json"), get("/%zz"),
		"POST /v1/messages HTTP/1.1\r\nHost: x\r\n" + auth + "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
		"POST /v1/messages HTTP/1.1\r\nHost: x\r\n" + auth + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"POST /v1/messages HTTP/1.1\r\nHost: x\r\n" + auth + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		"POST /v1/messages HTTP/1.1\r\nHost: x\r\n" + auth + "Content-Length: 200000\r\nExpect: 100-continue\r\n\r\n",
		"POST /v1/messages HTTP/1.0\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x00\x01", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://x/livez HTTP/1.1\r\nHost: y\r\n\r\n", "DELETE /v1/messages/x HTTP/1.1\r\nHost: x\r\n" + auth + "\r\n",
		"POST /online-mobile-user/negotiate?negotiateVersion=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 0\r\n\r\n",
		"GET /online-mobile-user?access_token={TOKEN} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n\x81\x05" + strings.Repeat("\xaa", 4000),
		"GET /online-mobile-user?id=x.y HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nAccept: text/event-stream\r\n\r\n",
		"GET /business-user?access_token={KEY} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\nSec-WebSocket-Key: x\r\n\r\n",
	}
}

// frameSeeds are bytes of WebSockets.
func frameSeeds() [][]byte {
	giant := func(n uint64) []byte {
		return append(binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, n), make([]byte, 5000)...)
	}
	return [][]byte{
		append([]byte{0x81, 0x05}, []byte(strings.Repeat("\xaa", 5000))...), giant(1 << 63), giant(1<<64 - 1), giant(1<<63 - 1), giant(1 << 32), giant(70_000),
		frameOf(0x81, []byte("{\"type\":6}\x1e")), frameOf(0x01, []byte("{")), append(frameOf(0x01, []byte("{\"type\"")), frameOf(0x80, []byte(":6}\x1e"))...),
		append(frameOf(0x01, []byte("{\"type\"")), frameOf(0x89, []byte("ping"))...), frameOf(0x80, nil), frameOf(0x89, make([]byte, 125)), frameOf(0x89, make([]byte, 126)),
		frameOf(0x09, nil), frameOf(0x88, nil), frameOf(0x88, []byte{3}), frameOf(0x88, []byte{3, 0xe8, 0xff}), frameOf(0xc1, []byte("x")), frameOf(0x83, nil), frameOf(0x8f, nil),
		append(frameOf(0x88, []byte{3, 0xe8}), frameOf(0x81, []byte("{\"type\":6}\x1e"))...),
		{0x81},
		{0x81, 0xfe, 0x00},
		{0x81, 0x80, 1, 2},
	}
}

// recordSeeds are hub messages in JSON, without their end.
func recordSeeds() []string {
	return []string{
		`{"type":6}`, `{"protocol":"json","version":1}`, `{"protocol":"messagepack","version":99}`, `{"type":1,"invocationId":"1","target":"Sync","arguments":[0,100]}`,
		`{"type":1,"invocationId":"1","target":"AcknowledgeMessages","arguments":[["01900000-0000-7000-8000-000000000000"]]}`,
		`{"type":1,"target":"MarkAsRead","arguments":[[]]}`, `{"type":1,"invocationId":"1","target":"AcknowledgeUpTo","arguments":[9223372036854775807]}`,
		`{"type":1,"invocationId":"1","target":"ConnectionInfo","arguments":[]}`, `{"type":4,"invocationId":"1","target":"Sync","arguments":[0,1]}`,
		`{"type":2,"invocationId":"1","item":1}`, `{"type":3,"invocationId":"1","result":null}`, `{"type":5,"invocationId":"1"}`, `{"type":7,"error":"x","allowReconnect":true}`,
		`{"type":8,"sequenceId":1}`, `{"type":9,"sequenceId":1}`, `{"type":1,"headers":{"a":"b"},"target":"\u0000","arguments":["\ud800"],"streamIds":["1"]}`,
		strings.Repeat("[", 5000), `{"type":1e400}`, `[]`, `null`, "\xff", "{\"type\":6}\x1e{\"type\":6}\x1e\x1e", `{"type":1,"invocationId":"` + strings.Repeat("i", 5000) + `","target":"Sync","arguments":[0,1]}`,
	}
}

// packSeeds are hub messages in MessagePack, with their length.
func packSeeds() []string {
	return []string{
		"\x02\x91\x06", "\x0c\x96\x01\x80\xa11\xa4Sync\x92\x00\x01\x90", "\x13\x96\x01\x80\xc0\xaaMarkAsRead\x91\x90\x90", "\x05\xdf\xff\xff\xff\xff", "\x05\xdd\xff\xff\xff\xff",
		"\x06\xdb\xff\xff\xff\xffx", "\xff\xff\xff\xff\x7f", "\x80\x80\x80\x80\x80\x80", "\x00", "\x01\x90", "\x07\x92\x08\xcf\xff\xff\xff\xff", "\x14" + strings.Repeat("\x91", 20),
		"\x04\x92\x08\xc1\x01", "\x07\x95\x02\x80\xa11\x01",
	}
}
