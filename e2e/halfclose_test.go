package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// halfClosed sends a request to a node and ends the sending side of its connection; what comes back is read from the result.
func halfClosed(p *platform, request string) (*bufio.Reader, net.Conn) {
	p.t.Helper()
	reader, conn := rawCall(p, request)
	endSending(p.t, conn)
	return reader, conn
}

func rawCall(p *platform, request string) (*bufio.Reader, net.Conn) {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.listen)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() }) // the test has what it wants
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		p.t.Fatal(err)
	}
	return bufio.NewReader(conn), conn
}

func endSending(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil { //nolint:forcetypeassert // as Dial gives it
		t.Fatal(err)
	}
}

// awaitText reads until the text has come.
func awaitText(t *testing.T, r *bufio.Reader, text string) {
	t.Helper()
	var got strings.Builder
	for !strings.Contains(got.String(), text) {
		c, err := r.ReadByte()
		if err != nil {
			t.Fatalf("got %q and then %v, want %q", got.String(), err, text)
		}
		got.WriteByte(c)
	}
}

func get(path, token, fields string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\n" + fields + "\r\n"
}

const acceptStream = "Accept: text/event-stream\r\n"

// TestEventStream_HalfClosedReader_GoesOn: a business that sends no more gets its events.
func TestEventStream_HalfClosedReader_GoesOn(t *testing.T) {
	t.Parallel()
	p := start(t)
	stream, _ := halfClosed(p, get("/v1/events", p.secrets.APIKey, ""))
	awaitText(t, stream, "id: ")
	for range 3 {
		awaitText(t, stream, p.send(alice, "x", "normal").ID)
	}
}

// negotiated is a hub connection of a phone, by hand: its path with its token, and the token of the device.
func negotiated(p *platform, device string) (path, token string) {
	p.t.Helper()
	token = p.token(alice, device)
	var answer struct{ ConnectionToken string }
	p.call(http.MethodPost, "/online-mobile-user/negotiate?negotiateVersion=1", token, nil, &answer)
	return "/online-mobile-user?id=" + url.QueryEscape(answer.ConnectionToken), token
}

// postHandshake posts the handshake of a hub connection.
func postHandshake(p *platform, path, token string) {
	p.t.Helper()
	body := "{\"protocol\":\"json\",\"version\":1}\x1e"
	r, _ := rawCall(p, "POST "+path+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	awaitText(p.t, r, "200 OK")
}

// TestHub_HalfClosedSSE_GoesOn: a phone whose event stream has ended its sending side gets its messages there.
func TestHub_HalfClosedSSE_GoesOn(t *testing.T) {
	t.Parallel()
	p := start(t)
	path, token := negotiated(p, "a")
	stream, _ := halfClosed(p, get(path, token, acceptStream))
	awaitText(t, stream, "200 OK")
	postHandshake(p, path, token)
	for range 3 {
		awaitText(t, stream, p.send(alice, "x", "normal").ID)
	}
}

// TestHub_HalfClosedPoll_IsAnswered: a poll that waits is answered with the next message.
func TestHub_HalfClosedPoll_IsAnswered(t *testing.T) {
	t.Parallel()
	p := start(t)
	path, token := negotiated(p, "a")
	first, _ := rawCall(p, get(path, token, ""))
	awaitText(t, first, "200 OK")
	postHandshake(p, path, token)
	second, _ := halfClosed(p, get(path, token, ""))
	awaitText(t, second, "{}\x1e") // the answer to the handshake
	third, _ := halfClosed(p, get(path, token, ""))
	awaitText(t, third, p.send(alice, "x", "normal").ID)
}

// TestHub_HalfClosedWebSocket_MessagesReturn: a WebSocket goes both ways, so one that ends in one direction ends; what was pushed and not
// acknowledged is in the inbox again, and another connection gets it.
func TestHub_HalfClosedWebSocket_MessagesReturn(t *testing.T) {
	t.Parallel()
	p := start(t)
	token := p.token(alice, "a")
	r, conn := rawCall(p, get("/online-mobile-user", token, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"))
	awaitText(t, r, "\r\n\r\n")
	handshake := "{\"protocol\":\"json\",\"version\":1}\x1e"
	frame := append([]byte{0x81, 0x80 | byte(len(handshake)), 0, 0, 0, 0}, handshake...) // a mask of zeros changes nothing
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	sent := p.send(alice, "x", "normal")
	awaitText(t, r, sent.ID)
	endSending(t, conn)
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Errorf("the connection does not end: %v", err)
	}
	again := newPhone(p, alice, "a", "each")
	again.await(1)
	if again.got[0].ID != sent.ID {
		got, _ := json.Marshal(again.got)
		t.Errorf("got %s, want %s", got, sent.ID)
	}
	p.awaitStatus(sent.ID, "delivered")
}
