package redisproc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// replyTimeout bounds one command; a paused server never answers.
const replyTimeout = 5 * time.Second

// Do sends one command on a connection of its own and gives the reply: a string, an int64, nil, or a []any of these. It
// is meant for inspection and administration, not for load.
func (s *Server) Do(ctx context.Context, args ...string) (any, error) {
	reply, err := do(ctx, s.Addr, args)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", s.Addr, args[0], err)
	}
	return reply, nil
}

// text is Do for a command that answers with a string.
func (s *Server) text(ctx context.Context, args ...string) (string, error) {
	reply, err := s.Do(ctx, args...)
	if err != nil {
		return "", err
	}
	text, ok := reply.(string)
	if !ok {
		return "", fmt.Errorf("%s %s: the reply is a %T", s.Addr, args[0], reply)
	}
	return text, nil
}

func do(ctx context.Context, addr string, args []string) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var command strings.Builder
	fmt.Fprintf(&command, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&command, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := io.WriteString(conn, command.String()); err != nil {
		return nil, err
	}
	return readReply(bufio.NewReader(conn))
}

// readReply reads one value of RESP2.
func readReply(r *bufio.Reader) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" {
		return nil, errors.New("an empty reply")
	}
	switch kind, rest := line[0], line[1:]; kind {
	case '+':
		return rest, nil
	case '-':
		return nil, errors.New(rest)
	case ':':
		return strconv.ParseInt(rest, 10, 64)
	case '$':
		return readString(r, rest)
	case '*':
		return readArray(r, rest)
	default:
		return nil, fmt.Errorf("malformed reply: %q", line)
	}
}

func readString(r *bufio.Reader, length string) (any, error) {
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 { // -1 is a null reply
		return nil, err
	}
	text := make([]byte, n+2) // with the line's end
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, err
	}
	return string(text[:n]), nil
}

func readArray(r *bufio.Reader, length string) (any, error) {
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 {
		return nil, err
	}
	var values []any
	for range n {
		value, err := readReply(r)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}
