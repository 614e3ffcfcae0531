package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// verifyPatience is for a store that took messages for hours.
const verifyPatience = 30 * time.Minute

// verify has a node look at the whole store when all is over: whatever the faults broke inside must not wait for the day on
// which somebody asks for it.
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
