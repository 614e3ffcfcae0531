// Package signalrclient is a phone in Go: a SignalR client over WebSockets, as lean as a load of ten thousand of them in one
// process needs it, and plain enough for a terminal. It decides nothing: whoever uses it acknowledges, reconnects and
// keeps books. A business is a phone with another hub.
//
// Concurrency: one goroutine reads a connection; any may invoke and close it.
package signalrclient

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The hubs.
const (
	Path         = "/online-mobile-user" // of the phones
	BusinessPath = "/business-user"      // of the businesses
)

// Config says where to connect.
type Config struct {
	URL     string      // of the node
	Path    string      // of the hub; default Path
	Token   string      // of the device, or the API key of the business
	InQuery bool        // the token goes into the query, as browsers have to send it
	LocalIP net.IP      // source address, to have more ports than one address offers; nil: the system's choice
	Buffer  int         // bytes of the read buffer; default 4096
	TLS     *tls.Config // of a node behind https; nil: the system's roots
}

// ErrClosed ends Next when the server said goodbye; Reconnect tells whether it wants the phone back.
type ErrClosed struct {
	Text      string
	Reconnect bool
}

func (e *ErrClosed) Error() string {
	if e.Text == "" {
		return "the server closed the connection"
	}
	return "the server closed the connection: " + e.Text
}

// StatusError is a refused connection.
type StatusError struct {
	Status int
	Body   string
}

func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("connecting answered %d %s %s", e.Status, http.StatusText(e.Status), e.Body))
}

// Conn is an open connection.
type Conn struct {
	net    net.Conn
	read   *bufio.Reader
	buffer []byte // of one WebSocket message
	err    error  // that ended reading: what follows on the socket has no meaning
	write  struct {
		sync.Mutex
		frame []byte
	}
	next int // of invocation ids; the writer's lock guards it
}

// Dial connects, without negotiating, and shakes hands.
func Dial(ctx context.Context, c Config) (*Conn, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	raw, err := c.dial(ctx, u)
	if err != nil {
		return nil, err
	}
	if c.Buffer == 0 {
		c.Buffer = 4096
	}
	conn := &Conn{net: raw, read: bufio.NewReaderSize(raw, c.Buffer)}
	if deadline, ok := ctx.Deadline(); ok {
		_ = raw.SetDeadline(deadline) // a socket that is gone fails below
	}
	if err := conn.open(u, &c); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	_ = raw.SetDeadline(time.Time{})
	return conn, nil
}

// dial connects to where the URL says, with TLS if that is https.
func (c *Config) dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	dialer := net.Dialer{}
	if c.LocalIP != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: c.LocalIP}
	}
	port := u.Port()
	if port == "" {
		port = u.Scheme
	}
	addr := net.JoinHostPort(u.Hostname(), port)
	if u.Scheme != "https" {
		return dialer.DialContext(ctx, "tcp", addr)
	}
	return (&tls.Dialer{NetDialer: &dialer, Config: c.TLS}).DialContext(ctx, "tcp", addr)
}

// target is the hub with what goes into its query.
func (c *Config) target() string {
	path := c.Path
	if path == "" {
		path = Path
	}
	if c.InQuery {
		path += "?access_token=" + url.QueryEscape(c.Token)
	}
	return path
}

func (c *Config) authorization() string {
	if c.InQuery {
		return ""
	}
	return "\r\nAuthorization: Bearer " + c.Token
}

// open upgrades and shakes hands.
func (c *Conn) open(u *url.URL, config *Config) error {
	var key [16]byte
	_, _ = rand.Read(key[:]) // never fails
	request := "GET " + config.target() + " HTTP/1.1\r\nHost: " + u.Host + config.authorization() +
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
		base64.StdEncoding.EncodeToString(key[:]) + "\r\n\r\n"
	if _, err := io.WriteString(c.net, request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.read, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1024)) // as much of it as came
		return &StatusError{resp.StatusCode, string(body)}
	}
	if err := c.send([]byte("{\"protocol\":\"json\",\"version\":1}\x1e")); err != nil {
		return err
	}
	for {
		records, err := c.message()
		if err != nil {
			return err
		}
		if len(records) == 0 {
			continue
		}
		var answer struct{ Error string }
		first, _, _ := strings.Cut(string(records), "\x1e")
		if err := json.Unmarshal([]byte(first), &answer); err != nil || answer.Error != "" {
			return fmt.Errorf("handshake: %s %w", answer.Error, err)
		}
		return nil
	}
}

