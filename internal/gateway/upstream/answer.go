package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"
)

// Answer is the head of a response. Its body is read with PeekBody, Copy or Detach.
type Answer struct {
	Status  int
	Length  int64 // length of the body; -1 if unknown
	chunked bool
	close   bool // the connection cannot be reused
}

// ErrHeadTooLarge means that the head of a response exceeds maxHead.
var ErrHeadTooLarge = errors.New("the head of the response is too large")

// maxInterim bounds the interim responses, such as 100 Continue, before the final one.
const maxInterim = 8

// ReadHead waits for the response to a request with this method. It adds the header to h, except fields that concern this
// connection only. An error is final: nothing can be read from the connection afterwards.
func (c *Conn) ReadHead(method string, h http.Header) (a Answer, err error) {
	c.awaitListening()
	c.makeReader()
	if c.readErr != nil {
		return a, c.readErr
	}
	for range maxInterim {
		a, err = c.readOneHead(h)
		if err != nil {
			c.readErr = err
			return Answer{}, err
		}
		if a.Status >= 200 || a.Status == http.StatusSwitchingProtocols {
			break
		}
		clear(h) // headers of interim responses are not forwarded
	}
	if a.Status < 200 && a.Status != http.StatusSwitchingProtocols {
		c.readErr = errInterim
		return Answer{}, c.readErr
	}
	if method == http.MethodHead || a.Status == http.StatusNoContent || a.Status == http.StatusNotModified {
		a.Length = 0
		a.chunked = false
	}
	a.close = a.close || a.Length < 0 && !a.chunked
	c.rest = rest{length: a.Length}
	if a.chunked {
		c.rest.chunks = httputil.NewChunkedReader(c.read)
	}
	return a, nil
}

var errInterim = errors.New("the node sent too many interim responses")

func (c *Conn) readOneHead(h http.Header) (Answer, error) {
	head, err := c.head()
	if err != nil {
		return Answer{}, err
	}
	return parseHead(head, h)
}

var headEnd = []byte("\r\n\r\n")

