package redis

import "context"

// Current reads the values from the servers, never from the client-side cache. It sees every SetMany and Delete that returned
// before the call, on any node.
func (l *Level) Current(ctx context.Context, keys []string) ([][]byte, error) {
	results, err := l.read(ctx, keys)
	values := make([][]byte, len(keys))
	for i, r := range results {
		if text, absent := r.ToString(); absent == nil {
			values[i] = append(make([]byte, 0, len(text)), text...) // a copy: the caller's to change
		}
	}
	return values, err
}