// Close ends the connection as a polite client does. That the node has gone first is no error.
func (c *Conn) Close() error {
	_ = c.send([]byte("{\"type\":7}\x1e")) // it may be gone already
	if secure, ok := c.net.(*tls.Conn); ok {
		_ = secure.CloseWrite() // as may be who should read the farewell
		return secure.NetConn().Close()
	}
	return c.net.Close()
}

// Vanish ends it without a word.
func (c *Conn) Vanish() error {
	if tcp, ok := c.net.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	return c.net.Close()
}

// Ping says that the phone is there.
func (c *Conn) Ping() error { return c.send([]byte("{\"type\":6}\x1e")) }

// Invoke calls a method of the hub; arguments is the text of the JSON array. The completion comes through Next, with the
// id that Invoke gives.
func (c *Conn) Invoke(target, arguments string) (id string, err error) {
	c.write.Lock()
	c.next++
	id = strconv.Itoa(c.next)
	c.write.Unlock()
	return id, c.send([]byte(`{"type":1,"invocationId":"` + id + `","target":"` + target + `","arguments":` + arguments + "}\x1e"))
}

// Send calls a method and wants no completion.
func (c *Conn) Send(target, arguments string) error {
	return c.send([]byte(`{"type":1,"target":"` + target + `","arguments":` + arguments + "}\x1e"))
}

// send writes one text frame, masked with zeros: the mask protects proxies, and there is none on loopback.
func (c *Conn) send(payload []byte) error { return c.frame(opText, payload) }

const (
	maxMessage = 64 << 20 // bytes of one WebSocket message

	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

func (c *Conn) frame(op byte, payload []byte) error {
	c.write.Lock()
	defer c.write.Unlock()
	f := append(c.write.frame[:0], 0x80|op)
	switch n := len(payload); {
	case n < 126:
		f = append(f, 0x80|byte(n))
	case n < 1<<16:
		f = append(f, 0x80|126, byte(n>>8), byte(n))
	default:
		f = append(f, 0x80|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	f = append(append(f, 0, 0, 0, 0), payload...)
	c.write.frame = f
	_, err := c.net.Write(f)
	return err
}

// message reads one WebSocket message; the bytes live until the next call. An error is final.
func (c *Conn) message() (text []byte, err error) {
	if c.err == nil {
		text, c.err = c.nextMessage()
	}
	return text, c.err
}

func (c *Conn) nextMessage() ([]byte, error) {
	c.buffer = c.buffer[:0]
	for {
		head, err := c.read.Peek(2)
		if err != nil {
			return nil, err
		}
		final, op, size := head[0]&0x80 != 0, head[0]&0x0f, int(head[1]&0x7f)
		_, _ = c.read.Discard(2) // peeked
		if size >= 126 {
			if size, err = c.longSize(size); err != nil {
				return nil, err
			}
		}
		at := len(c.buffer)
		if at+size > maxMessage {
			return nil, fmt.Errorf("a message of more than %d bytes", maxMessage)
		}
		c.buffer = append(c.buffer, make([]byte, size)...)
		if _, err := io.ReadFull(c.read, c.buffer[at:]); err != nil {
			return nil, err
		}
		switch op {
		case opClose:
			_ = c.frame(opClose, c.buffer[at:]) // the peer may be gone already
			return nil, io.EOF
		case opPing, opPong:
			if op == opPing {
				if err := c.frame(opPong, c.buffer[at:]); err != nil {
					return nil, err
				}
			}
			c.buffer = c.buffer[:at]
		default:
			if final {
				return c.buffer, nil
			}
		}
	}
}

func (c *Conn) longSize(kind int) (int, error) {
	bytes := 2
	if kind == 127 {
		bytes = 8
	}
	var size uint64
	for range bytes {
		b, err := c.read.ReadByte()
		if err != nil {
			return 0, err
		}
		size = size<<8 | uint64(b)
	}
	if size > maxMessage {
		return 0, fmt.Errorf("a frame of %d bytes", size)
	}
	return int(size), nil
}
