package bench

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// Parameters of store.
const (
	storeBatch      = 500
	storeRecipients = 100_000
	storeCallers    = 8
	firstStored     = 1_000_000 // recipient index; phones have lower ones
)

// store stores messages for recipients that never connect, in batches.
func store(ctx context.Context, s *server, messages, size int) error {
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range storeCallers {
		group.Go(func() error {
			for {
				first := int(next.Add(storeBatch)) - storeBatch
				if first >= messages {
					return nil
				}
				body := []byte(`{"messages":[`)
				for n := first; n < min(first+storeBatch, messages); n++ {
					if n > first {
						body = append(body, ',')
					}
					body = append(body, `{"recipientPhoneNumber":"+`...)
					body = strconv.AppendUint(body, recipientOf(firstStored+n%storeRecipients), 10)
					body = append(appendContent(append(body, `","messageContent":"`...), n, size), `"}`...)
				}
				if err := s.request(ctx, http.MethodPost, "/v1/messages/batch", s.secrets.APIKey, append(body, "]}"...), nil); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// unlimit replaces the default plan by one whose limits are above what a node can do: few phones get more than the limit of a
// recipient.
func unlimit(ctx context.Context, s *server) error {
	const plan = `{"level":"basic","rate":100000,"burst":1000000,"inboxLimit":1000000,"recipientRate":100000,"recipientBurst":1000000}`
	return s.request(ctx, http.MethodPut, "/admin/v1/plans/default", s.secrets.AdminToken, []byte(plan), nil)
}

// businessHeads creates businesses and returns the heads of their calls.
func businessHeads(ctx context.Context, s *server, count int) ([][]byte, error) {
	heads := make([][]byte, count)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(storeCallers)
	for i := range heads {
		group.Go(func() error {
			key, err := newBusiness(ctx, s, fmt.Sprintf("business %d", i), "default")
			if err != nil {
				return err
			}
			heads[i] = messageFormat(key).head(s.addr)
			return nil
		})
	}
	return heads, group.Wait()
}
