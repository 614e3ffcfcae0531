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

// Answer is the head of an answer. What follows it is read with Small, Copy or Detach.
type Answer struct {
	Status  int
	Length  int64 // of the body; −1: not said
	chunked bool
	close   bool // the connection cannot be used again
}

// ErrHeadTooLarge is an answer whose head does not fit.
var ErrHeadTooLarge = errors.New("the head of the answer is too large")

// mostInterim bounds the interim answers (100 Continue and the like) before the one that counts.
const mostInterim = 8

// ReadHead waits for the answer to a request of that method, and adds its header to h but for what concerns this connection
// only. An error is final: nothing more can be read from the connection after one.
func (c *Conn) ReadHead(method string, h http.Header) (a Answer, err error) {
	c.awaitListening()
	c.makeReader()
	if c.failed != nil {
		return a, c.failed
	}
	for range mostInterim {
		if a, err = c.readOneHead(h); err != nil {
			c.failed = err
			return Answer{}, err
		}
		if a.Status >= 200 || a.Status == http.StatusSwitchingProtocols {
			break
		}
		clear(h) // it concerns nothing here
	}
	if a.Status < 200 && a.Status != http.StatusSwitchingProtocols {
		c.failed = errInterim
		return Answer{}, c.failed
	}
	if method == http.MethodHead || a.Status == http.StatusNoContent || a.Status == http.StatusNotModified {
		a.Length, a.chunked = 0, false
	}
	a.close = a.close || a.Length < 0 && !a.chunked
	c.rest = rest{length: a.Length}
	if a.chunked {
		c.rest.chunks = httputil.NewChunkedReader(c.read)
	}
	return a, nil
}

var errInterim = errors.New("the node goes on with interim answers")

func (c *Conn) readOneHead(h http.Header) (Answer, error) {
	head, err := c.head()
	if err != nil {
		return Answer{}, err
	}
	return parseHead(head, h)
}

var headEnd = []byte("\r\n\r\n")

