// Package signalrclient is a SignalR client over WebSockets for instruments and tests. It is light enough for ten thousand
// connections in one process. It does not acknowledge or reconnect: its user does. With the path of the other hub it
// also serves as the client of a business.
//
// It is hand-written because no Go client is light enough; it supports only what our hubs send.
//
// Concurrency: one goroutine may read a connection; any goroutine may invoke methods and close it.
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

// Paths of the hubs.
const (
	Path         = "/online-mobile-user" // phones
	BusinessPath = "/business-user"      // businesses
)

// Config configures a connection.
type Config struct {
	URL     string      // URL of the node
	Path    string      // path of the hub; default Path
	Token   string      // device token, or API key of a business
	InQuery bool        // send the token in the query, as browsers must
	LocalIP net.IP      // source address, to use more ports than one address has; nil: chosen by the system
	Buffer  int         // size of the read buffer in bytes; default 4096
	TLS     *tls.Config // TLS configuration for https URLs; nil: the system's roots
	NoPongs bool        // leave WebSocket pings unanswered, as an app that hangs does
}

// ErrClosed is the error of Next after the server has sent a close message.
type ErrClosed struct {
	Text      string // error of the close message; may be empty
	Reconnect bool   // the server allows the client to reconnect
}

func (e *ErrClosed) Error() string {
	if e.Text == "" {
		return "the server closed the connection"
	}
	return "the server closed the connection: " + e.Text
}

// StatusError is the error of a connection or negotiation that was answered with an unexpected status.
type StatusError struct {
	Status int
	Body   string
}

func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the server answered %d %s %s", e.Status, http.StatusText(e.Status), e.Body))
}

// Conn is an open connection.
type Conn struct {
	net    net.Conn
	read   *bufio.Reader
	buffer []byte // current WebSocket message
	err    error  // first read error; final
	write  struct {
		sync.Mutex
		frame []byte
	}
	next int // last invocation id; guarded by write

	noPongs bool
}

// Dial connects without a negotiation and performs the SignalR handshake.
func Dial(ctx context.Context, c Config) (*Conn, error) { return dial(ctx, &c, (*Conn).handshake) }

// DialWebSocket connects to a server that does not speak SignalR. Such a connection is read with Text and written with
// SendText.
func DialWebSocket(ctx context.Context, c Config) (*Conn, error) {
	return dial(ctx, &c, func(*Conn) error { return nil })
}

func dial(ctx context.Context, c *Config, handshake func(*Conn) error) (*Conn, error) {
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
	conn := &Conn{net: raw, read: bufio.NewReaderSize(raw, c.Buffer), noPongs: c.NoPongs}
	if deadline, ok := ctx.Deadline(); ok {
		_ = raw.SetDeadline(deadline) // if it fails, so does the handshake
	}
	err = conn.upgrade(u, c)
	if err == nil {
		err = handshake(conn)
	}
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	_ = raw.SetDeadline(time.Time{})
	return conn, nil
}

// dial opens a TCP connection to the URL's host, with TLS for https.
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

// target returns the path of the hub with the query.
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
	if c.InQuery || c.Token == "" {
		return ""
	}
	return "\r\nAuthorization: Bearer " + c.Token
}

// upgrade asks for a WebSocket.
func (c *Conn) upgrade(u *url.URL, config *Config) error {
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
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1024)) // best effort
		return &StatusError{resp.StatusCode, string(body)}
	}
	return nil
}

// handshake selects the JSON protocol of SignalR.
func (c *Conn) handshake() error {
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

// Close sends a close message and closes the connection. It ignores that the node may have closed it already.
func (c *Conn) Close() error {
	_ = c.send([]byte("{\"type\":7}\x1e")) // best effort
	if secure, ok := c.net.(*tls.Conn); ok {
		_ = secure.CloseWrite() // best effort
		return secure.NetConn().Close()
	}
	return c.net.Close()
}

// Vanish resets the connection without a close message.
func (c *Conn) Vanish() error {
	if tcp, ok := c.net.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	return c.net.Close()
}

// Ping sends a ping.
func (c *Conn) Ping() error { return c.send([]byte("{\"type\":6}\x1e")) }

// Invoke calls a method of the hub. arguments is a JSON array. Next returns the completion with the id that Invoke returns.
func (c *Conn) Invoke(target, arguments string) (id string, err error) {
	c.write.Lock()
	c.next++
	id = strconv.Itoa(c.next)
	c.write.Unlock()
	return id, c.send([]byte(`{"type":1,"invocationId":"` + id + `","target":"` + target + `","arguments":` + arguments + "}\x1e"))
}

// Send calls a method without a completion.
func (c *Conn) Send(target, arguments string) error {
	return c.send([]byte(`{"type":1,"target":"` + target + `","arguments":` + arguments + "}\x1e"))
}

// Text returns the next text message of a connection of DialWebSocket. It is valid until the next call.
func (c *Conn) Text() ([]byte, error) { return c.message() }

// SendText sends a text message.
func (c *Conn) SendText(payload []byte) error { return c.send(payload) }

// send writes one text frame. The mask is zero: masks protect proxies, and there is none on loopback.
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

// message returns the next WebSocket message. The bytes are valid until the next call. An error is final.
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
		final := head[0]&0x80 != 0
		op := head[0] & 0x0f
		size := int(head[1] & 0x7f)
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
			_ = c.frame(opClose, c.buffer[at:]) // best effort
			return nil, io.EOF
		case opPing, opPong:
			if op == opPing && !c.noPongs {
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
