package httpfast

import "io"

// body is what comes behind a head, as much as it has said.
type body struct {
	worker *worker
	left   int64
}

// Read realises io.Reader. It ends with io.EOF, or io.ErrUnexpectedEOF where the caller has sent less than was said.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.worker.read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case err == io.EOF: //nolint:errorlint // it is never wrapped
		return n, io.ErrUnexpectedEOF
	case err == nil && b.left == 0:
		return n, io.EOF
	}
	return n, err
}

// Close realises io.Closer; what is left is skipped behind the answer.
func (b *body) Close() error { return nil }

// skip reads what the handler has left, lest the next call begin with it.
func (b *body) skip() error {
	if b.left == 0 {
		return nil
	}
	_, err := io.Copy(io.Discard, b)
	return err
}
