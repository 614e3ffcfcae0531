package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// caller is one HTTP/1.1 connection of a business with keep-alive. It does not use net/http: generator and server share
// the cores, and the client's CPU would exceed what is measured.
type caller struct {
	net     net.Conn
	read    *bufio.Reader
	format  *callFormat
	heads   [][]byte // requests up to the content length; calls take them in turn
	request []byte
	size    int

	retryAfter int // Retry-After of the newest answer in seconds; zero if absent
}

// minSize holds the number of the message.
const minSize = 16

// callFormat is how a system takes a message for a recipient: a JSON body with the recipient's digits and a content.
type callFormat struct {
	path                   string
	authorization          string // header line without its end
	before, between, after string // parts of the body around the recipient and the content
	answer                 string // text that the body of an answer with status 200 must have to count as 202; empty: only 202 counts
}

// messageFormat is the format of the platform's own API.
func messageFormat(apiKey string) *callFormat {
	return &callFormat{
		path: "/v1/messages", authorization: "Authorization: Bearer " + apiKey,
		before: `{"recipientPhoneNumber":"+`, between: `","messageContent":"`, after: `"}`,
	}
}

func dialCaller(ctx context.Context, addr string, format *callFormat, size int) (*caller, error) {
	return dialCallerFrom(ctx, nil, addr, format, size)
}

// dialCallerFrom connects from a local address; the system chooses it if it is nil.
func dialCallerFrom(ctx context.Context, local net.IP, addr string, format *callFormat, size int) (*caller, error) {
	dialer := net.Dialer{}
	if local != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: local}
	}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &caller{net: conn, read: bufio.NewReaderSize(conn, 1024), format: format, heads: [][]byte{format.head(addr)}, size: size}, nil
}

// head returns the request up to the content length.
func (f *callFormat) head(addr string) []byte {
	return []byte("POST " + f.path + " HTTP/1.1\r\nHost: " + addr + "\r\n" + f.authorization +
		"\r\nContent-Type: application/json\r\nContent-Length: ")
}

// recipientOf returns the phone number of recipient index n.
func recipientOf(n int) uint64 { return 967_770_000_000 + uint64(n) }

const recipientDigits = 12

// call sends message number n to a recipient and returns the status and seq of the answer.
func (c *caller) call(n int, recipient uint64) (status int, seq uint64, err error) {
	f := c.format
	length := len(f.before) + recipientDigits + len(f.between) + c.size + len(f.after)
	b := append(c.request[:0], c.heads[n%len(c.heads)]...)
	b = append(strconv.AppendInt(b, int64(length), 10), "\r\n\r\n"...)
	b = strconv.AppendUint(append(b, f.before...), recipient, 10)
	b = append(b, f.between...)
	b = appendContent(b, n, c.size)
	c.request = append(b, f.after...)
	if _, err := c.net.Write(c.request); err != nil {
		return 0, 0, err
	}
	return c.answer()
}

// appendContent appends the message number and padding up to size bytes.
func appendContent(b []byte, n, size int) []byte {
	end := len(b) + size
	b = append(strconv.AppendInt(b, int64(n), 10), ' ')
	for len(b) < end {
		b = append(b, 'x')
	}
	return b
}

// numberOf returns the message number of a content.
func numberOf(content string) int {
	n := 0
	for i := 0; i < len(content) && content[i]-'0' <= 9; i++ {
		n = n*10 + int(content[i]-'0')
	}
	return n
}

var lengthName, retryName = []byte("content-length:"), []byte("retry-after:")

func (c *caller) answer() (status int, seq uint64, err error) {
	line, err := c.read.ReadSlice('\n')
	if err != nil {
		return 0, 0, err
	}
	if len(line) < 12 {
		return 0, 0, fmt.Errorf("malformed answer: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, fmt.Errorf("malformed answer: %q", line)
	}
	length := 0
	c.retryAfter = 0
	for {
		line, err = c.read.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		if len(line) <= 2 {
			break
		}
		if len(line) > len(lengthName) && bytes.EqualFold(line[:len(lengthName)], lengthName) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(lengthName):]))); err != nil {
				return 0, 0, fmt.Errorf("malformed answer: %q", line)
			}
		}
		if len(line) > len(retryName) && bytes.EqualFold(line[:len(retryName)], retryName) {
			c.retryAfter = numberOf(string(bytes.TrimSpace(line[len(retryName):])))
		}
	}
	body, err := c.read.Peek(min(length, 512))
	if err != nil {
		return 0, 0, err
	}
	if status == http.StatusOK && c.format.answer != "" && bytes.Contains(body, []byte(c.format.answer)) {
		status = http.StatusAccepted
	}
	if at := bytes.Index(body, []byte(`"seq":`)); at >= 0 {
		seq = uint64(numberOf(string(body[at+6 : min(len(body), at+26)])))
	}
	if _, err := c.read.Discard(length); err != nil && err != io.EOF {
		return 0, 0, err
	}
	return status, seq, nil
}
