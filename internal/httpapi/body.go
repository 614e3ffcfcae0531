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

// readBody reads a JSON body of at most limit bytes into the exchange's buffer. The result is valid until the answer is
// written.
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
	// The fingerprint of an idempotency key covers method, path and body, so the buffer holds them in the order in which
	// they are hashed.
	x.buffer = append(append(append(append(x.buffer[:0], x.r.Method...), ' '), x.r.URL.Path...), '\n')
	line := len(x.buffer)
	for {
		if err := x.growBuffer(); err != nil {
			return nil, err
		}
		n, err := x.r.Body.Read(x.buffer[len(x.buffer):cap(x.buffer)])
		x.buffer = x.buffer[:len(x.buffer)+n]
		switch {
		case len(x.buffer)-line > limit:
			return nil, tooLarge(limit)
		case errors.Is(err, io.EOF):
			x.bodyRead = true
			if x.reserved > 0 {
				x.setReadDeadline(x.start.Add(bodyTime)) // net/http reads on in the background to notice a disconnect
			}
			return x.buffer[line:], nil
		case err != nil:
			return nil, bodyReadError(err)
		}
	}
}

// growBuffer doubles the buffer if it is full. It grows with the bytes that arrive, not with the announced Content-Length,
// so that a caller that announces a large body and sends nothing holds no memory.
func (x *exchange) growBuffer() error {
	size := cap(x.buffer)
	if len(x.buffer) < size {
		return nil
	}
	size = max(2*size, 1<<10)
	if more := int64(size) - x.reserved; size > maxPooledBuffer && more > 0 {
		if err := x.reserve(more); err != nil {
			return err
		}
		x.setReadDeadline(time.Now().Add(bodyGrace + time.Duration(size-len(x.buffer))*time.Second/bodyRate))
	}
	x.buffer = append(make([]byte, 0, size), x.buffer...)
	return nil
}

// Deadlines for reading a body. A large body holds shared memory, so each doubling of its buffer must be filled within
// bodyGrace plus the time that bodyRate allows. bodyTime bounds the whole body, of any size.
const (
	bodyGrace = 5 * time.Second
	bodyRate  = 256 << 10 // bytes per second
	bodyTime  = time.Minute
)

// setReadDeadline sets the time by which the next bytes of the body must arrive, at most bodyTime after the start.
func (x *exchange) setReadDeadline(at time.Time) {
	if end := x.start.Add(bodyTime); at.After(end) {
		at = end
	}
	_ = http.NewResponseController(x.w).SetReadDeadline(at) // a ResponseWriter without deadlines is a test's, or sets its own
}

// bodyReadError returns the problem for a body that could not be read completely.
func bodyReadError(err error) error {
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
	return bodyTooLarge.problem("the body may have at most " + strconv.Itoa(limit) + " bytes")
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
		return unsupportedMedia.problem("the only supported charset is utf-8")
	}
	return nil
}

// checkCoding refuses a body with a content coding such as gzip. The answer names the accepted coding in Accept-Encoding
// (RFC 9110, section 15.5.16).
func (x *exchange) checkCoding() error {
	for _, value := range x.r.Header["Content-Encoding"] {
		for coding := range strings.SplitSeq(value, ",") {
			coding = strings.Trim(coding, " \t")
			if coding != "" && !strings.EqualFold(coding, "identity") {
				x.w.Header()["Accept-Encoding"] = identity
				return unsupportedMedia.problem("send the body without the Content-Encoding " + strconv.Quote(coding))
			}
		}
	}
	return nil
}

// idempotencyKeyTTL is how long the answer of an idempotency key is stored.
const idempotencyKeyTTL = 24 * time.Hour

// idempotency parses the Idempotency-Key header into k and returns k, or nil if there is none. The body must have been
// read, and the buffer must still hold it, because the fingerprint is computed from the buffer.
func (x *exchange) idempotency(k *esh3ar.IdempotencyKey) (*esh3ar.IdempotencyKey, error) {
	values := x.r.Header["Idempotency-Key"]
	if len(values) == 0 {
		return nil, nil
	}
	if len(values) > 1 || !validKey(values[0]) {
		p := validationFailed.problem("1 fault")
		p.Errors = []fault{{Header: "Idempotency-Key", Code: validationFailed.code, Detail: "must be one value of 1 to 255 visible ASCII characters"}}
		return nil, p
	}
	*k = esh3ar.IdempotencyKey{
		Key: values[0], Fingerprint: sha256.Sum256(x.buffer), ExpiresAt: esh3ar.TimeOf(x.api.Now().Add(idempotencyKeyTTL)),
	}
	return k, nil
}

// validKey reports whether key has 1 to 255 visible ASCII characters.
func validKey(key string) bool {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return false
		}
	}
	return key != "" && len(key) <= 255
}
