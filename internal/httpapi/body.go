package httpapi

import (
	"crypto/sha256"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar"
)

// readBody reads a JSON body of at most limit bytes. It is good until the answer is written.
func (x *exchange) readBody(limit int) ([]byte, error) {
	if err := checkMedia(x.r.Header["Content-Type"]); err != nil {
		return nil, err
	}
	if err := x.checkCoding(); err != nil {
		return nil, err
	}
	if x.r.ContentLength > int64(limit) {
		return nil, tooLarge(limit)
	}
	// An idempotency key stands for the method, the path and the body: they are laid out as they are hashed.
	x.buffer = append(append(append(append(x.buffer[:0], x.r.Method...), ' '), x.r.URL.Path...), '\n')
	line := len(x.buffer)
	for {
		if err := x.makeRoom(); err != nil {
			return nil, err
		}
		n, err := x.r.Body.Read(x.buffer[len(x.buffer):cap(x.buffer)])
		x.buffer = x.buffer[:len(x.buffer)+n]
		switch {
		case len(x.buffer)-line > limit:
			return nil, tooLarge(limit)
		case errors.Is(err, io.EOF):
			if x.reserved > 0 {
				x.progressBy(x.start.Add(bodyTime)) // the connection is watched while the handler works
			}
			return x.buffer[line:], nil
		case err != nil:
			return nil, unread(err)
		}
	}
}

// makeRoom doubles the buffer, when it is full, as the bytes come: a caller who only promises many does not get their
// memory.
func (x *exchange) makeRoom() error {
	size := cap(x.buffer)
	if len(x.buffer) < size {
		return nil
	}
	size = max(2*size, 1<<10)
	if more := int64(size) - x.reserved; size > keepBuffer && more > 0 {
		if err := x.reserve(more); err != nil {
			return err
		}
		x.progressBy(time.Now().Add(bodyGrace + time.Duration(size-len(x.buffer))*time.Second/bodyRate))
	}
	x.buffer = append(make([]byte, 0, size), x.buffer...)
	return nil
}

// A large body holds memory that others want. Each doubling of its buffer has to be filled within bodyGrace and at
// bodyRate, and all of the body within bodyTime, which bounds the small ones too.
const (
	bodyGrace = 5 * time.Second
	bodyRate  = 256 << 10 // bytes per second
	bodyTime  = time.Minute
)

// progressBy sets until when the next bytes of the body have to be there.
func (x *exchange) progressBy(at time.Time) {
	if end := x.start.Add(bodyTime); at.After(end) {
		at = end
	}
	_ = http.NewResponseController(x.w).SetReadDeadline(at) // a writer without deadlines is a test's, or has its own
}

// unread is the answer to a body that did not come as it was announced.
func unread(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return requestTimeout.problem("send the body faster, or less of it")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return invalidJSON.problem("the body ended before its Content-Length")
	default:
		return invalidJSON.problem("the body could not be read: " + err.Error())
	}
}

func tooLarge(limit int) error {
	return bodyTooLarge.problem("at most " + strconv.Itoa(limit) + " bytes are taken")
}

func checkMedia(values []string) error {
	if len(values) == 1 && values[0] == "application/json" {
		return nil
	}
	if len(values) != 1 {
		return unsupportedMedia.problem("send one header Content-Type: application/json")
	}
	media, params, err := mime.ParseMediaType(values[0])
	if err != nil || media != "application/json" {
		return unsupportedMedia.problem("send Content-Type: application/json")
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return unsupportedMedia.problem("only the charset utf-8 is taken")
	}
	return nil
}

// checkCoding refuses a body in a content coding such as gzip. The answer says what is taken (RFC 9110, section 15.5.16).
func (x *exchange) checkCoding() error {
	for _, value := range x.r.Header["Content-Encoding"] {
		for coding := range strings.SplitSeq(value, ",") {
			if coding = strings.Trim(coding, " \t"); coding != "" && !strings.EqualFold(coding, "identity") {
				x.w.Header()["Accept-Encoding"] = identity
				return unsupportedMedia.problem("send the body without the Content-Encoding " + strconv.Quote(coding))
			}
		}
	}
	return nil
}

// keyLife is how long an idempotency key is kept.
const keyLife = 24 * time.Hour

// idempotency reads the key of a call, if it has one, into k. It wants the body read and not decoded yet.
func (x *exchange) idempotency(k *esh3ar.IdempotencyKey) (*esh3ar.IdempotencyKey, error) {
	values := x.r.Header["Idempotency-Key"]
	if len(values) == 0 {
		return nil, nil
	}
	if len(values) > 1 || !goodKey(values[0]) {
		p := validationFailed.problem("1 fault")
		p.Errors = []fault{{Header: "Idempotency-Key", Code: validationFailed.code, Detail: "must be one value of 1 to 255 visible ASCII characters"}}
		return nil, p
	}
	*k = esh3ar.IdempotencyKey{
		Key: values[0], Fingerprint: sha256.Sum256(x.buffer), ExpiresAt: esh3ar.TimeOf(x.api.Now().Add(keyLife)),
	}
	return k, nil
}

func goodKey(key string) bool {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return false
		}
	}
	return key != "" && len(key) <= 255
}