// head reads until a complete head is buffered, and consumes it.
func (c *Conn) head() (string, error) {
	for seen := 0; ; {
		b, _ := c.read.Peek(c.read.Buffered()) // they are there
		if at := bytes.Index(b[max(0, seen-3):], headEnd); at >= 0 {
			end := max(0, seen-3) + at + len(headEnd)
			head := string(b[:end])
			_, _ = c.read.Discard(end) // they are there
			return head, nil
		}
		seen = len(b)
		if seen == maxHead {
			return "", ErrHeadTooLarge
		}
		if _, err := c.read.Peek(seen + 1); err != nil {
			if errors.Is(err, io.EOF) && seen > 0 {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
	}
}

// parseHead parses a status line and header fields. The strings in the header share the memory of the head.
func parseHead(head string, h http.Header) (a Answer, err error) {
	if lines := strings.Count(head, "\r\n"); strings.Count(head, "\n") != lines || strings.Count(head, "\r") != lines {
		return a, errors.New("the response has invalid line breaks") // other parsers might find another response in it
	}
	line, rest, _ := strings.Cut(head, "\r\n")
	if len(line) < 12 || !strings.HasPrefix(line, "HTTP/1.") || line[8] != ' ' {
		return a, fmt.Errorf("the response is not HTTP/1: %.40q", line)
	}
	if a.Status, err = strconv.Atoi(line[9:12]); err != nil || a.Status < 100 {
		return a, fmt.Errorf("the response has an invalid status %.10q", line[9:])
	}
	a.Length, a.close = -1, line[7] == '0'
	values := make([]string, 0, strings.Count(rest, "\r\n"))
	for line, rest, _ = strings.Cut(rest, "\r\n"); line != ""; line, rest, _ = strings.Cut(rest, "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) || !isFieldValue(value) {
			return a, fmt.Errorf("the response has an invalid header line %.40q", line)
		}
		name, value = textproto.CanonicalMIMEHeaderKey(name), strings.Trim(value, " \t")
		if keep, err := a.applyHeader(name, value); err != nil {
			return a, err
		} else if !keep {
			continue
		}
		values = append(values, value)
		if h[name] == nil {
			h[name] = values[len(values)-1 : len(values) : len(values)]
		} else {
			h[name] = append(h[name], value)
		}
	}
	if a.chunked {
		a.Length = -1 // Transfer-Encoding overrides Content-Length (RFC 9112, section 6.3)
		delete(h, "Content-Length")
	}
	return a, nil
}

// isToken reports whether a name is a token (RFC 9110, section 5.6.2). Clients might parse other names differently.
func isToken(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return name != ""
}

// isFieldValue reports whether a value contains no control characters except tabs.
func isFieldValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// applyHeader applies a header that concerns the connection. keep reports whether the header is also for the client.
func (a *Answer) applyHeader(name, value string) (keep bool, err error) {
	switch name {
	case "Content-Length":
		length, err := strconv.ParseUint(value, 10, 63)
		if err != nil || a.Length >= 0 && a.Length != int64(length) {
			return false, fmt.Errorf("the response has an invalid Content-Length %.40q", value)
		}
		keep = a.Length < 0 // a repeated field is forwarded once
		a.Length = int64(length)
		return keep, nil
	case "Transfer-Encoding":
		if a.chunked = strings.EqualFold(value, "chunked"); !a.chunked {
			return false, fmt.Errorf("the response has an unsupported Transfer-Encoding %.40q", value)
		}
		return false, nil
	case "Connection":
		for option := range strings.SplitSeq(value, ",") {
			a.close = a.close || strings.EqualFold(strings.TrimSpace(option), "close")
		}
		return false, nil
	case "Keep-Alive", "Proxy-Connection":
		return false, nil
	}
	return true, nil
}

// PeekBody returns the whole body of a response that fits into the reader, without consuming it; ok is false for others. The
// slice is valid until the connection is kept or closed.
func (c *Conn) PeekBody(a Answer) (body []byte, ok bool, err error) {
	if c.readErr != nil {
		return nil, false, c.readErr
	}
	if a.Length < 0 || a.Length > maxHead {
		return nil, false, nil
	}
	body, err = c.read.Peek(int(a.Length))
	c.shown = len(body)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	c.readErr = err
	return body, true, err
}

// errCaller marks an error of the destination of Copy.
type errCaller struct{ error }

func (e errCaller) Unwrap() error { return e.error }

// CallerError marks an error as one of the client, for IsCaller.
func CallerError(err error) error { return errCaller{err} }

// IsCaller reports whether an error of Copy comes from the client and not from the node.
func IsCaller(err error) bool {
	var e errCaller
	return errors.As(err, &e)
}

// rest is the unread part of a response's body.
type rest struct {
	length int64     // in bytes; -1: until the last chunk or the end of the connection
	chunks io.Reader // nil: not chunked
	room   []byte    // buffer for parts; nil until it is used
	part   []byte    // part that was read and not written yet
	end    error     // result of reading after the part; nil: more follows
}

// Copy copies the body to w in parts, as they arrive. If w returns an error, another Copy continues with the same part. An
// error of the node is final.
func (c *Conn) Copy(w io.Writer, a Answer) error {
	if c.readErr != nil {
		return c.readErr
	}
	c.shown = 0 // Copy consumes it
	var err error
	if a.chunked || a.Length < 0 {
		err = c.copyParts(w)
	} else {
		err = c.copyLength(w)
	}
	if err != nil && !IsCaller(err) {
		c.readErr = err
	}
	return err
}

func (c *Conn) copyLength(w io.Writer) error {
	for c.rest.length > 0 {
		if _, err := c.read.Peek(1); err != nil {
			return unexpected(err)
		}
		part, _ := c.read.Peek(int(min(c.rest.length, int64(c.read.Buffered())))) // they are there
		if err := writePart(w, part); err != nil {
			return err
		}
		c.rest.length -= int64(len(part))
		_, _ = c.read.Discard(len(part)) // they are there
	}
	return nil
}

func (c *Conn) copyParts(w io.Writer) error {
	r := &c.rest
	if r.room == nil {
		r.room = make([]byte, 4<<10)
	}
	for {
		if len(r.part) > 0 {
			if err := writePart(w, r.part); err != nil {
				return err
			}
			r.part = nil
		}
		if errors.Is(r.end, io.EOF) {
			return nil
		}
		if r.end != nil {
			return r.end
		}
		c.readPart()
	}
}

// readPart reads the next part, and after the last one the trailer.
func (c *Conn) readPart() {
	r := &c.rest
	var from io.Reader = c.read
	if r.chunks != nil {
		from = r.chunks
	}
	n, err := from.Read(r.room)
	r.part, r.end = r.room[:n], err
	if r.chunks != nil && errors.Is(err, io.EOF) {
		if err := c.trailer(); err != nil {
			r.end = err
		}
	}
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func writePart(w io.Writer, part []byte) error {
	if _, err := w.Write(part); err != nil {
		return errCaller{err}
	}
	return nil
}

// errTrailer means that the trailer of a response exceeds maxHead.
var errTrailer = errors.New("the trailer of the response is too large")

// trailer discards the trailer after the last chunk. Nodes send none.
func (c *Conn) trailer() error {
	for size := 0; size < maxHead; {
		line, err := c.read.ReadSlice('\n')
		if err != nil {
			return io.ErrUnexpectedEOF
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return nil
		}
		size += len(line)
	}
	return errTrailer
}

// Done ends a call after its whole response was read. It returns the connection to the pool unless the node has asked to close
// it or the request was not sent completely: the node would read the next request as the rest of this one.
func (c *Conn) Done(a Answer) {
	if a.close || c.truncated || c.readErr != nil || a.Status == http.StatusSwitchingProtocols {
		c.Close()
		return
	}
	_, _ = c.read.Discard(c.shown) // buffered
	if c.read.Buffered() > 0 {     // unexpected data after the response
		c.Close()
		return
	}
	c.Keep()
}
