package signalr

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrFull says that the outbox of a slow connection has no room. Nothing was queued; [Hub.OnWritable] is called
	// when there is room again.
	ErrFull = errors.New("signalr: outbox is full")
	// ErrClosed says that the connection is closed or closing. Nothing was queued.
	ErrClosed = errors.New("signalr: connection is closed")
	// ErrServerStopped is returned by [Server.Run] when it is called again after its end.
	ErrServerStopped = errors.New("signalr: server has stopped")

	errClientTimeout   = timeoutError("Client hasn't sent a message/ping within the configured ClientTimeoutInterval.")
	errUnfinished      = errors.New("client hasn't finished a message within the configured time")
	errTooMuch         = errors.New("too much of unfinished messages waits")
	errSlow            = errors.New("client takes less than it is sent")
	errSendTimeout     = errors.New("transport write made no progress within the configured timeout")
	errExpired         = errors.New("credential has expired")
	errTruncated       = dataErrorf("Connection terminated while reading a message.")
	errNoEncoding      = errors.New("signalr: frame has no encoding for the protocol of the connection")
	errRecordSeparator = errors.New("signalr: raw JSON contains a record separator")
)

// HubError is an error whose text is meant for the client: it is sent as "HubException: <text>" where the text of every
// other error is withheld. It may be wrapped; what is sent is its own text, not that of the wrapping.
type HubError struct{ Message string }

func (e *HubError) Error() string { return e.Message }

// Errorf returns a [*HubError]: the client is shown the formatted text.
func Errorf(format string, args ...any) error {
	return &HubError{Message: fmt.Sprintf(format, args...)}
}

// CloseError is what [Hub.OnDisconnected] gets when the application closed the connection by [Conn.Close].
type CloseError struct {
	Text           string // was sent to the client
	AllowReconnect bool
}

func (e *CloseError) Error() string { return "connection closed by the application: " + e.Text }

// errorText appends to the generic text what a client may see of err.
func errorText(generic string, err error, detailed bool) string {
	var he *HubError
	switch {
	case errors.As(err, &he):
		return generic + " HubException: " + he.Message
	case detailed && err != nil:
		return generic + " " + typeName(err) + ": " + err.Error()
	default:
		return generic
	}
}

func typeName(err error) string {
	var de *dataError
	if errors.As(err, &de) {
		return "InvalidDataException"
	}
	if _, ok := err.(timeoutError); ok { //nolint:errorlint // ours, and never wrapped
		return "OperationCanceledException"
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", err), "*")
}

// timeoutError is what Microsoft's server reports by an exception of another name.
type timeoutError string

func (e timeoutError) Error() string { return string(e) }

// dataError is a fault of what the client sent.
type dataError struct{ text string }

func (e *dataError) Error() string { return e.text }

func dataErrorf(format string, args ...any) error {
	return &dataError{text: fmt.Sprintf(format, args...)}
}
