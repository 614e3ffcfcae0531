package httpfast

import "io"

// body is the body of a request, with the length that its head has announced.
type body struct {
	worker    *worker
	remaining int64
}

// Read implements io.Reader. It returns io.ErrUnexpectedEOF if the client has sent less than announced.
func (b *body) Read(p []byte) (int, error) {
	if b.remaining == 0 {
		return 0, io.EOF
	}
	n, err := b.worker.read(p[:min(int64(len(p)), b.remaining)])
	b.remaining -= int64(n)
	if err == io.EOF { //nolint:errorlint // it is never wrapped
		return n, io.ErrUnexpectedEOF
	}
	if err == nil && b.remaining == 0 {
		return n, io.EOF
	}
	return n, err
}

// Close implements io.Closer. skip discards the rest after the response.
func (b *body) Close() error { return nil }

// skip discards what the handler has not read, so that the next request starts at its head.
func (b *body) skip() error {
	if b.remaining == 0 {
		return nil
	}
	_, err := io.Copy(io.Discard, b)
	return err
}