// head waits until a whole head is there.
func (c *Conn) head() (string, error) {
	for seen := 0; ; {
		b, _ := c.read.Peek(c.read.Buffered()) // they are there
		if at := bytes.Index(b[max(0, seen-3):], headEnd); at >= 0 {
			end := max(0, seen-3) + at + len(headEnd)
			head := string(b[:end])
			_, _ = c.read.Discard(end) // they are there
			return head, nil
		}
		if seen = len(b); seen == headRoom {
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

// parseHead reads "HTTP/1.1 202 Accepted" and the lines below it. The header's strings share the memory of the head.
func parseHead(head string, h http.Header) (a Answer, err error) {
	if lines := strings.Count(head, "\r\n"); strings.Count(head, "\n") != lines || strings.Count(head, "\r") != lines {
		return a, errors.New("the node ends lines in another way than HTTP does") // others might read another answer out of it
	}
	line, rest, _ := strings.Cut(head, "\r\n")
	if len(line) < 12 || !strings.HasPrefix(line, "HTTP/1.") || line[8] != ' ' {
		return a, fmt.Errorf("the node does not speak HTTP/1: %.40q", line)
	}
	if a.Status, err = strconv.Atoi(line[9:12]); err != nil || a.Status < 100 {
		return a, fmt.Errorf("the node answers the status %.10q", line[9:])
	}
	a.Length, a.close = -1, line[7] == '0'
	values := make([]string, 0, strings.Count(rest, "\r\n"))
	for line, rest, _ = strings.Cut(rest, "\r\n"); line != ""; line, rest, _ = strings.Cut(rest, "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) || !isFieldValue(value) {
			return a, fmt.Errorf("the node answers the header %.40q", line)
		}
		name, value = textproto.CanonicalMIMEHeaderKey(name), strings.Trim(value, " \t")
		if keep, err := a.note(name, value); err != nil {
			return a, err
		} else if !keep {
			continue
		}
		if values = append(values, value); h[name] == nil {
			h[name] = values[len(values)-1 : len(values) : len(values)]
		} else {
			h[name] = append(h[name], value)
		}
	}
	if a.chunked {
		a.Length = -1 // RFC 9112: the coding overrules
		delete(h, "Content-Length")
	}
	return a, nil
}

// isToken reports whether a name consists of the characters of a token (RFC 9110, 5.6.2). With any other a caller might read another
// header out of it.
func isToken(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return name != ""
}

// isFieldValue reports whether a value has no control characters but tabs.
func isFieldValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// note takes what a header says of the connection; keep: it also concerns the caller.
func (a *Answer) note(name, value string) (keep bool, err error) {
	switch name {
	case "Content-Length":
		length, err := strconv.ParseUint(value, 10, 63)
		if err != nil || a.Length >= 0 && a.Length != int64(length) {
			return false, fmt.Errorf("the node answers the length %.40q", value)
		}
		keep = a.Length < 0 // said twice it is passed on once
		a.Length = int64(length)
		return keep, nil
	case "Transfer-Encoding":
		if a.chunked = strings.EqualFold(value, "chunked"); !a.chunked {
			return false, fmt.Errorf("the node answers the coding %.40q", value)
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

// Small gives the whole body of an answer that is short enough to be read before anything is passed on, and says whether
// it was. The slice is good until the connection is kept or closed.
func (c *Conn) Small(a Answer) (body []byte, ok bool, err error) {
	switch {
	case c.failed != nil:
		return nil, false, c.failed
	case a.Length < 0 || a.Length > headRoom:
		return nil, false, nil
	}
	body, err = c.read.Peek(int(a.Length))
	c.shown = len(body)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	c.failed = err
	return body, true, err
}

// errCaller marks that what takes the answer does not take more.
type errCaller struct{ error }

func (e errCaller) Unwrap() error { return e.error }

// CallerError marks an error as one of the caller's, for IsCaller.
func CallerError(err error) error { return errCaller{err} }

// IsCaller tells whether an error of Copy is the caller's and not the node's.
func IsCaller(err error) bool {
	var e errCaller
	return errors.As(err, &e)
}

// rest is what is still to be read of an answer's body.
type rest struct {
	length int64     // bytes; −1: until the end of the connection or the last chunk
	chunks io.Reader // nil: not chunked
	room   []byte    // of a part; nil: none yet
	part   []byte    // read, and not taken yet
	end    error     // what comes after the part; nil: more
}

// Copy passes the body on in parts, as they come. Where w does not take a part, another Copy goes on with that part. An error of the
// node is final.
func (c *Conn) Copy(w io.Writer, a Answer) error {
	if c.failed != nil {
		return c.failed
	}
	c.shown = 0 // it is read now
	var err error
	if a.chunked || a.Length < 0 {
		err = c.copyParts(w)
	} else {
		err = c.copyLength(w)
	}
	if err != nil && !IsCaller(err) {
		c.failed = err
	}
	return err
}

func (c *Conn) copyLength(w io.Writer) error {
	for c.rest.length > 0 {
		if _, err := c.read.Peek(1); err != nil {
			return unexpected(err)
		}
		part, _ := c.read.Peek(int(min(c.rest.length, int64(c.read.Buffered())))) // they are there
		if err := pass(w, part); err != nil {
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
			if err := pass(w, r.part); err != nil {
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

// readPart reads the next part, and past the end of the body behind the last one.
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

func pass(w io.Writer, part []byte) error {
	if _, err := w.Write(part); err != nil {
		return errCaller{err}
	}
	return nil
}

// errTrailer is an answer with more behind its last chunk than a head may have.
var errTrailer = errors.New("the trailer of the answer is too large")

// trailer reads past what follows the last chunk: nodes send no trailers.
func (c *Conn) trailer() error {
	for size := 0; size < headRoom; {
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

// Done ends a call whose answer was passed on whole: the connection is kept, if the node wants it so and has heard all that
// was to be sent. It would read what comes next as the rest.
func (c *Conn) Done(a Answer) {
	if a.close || c.cut || c.failed != nil || a.Status == http.StatusSwitchingProtocols {
		c.Close()
		return
	}
	_, _ = c.read.Discard(c.shown) // it is there
	if c.read.Buffered() > 0 {     // it says more than it was asked
		c.Close()
		return
	}
	c.Keep()
}
