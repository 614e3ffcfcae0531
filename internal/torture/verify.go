package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// verifyPatience bounds the verification of a store after hours of load.
const verifyPatience = 30 * time.Minute

// verify runs the store verification of a node at the end of the run, to find internal damage that no client observed.
func (r *run) verify(ctx context.Context) error {
	client := newClient()
	defer client.CloseIdleConnections()
	a, err := r.do(ctx, client, request{
		method: http.MethodPost, path: "/admin/v1/verify", body: []byte(`{"repair":false}`), admin: true, within: verifyPatience,
	})
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("verify: %d %s", a.status, a.body)
	}
	var found struct{ Findings []json.RawMessage }
	if err := json.Unmarshal(a.body, &found); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	for _, finding := range found.Findings {
		r.total.Break(fmt.Sprintf("verify found %s", finding))
	}
	return nil
}
